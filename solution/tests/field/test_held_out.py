"""Residuals of held-out matches: what a field says of matches that it did not see, and along which axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from solution.core import geometry
from solution.field import candidates, held_out
from solution.field.held_out import HeldOut, hold_out, range_axis

SIDE = 1200
NOISE_PX = 0.8


def matches(noise_px: float = NOISE_PX, source: str = "gradient") -> pd.DataFrame:
    """Kept matches every 24 px of a gentle shift."""
    xy = geometry.lattice((12.0, 12.0), (24.0, 24.0), (50, 50)).reshape(-1, 2)
    shift = np.column_stack([20 + 0.01 * xy[:, 0], -9 + 0.02 * xy[:, 1]])
    shift += np.random.default_rng(3).normal(0, noise_px, xy.shape)
    return candidates.make("a", 0, source, xy, shift)


def inside(table: pd.DataFrame) -> np.ndarray:
    return (table[["x", "y"]] >= 384).all(axis=1).to_numpy() & (table[["x", "y"]] < 576).all(axis=1).to_numpy()


@pytest.fixture(scope="module")
def held() -> HeldOut:
    return hold_out(matches(), (SIDE, SIDE), 0.5)


def test_noise_comes_back_as_it_is(held):
    assert (held.block_px, held.blocks, held.folds, held.shared) == (192.0, 49, 5, False)
    assert sorted(held.rows) == list(range(2500))  # each once
    assert np.std(held.residual, axis=0) == pytest.approx([NOISE_PX] * 2, rel=0.1)
    assert np.abs(held.residual.mean(axis=0)).max() < 0.1


@pytest.mark.parametrize("wrong", [(5.0, 0.0), (0.0, -5.0)])
def test_a_block_that_errs_alike_does_not_speak_for_itself(wrong):
    """Its rows err together by 5 px along one axis: the field without the block says so, with the right sign."""
    table = matches(0.3)
    table.loc[inside(table), ["dx", "dy"]] += np.array(wrong)
    held = hold_out(table, (SIDE, SIDE), 0.5)
    of_block = inside(table)[held.rows]
    assert of_block.sum() == 64
    assert np.median(held.residual[of_block], axis=0) == pytest.approx(wrong, abs=1.0)
    assert np.median(held.length[~of_block]) < 1.0


def test_what_was_set_aside_is_not_among_them_and_water_stays_out():
    table = matches()
    table["outlier"] = np.where(inside(table), "surface", np.where(table.index % 10 == 0, "field", ""))
    table.loc[inside(table), "dx"] += 300  # would spoil the fit
    held = hold_out(table, (SIDE, SIDE), 0.5)
    assert sorted(held.rows) == list(np.flatnonzero(table["outlier"] == ""))
    assert np.std(held.residual) == pytest.approx(NOISE_PX, rel=0.15)


def test_very_many_rows_are_held_out_in_part_and_alike(held, monkeypatch):
    monkeypatch.setattr(held_out, "_MOST_ROWS", 5000)
    part = hold_out(matches(), (SIDE, SIDE), 0.5)
    assert part.folds == 2 and 0.3 < len(part.rows) / 2500 < 0.5
    assert np.array_equal(part.rows, held.rows[: len(part.rows)])  # the first two folds of a second run are the same
    assert np.array_equal(part.residual, held.residual[: len(part.rows)])


def test_too_few_give_none_and_small_scenes_get_small_blocks():
    table = matches()
    assert hold_out(table[:15], (SIDE, SIDE), 0.5) is None and hold_out(candidates.empty(), (SIDE, SIDE), 0.5) is None
    small = table[(table["x"] < 300) & (table["y"] < 300)].reset_index(drop=True)
    found = hold_out(small, (300, 300), 0.5)
    assert found.block_px == 48.0 and found.shared


@pytest.mark.parametrize("degrees", [-70.0, 0.0, 20.0, 55.0])
def test_the_range_is_the_axis_of_the_terrain(degrees):
    table = matches()
    axis = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    height = 10 * np.sin(table["x"] / 80) * np.cos(table["y"] / 95)
    table[["dx", "dy"]] += height.to_numpy()[:, None] * axis
    found, share = range_axis(table)
    assert np.abs(found @ axis) > np.cos(np.radians(2)) and share > 0.9 and found[0] >= 0


def test_no_range_stands_out_of_noise_alone():
    assert range_axis(matches())[1] < 0.55 and range_axis(matches()[:10]) is None
