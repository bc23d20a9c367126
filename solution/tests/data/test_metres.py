"""Metres are metres on the ground, in every projection."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasterio.warp import calculate_default_transform

from solution.core import geometry
from solution.data.metres import pixel_size_m
from solution.scoring import score
from solution.tests.conftest import write_raster


def matrix(x: float, y: float, size: float) -> np.ndarray:
    return np.array([[size, 0, x], [0, -size, y], [0, 0, 1.0]])


@pytest.mark.parametrize(
    ("crs", "x", "y", "scale"),
    [
        ("EPSG:3857", 2_000_000, 8_399_737.89, 2.0),  # 60 degrees north
        ("EPSG:3857", 2_000_000, 0, 1.0),
        ("EPSG:3395", 2_000_000, 8_362_698.5, 2.0),
        ("EPSG:3413", 0, -3_333_134, 1.04),
    ],
)
def test_projections_that_stretch_the_ground(crs, x, y, scale):
    assert pixel_size_m(matrix(x, y, 10.0), crs_of(crs), (10, 10)) == pytest.approx([10 / scale] * 2, rel=0.015)


@pytest.mark.parametrize(("crs", "x", "y"), [("EPSG:32637", 300_000, 6_600_000), ("EPSG:2056", 2.6e6, 1.2e6)])
def test_those_of_zones_and_national_grids_are_left_alone(crs, x, y):
    assert pixel_size_m(matrix(x, y, 0.3), crs_of(crs), (100, 100)).tolist() == [0.3, 0.3]


def test_feet_and_an_oblong_projection():
    assert pixel_size_m(matrix(6e6, 2e6, 1.0), crs_of("EPSG:2227"), (9, 9)) == pytest.approx([1200 / 3937] * 2)
    plate = pixel_size_m(matrix(0, 6_679_169.0, 10.0), crs_of("EPSG:4087"), (9, 9))  # 60 degrees north
    assert plate == pytest.approx([5.0, 10.0], rel=0.02)


def test_a_pair_in_web_mercator_has_the_pixels_of_the_same_pair_in_its_zone(make_scene):
    made = make_scene()
    plain = made.open().gsd_m
    for path in (made.optical, made.sar):
        with rasterio.open(path) as dataset:
            values, (height, width) = dataset.read(), dataset.shape
            grid, *_ = calculate_default_transform(dataset.crs, "EPSG:3857", width, height, *dataset.bounds)
        write_raster(path, values, Affine(grid.a, 0, grid.c, 0, grid.e, grid.f), "EPSG:3857")
    pair = made.open()
    assert plain == 0.5 and pair.gsd_m == pytest.approx(plain, rel=0.01)
    assert np.hypot(*pair.transform[:2, :2]).mean() > 0.65  # units of the projection at 45 degrees
    truth = score.reference(made.tiepoints_csv, made.optical, made.sar)
    assert truth.pixel_m == pytest.approx(0.5, rel=0.01)
    assert geometry.apply(pair.transform, np.zeros(2)).shape == (2,)


def crs_of(text: str) -> rasterio.crs.CRS:
    return rasterio.crs.CRS.from_user_input(text)
