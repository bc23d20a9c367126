"""A batch by the command line: what is written, kept and refused. Its worker is a thread of this process."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from solution.batch import cluster, running
from solution.batch import run as batches
from solution.batch.work import work
from solution.tests.batch.conftest import write_list
from solution.tests.conftest import retag, truncate

pytestmark = pytest.mark.usefixtures("quick_plan", "threads")


@pytest.fixture
def go(trained, run, tmp_path):
    """The verb with one of the smoke run's teams and the folder ``out``."""
    return lambda pairs, *options: run(
        "batch", pairs, "--out", tmp_path / "out", "--folds", trained.folds, "--device", "cpu", *options
    )


def table_of(folder) -> pd.DataFrame:
    return pd.read_parquet(folder / "batch.parquet").set_index("name")


@pytest.mark.slow
def test_maps_items_table_and_page_and_only_what_changed_runs_again(go, listed, tmp_path):
    pairs, out = listed(2), tmp_path / "out"
    code, printed, _ = go(pairs)
    table = table_of(out)
    assert list(table.index) == ["p0", "p1"] and not table["kept"].any() and (table["tries"] == 1).all()
    assert (
        code == work_code(table)
        and "2 of 2: p" in printed
        and printed.splitlines()[-1].startswith(f"{out}/index.html: ")
    )
    ends = (".tif", ".report.json", ".candidates.parquet", ".stac.json")
    assert {path.name for path in out.iterdir()} == {
        *(name + end for name in table.index for end in ends),
        "batch.csv",
        "batch.parquet",
        "index.html",
    }
    before = {path: path.stat().st_mtime_ns for path in out.glob("p?.tif")}
    retag(next((tmp_path / "data").glob("*_sar_*001.tif")))
    go(pairs)
    assert table_of(out)["kept"].to_dict() == {"p0": True, "p1": False}
    assert [path.name for path, time in before.items() if path.stat().st_mtime_ns != time] == ["p1.tif"]


def work_code(table: pd.DataFrame) -> int:
    """By the words alone."""
    return next((code for word, code in (("failed", 3), ("weak", 4)) if word in set(table["verdict"])), 0)


def test_a_stopped_run_leaves_the_table_so_far_and_no_folder_of_its_own(go, listed, tmp_path, monkeypatch):
    pairs, out = listed(3), tmp_path / "out"
    monkeypatch.setattr(batches, "work", lambda job: {"verdict": "ok", "seconds": 1.0, "tries": job.begin()})
    through = running.results

    def stopping(*arguments):
        yield next(through(*arguments))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "results", stopping)
        go(pairs)
    assert sorted(table_of(out)["verdict"]) == ["ok", "pending", "pending"]
    assert {path.name for path in out.iterdir()} == set(batches.FILES)
    assert go(pairs)[0] == 0 and set(table_of(out)["verdict"]) == {"ok"} and set(table_of(out)["tries"]) == {1}


@pytest.mark.slow
def test_options_reach_the_maps(go, listed, tmp_path):
    go(listed(1), "--warped-sar", "--no-stac", "--finest", "2")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "p0.sar.tif" in names and "p0.stac.json" not in names


def test_a_list_of_bad_pairs_alone_starts_no_worker(go, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "client_of", None)
    code, _, err = go(write_list(tmp_path / "pairs.csv", [("", "s.tif", "a")]))
    assert code == 2 and err.startswith("WARNING") and table_of(tmp_path / "out").loc["a", "verdict"] == "bad input"


def test_an_input_that_would_be_overwritten(go, listed, tmp_path):
    """By the map of another pair than its own."""
    pairs, out = listed(2), tmp_path / "out"
    out.mkdir()
    source = next((tmp_path / "data").glob("*_optical_*000.tif"))
    shutil.move(source, out / "p1.tif")
    pairs.write_text(pairs.read_text().replace(str(source), str(out / "p1.tif")))
    code, _, err = go(pairs)
    assert code == 2 and "p1.tif: is an input" in err and "by pair p1" in err and len(err.splitlines()) == 1
    assert {path.name for path in out.iterdir()} == {"p1.tif"}


def test_a_list_that_would_be_overwritten(go, listed, tmp_path):
    (tmp_path / "out").mkdir()
    shutil.move(listed(1), tmp_path / "out" / "batch.csv")
    code, _, err = go(tmp_path / "out" / "batch.csv")
    assert code == 2 and "batch.csv: is an input too" in err


def test_weights_that_are_missing_are_said_once(run, listed, tmp_path):
    code, _, err = run("batch", listed(2), "--out", tmp_path / "out", "--folds", tmp_path)
    assert code == 2 and "holds no team" in err and len(err.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_a_scheduler_of_ones_own_has_its_own_workers(go, listed):
    code, _, err = go(listed(1), "--scheduler", "tcp://127.0.0.1:9", "--workers", "2")
    assert code == 2 and "leave out --workers and --memory" in err


@pytest.mark.parametrize("image", ["optical", "sar"])
def test_a_truncated_image_is_a_row(go, listed, tmp_path, monkeypatch, image):
    pairs = listed(2)
    truncate(next((tmp_path / "data").glob(f"*_{image}_*001.tif")))
    good = {"verdict": "ok", "seconds": 1.0}
    monkeypatch.setattr(
        batches, "work", lambda job: work(job) if job.pair.name == "p1" else {**good, "tries": job.begin()}
    )
    code, _, _ = go(pairs)
    table = table_of(tmp_path / "out")
    assert code == 2 and table["verdict"].to_dict() == {"p0": "ok", "p1": "bad input"}
    assert f"_{image}_" in table.loc["p1", "error"] and "unreadable or truncated" in table.loc["p1", "error"]
