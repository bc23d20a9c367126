"""Every verb is there, ends its help well, and imports nothing heavy for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from solution import __version__
from solution.cli.app import app
from solution.tests.conftest import invoke

VERBS = (
    "predict",
    "report",
    "batch",
    "export",
    "export-onnx",
    "fit",
    "fit-benchmark",
    "picture",
    "download",
    "data",
    "split",
    "score",
    "propose",
    "score-folds",
    "simulate",
    "simulate-statistics",
    "benchmark",
    "steep",
    "speed",
    "benchmark-runtimes",
    "verdicts",
    "trunks",
    "benchmark-tiles",
    "rehearse",
    "train-plan",
    "train-base",
    "train-coarse",
    "train-flow",
    "train-matcher",
    "weights",
    "train-translator",
    "train-reranker",
    "translate split",
    "translate train",
    "translate evaluate",
    "translate run",
    "baseline train",
    "baseline predict",
    "baseline report",
    "baseline picture",
    "surface simulate",
    "surface sample",
    "surface train",
    "surface evaluate",
    "surface compare",
    "surface segment",
)
HEAVY = ("torch", "lightning", "numpy", "pandas", "rasterio", "scipy", "sklearn", "matplotlib")


def verbs(command, before: str = "") -> list[str]:
    """Names of the verbs below a command, those of a group after the group's name."""
    below = getattr(command, "commands", None)
    if below is None:
        return [before.strip()]
    return [verb for name, one in below.items() for verb in verbs(one, f"{before} {name}")]


def test_every_verb_is_there_in_the_order_of_the_help():
    assert tuple(verbs(typer.main.get_command(app))) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_says_how_it_is_used(verb):
    assert f" {verb} " in " ".join(invoke(*verb.split(), "--help").split())


@pytest.mark.parametrize("arguments", [[], ["predict"], ["train-flow"], ["surface", "train"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments):
    """In a process of its own, for this one has imported everything long since."""
    program = (
        "import sys\n"
        "from solution.cli.app import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Usage" in done.stdout
    assert done.stderr.strip() == "[]"


def test_the_package_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "solution", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "python -m solution [OPTIONS] COMMAND" in done.stdout


def test_the_version_is_that_of_the_package(run):
    assert run("--version") == (0, f"{__version__}\n", "")


def test_bad_input_is_one_sentence_and_code_2(run, tmp_path):
    code, out, err = run("data", tmp_path / "nowhere")
    assert code == 2 and out == "" and err.startswith("error: ") and len(err.splitlines()) == 1
