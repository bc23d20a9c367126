"""Offset maps from elsewhere: whether a raster is one of an optical image at all."""

from __future__ import annotations

import numpy as np
import rasterio

from solution.core import geometry
from solution.data.scene import reproject_points

_MOST_PX = 0.5  # that the corners of a map may lie beside those of its image


def why_no_map(written: rasterio.io.DatasetReader, shape: tuple[int, int], frame: geometry.Matrix, crs: object) -> str:
    """What is wrong with a raster as an offset map of an image, and how to mend it; empty where nothing is.

    A map without georeferencing lies on its image, as the contest's may.

    Args:
        shape: (height, width) of the image.
        frame: its index -> geographic position.
        crs: in which that is.
    """
    if written.count != 2:
        return f"has {written.count} band(s); an offset map has exactly 2, x shift and y shift"
    if written.shape != shape:
        return f"is {_size(written.shape)} px where the optical image is {_size(shape)} px; write the map on the optical grid"
    if any(dtype.startswith("complex") for dtype in written.dtypes):
        return "is complex; an offset map has real numbers, x shift and y shift in a band each"
    if written.crs is not None and not written.transform.is_identity and not _lies_on(written, frame, crs):
        return f"lies on another grid or in another CRS ({written.crs.to_string():.40}) than the optical image; write the map on the optical grid"
    return ""


def _lies_on(written: rasterio.io.DatasetReader, frame: geometry.Matrix, crs: object) -> bool:
    """Whether the corners of a raster are those of the image, whatever its CRS is called."""
    height, width = written.shape
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    placed = geometry.apply(geometry.matrix_from_gdal(written.transform.to_gdal()), corners)
    try:
        seen = geometry.apply(np.linalg.inv(frame), reproject_points(placed, written.crs, crs))
    except rasterio.errors.RasterioError:
        return False  # there is no way from one CRS to the other
    return bool(np.abs(seen - corners).max() < _MOST_PX)


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"
