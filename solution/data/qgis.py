"""Ground control points that the QGIS georeferencer saved: points of the SAR image, and where they lie on the optical
one.

A ``.points`` file holds, a row each, a place in the image that was opened in the georeferencer (``sourceX, sourceY``;
``pixelX, pixelY`` in older ones) and the place on the map that belongs to it (``mapX, mapY``). Here the SAR image was
opened, and the optical image was the map. Places of an image without georeference are in px from its upper left corner,
y negative downwards; those of a georeferenced one are in its CRS (QGIS 3.26 and newer:
``src/app/georeferencer/qgsrasterchangecoords.cpp``, which counts an image without a geotransform as not georeferenced).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from solution.core import geometry
from solution.core.errors import InputError
from solution.data.frame import read_header
from solution.data.places import CENTRE, optical_index, tiepoint_columns, told_crs
from solution.data.tables import GivenTable

_MAP = ("mapx", "mapy")
_SOURCES = (("sourcex", "sourcey"), ("pixelx", "pixely"))
POINT_COLUMNS = _MAP + _SOURCES[0]


def source_columns(table: GivenTable) -> tuple[str, str] | None:
    """The columns of places in the SAR image; None where it is not a georeferencer's table."""
    return next((names for names in _SOURCES if table.holds([*_MAP, *names])), None)


def as_tiepoints(table: GivenTable, optical: Path, sar: Path) -> pd.DataFrame:
    """Columns of SN9 tie-points, float64 with fractions, by data row; points that were switched off are left out.

    Raises:
        InputError: cells that are text, a CRS that cannot be read, or points in neither image.
    """
    names = source_columns(table)
    on_map, source = table.numbers(_MAP), table.numbers(names)
    rows = np.arange(len(on_map))
    if table.holds(["enable"]):
        rows = np.flatnonzero(table.numbers(["enable"])[:, 0] != 0)
        on_map, source = on_map[rows], source[rows]
    header = read_header(sar, "SAR", points_suffice=True)
    found = _index_of_source(source, header.matrix, header.shape, table.path, sar) - CENTRE
    return tiepoint_columns(optical_index(on_map, told_crs(table), optical), found).set_axis(rows)


def _index_of_source(
    source: np.ndarray, matrix: geometry.Matrix, shape: tuple[int, int], path: Path, sar: Path
) -> np.ndarray:
    """(N, 2) continuous px from the upper left corner."""
    size = np.array(shape[::-1])
    # Degrees are px of the upper left corner too, south of the equator: the CRS is asked first
    ways = (geometry.apply(np.linalg.inv(matrix), source), source * [1, -1])
    inside = [((index >= 0) & (index <= size)).all(axis=1).mean() if len(index) else 1.0 for index in ways]
    if max(inside) > 0:
        return ways[int(np.argmax(inside))]
    raise InputError(
        f"{path}: its source points lie neither in px nor in the CRS inside {sar.name}; open the SAR image in the"
        " georeferencer, with the optical image as the map"
    )
