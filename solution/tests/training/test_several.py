"""Several processes train as one does: the same tiles, the same losses, and a killed run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from solution.core import artefact, ranks
from solution.core.code import PACKAGE
from solution.core.devices import Devices
from solution.core.errors import InputError
from solution.tests.training import several
from solution.tests.training.several import CONFIG, STEPS_PER_EPOCH, WEIGHTS
from solution.training import run as train
from solution.training.tile_data import dealt

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}


def trainer(rank: int = 0, processes: int = 1, accumulate: int = 1) -> SimpleNamespace:
    return SimpleNamespace(world_size=processes, global_rank=rank, accumulate_grad_batches=accumulate)


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 1), (2, 1), (1, 4), (2, 2), (4, 1), (3, 2)])
def test_processes_draw_every_tile_once_and_in_order(processes, accumulate):
    whole = dealt(24, 60, 12, trainer())
    assert whole == [list(range(24, 36)), list(range(36, 48)), list(range(48, 60))]
    drawn = [dealt(24, 60, 12, trainer(rank, processes, accumulate)) for rank in range(processes)]
    for step, tiles in enumerate(whole):
        pieces = [one for batches in drawn for one in batches[step * accumulate : (step + 1) * accumulate]]
        assert sorted(number for piece in pieces for number in piece) == tiles
        assert {len(piece) for piece in pieces} == {12 // processes // accumulate}


def test_a_batch_that_is_not_full_is_left_to_one_process():
    assert dealt(0, 7, 4, trainer()) == [[0, 1, 2, 3], [4, 5, 6]]
    assert dealt(0, 7, 4, trainer(1, 2)) == [[2, 3]]
    assert dealt(0, 3, 4, trainer(1, 2)) == []


def test_a_batch_is_shared_evenly_or_not_at_all(monkeypatch):
    assert Devices.of("cpu").sharing(8) == ("cpu", 1, 1) and Devices("cpu", 4, 2).sharing(8) == ("cpu", 4, 4)
    for wrong in (Devices("cpu", 3), Devices("cpu", 2, 3), Devices("cpu", accumulate=16)):
        with pytest.raises(InputError, match="a batch of 8 cannot be cut into"):
            wrong.sharing(8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert Devices.of("cuda").sharing(8) == ("cuda", 2, 2)  # all that can share it
    assert Devices.of("cuda").sharing(9) == ("cuda", 3, 3) and Devices("cuda", accumulate=4).sharing(8) == (
        "cuda",
        2,
        2,
    )
    assert Devices("cuda", 1).sharing(8) == ("cuda", 1, 1) and Devices.of("cuda:2").sharing(8) == ("cuda", [2], 1)
    with pytest.raises(InputError, match="offers 3 CUDA device"):
        Devices("cuda", 4).sharing(8)
    with pytest.raises(InputError, match="cuda:2: is one device; pass --device cuda"):
        Devices("cuda:2", 2).sharing(8)


def test_small_memory_ends_in_a_sentence():
    with pytest.raises(InputError, match="pass --accumulate 2, or more --devices"), Devices("cuda").memory_told(8):
        raise torch.OutOfMemoryError
    with pytest.raises(InputError, match="pass more --devices"), Devices("cuda", accumulate=8).memory_told(8):
        raise torch.OutOfMemoryError


def test_only_helpers_of_a_training_are_helpers(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")  # of another program's
    monkeypatch.delenv("SAR2OPT_TRAINING", raising=False)
    assert not ranks.is_helper()
    monkeypatch.setenv("LOCAL_RANK", "0")
    ranks.begin()
    assert not ranks.is_helper() and os.environ["SAR2OPT_TRAINING"] == str(os.getpid())
    monkeypatch.setenv("SAR2OPT_TRAINING", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    ranks.begin()
    assert ranks.is_helper() and os.environ["SAR2OPT_TRAINING"] == "1"


def steps(out: Path, processes: int) -> list[dict]:
    """What the pieces of every step saw: tiles, and their mean loss."""
    lines = [json.loads(line) for rank in range(processes) for line in (out / f"{rank}.jsonl").read_text().splitlines()]
    found = []
    for step in sorted({line["step"] for line in lines}):
        pieces = [line for line in lines if line["step"] == step]
        loss = sum(piece["loss"] for piece in pieces) / len(pieces)
        found.append({"tiles": [piece["tiles"] for piece in pieces], "loss": loss})
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Callable[..., Path]:
    """Trains with two processes, once more in the same folder where that is told -> the folder."""

    def go(out: Path | None = None, killed_at: int | None = None) -> Path:
        out = out or tmp_path_factory.mktemp("two")
        arguments = [str(out), "2"] + ([] if killed_at is None else [str(killed_at)])
        command = [sys.executable, "-P", "-m", "solution.tests.training.several", *arguments]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == (0 if killed_at is None else -signal.SIGKILL), done.stderr
        return out

    return go


@pytest.fixture(scope="module")
def whole(two) -> Path:
    return two()


@pytest.mark.slow
def test_two_processes_see_the_tiles_of_one_and_learn_as_it_does(whole, tmp_path):
    torch.set_num_threads(1)
    several.train(tmp_path, Devices("cpu"))
    one, both = steps(tmp_path, 1), steps(whole, 2)
    assert len(one) == len(both) == CONFIG.steps
    for number, (alone, shared) in enumerate(zip(one, both, strict=True)):
        first, second = shared["tiles"]
        assert [first + second] == alone["tiles"] == [list(range(4 * number, 4 * number + 4))]
        assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-3)
    names = artefact.load_weights(whole / WEIGHTS)[0], artefact.load_weights(tmp_path / WEIGHTS)[0]
    assert names[0].keys() == names[1].keys()
    manifests = [artefact.read_manifest(folder / WEIGHTS) for folder in (whole, tmp_path)]
    assert manifests[0] == manifests[1]  # how many there were is no setting


@pytest.mark.slow
def test_a_killed_run_of_two_processes_goes_on_to_the_same_weights(two, whole):
    killed = two(killed_at=STEPS_PER_EPOCH + 1)
    assert not (killed / WEIGHTS).exists()
    helper = json.loads((killed / "1.jsonl").read_text().splitlines()[0])["pid"]
    for _ in range(300):  # nobody waits for a main process that is gone
        if not psutil.pid_exists(helper):
            break
        time.sleep(0.1)
    assert not psutil.pid_exists(helper)
    for rank in (0, 1):
        (killed / f"{rank}.jsonl").unlink()
    two(killed)
    assert [step["tiles"] for step in steps(killed, 2)] == [step["tiles"] for step in steps(whole, 2)][STEPS_PER_EPOCH:]
    assert (killed / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert not list((killed / "work").iterdir())


@pytest.mark.slow
def test_the_command_line_trains_all_teams_on_two_processes(trained, tmp_path):
    """One process after another would start its own helpers again for the second team."""
    (tmp_path / "split.csv").write_bytes((trained.folds / "split.csv").read_bytes())
    options = [
        "--smoke",
        "--steps",
        "1",
        "--device",
        "cpu",
        "--devices",
        "2",
        "--memory",
        "0",
        "--folds",
        str(tmp_path),
    ]
    command = [sys.executable, "-P", "-m", "solution", "train-coarse", str(trained.data), *options]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if "wrote" in line] == ["coarse fold 0", "coarse fold 1"], lines
    assert sum("images.parquet: 2 images" in line for line in lines) == 1
    assert all((tmp_path / fold / WEIGHTS).is_file() for fold in "01")


@pytest.mark.slow
def test_a_stopped_run_of_two_processes_says_so_once_and_leaves_none_behind(trained, tmp_path):
    (tmp_path / "split.csv").write_bytes((trained.folds / "split.csv").read_bytes())
    options = ["--smoke", "--steps", "5000", "--device", "cpu", "--devices", "2", "--folds", str(tmp_path)]
    command = [sys.executable, "-P", "-m", "solution", "train-coarse", str(trained.data), "--team", "0", *options]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob("**/last.ckpt")):
        time.sleep(0.1)
    helpers = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert sum("stopped by SIGTERM" in line for line in errors.splitlines()) == 1 and "Traceback" not in errors
    assert helpers and not psutil.wait_procs(helpers, timeout=30)[1]


def test_a_batch_that_does_not_divide_is_refused_before_any_work(trained, tmp_path, run):
    (tmp_path / "split.csv").write_bytes((trained.folds / "split.csv").read_bytes())
    options = ("--smoke", "--folds", tmp_path, "--device", "cpu", "--devices", 3)
    code, _, err = run("train-coarse", trained.data, *options)
    assert code == 2 and err.splitlines()[-1].startswith(
        "error: --devices 3 --accumulate 1: a batch of 2 cannot be cut"
    )
    assert not (tmp_path / "0").exists()


@pytest.mark.slow
def test_pieces_of_a_batch_are_one_step(tmp_path):
    """Of a batch whose tiles have equally many labels, which pieces are averaged by."""
    torch.set_num_threads(1)
    line = several.train(tmp_path, Devices("cpu", accumulate=2))
    assert "wrote" in line
    lines = [json.loads(one) for one in (tmp_path / "0.jsonl").read_text().splitlines()]
    assert [one["tiles"] for one in lines] == [[first, first + 1] for first in range(0, 24, 2)]
    assert [one["step"] for one in lines] == [step for step in range(6) for _ in range(2)]


def test_statistics_of_batches_are_shared_where_there_are_such():
    from torch import nn

    assert not train._has_batch_statistics(nn.Sequential(nn.Conv2d(1, 1, 1)))
    assert train._has_batch_statistics(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
