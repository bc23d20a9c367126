"""The joint field: one shift, an affine and a bent field are found again, rivals and holes notwithstanding."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from solution.field import joint
from solution.field.evidence import Evidence, resampled, standardised
from solution.field.joint import SEARCH, joint_field, likely_shifts, refinements

RADIUS, CELL_PX, STEP_PX = 10, 4.0, 32.0


def evidence_of(shift: np.ndarray, noise: float = 0.0, seed: int = 0) -> Evidence:
    """One round peak at every node's shift (rows, columns, 2) in px, x before y, in noise."""
    axis = np.arange(-RADIUS, RADIUS + 1)
    x, y = (shift[..., i, None, None] / CELL_PX for i in (0, 1))
    planes = 4.0 * np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / 2)
    planes = planes + noise * np.random.default_rng(seed).standard_normal(planes.shape)
    return Evidence(planes.astype(np.float32), CELL_PX, (15.5, 15.5), STEP_PX)


def field_of(kind: str, rows: int = 24, columns: int = 32) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns].astype(float)
    if kind == "shift":
        return np.stack([np.full_like(x, 18.0), np.full_like(x, -9.0)], axis=-1)
    if kind == "affine":
        return np.stack([12.0 + 0.4 * x, -6.0 - 0.5 * y + 0.2 * x], axis=-1)
    return np.stack([8.0 + 7.0 * np.sin(x / 5.0), -5.0 + 4.0 * np.cos(y / 6.0)], axis=-1)


def error(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.hypot(*np.moveaxis(found - expected, -1, 0))


@pytest.mark.parametrize(("kind", "most_px"), [("shift", 0.5), ("affine", 1.0), ("bent", 2.5)])
def test_a_field_is_found_again_in_both_axes(kind, most_px):
    expected = field_of(kind)
    found = joint_field(evidence_of(expected, noise=1.0), SEARCH, starts=6)
    assert error(found.shift, expected).mean() < most_px
    assert error(found.shift[..., ::-1], expected).mean() > 4.0  # x is not y


def test_the_many_win_where_each_alone_is_lost():
    """Noise as high as the peak: most nodes have their highest value elsewhere, and the field is right all the same."""
    expected = field_of("affine")
    evidence = evidence_of(expected, noise=2.5)
    flat = evidence.planes.reshape(*expected.shape[:2], -1).argmax(axis=-1)
    alone = np.stack([flat % 21 - RADIUS, flat // 21 - RADIUS], axis=-1) * CELL_PX
    assert np.median(error(alone, expected)) > 10.0
    assert error(joint_field(evidence, SEARCH, starts=6).shift, expected).mean() < 2.0


@pytest.mark.parametrize(("height", "least", "most"), [(0.02, 0.0, 0.4), (1.0, 0.9, 1.1)])
def test_strong_evidence_bends_the_field_and_weak_evidence_does_not(height, least, most):
    """A slope of 2 % is followed where the images speak for it, and not where they whisper."""
    x = np.arange(32.0) - 15.5
    expected = np.zeros((24, 32, 2))
    expected[..., 0] = 0.02 * STEP_PX * x
    evidence = evidence_of(expected)
    found = joint_field(Evidence(height * evidence.planes, CELL_PX, (15.5, 15.5), STEP_PX), SEARCH, starts=1)
    slope = np.polyfit(x, found.shift[..., 0].mean(axis=0), 1)[0] / (0.02 * STEP_PX)
    assert least <= slope < most


def test_a_rival_start_does_not_win():
    """A second shift that a third of the nodes speak for too is tried, and loses."""
    expected = field_of("shift")
    rival = evidence_of(np.broadcast_to([-30.0, 24.0], expected.shape)).planes
    rival[:, 11:] = 0
    both = evidence_of(expected).planes + 0.8 * rival
    found = joint_field(Evidence(both, CELL_PX, (15.5, 15.5), STEP_PX), SEARCH, starts=6)
    assert error(found.shift, expected)[:, 14:].mean() < 1.5 and np.hypot(*np.subtract(found.start, (-30.0, 24.0))) > 20


def test_nodes_without_evidence_follow_the_others():
    expected = field_of("affine")
    evidence = evidence_of(expected)
    evidence.planes[:, 20:] = 0
    found = joint_field(evidence, SEARCH, starts=4)
    assert error(found.shift, expected)[:, :20].mean() < 1.0 and error(found.shift, expected)[:, 20:].mean() < 8.0
    nothing = joint_field(Evidence(np.zeros_like(evidence.planes), CELL_PX, (15.5, 15.5), STEP_PX), refinements(1)[0])
    assert not nothing.shift.any() and nothing.gain == 0


def test_the_same_evidence_gives_the_same_field():
    evidence = evidence_of(field_of("bent"), noise=1.0)
    first, second = (joint_field(evidence, SEARCH, starts=3) for _ in range(2))
    assert np.array_equal(first.shift, second.shift)


def test_the_starts_are_the_highest_peaks_and_lie_apart():
    planes = np.zeros((2, 2, 31, 31), np.float32)
    for row, column, height in ((4, 20, 3.0), (25, 7, 2.0), (5, 21, 2.9)):
        planes[:, :, row, column] = height
    found = likely_shifts(planes, 3)
    assert set(found[:2]) == {(5, -11), (-8, 10)} or set(found[:2]) == {(6, -10), (-8, 10)}
    assert all(max(abs(a - c), abs(b - d)) > 3 for (a, b), (c, d) in pairwise(found))


def test_blur_keeps_a_peak_in_its_place_and_the_border_as_it_is():
    plane = torch.zeros(1, 1, 21, 21)
    plane[0, 0, 6, 13] = 1.0
    found = joint.blurred(plane, 2.0)[0, 0]
    assert divmod(int(found.argmax()), 21) == (6, 13)
    torch.testing.assert_close(joint.blurred(torch.ones(1, 1, 9, 9), 6.0), torch.full((1, 1, 9, 9), 6.0))


def test_evidence_is_relative_to_the_node_and_to_the_scene():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, 4, 7, 7)).astype(np.float32) + np.arange(4)[None, :, None, None]
    share = np.ones_like(means)
    planes = standardised(means, share)
    np.testing.assert_allclose(planes.mean(axis=(2, 3)), 0, atol=1e-5)
    assert planes.std() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(standardised(5.0 * means + 2.0, share), planes, atol=1e-4)


def test_where_there_is_no_data_there_is_no_evidence():
    means = np.random.default_rng(0).normal(size=(2, 2, 5, 5)).astype(np.float32)
    share = np.ones_like(means)
    share[0, 0] = 0.1
    share[1, 1, :, 3:] = 0.0
    planes = standardised(means, share)
    assert not planes[0, 0].any() and not planes[1, 1, :, 3:].any() and planes[1, 1, :, :3].any()
    share[0, 1] = 0.5
    np.testing.assert_allclose(
        np.abs(standardised(means, share)[0, 1]).max() / np.abs(planes[0, 1]).max(), 0.5, atol=0.1
    )


def test_finer_displacements_lie_between_the_coarse_ones():
    plane = np.arange(7.0)[None, :] + 10.0 * np.arange(7.0)[:, None]
    found = resampled(plane[None, None], 2, 5)[0, 0]
    assert found.shape == (11, 11) and found[5, 5] == plane[3, 3]
    np.testing.assert_allclose(np.diff(found, axis=1), 0.5, atol=1e-9)
    np.testing.assert_allclose(np.diff(found, axis=0), 5.0, atol=1e-9)


def test_only_scenes_of_several_levels_are_followed_loosely():
    (only,) = refinements(1)
    *between, last = refinements(3)
    assert [len(plan) for plan in (only, *between, last)] == [3, 3, 3, 3]
    stiffness = [plan[0].stiffness for plan in (SEARCH[1:], only, last, *between)]
    assert stiffness == sorted(stiffness, reverse=True) and stiffness[-1] == stiffness[-2] < stiffness[-3]


@pytest.mark.parametrize("stage", [joint.Stage(None, 0.5), joint.Stage(3.0, 0.125, 0.7)], ids=["affine", "spline"])
def test_the_slope_of_the_price_is_what_autograd_finds(stage):
    rng = np.random.default_rng(0)
    shape = (2, 2, 2, 2) if stage.pitch is None else (2, 5, 4, 2)
    coefficients = torch.from_numpy(rng.normal(size=shape).astype(np.float32)).requires_grad_()
    if stage.pitch is None:
        slopes = torch.stack([coefficients[:, 1, 0], coefficients[:, 0, 1]])
        price = joint._AFFINE_PULL * (slopes / joint._SLOPE_CELLS).square().log1p().sum()
    else:
        parts = [(coefficients.diff(dim=1), 1.0), (coefficients.diff(dim=2), 1.0), (coefficients, joint._PULL)]
        price = stage.stiffness * sum(
            weight * part.square().log1p().mean(dim=(1, 2, 3)).sum() for part, weight in parts
        )
    (expected,) = torch.autograd.grad(price, coefficients)
    found = joint._price_slope(coefficients.detach().numpy(), stage)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_the_evidence_rises_along_the_slope_that_is_climbed():
    """Against differences of what is read there, one node and one axis at a time."""
    rng = np.random.default_rng(0)
    planes = joint.blurred(torch.from_numpy(rng.normal(size=(12, 1, 21, 21)).astype(np.float32)), 2.0)
    weight = rng.uniform(0.5, 1.0, 12).astype(np.float32)
    shift = rng.uniform(-6, 6, (2, 3, 4, 2)).astype(np.float32)
    found = joint._rise(planes, weight, shift)
    for start, row, column, axis in ((0, 0, 0, 0), (0, 2, 1, 1), (1, 1, 3, 0), (1, 2, 2, 1)):
        step = np.zeros_like(shift)
        step[start, row, column, axis] = 0.02
        up, down = (weight @ joint._read(planes, shift + sign * step) for sign in (1, -1))
        assert found[start, row, column, axis] == pytest.approx((up - down)[start] / 0.04, abs=0.02)
