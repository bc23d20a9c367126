"""The fine stage: how its tiles cover a scene, that it gives back in sign, axes and offset what the joint field left, and
that it keeps still where it sees nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rasterio

from solution.data.scene import without_labels
from solution.field import candidates
from solution.field.shiftfield import Fit
from solution.proposers.encoder.cells import STRIDE_PX
from solution.proposers.flow import fine
from solution.proposers.flow.fine import propose_flow
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.settings import FineConfig
from solution.tests.conftest import Recipe, Scene, write_scene
from solution.tests.handmade import handmade_net

DEFAULT = FineConfig()
SMALL = FineConfig(tile_px=320)
BLOCK_PX = 16


def field_to(dx: tuple[float, float], dy: tuple[float, float]) -> Fit:
    """A field that goes from the first to the second value of each axis, left to right."""
    height, width = RECIPE.shape
    nodes = np.stack([[dx, dx], [dy, dy]]).astype(float)
    return Fit("affine", nodes, (0.0, 0.0), (width - 1.0, height - 1.0), 9, 0.1)


def wavy(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent displacement of up to 40 px; its axes differ, so that nothing may be swapped."""
    return 31.0 + 5.0 * np.sin(y / 70.0) + 0.03 * x, -18.0 + 4.0 * np.cos(x / 90.0) - 0.02 * y


RECIPE = Recipe(shape=(208, 256), sar_gsd=(1.0, 1.0), sar_offset=(-30.0, 30.0), displacement=wavy, points=None, seed=1)
"""A SAR pixel of two optical ones: the index shift is half a pixel short of what is seen in the images, in both
axes."""


NEAR = field_to((26.0, 38.0), (-24.0, -16.0))
"""Within a dozen px of the truth."""


@pytest.fixture(scope="module")
def net() -> FlowNet:
    return handmade_net()


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    return write_scene(tmp_path_factory.mktemp("fine"), "02_train_01", RECIPE)


@pytest.fixture(scope="module")
def table(scene, net) -> pd.DataFrame:
    """What a whole run proposes."""
    return propose_flow(scene.open(), net, 3, NEAR, SMALL, 1)


def scene_of(make_scene, **fields: object) -> Scene:
    return make_scene(**{**vars(RECIPE), **fields})


@pytest.mark.parametrize("shape", [(40, 30), (256, 288), (700, 2111), (3208, 10155)])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_inner_parts_of_the_tiles_cover_every_block_once(shape, factor):
    windows = fine.level_tiles(shape, factor, BLOCK_PX, DEFAULT)
    margin = fine.tile_margin(BLOCK_PX, DEFAULT)
    assert margin % BLOCK_PX == 0 and margin >= max(DEFAULT.margin_px, DEFAULT.radius_cells * STRIDE_PX)
    assert (
        len({(w.width, w.height) for w in windows}) == 1
        and max(windows[0].width, windows[0].height) <= DEFAULT.tile_px * factor
    )
    block = BLOCK_PX * factor
    seen = np.zeros([-(-size // block) for size in shape], dtype=int)
    for window in windows:
        assert not any(value % block for value in (window.x, window.y, window.width, window.height))
        row, column = (value // block + margin // BLOCK_PX for value in (window.y, window.x))
        height, width = (size // block - 2 * margin // BLOCK_PX for size in (window.height, window.width))
        seen[row : row + height, column : column + width] += 1
    assert (seen == 1).all()


def test_what_the_field_left_is_found(scene, table):
    np.testing.assert_allclose(scene.open().centre_offset_px, 0.5)
    assert len(table) > 0.8 * 13 * 16
    left = NEAR.shift_at(table[["x", "y"]].to_numpy()) - table[["dx", "dy"]].to_numpy()
    error = scene.error_px(table)
    assert np.hypot(*left.T).mean() > 4 * np.hypot(*error.T).mean()
    assert np.abs(error.mean(axis=0)).max() < 0.3
    assert np.median(np.hypot(*error.T)) < 1.2 and np.percentile(np.hypot(*error.T), 90) < 2.5
    assert set(table["scene"]) == {"02_train_01"} and set(table["fold"]) == {3} and set(table["source"]) == {"flow"}
    assert table["cycle_px"].median() < 0.9 and table["confidence"].median() > 0.8 and (table["sigma_px"] > 0).all()


def test_read_through_the_truth_nothing_is_left(make_scene, net):
    """Half a pixel anywhere on the way from the images to the table would show here."""
    scene = scene_of(make_scene, displacement=(31.0, -18.0))
    right = np.array([31.0, -18.0]) - scene.open().centre_offset_px
    table = propose_flow(scene.open(), net, 0, field_to((right[0],) * 2, (right[1],) * 2), SMALL, 1)
    left = table[["dx", "dy"]].to_numpy() - right
    assert len(table) > 100 and np.abs(np.median(left, axis=0)).max() < 0.05


def test_the_field_of_the_place_where_a_block_landed_is_added(make_scene, net):
    scene = scene_of(make_scene, displacement=lambda x, y: (20.0 + 0.2 * x, -10.0 - 0.1 * x))
    width = RECIPE.shape[1]
    # The field before is short by 7.2 and 1.4 px: read through it, the SAR image lies 6 and 2 px off, over which the
    # field rises by 1.2 and -0.6.
    before = field_to((12.3, 12.3 + 0.2 * (width - 1)), (-11.9, -11.9 - 0.1 * (width - 1)))
    window = fine.level_tiles(RECIPE.shape, 1, BLOCK_PX, DEFAULT)[0]
    found = fine._match_tile(scene.open(), net, 0, 0, window, 1, before, DEFAULT)
    assert np.abs(np.median(scene.error_px(found), axis=0)).max() < 0.7


def test_where_the_images_say_nothing_the_field_keeps_still(make_scene, net):
    scene = scene_of(make_scene)
    with rasterio.open(scene.sar, "r+") as dataset:
        dataset.write(np.full_like(dataset.read(), 90) + (np.arange(dataset.width) % 2).astype(np.uint8))
    table = propose_flow(scene.open(), net, 0, NEAR, replace(SMALL, min_confidence=0.0), 1)
    moved = table[["dx", "dy"]].to_numpy() - NEAR.shift_at(table[["x", "y"]].to_numpy())
    assert np.median(np.hypot(*moved.T)) < 1.0


@pytest.mark.parametrize("factor", [1, 2])
def test_blocks_lie_where_they_say(scene, net, factor):
    rows = propose_flow(scene.open(), net, 3, NEAR, SMALL, factor)
    place = (rows[["x", "y"]].to_numpy() + 0.5) / (BLOCK_PX * factor)
    np.testing.assert_allclose(place % 1, 0.5, atol=1e-9)
    assert len(rows) and len(rows[["x", "y"]].drop_duplicates()) == len(rows)


def test_tiles_do_not_show_in_the_result(scene, net, table):
    many = propose_flow(scene.open(), net, 3, NEAR, replace(SMALL, tile_px=192), 1)
    assert table["tile"].nunique() < many["tile"].nunique()
    both = table.merge(many, on=["x", "y"], suffixes=("", "_many"))
    assert len(both) > 0.95 * len(table)
    assert np.abs(both[["dx", "dy"]].to_numpy() - both[["dx_many", "dy_many"]].to_numpy()).max(axis=1).mean() < 0.05


def test_two_runs_propose_the_same(scene, net, table):
    pd.testing.assert_frame_equal(propose_flow(scene.open(), net, 3, NEAR, SMALL, 1), table, check_exact=True)


def test_progress_counts_every_tile(make_scene, net):
    steps = []
    config = replace(SMALL, tile_px=192)
    pair = scene_of(make_scene, shape=(128, 160)).open()
    propose_flow(pair, net, 2, NEAR, config, 2, progress=lambda *step: steps.append(step))
    assert {what for what, _, _ in steps} == {"flow 2: level 2"}
    assert all(done <= total for _, done, total in steps) and sum(done == total for _, done, total in steps) == 1


def test_ground_without_data_proposes_nothing(make_scene, net):
    scene = scene_of(make_scene)
    with rasterio.open(scene.optical, "r+") as dataset:
        pixels = dataset.read()
        pixels[:, :, 96:] = 0
        dataset.write(pixels)
    table = propose_flow(scene.open(), net, 0, NEAR, replace(SMALL, tile_px=192), 1)
    assert len(table) and table["x"].max() < 112
    assert np.median(np.hypot(*scene.error_px(table).T)) < 1.2


def test_a_sar_image_elsewhere_leaves_an_empty_table(make_scene, net):
    pair = scene_of(make_scene, sar_offset=(5000.0, 0.0), sar_shape=(64, 64)).open()
    table = propose_flow(pair, net, 0, None, SMALL, 1)
    assert len(table) == 0 and list(table.columns) == list(candidates.SCHEMA)


@pytest.mark.parametrize("shape", [(16, 16), (20, 130)])
def test_a_scene_of_a_few_blocks_is_valid_input(make_scene, net, shape):
    pair = scene_of(make_scene, shape=shape, displacement=(2.0, -1.0), sar_shape=(200, 200)).open()
    table = propose_flow(without_labels(pair), net, 0, None, SMALL, 1)
    assert np.isfinite(table[["dx", "dy", "sigma_px", "cycle_px"]].to_numpy()).all()
    assert (table["x"] < shape[1]).all() and (table["y"] < shape[0]).all()


def test_a_field_is_left_the_less_the_less_the_features_agree_along_it(make_scene, net):
    """Features that are trusted follow the images; the same ones, not trusted, stay where the field was."""
    scene = scene_of(make_scene, displacement=(31.0, -18.0))
    right = np.array([31.0, -18.0]) - scene.open().centre_offset_px
    before = field_to((right[0] - 6.0,) * 2, (right[1],) * 2)
    moved = {}
    for trust in (1e-3, 50.0):
        table = propose_flow(scene.open(), net, 0, before, replace(SMALL, trust=trust), 1)
        moved[trust] = float((table["dx"] - (right[0] - 6.0)).median())
    assert moved[1e-3] == pytest.approx(6.0, abs=0.5) and abs(moved[50.0]) < 0.8 * moved[1e-3]
