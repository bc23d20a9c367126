"""The size of pixels in metres on the ground, whatever the CRS."""

from __future__ import annotations

import numpy as np
from pyproj import Geod
from rasterio.errors import RasterioError
from rasterio.warp import transform as warp_points

from solution.core import geometry
from solution.core.geometry import Matrix

_METRES_A_DEGREE = 111_320.0
_STEP_PX = 50  # over which the local scale is measured
_NEGLIGIBLE = 0.01
"""Scales so near to 1 are left out: those of zones and national grids, in whose metres their images are made."""


def pixel_size_m(matrix: Matrix, crs: object, shape: tuple[int, int]) -> np.ndarray:
    """(2,) metres along the columns and rows of a pixel at the image's centre.

    Args:
        matrix: index -> position in the CRS.
        shape: (height, width) of the image.

    Degrees are converted at the image's latitude. Units of a projection that stretches the ground, as Mercator's does
    by 2 at 60 degrees, follow its local scale.
    """
    size = np.hypot(*matrix[:2, :2])
    centre = np.array([shape[1] / 2, shape[0] / 2])
    if getattr(crs, "is_geographic", False):
        latitude = geometry.apply(matrix, centre)[1]
        return size * _METRES_A_DEGREE * np.array([np.cos(np.deg2rad(latitude)), 1.0])
    if not getattr(crs, "is_projected", False):
        return size
    nominal = size * crs.linear_units_factor[1]
    measured = _on_the_ground(matrix, crs, centre)
    return measured if (np.abs(measured / nominal - 1) > _NEGLIGIBLE).any() else nominal


def degrees_of(points: np.ndarray, crs: object) -> np.ndarray:
    """(N, 2) longitude and latitude of positions (N, 2); not finite beyond the area of the CRS."""
    try:
        return np.column_stack(warp_points(crs, "EPSG:4326", points[:, 0].tolist(), points[:, 1].tolist()))
    except RasterioError:  # none of them can be placed
        return np.full((len(points), 2), np.nan)


def _on_the_ground(matrix: Matrix, crs: object, centre: np.ndarray) -> np.ndarray:
    """(2,) geodesic lengths of a pixel's sides; NaN beyond the area of the CRS."""
    steps = np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]]) * _STEP_PX
    longitude, latitude = degrees_of(geometry.apply(matrix, centre + steps), crs).T
    if not np.isfinite(longitude + latitude).all():
        return np.full(2, np.nan)
    _, _, length = Geod(ellps="WGS84").inv(longitude[::2], latitude[::2], longitude[1::2], latitude[1::2])
    return np.asarray(length) / _STEP_PX
