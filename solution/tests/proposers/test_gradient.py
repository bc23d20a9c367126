"""Matching of gradients around a field: a known warp, what it stays silent about, and what stands in its way."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import torch

from solution.core.errors import InputError
from solution.field.shiftfield import Fit, from_affine
from solution.proposers.encoder.gradients import gradients
from solution.proposers.every import LEARNED, NAMES
from solution.proposers.gradient.settings import GradientConfig
from solution.proposers.gradient.windows import propose_gradient
from solution.teams.propose import Proposing
from solution.tests.conftest import Recipe, write_scene

SHAPE = (240, 272)
CONFIG = GradientConfig(least_gsd_m=0.1, spacing_px=24, core_px=120)
CPU = torch.device("cpu")


def slanted(x, y):
    """A displacement that no shift can follow, px."""
    return 6.0 + 0.02 * x, -4.0 + 0.01 * y


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    recipe = Recipe(shape=SHAPE, sar_gsd=(1.0, 1.0), sar_offset=(-20.0, 20.0), displacement=slanted)
    return write_scene(tmp_path_factory.mktemp("template"), "07_town", recipe).open()


def flat(shift: tuple[float, float]) -> Fit:
    """A field of one shift."""
    matrix = np.eye(3)
    matrix[:2, 2] = shift
    return from_affine("shift", matrix, np.zeros((0, 2)), np.zeros((0, 2)), SHAPE)


def truth(pair, table) -> np.ndarray:
    return np.column_stack(slanted(table["x"].to_numpy(), table["y"].to_numpy())) - pair.centre_offset_px


@pytest.mark.parametrize("off", [(0.0, 0.0), (2.5, -3.0)])
def test_a_known_warp_is_found_from_a_field_that_is_some_pixels_off(pair, off):
    """Half a pixel, a sign or the axes gone wrong would show in the median of one axis."""
    table = propose_gradient(pair, 3, CONFIG, partial(flat, (8.0 + off[0], -3.0 + off[1])), CPU)
    assert set(table["source"]) == {"gradient"} and set(table["fold"]) == {3} and len(table) > 50
    error = table[["dx", "dy"]].to_numpy() - truth(pair, table)
    assert np.median(np.hypot(*error.T)) < 0.8 and np.abs(np.median(error, axis=0)).max() < 0.4


def test_tiles_give_what_one_tile_gives(pair):
    """Rows of the inner templates agree whatever ground was read at once; normalisation may differ a little."""
    one = propose_gradient(pair, 0, replace(CONFIG, core_px=288), partial(flat, (8.0, -3.0)), CPU)
    many = propose_gradient(pair, 0, CONFIG, partial(flat, (8.0, -3.0)), CPU)
    both = one.merge(many, on=["x", "y"], suffixes=("", "_2"))
    assert (
        len(both) > 0.8 * len(one) and (both[["dx", "dy"]].to_numpy() - both[["dx_2", "dy_2"]].to_numpy()).std() < 0.3
    )


def test_it_is_silent_where_pixels_are_small_or_nothing_is_known(pair):
    assert propose_gradient(pair, 0, GradientConfig(), partial(flat, (8.0, -3.0)), CPU).empty
    assert propose_gradient(pair, 0, CONFIG, lambda: None, CPU).empty


def test_a_peak_at_the_rim_of_the_search_is_none(pair):
    found = propose_gradient(pair, 0, CONFIG, partial(flat, (8.0 + 14.0, -3.0)), CPU)
    assert (np.abs(found[["dx", "dy"]].to_numpy() - [22.0, -3.0] + pair.centre_offset_px) < 8.5).all()


def test_it_cannot_be_the_only_source():
    with pytest.raises(InputError, match="looks around what others found"):
        Proposing(("gradient",))
    assert "gradient" in NAMES and "gradient" not in LEARNED


def test_features_of_gradients_know_neither_sign_nor_height_of_an_edge_but_its_place():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.random((1, 96, 128)).astype(np.float32)[0], (0, 0), 3.0)
    one, valid = torch.from_numpy(image)[None, None], torch.ones(1, 96, 128)
    found = gradients(one, valid)
    assert found.shape == (1, 8, 24, 32)
    inner = found[..., 4:-4, 4:-4]
    torch.testing.assert_close(inner.norm(dim=1), torch.ones(1, 16, 24))
    negative = gradients(0.2 - 0.1 * one, valid)[..., 4:-4, 4:-4]
    assert (inner * negative).sum(dim=1).mean() > 0.99
    moved = gradients(torch.roll(one, (8, 4), dims=(2, 3)), valid)
    assert (inner * moved[..., 6:-2, 5:-3]).sum(dim=1).mean() > 0.99
    assert (inner * moved[..., 5:-3, 6:-2]).sum(dim=1).mean() < 0.5  # x is not y


def test_features_of_gradients_are_nothing_without_data():
    valid = torch.ones(1, 64, 64)
    valid[:, :, 32:] = 0
    found = gradients(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)), valid)
    assert not found[..., 8:].any() and found[..., 1:7, 1:6].any()
