"""Matching over a scene: what is visited, what a tile's consensus drops, and that a whole run gives the displacement
back in sign, axes and offset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from solution.core.geometry import Window
from solution.field import candidates, fitting
from solution.field.fitting import Fit
from solution.proposers.matcher import matching
from solution.proposers.matcher.matching import consensus, level_windows, plan, propose_match
from solution.proposers.matcher.network import MatcherNet
from solution.proposers.matcher.settings import MatchingConfig
from solution.tests.conftest import Recipe, Scene, write_scene
from solution.tests.handmade import handmade_matcher

CONFIG = MatchingConfig()
SMALL = replace(CONFIG, tile_px=160)


def wavy(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent displacement within the matcher's window."""
    return 9.0 + 0.02 * x, -7.0 - 0.03 * y


RECIPE = Recipe(shape=(208, 256), sar_gsd=(1.0, 1.0), sar_offset=(-30.0, 30.0), displacement=wavy, points=None, seed=1)


@pytest.fixture(scope="module")
def net() -> MatcherNet:
    return handmade_matcher()


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    return write_scene(tmp_path_factory.mktemp("matching"), "02_train_01", RECIPE)


@pytest.fixture(scope="module")
def table(scene, net) -> pd.DataFrame:
    """What a whole run around a field of zero proposes."""
    return propose_match(scene.open(), net, 3, SMALL, field=flat((0.0, 0.0)))


def flat(shift: tuple[float, float]) -> Fit:
    nodes = np.broadcast_to(np.array(shift)[:, None, None], (2, 2, 2)).copy()
    return Fit("shift", nodes, (0.0, 0.0), (256.0, 208.0), 1, 1.0)


def level_rows(table: pd.DataFrame, number: int) -> pd.DataFrame:
    """Those of the n-th level of a run."""
    return table[table["tile"] // matching.TILES_A_PASS == number]


def test_a_whole_run_gives_the_displacement_back(scene, table):
    error = scene.error_px(table)
    assert len(table) > 60 and set(table["source"]) == {"match"} and set(table["fold"]) == {3}
    assert np.abs(np.median(error, axis=0)).max() < 0.3  # half a pixel of centre offset would show
    assert (np.hypot(*error.T) < 2).mean() > 0.9
    assert (
        table["confidence"].between(0, 1).all()
        and (table["sigma_px"] > 0).all()
        and (table["cycle_px"] <= CONFIG.max_cycle_px).all()
    )


def test_both_of_the_finest_levels_are_proposed(scene, net):
    """Tile numbers tell the levels apart; on their own, both give the displacement back."""
    table = propose_match(scene.open(), net, 3, CONFIG, field=flat((0.0, 0.0)))
    for number, factor in enumerate((2, 1)):
        error = scene.error_px(level_rows(table, number))
        assert len(error) >= 8 and np.median(np.hypot(*error.T)) < factor
        assert np.abs(error.mean(axis=0)).max() < 0.4  # half a pixel of the level would show


def test_swapped_axes_or_a_flipped_sign_would_show(scene, table):
    for wrong in (table.rename(columns={"dx": "dy", "dy": "dx"}), table.assign(dx=-table["dx"])):
        assert np.median(np.hypot(*scene.error_px(wrong).T)) > 5


def test_it_looks_around_the_field_it_is_given(scene, net):
    """A field that is right lets it find what lies outside its own window."""
    far = replace(RECIPE, displacement=lambda x, y: (45.0 + 0.02 * x, -38.0 - 0.02 * y), sar_offset=(-90.0, 90.0))
    shifted = write_scene(scene.folder.parent / "far", "02_train_01", far)
    pair = shifted.open()
    found = propose_match(pair, net, 0, SMALL, field=flat((47.0, -40.0)))
    assert len(found) > 60 and np.median(np.hypot(*shifted.error_px(found).T)) < 1
    lost = propose_match(pair, net, 0, SMALL, field=flat((0.0, 0.0)))
    assert len(lost) == 0 or np.median(np.hypot(*shifted.error_px(lost).T)) > 10


def test_without_a_field_it_starts_from_geocoding_level_by_level(scene, net):
    """What only the coarse level can reach."""
    far = replace(RECIPE, displacement=lambda x, y: (40.0 + 0.0 * x, -34.0 + 0.0 * y), sar_offset=(-90.0, 90.0))
    shifted = write_scene(scene.folder.parent / "alone", "02_train_01", far)
    seen = []
    alone = propose_match(
        shifted.open(), net, 0, replace(SMALL, factors=(2,)), progress=lambda *step: seen.append(step)
    )
    finest = level_rows(alone, 1)
    assert np.median(np.hypot(*shifted.error_px(finest).T)) < 1.5 and len(finest) > 30
    assert [what for what, done, total in seen if done == total] == ["match 0: level 2", "match 0: level 1"]


def test_two_runs_and_other_tiles_agree(scene, net, table):
    pd.testing.assert_frame_equal(
        propose_match(scene.open(), net, 3, SMALL, field=flat((0.0, 0.0))), table, check_exact=True
    )
    many = propose_match(scene.open(), net, 3, replace(SMALL, tile_px=192), field=flat((0.0, 0.0)))
    fits = [fitting.fit(rows, RECIPE.shape)[0] for rows in (table, many)]
    xy = np.stack(np.meshgrid([40.0, 128.0, 220.0], [40.0, 104.0, 170.0]), axis=-1).reshape(-1, 2)
    assert np.abs(fits[0].shift_at(xy) - fits[1].shift_at(xy)).max() < 1


def test_translated_tiles_go_in_by_their_own_door(scene, net, monkeypatch):
    asked, whole = [], MatcherNet.dense
    monkeypatch.setattr(
        MatcherNet,
        "dense",
        lambda self, image, valid, name: asked.append((name, image.shape[1])) or whole(self, image, valid, name),
    )
    found = propose_match(
        scene.open(), net, 1, SMALL, flat((0.0, 0.0)), translate=lambda sar, valid: np.stack([1.0 - sar] * 3) * valid
    )
    assert set(found["source"]) == {"match_translated"} and set(asked) == {("optical", 3), ("translated", 3)}
    assert np.median(np.hypot(*scene.error_px(found).T)) < 1


def test_blank_images_give_an_empty_table(make_scene, net):
    import rasterio

    scene = make_scene(**{**vars(RECIPE), "shape": (96, 96)})
    with rasterio.open(scene.sar, "r+") as dataset:
        dataset.write(np.zeros((1, *dataset.shape), np.uint8))
    table = propose_match(scene.open(), net, 0, SMALL, field=flat((0.0, 0.0)))
    pd.testing.assert_frame_equal(table, candidates.empty())


@pytest.mark.parametrize("shape", [(200, 300), (1100, 900), (64, 64)])
def test_the_own_parts_of_the_tiles_cover_the_scene_once_and_lie_within_their_margins(shape):
    everywhere = np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), axis=-1).reshape(-1, 2)
    for factor in (1, 2):
        times = np.zeros(len(everywhere), int)
        margin = CONFIG.margin_px * factor
        for window, own in level_windows(shape, factor, 24.0, CONFIG):
            assert (window.width, window.height) == (CONFIG.tile_px * factor,) * 2
            assert own.x - window.x == own.y - window.y == margin
            assert own.stop[0] <= window.stop[0] - margin and own.stop[1] <= window.stop[1] - margin
            times += own.holds(everywhere)
        assert (times == 1).all()


def test_the_margin_is_no_less_than_the_search_window():
    window, own = level_windows((300, 280), 1, 50.0, CONFIG)[0]
    assert window == Window(-50, -50, CONFIG.tile_px, CONFIG.tile_px)
    assert own == Window(0, 0, 280, 150)


def test_huge_scenes_get_a_bounded_number_of_tiles_spread_over_all_of_them():
    windows = level_windows((13_000, 13_000), 2, 24.0, CONFIG)
    assert len(windows) == CONFIG.max_tiles
    centre = np.array([(w.x + w.width / 2, w.y + w.height / 2) for w, _ in windows])
    share = np.histogram2d(*centre.T, bins=3, range=[[0, 13_000]] * 2)[0] / len(centre)
    assert share.min() > 0.05


def test_the_plan_ends_on_the_finest_level():
    assert plan((3000, 3000), CONFIG, None, alone=False) == [2, 1]
    assert plan((13_000, 13_000), CONFIG, None, alone=False) == [4, 2]
    assert plan((3000, 3000), CONFIG, None, alone=True) == [8, 4, 2, 1]
    assert plan((3000, 3000), CONFIG, 4, alone=True) == [8, 4]
    assert plan((100, 100), CONFIG, None, alone=True) == [2, 1]  # a level of a few pixels says nothing


def test_consensus_keeps_the_affine_and_drops_the_rest():
    rng = np.random.default_rng(0)
    position = rng.uniform(0, 300, (100, 2))
    residual = (
        np.array([4.0, -3.0]) + (position - 150) @ np.array([[0.02, 0.0], [0.01, -0.02]]) + rng.normal(0, 0.5, (100, 2))
    )
    wrong = rng.permutation(100)[:50]
    residual[wrong] = rng.uniform(-24, 24, (50, 2))
    keep = consensus(position, residual, CONFIG)
    right = np.setdiff1d(np.arange(100), wrong)
    assert keep[right].mean() > 0.95 and keep[wrong].mean() < 0.5
    assert not consensus(position[:4], residual[right][:4], CONFIG).any()
    assert not consensus(np.zeros((0, 2)), np.zeros((0, 2)), CONFIG).any()


def test_a_tile_of_noise_stays_empty_however_dense():
    rng = np.random.default_rng(1)
    for count in (12, 100, 300):
        assert not consensus(rng.uniform(0, 300, (count, 2)), rng.uniform(-24, 24, (count, 2)), CONFIG).any()


def test_the_network_runs_without_keeping_gradients(scene, net, monkeypatch):
    modes = []
    whole = MatcherNet.match
    monkeypatch.setattr(
        MatcherNet,
        "match",
        lambda self, a, b, cell: modes.append(torch.is_inference_mode_enabled()) or whole(self, a, b, cell),
    )
    matching.propose_match(scene.open(), net, 0, SMALL, field=flat((0.0, 0.0)))
    assert modes and all(modes)
