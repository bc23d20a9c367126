"""The exact process: it gives a known field back, finds wrong points however they come, and knows its own errors."""

from __future__ import annotations

import numpy as np
import pytest

from solution.field import candidates, fitting
from solution.field.exact import GaussianField, _steepness, correlation
from solution.tests.scattered import SHAPE, smooth


def points(count: int = 120, noise_px: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 1, (count, 2)) * (np.array(SHAPE[::-1]) - 1)
    return xy, smooth(xy) + rng.normal(0, noise_px, (count, 2))


def elsewhere(count: int = 200) -> np.ndarray:
    return np.random.default_rng(99).uniform(0.1, 0.9, (count, 2)) * np.array(SHAPE[::-1])


def error_px(field, xy: np.ndarray) -> np.ndarray:
    return np.hypot(*(field.shift_at(xy) - smooth(xy)).T)


def test_it_gives_a_smooth_field_back_between_the_points():
    xy, shift = points()
    field = GaussianField(xy, shift, np.full(len(xy), 0.6))
    assert error_px(field, elsewhere()).mean() < 1.0
    assert 0.2 < field.noise_px < 1.5
    assert (field.probability > 0.5).mean() > 0.95


@pytest.mark.parametrize("change", [lambda s: s[:, ::-1], lambda s: -s, lambda s: s + np.array([0.0, 3.0])])
def test_swapped_axes_a_flipped_sign_and_a_shift_of_the_shifts_show(change):
    xy, shift = points()
    assert error_px(GaussianField(xy, change(shift), np.full(len(xy), 0.6)), elsewhere()).mean() > 2.5


def test_wrong_points_are_found_among_more_than_half():
    xy, shift = points(noise_px=1.0)
    rng = np.random.default_rng(3)
    wrong_xy, wrong = (
        rng.uniform(0, 1, (150, 2)) * np.array(SHAPE[::-1]),
        rng.uniform([-60, -150], [180, 100], (150, 2)),
    )
    field, table = fitting.fit(
        candidates.make("s", -1, candidates.GIVEN, np.vstack([xy, wrong_xy]), np.vstack([shift, wrong])), SHAPE
    )
    assert error_px(field, elsewhere()).mean() < 3.0
    assert (table["outlier"][:120] == "").mean() > 0.9 and (table["outlier"][120:] != "").mean() > 0.9


def test_a_coherent_group_of_wrong_points_does_not_vouch_for_itself():
    xy, shift = points()
    rng = np.random.default_rng(4)
    group = np.array([320.0, 250.0]) + rng.normal(0, 25, (14, 2))
    claims = np.array([140.0, -120.0]) + rng.normal(0, 0.5, (14, 2))
    field = GaussianField(np.vstack([xy, group]), np.vstack([shift, claims]), np.full(134, 0.6))
    assert field.probability[-14:].max() < 0.5 and error_px(field, elsewhere()).mean() < 1.5


def test_its_sigma_grows_away_from_the_points_and_covers_the_error():
    xy, shift = points(noise_px=2.0)
    field = GaussianField(xy, shift, np.full(len(xy), 0.6))
    assert field.sigma_at(np.array([[5000.0, 5000.0]])) > 3 * field.sigma_at(xy).max()
    fit = fitting.quiet_fit(candidates.make("s", -1, candidates.GIVEN, xy, shift), SHAPE)
    held = elsewhere()
    noisy = np.hypot(*(fit.shift_at(held) - smooth(held) - np.random.default_rng(7).normal(0, 2.0, held.shape)).T)
    assert 0.55 < (noisy <= fit.sigma_at(held)).mean() < 0.85 and (noisy <= 2 * fit.sigma_at(held)).mean() > 0.9


def test_it_does_not_depend_on_the_order_of_the_points():
    xy, shift = points(60)
    order = np.random.default_rng(1).permutation(60)
    one, two = GaussianField(xy, shift, np.full(60, 0.6)), GaussianField(xy[order], shift[order], np.full(60, 0.6))
    np.testing.assert_allclose(one.shift_at(elsewhere(20)), two.shift_at(elsewhere(20)), atol=0.05)


def test_steepness_is_the_derivative_of_the_correlation():
    distance = np.linspace(0.01, 5.0, 50)
    step = 1e-6
    numeric = (correlation(distance * np.exp(-step)) - correlation(distance * np.exp(step))) / (2 * step)
    np.testing.assert_allclose(_steepness(distance), numeric, atol=1e-6)
    assert correlation(np.zeros(1)) == 1.0


def test_a_dense_cluster_makes_small_groups():
    rng = np.random.default_rng(6)
    xy = np.vstack([rng.uniform(100, 130, (200, 2)), [[0.0, 0.0], [639.0, 499.0]]])
    field = GaussianField(xy, smooth(xy), np.full(len(xy), 0.6))
    assert max(map(len, field._groups())) <= field._config.group_size + 1


def test_points_on_a_line_still_have_groups():
    xy = np.column_stack([np.linspace(0, 600, 60), np.full(60, 250.0)])
    field = GaussianField(xy, smooth(xy), np.full(60, 0.6))
    assert min(map(len, field._groups())) > 3
