"""The pyramid: what it plans, how its tiles cover a scene, and that a whole run gives the displacement back in sign,
axes and offset."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import rasterio

from solution.data.scene import without_labels
from solution.field import candidates, fitting
from solution.proposers.flow import pyramid
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.pyramid import Pass, plan, propose_flow
from solution.proposers.flow.settings import PyramidConfig
from solution.samples.settings import CELL_PX
from solution.tests.conftest import Recipe, Scene, write_scene
from solution.tests.handmade import handmade_net

DEFAULT = PyramidConfig()
SMALL = PyramidConfig(reach_px=60.0, max_coarse_volume=2e5, tile_px=320)
BLOCK_PX = 16


def wavy(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent displacement of up to 40 px; its axes differ, so that nothing may be swapped."""
    return 31.0 + 5.0 * np.sin(y / 70.0) + 0.03 * x, -18.0 + 4.0 * np.cos(x / 90.0) - 0.02 * y


RECIPE = Recipe(shape=(208, 256), sar_gsd=(1.0, 1.0), sar_offset=(-30.0, 30.0), displacement=wavy, points=None, seed=1)
"""A SAR pixel of two optical ones: the index shift is half a pixel short of what is seen in the images, in both
axes."""


@pytest.fixture(scope="module")
def net() -> FlowNet:
    return handmade_net()


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    return write_scene(tmp_path_factory.mktemp("pyramid"), "02_train_01", RECIPE)


@pytest.fixture(scope="module")
def table(scene, net) -> pd.DataFrame:
    """What a whole run proposes."""
    return propose_flow(scene.open(), net, 3, SMALL)


def scene_of(make_scene, **fields: object) -> Scene:
    return make_scene(**{**vars(RECIPE), **fields})


SHAPES = [(300, 300), (1024, 1024), (3072, 4096), (3208, 10155), (13_000, 13_000)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plan_reaches_far_halves_its_way_down_and_ends_fine(shape):
    passes = plan(shape, DEFAULT)
    coarse, finest = passes[0].factor, passes[-1].factor
    assert finest == (2 if shape == (13_000, 13_000) else 1) and len(passes) >= 2
    steps = [p.factor for p in passes]
    assert all(step in (before, before // 2) for before, step in pairwise(steps))
    reach = min(DEFAULT.reach_px, 0.4 * max(shape))
    assert reach <= passes[0].radius * CELL_PX * coarse < reach + CELL_PX * coarse
    # A pass must be able to correct what the level before it could not tell: a cell or two of that level.
    assert all(CELL_PX * p.factor * p.radius >= 2 * CELL_PX * before.factor for before, p in pairwise(passes))
    assert [p.emit for p in passes] == [i == len(passes) - 1 for i in range(len(passes))]
    blocks = shape[0] * shape[1] / (BLOCK_PX * coarse) ** 2
    assert coarse == 8 or blocks * (2 * passes[0].radius) ** 2 < 1.1 * DEFAULT.max_coarse_volume


@pytest.mark.parametrize(
    ("shape", "factors"), list(zip(SHAPES, ([1, 1], [4, 2, 1], [4, 2, 1], [8, 4, 2, 1], [8, 4, 2]), strict=True))
)
def test_the_coarse_level_is_the_finest_that_fits(shape, factors):
    assert [p.factor for p in plan(shape, replace(DEFAULT, max_coarse_volume=20e6))] == factors


@pytest.mark.parametrize("finest", [1, 2, 4, 8])
def test_the_finest_level_can_be_asked_for(finest):
    for shape in ((300, 300), (2000, 2000), (13_000, 13_000)):
        passes = plan(shape, DEFAULT, finest)
        assert passes[-1].factor == finest and len(passes) >= 2
        assert [p.factor for p in passes] == sorted((p.factor for p in passes), reverse=True)


def test_large_scenes_stop_at_half_resolution_by_themselves():
    assert plan((9_900, 10_000), DEFAULT)[-1].factor == 1
    assert plan((10_100, 10_000), DEFAULT)[-1].factor == 2


@pytest.mark.parametrize("shape", [(40, 30), (256, 288), (700, 2111), (3208, 10155)])
@pytest.mark.parametrize("step", [Pass(1, 8, True), Pass(4, 38, False), Pass(8, 19, False)])
def test_the_inner_parts_of_the_tiles_cover_every_block_once(shape, step):
    windows = pyramid.level_tiles(shape, step, BLOCK_PX, DEFAULT)
    margin = pyramid.tile_margin(step, BLOCK_PX, DEFAULT)
    assert margin % BLOCK_PX == 0 and margin >= max(DEFAULT.margin_px, step.radius * CELL_PX)
    assert (
        len({(w.width, w.height) for w in windows}) == 1
        and max(windows[0].width, windows[0].height) <= DEFAULT.tile_px * step.factor
    )
    block = BLOCK_PX * step.factor
    seen = np.zeros([-(-size // block) for size in shape], dtype=int)
    for window in windows:
        assert not any(value % block for value in (window.x, window.y, window.width, window.height))
        row, column = (value // block + margin // BLOCK_PX for value in (window.y, window.x))
        height, width = (size // block - 2 * margin // BLOCK_PX for size in (window.height, window.width))
        seen[row : row + height, column : column + width] += 1
    assert (seen == 1).all()


def test_a_whole_run_gives_the_displacement_back(scene, table):
    np.testing.assert_allclose(scene.open().centre_offset_px, 0.5)
    assert [p.factor for p in plan(RECIPE.shape, SMALL)] == [2, 1]
    assert len(table) > 0.8 * 13 * 16 and (table["tile"] >= 100_000).all()
    error = scene.error_px(table)
    assert np.abs(error.mean(axis=0)).max() < 0.15
    assert np.median(np.hypot(*error.T)) < 0.7 and np.percentile(np.hypot(*error.T), 90) < 1.3
    assert set(table["scene"]) == {"02_train_01"} and set(table["fold"]) == {3} and set(table["source"]) == {"flow"}
    assert table["cycle_px"].median() < 0.3 and table["confidence"].median() > 0.8 and (table["sigma_px"] > 0).all()
    field = fitting.fit(table, RECIPE.shape)[0]
    # A dozen blocks whose rows are thought to share an error of 1.5 px: the field is stiffer than these good candidates
    # would allow.
    assert (
        np.hypot(*(field.shift_at(table[["x", "y"]].to_numpy()) - table[["dx", "dy"]].to_numpy() + error).T).mean()
        < 1.5
    )


def test_a_pass_adds_the_field_of_the_place_where_it_landed(make_scene, net):
    scene = scene_of(make_scene, displacement=lambda x, y: (20.0 + 0.2 * x, -10.0 - 0.1 * x))
    height, width = RECIPE.shape
    # The field before is short by 7.2 and 1.4 px: read through it, the SAR image lies 6 and 2 px off, over which the
    # field rises by 1.2 and -0.6.
    dx, dy = 12.3 + 0.2 * np.array([0.0, width - 1]), -11.9 - 0.1 * np.array([0.0, width - 1])
    before = fitting.Fit("affine", np.stack([[dx, dx], [dy, dy]]), (0.0, 0.0), (width - 1.0, height - 1.0), 9, 0.1)
    window = pyramid.level_tiles(RECIPE.shape, Pass(1, 8, True), BLOCK_PX, DEFAULT)[0]
    found = pyramid._match_tile(scene.open(), net, 0, 0, window, Pass(1, 8, True), before, DEFAULT)
    assert np.abs(np.median(scene.error_px(found), axis=0)).max() < 0.3


def test_blocks_lie_where_they_say(table):
    for number, factor in ((0, 2), (1, 1)):
        rows = table[table["tile"] // 100_000 == number]
        place = (rows[["x", "y"]].to_numpy() + 0.5) / (BLOCK_PX * factor)
        np.testing.assert_allclose(place % 1, 0.5, atol=1e-9)
        assert len(rows[["x", "y"]].drop_duplicates()) == len(rows)


def test_tiles_do_not_show_in_the_result(scene, net, table):
    many = propose_flow(scene.open(), net, 3, replace(SMALL, tile_px=192))
    assert table["tile"].nunique() < many["tile"].nunique()
    both = table.merge(many, on=["x", "y"], suffixes=("", "_many"))
    both = both[(both["tile"] < 100_000) == (both["tile_many"] < 100_000)]
    assert len(both) > 0.95 * len(table)
    assert np.abs(both[["dx", "dy"]].to_numpy() - both[["dx_many", "dy_many"]].to_numpy()).max(axis=1).mean() < 0.05


def test_two_runs_propose_the_same(scene, net, table):
    pd.testing.assert_frame_equal(propose_flow(scene.open(), net, 3, SMALL), table, check_exact=True)


def test_progress_counts_every_tile_of_every_pass(make_scene, net):
    steps = []
    config = replace(SMALL, tile_px=192)
    pair = scene_of(make_scene, shape=(128, 160)).open()
    propose_flow(pair, net, 2, config, finest=2, progress=lambda *step: steps.append(step))
    assert {what for what, _, _ in steps} == {"flow 2: level 2"}
    assert all(done <= total for _, done, total in steps) and sum(done == total for _, done, total in steps) == 2


def test_ground_without_data_proposes_nothing(make_scene, net):
    scene = scene_of(make_scene)
    with rasterio.open(scene.optical, "r+") as dataset:
        pixels = dataset.read()
        pixels[:, :, 96:] = 0
        dataset.write(pixels)
    table = propose_flow(scene.open(), net, 0, replace(SMALL, tile_px=192))
    assert len(table) and table["x"].max() < 112
    last = table[table["tile"] >= 100_000]
    assert np.median(np.hypot(*scene.error_px(last).T)) < 0.8


def test_a_sar_image_elsewhere_leaves_an_empty_table(make_scene, net):
    pair = scene_of(make_scene, sar_offset=(5000.0, 0.0), sar_shape=(64, 64)).open()
    table = propose_flow(pair, net, 0, SMALL)
    assert len(table) == 0 and list(table.columns) == list(candidates.SCHEMA)


@pytest.mark.parametrize("shape", [(16, 16), (20, 130)])
def test_a_scene_of_a_few_blocks_is_valid_input(make_scene, net, shape):
    pair = scene_of(make_scene, shape=shape, displacement=(2.0, -1.0), sar_shape=(200, 200)).open()
    table = propose_flow(without_labels(pair), net, 0, SMALL)
    assert np.isfinite(table[["dx", "dy", "sigma_px", "cycle_px"]].to_numpy()).all()
    assert (table["x"] < shape[1]).all() and (table["y"] < shape[0]).all()
