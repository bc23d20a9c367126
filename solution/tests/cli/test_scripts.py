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


def test_train_fits_on_one_page():
    assert len((ROOT / "train.sh").read_text().splitlines()) <= 60


@pytest.fixture
def train(tmp_path):
    """A function: arguments of train.sh -> exit code, and the command lines of the program that it called, with names
    relative to its folder."""
    folder = tmp_path / "a project"
    (folder / "solution").mkdir(parents=True)
    (folder / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "train.sh", folder)
    shutil.copy(ROOT / "solution/environment", folder / "solution")
    for name, body in {"solution/setup.sh": "", ".venv/bin/python": 'shift 3; echo "$@" >>"$LOG"'}.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)

    def call(*arguments: str) -> tuple[int, list[str]]:
        log = tmp_path / "log"
        log.write_text("")
        done = subprocess.run(
            [folder / "train.sh", *arguments], capture_output=True, check=False, env={**os.environ, "LOG": str(log)}
        )
        return done.returncode, log.read_text().replace(f"{folder}/", "").splitlines()

    return call


def verbs(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines]


def test_train_runs_every_stage_into_the_folds(train):
    code, lines = train("the data")
    assert code == 0
    assert verbs(lines) == [
        *("data", "split", "train-plan", "simulate", "train-coarse", "train-flow", "train-translator", "train-matcher"),
        *("propose", "train-reranker", "score-folds"),
    ]
    assert lines[1] == "split the data --output folds/split.csv"
    assert lines[2].startswith("train-plan the data --folds folds --scenes 32 --size 1600 1600 --stage=coarse")
    assert lines[3] == "simulate runs/simulated --scenes 32 --size 1600 1600 --seed 1000"
    assert lines[5] == "train-flow the data --simulated runs/simulated --folds folds --replace"


def test_train_from_trained_teams_makes_three_of_the_two_models_that_predict(train):
    code, lines = train("pairs", "--from", "folds", "--folds", "mine")
    assert code == 0
    assert verbs(lines)[3:] == ["simulate", "train-coarse", "train-flow", "propose", "score-folds"]
    assert lines[1] == "split pairs --output mine/split.csv --teams 3"
    assert lines[2] == (
        "train-plan pairs --folds mine --from folds --scenes 8 --size 800 800 --stage=coarse --stage=flow"
    )
    assert lines[3] == "simulate runs/simulated_small --scenes 8 --size 800 800 --seed 1000"
    assert lines[5] == "train-flow pairs --simulated runs/simulated_small --folds mine --from folds --replace"


@pytest.mark.parametrize("start", [(), ("--from", "folds")])
def test_train_makes_only_the_models_that_are_wanted(train, start):
    code, lines = train("pairs", "--stages", "flow", *start, "--folds", "mine")
    assert code == 0 and [verb for verb in verbs(lines) if verb.startswith("train-")][:2] == [
        "train-plan",
        "train-flow",
    ]
    assert lines[2].endswith(" --stage=flow") and not {"train-coarse", "train-matcher"} & set(verbs(lines))


def test_train_takes_a_device_to_whatever_computes(train):
    code, lines = train("pairs", "--device", "cuda")
    assert code == 0
    with_device = [line.split()[0] for line in lines if "--device cuda" in line]
    assert with_device == ["train-coarse", "train-flow", "train-translator", "train-matcher", "propose"]


@pytest.mark.parametrize("order", [("--smoke", "--folds", "mine"), ("--folds", "mine", "--smoke")])
def test_train_goes_where_it_is_told_whatever_the_order(train, order):
    code, lines = train("pairs", *order, "--steps", "7", "--scenes", "3", "--simulated", "here", "--teams", "4")
    assert code == 0 and "train-reranker" not in verbs(lines)
    assert lines[1] == "split pairs --output mine/split.csv --teams 4"
    assert lines[3] == "simulate here --scenes 3 --size 256 256 --seed 1000"
    assert lines[4] == "train-coarse pairs --simulated here --folds mine --steps 7 --smoke --replace"
    assert "propose pairs --folds mine --finest 8" in lines


def test_a_smoke_run_is_never_in_the_place_of_real_weights(train):
    _, lines = train("pairs", "--smoke")
    assert lines[4] == "train-coarse pairs --simulated runs/smoke_simulated --folds runs/smoke --smoke --replace"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--smoke"], ["data", "--steps"], ["data", "more"], ["data", "--no-such", "1"], ["data", "--from", "folds"]],
    ids=" ".join,
)
def test_train_says_how_and_does_nothing_where_the_arguments_are_wrong(train, arguments):
    assert train(*arguments) == (2, [])
    done = subprocess.run([ROOT / "train.sh", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage: ./train.sh DATA")


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


def test_every_requirement_is_pinned():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z]+\])?==[0-9][A-Za-z0-9.]*", line) for line in lines)


def fake_python(project: Path) -> Path:
    """A stand-in for an interpreter, and for uv, that makes 'environments' of itself and logs calls to venv, pip and uv, so
    that nothing is installed."""
    path = project / "fake python"
    path.write_text(
        "#!/usr/bin/env bash\n"
        'if [[ $1 == -m && $2 == venv ]]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/uv"\n'
        '  echo venv >>"$LOG"; exit; fi\n'
        'if [[ $1 == -m && $2 == pip ]]; then shift 3; echo "pip $*" >>"$LOG"\n'
        '  if [[ $1 == config ]]; then echo "$PIP_SETTINGS"; fi; exit "${PIP_CODE:-0}"; fi\n'
        'if [[ $1 == pip ]]; then echo "uv $*" >>"$LOG"; exit "${UV_CODE:-0}"; fi\n'
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
        code = set_up(project, **environment, **more).returncode
        return code, [line.split()[0] for line in log.read_text().splitlines()]

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


@pytest.mark.parametrize(
    ("settings", "code", "calls"),
    [
        ("", "0", ["venv", "pip config", "pip install --quiet uv==1.0", "uv pip install"]),
        ("global.extra-index-url='x'", "0", ["venv", "pip config", "pip install --quiet uv==1.0", "uv pip install"]),
        ("", "1", ["venv", "pip config", "pip install --quiet uv==1.0", "uv pip install", "pip install --requirement"]),
        (":env:.index-url='https://mirror'", "0", ["venv", "pip config", "pip install --requirement"]),
    ],
    ids=["uv", "one more index", "uv fails", "an index of one's own"],
)
def test_set_up_installs_with_uv_and_else_with_pip(project, tmp_path, settings, code, calls):
    (project / "requirements.txt").write_text("some==2.0\n\n# set-up\nuv==1.0\n")
    log = tmp_path / "log"
    done = set_up(project, PYTHON=str(fake_python(project)), LOG=str(log), PIP_SETTINGS=settings, UV_CODE=code)
    assert done.returncode == 0
    assert [line[: len(call)] for line, call in zip(log.read_text().splitlines(), calls, strict=True)] == calls
    assert (project / ".venv/.stamp").exists() and not (project / ".venv/.unfinished").exists()


def test_set_up_without_a_python_says_so(project, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "flock"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    done = set_up(project, PATH=str(tools), PYTHON="")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no Python >= 3.11") and not (project / ".venv").exists()
