"""The shell scripts, and the pins that they install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ["solution/setup.sh", "solution/tests/run.sh", ".ci/run", "predict.sh", "test.sh", "train.sh"]


@pytest.fixture
def project(tmp_path) -> Path:
    """A project of its own whose requirements are empty, so that setting up needs no network."""
    folder = tmp_path / "a project"
    (folder / "solution").mkdir(parents=True)
    shutil.copy(ROOT / "solution/setup.sh", folder / "solution/setup.sh")
    (folder / "requirements.txt").write_text("# nothing\n")
    return folder


def set_up(project: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", project / "solution/setup.sh"],
        cwd="/",
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_executable_and_parses(script):
    path = ROOT / script
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env bash\n") and "set -euo pipefail" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)


def test_train_is_one_stage_a_line_on_one_page():
    assert len((ROOT / "train.sh").read_text().splitlines()) <= 50


@pytest.mark.parametrize("arguments", ["", "--smoke", "DATA --folds", "DATA --steps", "DATA --unknown 3", "DATA more"])
def test_train_with_other_arguments_says_how(arguments):
    done = subprocess.run([ROOT / "train.sh", *arguments.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage: ./train.sh DATA")


@pytest.fixture
def train_script(tmp_path):
    """A function: arguments of train.sh, which lies in a folder of its own -> the commands that it gives, a line each."""
    folder = tmp_path / "a project"
    (folder / "solution").mkdir(parents=True)
    (folder / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "train.sh", folder)
    shutil.copy(ROOT / "solution/environment", folder / "solution")
    for name, body in {"solution/setup.sh": "", ".venv/bin/python": 'printf "%s|" "${@:4}"; echo'}.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)

    def call(*arguments: str) -> list[str]:
        done = subprocess.run([folder / "train.sh", *arguments], capture_output=True, text=True, check=True)
        return [line.replace(str(folder), "ROOT") for line in done.stdout.splitlines() if not line.startswith("== ")]

    return call


def test_train_writes_beside_itself(train_script):
    lines = train_script("the data")
    assert lines[1:4] == [
        "split|the data|--output|ROOT/folds/split.csv|",
        "simulate|ROOT/runs/simulated|--scenes|32|--size|1600|1600|--seed|1000|",
        "train-coarse|the data|--simulated|ROOT/runs/simulated|--folds|ROOT/folds|--replace|",
    ]
    assert lines[-1] == "score-folds|the data|--folds|ROOT/folds|" and any("train-reranker" in line for line in lines)


def test_train_writes_where_it_is_told_and_no_more_than_it_is_told(train_script):
    lines = train_script("data", "--folds", "my folds", "--simulated", "mine", "--scenes", "2", "--steps", "5")
    assert not any("ROOT" in line for line in lines)
    assert "simulate|mine|--scenes|2|--size|1600|1600|--seed|1000|" in lines
    stages = [
        line for line in lines if line.startswith(("train-coarse", "train-flow", "train-translator", "train-matcher"))
    ]
    assert [line.partition("|")[2] for line in stages] == [
        "data|--simulated|mine|--folds|my folds|--replace|--steps|5|"
    ] * 4


def test_a_smoke_run_touches_no_real_weights(train_script):
    lines = train_script("data", "--smoke")
    assert not any("ROOT/folds" in line or "train-reranker" in line for line in lines)
    assert "propose|data|--folds|ROOT/runs/smoke|--finest|8|" in lines


def test_test_without_an_output_says_how():
    done = subprocess.run([ROOT / "test.sh", "data"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage: ./test.sh DATA OUTPUT")


@pytest.fixture
def test_script(tmp_path):
    """A function: what predict.sh ends with -> what test.sh ends with; both lie in a folder of their own."""
    folder = tmp_path / "a project"
    folder.mkdir()
    shutil.copy(ROOT / "test.sh", folder)

    def call(code: int, output: str) -> int:
        body = f'printf "%s|" "$@" >"{folder}/said"; mkdir -p "$3"; echo maps >"$3/submission.zip"; exit {code}'
        (folder / "predict.sh").write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / "predict.sh").chmod(0o755)
        command = [folder / "test.sh", "the data", folder / output, "--finest", "8"]
        return subprocess.run(command, capture_output=True, check=False).returncode

    return folder, call


@pytest.mark.parametrize("code", [0, 3, 4])
def test_the_submission_is_there_whatever_the_verdict(test_script, code):
    folder, call = test_script
    assert call(code, "out/solution.zip") == 0
    assert (folder / "said").read_text() == f"the data|--out|{folder}/out/solution|--finest|8|"
    assert (folder / "out/solution.zip").read_text() == "maps\n"
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["solution", "solution.zip"]
    assert call(code, "maps") == 0 and [path.name for path in (folder / "maps").iterdir()] == ["submission.zip"]


@pytest.mark.parametrize("code", [1, 2, 130])
def test_a_prediction_that_did_not_end_leaves_no_submission(test_script, code):
    folder, call = test_script
    assert call(code, "solution.zip") == code and not (folder / "solution.zip").exists()


def test_set_up_does_nothing_where_all_is_ready(project):
    done = set_up(project, SN9_SET_UP="done", PYTHON="/nowhere")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and not (project / ".venv").exists()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-benchmark.txt", "requirements-terratorch.txt"])
def test_every_requirement_is_pinned(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z]+\])?==[0-9][A-Za-z0-9.]*", line) for line in lines)


def fake_python(project: Path) -> Path:
    """A stand-in for an interpreter that makes 'environments' of itself and logs calls to venv and pip, so that nothing
    is installed."""
    path = project / "fake python"
    path.write_text(
        "#!/usr/bin/env bash\n"
        'if [[ $1 == -m && $2 == venv ]]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo venv >>"$LOG"; exit; fi\n'
        'if [[ $1 == -m && $2 == pip ]]; then echo pip >>"$LOG"; exit "${PIP_CODE:-0}"; fi\n'
        'if [[ $1 == --version ]]; then echo "Python 3.11.0"; exit; fi\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    path.chmod(0o755)
    return path


def test_set_up_installs_once_then_again_only_when_stale_or_interrupted(project, tmp_path):
    log = tmp_path / "log"
    environment = {"PYTHON": str(fake_python(project)), "LOG": str(log)}

    def steps(**more: str) -> tuple[int, list[str]]:
        log.write_text("")
        return set_up(project, **environment, **more).returncode, log.read_text().split()

    assert steps() == (0, ["venv", "pip"])
    assert steps() == (0, [])
    (project / "requirements.txt").write_text("# something else\n")
    assert steps(PIP_CODE="1") == (1, ["pip"])
    assert steps() == (0, ["venv", "pip"])
    assert steps() == (0, [])
    (project / ".venv/bin/python").unlink()
    assert steps() == (0, ["venv", "pip"])
    (project / ".venv/.stamp").unlink()
    assert steps() == (0, ["pip"])


def test_set_up_without_a_python_says_so(project, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "flock"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    done = set_up(project, PATH=str(tools), PYTHON="")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no Python >= 3.11") and not (project / ".venv").exists()
