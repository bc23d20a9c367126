"""What a worker does with one pair: a row in every case, networks loaded once, the bytes of `predict`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio

from solution.batch import work
from solution.batch.listing import Listed
from solution.products import predict
from solution.products.settings import Settings
from solution.teams import propose
from solution.tests.batch.conftest import tiny
from solution.tests.products.conftest import LOADED


@pytest.fixture
def job(trained, tmp_path, monkeypatch):
    """A function: number of a tiny pair -> its job."""
    (tmp_path / "marks").mkdir()
    work._networks.cache_clear()

    def make(number: int = 0, **images: Path) -> work.Job:
        scene = tiny(tmp_path / "data", number)
        listed = Listed(f"p{number}", images.get("optical", scene.optical), images.get("sar", scene.sar))
        settings = Settings(trained.folds, "cpu", teams=("0",))
        return work.Job(listed, tmp_path / "out", settings, tmp_path / "marks", work.code(), threads=1)

    return make


@pytest.mark.slow
@pytest.mark.usefixtures("quick_plan")
def test_three_pairs_load_the_networks_once_and_changed_weights_again(job, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        propose, "load_family", lambda family, paths: loaded.append(family.name) or LOADED(family, paths)
    )
    jobs = [job(number) for number in range(3)]
    for one in jobs:
        assert work.work(one)["verdict"] in ("ok", "weak", "failed")
    assert len(loaded) == len(set(loaded)) > 0
    before = work.networks(jobs[0])
    monkeypatch.setattr(propose, "file_hash", lambda path: "of other weights")
    assert work.networks(jobs[0]) is not before


@pytest.mark.slow
@pytest.mark.usefixtures("quick_plan")
def test_a_pair_is_predicted_as_by_predict_and_kept_the_second_time(job, tmp_path):
    one = job()
    found = work.work(one)
    pair = work.open_pair(one.pair.optical, one.pair.sar, name=one.pair.name)
    alone = tmp_path / "alone" / "p0.tif"
    predict.predict_pair(pair, alone, one.settings)
    assert one.map.read_bytes() == alone.read_bytes()
    assert (found["map"], found["report"], found["tries"], found["kept"]) == ("p0.tif", "p0.report.json", 1, False)
    assert found["seconds"] >= 0 and found["peak_memory_gb"] > 0.05
    again = work.work(one)
    assert again["kept"] and again["tries"] == 2
    assert {**again, "kept": False, "tries": 1} == found


def test_bad_input_is_its_sentence_and_no_file_is_left(job, tmp_path):
    found = work.work(job(sar=tmp_path / "nowhere.tif"))
    assert found["verdict"] == "bad input" and found["error"] == f"{tmp_path}/nowhere.tif: no such file; check the path"
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("error", [RuntimeError("out of\nmemory " + "x" * 900), MemoryError(), ZeroDivisionError("0")])
def test_any_other_error_is_that_pairs_row_too(job, monkeypatch, error):
    def raising(*_: object) -> None:
        raise error

    one = job()
    monkeypatch.setattr(work, "predict_pair", raising)
    monkeypatch.setattr(work, "code", lambda: one.code)
    found = work.work(one)
    assert found["verdict"] == "error" and found["error"].startswith(type(error).__name__)
    assert len(found["error"]) <= 300 and "\n" not in found["error"]


def test_a_worker_with_other_code_predicts_nothing(job, monkeypatch):
    one = job()
    monkeypatch.setattr(work, "code", lambda: "other")
    found = work.work(one)
    assert found["verdict"] == "error" and "runs other code" in found["error"] and not one.map.exists()


def test_nobody_begins_a_fourth_time(job):
    one = job()
    for _ in range(3):
        one.begin()
    found = work.work(one)
    assert found["verdict"] == "lost" and "lost three times (memory?)" in found["error"] and not one.map.exists()


def test_figures_of_the_shifts_by_hand(tmp_path):
    shift = np.zeros((2, 40, 50), np.float32)
    shift[0], shift[1] = 3, -4
    shift[:, 7, 9] = (-6, 8)
    shift[:, :5] = np.nan
    with rasterio.open(
        tmp_path / "map.tif", "w", driver="GTiff", height=40, width=50, count=2, dtype="float32"
    ) as file:
        file.write(shift)
    assert work._of_map(tmp_path / "map.tif") == {
        "shift_dx_px": 3.0,
        "shift_dy_px": -4.0,
        "shift_px": 5.0,
        "shift_most_px": 10.0,
    }
    with rasterio.open(tmp_path / "map.tif", "r+") as file:
        file.write(np.full_like(shift, math.nan))
    assert work._of_map(tmp_path / "map.tif") == {}
