"""Batches on real worker processes: one that is killed, bad inputs among the pairs, and signals. The run that goes on has a
thread of this process for a worker: two processes more would take as long to start as all pairs take.

``BATCH_PAIRS=200`` in the environment makes the first one a run of so many pairs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pandas as pd
import psutil
import pytest

from solution.batch import cluster, running, work
from solution.batch.listing import Listed
from solution.core.code import PACKAGE
from solution.products.settings import Settings
from solution.tests.batch.conftest import tiny, write_list
from solution.tests.batch.deadly import deadly
from solution.tests.conftest import truncate

PAIRS = int(os.environ.get("BATCH_PAIRS", "12"))
"""Bad ones included."""
PATIENCE_S = 120 + 20 * PAIRS


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_a_killed_worker_and_bad_inputs_stop_no_pair(trained, run, tmp_path):
    rows, sentences = mixed(tmp_path / "data")
    out = tmp_path / "out"
    process = started(write_list(tmp_path / "pairs.csv", rows), out, trained.folds)
    until(lambda: len(list(out.glob("*.report.json"))) >= 2, process)
    victim = one_worker(process)
    victim.kill()
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, printed
    table = pd.read_parquet(out / "batch.parquet").set_index("name")
    assert list(table.index) == [name for _, _, name in rows]
    for name, sentence in sentences.items():
        row = table.loc[name]
        assert row["verdict"] == "bad input" and sentence in row["error"] and row["map"] == "", row
    good = table.drop(index=list(sentences))
    assert set(good["verdict"]) <= {"ok", "weak", "failed"} and (good["error"] == "").all()
    assert all((out / name).is_file() for name in [*good["map"], *good["report"]])
    assert (good["seconds"] > 0).all() and good["peak_memory_gb"].between(0.1, 8).all()
    assert good["tries"].sum() in (len(good), len(good) + 1), "at most one pair began twice"
    assert not list(out.rglob(".*")), "nothing half written and no folder of unfinished work"
    assert not psutil.pid_exists(victim.pid) or not victim.is_running()

    code, *printed = run(*command(tmp_path / "pairs.csv", out, trained.folds))
    assert code == 2 and "".join(printed).count("up to date") == len(good), printed


@pytest.mark.slow
def test_a_pair_that_kills_its_worker_is_tried_three_times_and_no_other_is_blamed(tmp_path):
    names = ("a", "always", "b", "once", "c", "d")
    (tmp_path / "marks").mkdir()
    jobs = [
        work.Job(Listed(name, Path("a.tif"), Path("b.tif")), tmp_path, Settings(tmp_path), tmp_path / "marks", "")
        for name in names
    ]
    with cluster.client_of(cluster.Workers(2, 2.0), tmp_path) as client:
        found = {job.pair.name: row for job, row in running.results(client, deadly, jobs)}
    lost = found.pop("always")
    assert lost["verdict"] == "lost" and lost["tries"] == 3 and "lost three times (memory?)" in lost["error"]
    assert {name: row["tries"] for name, row in found.items()} == {"a": 1, "b": 1, "c": 1, "d": 1, "once": 2}


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_a_signal_ends_workers_too_and_the_next_run_goes_on(trained, run, tmp_path):
    """Stopped twice, by either signal, and then not. The second time one worker goes on: two might be through."""
    scenes = [tiny(tmp_path / "data", seed) for seed in range(5)]
    rows = [(scene.optical, scene.sar, scene.name) for scene in scenes]
    pairs, out = write_list(tmp_path / "pairs.csv", rows), tmp_path / "out"
    kept = 0
    for number, code, count in ((signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)):
        process = started(pairs, out, trained.folds, count)
        until(lambda before=kept: len(list(out.glob("*.report.json"))) > before, process)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, number)  # as a terminal does: to the workers too
        printed, _ = process.communicate(timeout=60)
        (line,) = [line for line in printed.splitlines() if " of 5: " not in line]
        assert process.returncode == code and number.name in line and "same command again to go on" in line
        psutil.wait_procs(workers, timeout=20)
        assert not [one for one in workers if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        assert not list(out.rglob(".*partial*"))
        kept = len(list(out.glob("*.report.json")))
        assert list(pd.read_csv(out / "batch.csv")["name"]) == [name for _, _, name in rows]
    _, *printed = run(*command(pairs, out, trained.folds))
    assert "".join(printed).count("up to date") == kept and len(list(out.glob("*.report.json"))) == 5, printed


def mixed(folder: Path) -> tuple[list[tuple[str, str, str]], dict[str, str]]:
    """Rows of a list, five of them bad, and name -> a piece of what is to be said of it."""
    scenes = [tiny(folder, number) for number in range(PAIRS - 2)]
    rows = [(str(one.optical), str(one.sar), one.name) for one in scenes]
    broken, swapped, doubled = scenes[1], scenes[3], scenes[4]
    truncate(broken.optical)
    rows[3] = (str(swapped.sar), str(swapped.optical), swapped.name)
    rows[4] = (str(doubled.optical), str(doubled.optical), doubled.name)
    rows.insert(2, ("nowhere.tif", str(scenes[0].sar), "missing"))
    rows.insert(5, ("", str(scenes[0].sar), "empty"))
    sentences = {
        broken.name: "truncated raster",
        swapped.name: "has 3 bands where a SAR image has 1",
        doubled.name: "is the optical image too",
        "missing": "nowhere.tif: no such file; check the path",
        "empty": "names no optical image",
    }
    return rows, sentences


def command(pairs: Path, out: Path, folds: Path, workers: int = 2) -> list[str]:
    """What the program is told."""
    options = {"--out": out, "--folds": folds, "--device": "cpu", "--workers": workers, "--finest": 4}
    return ["batch", str(pairs), *map(str, chain.from_iterable(options.items()))]


def started(pairs: Path, out: Path, folds: Path, workers: int = 2) -> subprocess.Popen:
    """The program, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "solution", *command(pairs, out, folds, workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        start_new_session=True,
    )


def one_worker(process: subprocess.Popen) -> psutil.Process:
    """A worker: of the children, one that was spawned and holds the libraries."""
    children = psutil.Process(process.pid).children(recursive=True)
    return max(children, key=lambda one: one.memory_info().rss)


def until(reached: Callable[[], object], process: subprocess.Popen) -> None:
    for _ in range(10 * PATIENCE_S):
        if reached():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise AssertionError("it takes too long")
