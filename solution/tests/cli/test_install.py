"""``pip install .`` in a folder of its own, without a network: the program, the package, and its weights are all there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import solution

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PARTS = ("solution", "folds", "pyproject.toml", "setup.py", "README.md", "LICENSE")
BUILDS = Version(metadata.version("setuptools")) >= Version("77")


def pins() -> dict[str, list[tuple[str, Version]]]:
    """Name and version of the pins of requirements.txt, those of the program and those of its tests."""
    product, tests, _ = re.split("# tests\n|# set-up\n", (ROOT / "requirements.txt").read_text())
    return {
        kind: [(name, Version(version)) for name, version in re.findall(r"^(\S+)==(\S+)$", text, re.MULTILINE)]
        for kind, text in (("product", product), ("tests", tests))
    }


@pytest.mark.parametrize(
    ("kind", "declared"),
    [("product", PROJECT["dependencies"]), ("tests", PROJECT["optional-dependencies"]["test"])],
)
def test_every_pin_lies_in_its_range_and_none_is_missing(kind, declared):
    ranges = {_named(one): one.specifier for one in map(Requirement, declared)}
    assert set(ranges) == {name for name, _ in pins()[kind]}
    for name, version in pins()[kind]:
        assert ranges[name].contains(version), name


def _named(requirement: Requirement) -> str:
    """As requirements.txt names it, with its extras."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}"


def test_a_pin_outside_its_range_would_be_seen():
    torch = next(one for one in map(Requirement, PROJECT["dependencies"]) if one.name == "torch")
    assert not torch.specifier.contains(Version("1.13")) and not torch.specifier.contains(Version("3.0"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Folder that a copy of the project was installed into."""
    if not BUILDS:
        pytest.skip("setuptools is older than 77 and cannot build the package; install requirements.txt")
    root = tmp_path_factory.mktemp("install")
    for name in PARTS:
        place, skipped = root / "project" / name, shutil.ignore_patterns("__pycache__", "tests", ".work")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place, ignore=skipped)
        else:
            place.parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, place)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", root / "project", *options, "--target", root / "target"]
    subprocess.run(command, check=True)
    return root / "target"


def run(installed: Path, *command: object) -> subprocess.CompletedProcess:
    """A command that sees the installed package and not the project."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        list(map(str, command)), cwd=installed.parent, env=environment, capture_output=True, text=True, check=False
    )


def names(folder: Path) -> set[str]:
    """Files in a folder, but those that only tests and set-ups need."""
    paths = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) for path in paths if not {"tests", "__pycache__", "folds", "setup.sh"} & set(path.parts)}


@pytest.mark.slow
def test_all_files_of_the_package_are_installed(installed):
    found = names(installed / "solution")
    assert found == names(ROOT / "solution") and {"environment", "cli/script.py"} <= found
    assert not (installed / "solution" / "tests").exists()


@pytest.mark.slow
def test_the_shipped_weights_are_installed(installed):
    kinds = (".safetensors", "reranker.txt", "split.csv")
    shipped = {name for name in names(ROOT / "folds") if name.endswith(kinds)}
    assert len(shipped) > 10 and shipped <= names(installed / "solution" / "folds")


@pytest.mark.slow
def test_the_program_runs_under_its_name(installed):
    done = run(installed, installed / "bin" / "sar2opt", "predict", "--help")
    assert done.returncode == 0 and "Usage: sar2opt predict" in done.stdout and done.stderr == ""
    done = run(installed, installed / "bin" / "sar2opt", "data", "nowhere")
    assert done.returncode == 2 and done.stderr.startswith("error: nowhere")
    assert run(installed, sys.executable, "-m", "solution", "--help").returncode == 0


@pytest.mark.slow
def test_the_installed_package_registers_with_its_own_weights(installed, make_scene):
    scene = make_scene(shape=(96, 112), points=None)
    program = (
        "import json, sys, solution\n"
        "from solution.data.naming import FOLDS\n"
        "result = solution.register(*sys.argv[1:], finest=8, sources='flow')\n"
        "print(json.dumps([solution.__file__, str(FOLDS), result.report['teams'], result.shift.shape]))"
    )
    done = run(installed, sys.executable, "-c", program, scene.optical, scene.sar)
    assert done.returncode == 0, done.stderr
    file, folds, teams, shape = json.loads(done.stdout.splitlines()[-1])
    assert Path(file).is_relative_to(installed) and Path(folds) == installed / "solution" / "folds"
    assert teams == ["0", "1", "2"] and shape == [96, 112, 2]


@pytest.mark.slow
def test_the_version_is_stated_once(installed):
    [found] = metadata.distributions(path=[str(installed)])
    assert found.version == solution.__version__ and found.metadata["License-Expression"] == "Apache-2.0"
