"""The detail stage: relief that a smooth field lacks comes back, with the right sign and on the right axis, as far as the
evidence can be trusted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from solution.core import geometry
from solution.core.geometry import Window
from solution.field.evidence import Evidence
from solution.field.shiftfield import Fit
from solution.proposers.flow.detail import detailed, left_of
from solution.proposers.flow.settings import DetailConfig
from solution.tests.conftest import Recipe
from solution.tests.handmade import GradientDirections

CONFIG = DetailConfig(most_gsd_m=3.0, trust=0.1)
GRADIENTS = GradientDirections()
NET = SimpleNamespace(encoder=GRADIENTS)
SHAPE = (320, 384)
LEVEL = np.array([9.0, -5.0])


def relief(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent displacement: hills of 7 px in x, valleys of 4 px in y, over waves of different length."""
    return LEVEL[0] + 7.0 * np.sin(x / 30.0), LEVEL[1] - 4.0 * np.cos(y / 35.0)


RECIPE = Recipe(shape=SHAPE, sar_gsd=(1.0, 1.0), sar_offset=(0.0, 0.0), displacement=relief, points=None, seed=3)


@pytest.fixture
def pair(make_scene):
    return make_scene(**vars(RECIPE)).open()


def smooth(pair) -> Fit:
    """A field that knows the level and none of the relief."""
    nodes = np.broadcast_to((LEVEL - pair.centre_offset_px)[:, None, None], (2, 2, 2)).copy()
    size = np.array(SHAPE[::-1]) - 1.0
    return Fit("field", nodes, (0.0, 0.0), tuple(size), 100, 1.0, pair.gsd_m, sigma=np.array([[1.0, 2.0], [3.0, 4.0]]))


def truth(pair, xy: np.ndarray) -> np.ndarray:
    return np.stack(relief(*xy.T), axis=-1) - pair.centre_offset_px


def inner() -> np.ndarray:
    return geometry.lattice((40.0, 40.0), (8.0, 8.0), (30, 38)).reshape(-1, 2)


def test_relief_comes_back_on_its_own_axis(pair):
    before, xy = smooth(pair), inner()
    after = detailed(before, pair, [NET], CONFIG, 1)
    error = [np.abs(fit.shift_at(xy) - truth(pair, xy)).mean(axis=0) for fit in (before, after)]
    assert (error[1] < 0.5 * error[0]).all() and error[1].max() < 2.0
    assert after.step == (16.0, 16.0) and after.origin == (7.5, 7.5)
    assert np.allclose(after.sigma_at(xy), before.sigma_at(xy), atol=0.1)
    assert (after.kind, after.inliers, after.residual_px) == (before.kind, before.inliers, before.residual_px)


def test_distrust_keeps_the_field_as_it_was(pair):
    xy, before = inner(), smooth(pair)
    moved = [
        np.abs(detailed(before, pair, [NET], replace(CONFIG, trust=trust), 1).shift_at(xy) - before.shift_at(xy)).mean()
        for trust in (0.1, 0.5, 1e3)
    ]
    assert moved[0] > moved[1] > moved[2] and moved[2] < 0.2


def test_pieces_of_a_scene_agree_where_they_overlap(pair):
    before, xy = smooth(pair), inner()
    whole, pieces = (
        detailed(before, pair, [NET], replace(CONFIG, tile_px=tile_px, overlap_px=64), 1).shift_at(xy)
        for tile_px in (2048, 128)
    )
    assert 0 < np.abs(whole - pieces).mean() < 0.5 and np.abs(whole - pieces).max() < 3.0


@pytest.mark.parametrize(
    ("change", "nets", "config"),
    [
        ({"kind": "affine"}, [NET], CONFIG),
        ({}, [], CONFIG),
        ({}, [NET], replace(CONFIG, most_gsd_m=0.4)),
    ],
    ids=["no field", "flow is not wanted", "large pixels"],
)
def test_what_is_not_refined_is_given_back(pair, change, nets, config):
    before = replace(smooth(pair), **change)
    assert detailed(before, pair, nets, config, 1) is before


def test_without_evidence_nothing_is_left():
    planes = np.zeros((6, 7, 13, 13), np.float32)
    assert not left_of(Evidence(planes, 4.0, (7.5, 7.5), 16.0), 0.45).any()


def test_no_data_is_no_reason_to_move(make_scene):
    pair = make_scene(**{**vars(RECIPE), "sar_offset": (5000.0, 0.0), "sar_shape": (64, 64)}).open()
    before = smooth(pair)
    after = detailed(before, pair, [NET], CONFIG, 1)
    assert np.array_equal(after.block(Window(0, 0, 64, 64)), before.block(Window(0, 0, 64, 64)))
