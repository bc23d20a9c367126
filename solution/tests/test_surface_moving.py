"""Candidates on water are set aside, by the statistics of the SAR image, where they end and not where they begin."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from solution import candidates, offsets
from solution.surface.moving import over_water
from solution.tests.conftest import Recipe, write_scene

SHAPE = (480, 560)
SHORE = 300  # SAR px; the water lies right of it


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A town whose SAR image, pixel on pixel, shows smooth dark water beyond the shore."""
    recipe = Recipe(shape=SHAPE, sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0), displacement=(40.0, 0.0), speckle=0.25)
    scene = write_scene(tmp_path_factory.mktemp("coast"), "07_coast", recipe)
    with rasterio.open(scene.sar, "r+") as sar:
        image = sar.read(1)
        speckle = np.random.default_rng(0).gamma(4.0, 1 / 4.0, image[:, SHORE:].shape)
        image[:, SHORE:] = np.clip(8 * np.sqrt(speckle), 1, 255)
        sar.write(image, 1)
    return scene.open()


def row_of(x: float, dx: float) -> dict:
    return {"xy": np.array([[x, 200.0]]), "shift": np.array([[dx, 0.0]])}


@pytest.mark.parametrize(("x", "dx", "wet"), [(200.0, 0.0, False), (400.0, 0.0, True), (200.0, 200.0, True), (400.0, -200.0, False)])
def test_where_a_candidate_ends_decides(pair, x, dx, wet):
    table = candidates.make(pair.name, 0, "flow", **row_of(x, dx))
    assert over_water(pair, table).tolist() == [wet]


def test_rows_and_columns_are_not_exchanged(pair):
    table = candidates.make(pair.name, 0, "flow", np.array([[100.0, 440.0], [440.0, 100.0]]), np.zeros((2, 2)))
    assert over_water(pair, table).tolist() == [False, True]
    assert over_water(pair, candidates.empty()).shape == (0,)


def test_the_fit_sets_them_aside_and_says_so():
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, 479, (600, 2))
    wet = xy[:, 0] > 300
    shift = np.where(wet[:, None], [-20.0, 15.0], [8.0, -3.0]) + rng.normal(0, 0.5, (600, 2))
    table = candidates.make("a", 0, "flow", xy, shift)
    fitted, judged = offsets.fit(table, (480, 480), moving=wet)
    assert (judged["outlier"] == "surface").to_numpy().tolist() == wet.tolist()
    assert np.abs(fitted.shift_at(np.array([[100.0, 100.0], [400.0, 300.0]])) - [8.0, -3.0]).max() < 1.0


def test_a_prediction_reports_what_lay_on_water(pair, trained, run, tmp_path):
    out = tmp_path / "map.tif"
    code, _, err = run(
        "predict", pair.optical, pair.sar, out, "--folds", trained.folds, "--device", "cpu", "--team", "0", "--source", "flow"
    )
    assert code in (0, 3, 4), err
    wet = over_water(pair, candidates.read(out.with_suffix(".candidates.parquet")))
    counted = json.loads(out.with_suffix(".report.json").read_text())["outliers"].get("surface", 0)
    assert wet.any() and counted == (candidates.read(out.with_suffix(".candidates.parquet"))["outlier"] == "surface").sum() > 0


def test_a_surface_model_that_is_none_is_refused(pair, trained, run, tmp_path):
    weights = trained.folds / "0" / "flow.safetensors"
    code, _, err = run("predict", pair.optical, pair.sar, tmp_path / "map.tif", "--folds", trained.folds, "--surface-model", weights)
    assert code == 2 and "holds the weights of a flow" in err and not (tmp_path / "map.tif").exists()
