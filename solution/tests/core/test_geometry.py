"""Affine algebra and the numbers of the convention page."""

from __future__ import annotations

import numpy as np
import pytest

from solution.core import geometry
from solution.core.geometry import Window

OPTICAL = geometry.matrix_from_gdal((0.0, 0.5, 0.0, 0.0, 0.0, -0.5))
SAR = geometry.matrix_from_gdal((0.0, 1.0, 0.0, 0.0, 0.0, -1.0))


def test_worked_number_of_the_convention_page():
    sar_geo = geometry.apply(SAR, [[6, 9]])
    shift = geometry.shifts_from_positions(np.array([[10, 20]]), sar_geo, OPTICAL)
    assert shift.tolist() == [[2.0, -2.0]]


def test_pixel_centres_of_the_convention_page():
    sar_to_optical = np.linalg.inv(OPTICAL) @ SAR
    assert geometry.apply(geometry.centres(sar_to_optical), [6, 9]) == pytest.approx([12.5, 18.5])


def test_gdal_order():
    matrix = geometry.matrix_from_gdal((100.0, 2.0, 0.25, 200.0, 0.5, -3.0))
    assert geometry.apply(matrix, [10, 1]).tolist() == [100 + 20 + 0.25, 200 + 5 - 3]


def test_apply_keeps_leading_axes_and_precision():
    points = np.array([[[5_000_000.25, 1.0], [2.0, 3.0]]], dtype=np.float64)
    assert geometry.apply(np.eye(3), points).tolist() == points.tolist()


def test_similarity_turns_clockwise_on_screen_about_its_centre():
    quarter = geometry.similarity(90.0, 2.0, flip=False, centre=(10.0, 20.0))
    assert geometry.apply(quarter, [[10, 20], [11, 20], [10, 21]]) == pytest.approx(
        np.array([[10, 20], [10, 22], [8, 20]])
    )


def test_similarity_flips_left_and_right_first():
    flipped = geometry.similarity(90.0, 1.0, flip=True, centre=(0.0, 0.0))
    assert geometry.apply(flipped, [[1, 0], [0, 1]]) == pytest.approx(np.array([[0, -1], [-1, 0]]))


def test_fit_affine_finds_the_affine():
    rng = np.random.default_rng(0)
    source = rng.uniform(0, 13_000, (30, 2))
    truth = np.array([[1.01, -0.02, 40.0], [0.03, 0.98, -70.0], [0, 0, 1]])
    assert geometry.fit_affine(source, geometry.apply(truth, source)) == pytest.approx(truth, abs=1e-8)


def test_fit_affine_ignores_points_of_no_weight():
    source = np.array([[0, 0], [100, 0], [0, 100], [50, 60]], dtype=float)
    target = source + np.array([3.0, -2.0])
    target[3] += 500
    fitted = geometry.fit_affine(source, target, np.array([1.0, 1.0, 1.0, 0.0]))
    assert geometry.apply(fitted, source[:3]) == pytest.approx(target[:3])


@pytest.mark.parametrize(
    "source", [[[5.0, 5.0]], [[0.0, 0.0], [9.0, 3.0]], [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]]
)
def test_fit_affine_falls_back_to_a_translation(source):
    source = np.array(source)
    assert geometry.fit_affine(source, source + np.array([4.0, -1.0])) == pytest.approx(
        np.array([[1, 0, 4], [0, 1, -1], [0, 0, 1]])
    )


def test_fit_affine_of_nothing_is_the_identity():
    assert geometry.fit_affine(np.empty((0, 2)), np.empty((0, 2))).tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    ("shape", "tile", "overlap"), [((100, 130), 32, 0), ((100, 130), 32, 8), ((5, 7), 32, 4), ((64, 64), 32, 0)]
)
def test_tile_grid_covers_every_pixel(shape, tile, overlap):
    seen = np.zeros(shape, dtype=int)
    for window in geometry.tile_grid(shape, tile, overlap):
        assert (window.width, window.height) == (tile, tile)
        assert window.x < shape[1] and window.y < shape[0]
        seen[window.y : window.stop[1], window.x : window.stop[0]] += 1
    assert seen.min() >= 1
    assert seen.max() == 1 or overlap > 0


def test_tile_grid_refuses_an_overlap_without_progress():
    with pytest.raises(ValueError, match="overlap 32"):
        next(geometry.tile_grid((100, 100), 32, 32))


def test_window_stop():
    assert Window(3, 4, 10, 20).stop == (13, 24)
