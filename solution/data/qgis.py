"""Ground control points that the QGIS georeferencer saved: points of the SAR image, and where they lie on the optical
one.

A ``.points`` file holds, a row each, a place in the image that was opened in the georeferencer (``sourceX, sourceY``;
``pixelX, pixelY`` in older ones) and the place on the map that belongs to it (``mapX, mapY``). Here the SAR image was
opened, and the optical image was the map. Places of an image without georeference are in px from its upper left corner,
y negative downwards; those of a georeferenced one are in its CRS.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError

from solution.core import geometry
from solution.core.errors import InputError
from solution.data.frame import read_header, reproject_points
from solution.data.tables import GivenTable

_MAP = ("mapx", "mapy")
_SOURCES = (("sourcex", "sourcey"), ("pixelx", "pixely"))
POINT_COLUMNS = _MAP + _SOURCES[0]
_CENTRE = 0.5  # an index is the place of a pixel's centre, half a pixel from its corner


def source_columns(table: GivenTable) -> tuple[str, str] | None:
    """The columns of places in the SAR image; None where it is not a georeferencer's table."""
    return next((names for names in _SOURCES if table.holds([*_MAP, *names])), None)


def as_tiepoints(table: GivenTable, optical: Path, sar: Path) -> pd.DataFrame:
    """Columns of SN9 tie-points, float64 with fractions; points that were switched off are left out.

    Raises:
        InputError: cells that are text, a CRS that cannot be read, or points in neither image.
    """
    names = source_columns(table)
    on_map, source = table.numbers(_MAP), table.numbers(names)
    if table.holds(["enable"]):
        enabled = table.numbers(["enable"])[:, 0] != 0
        on_map, source = on_map[enabled], source[enabled]
    optical_header, sar_header = read_header(optical, "optical"), read_header(sar, "SAR", points_suffice=True)
    on_map = reproject_points(on_map, _map_crs(table) or optical_header.crs, optical_header.crs)
    optical_index = geometry.apply(np.linalg.inv(optical_header.matrix), on_map) - _CENTRE
    sar_index = _index_of_source(source, sar_header.matrix, sar_header.shape, table.path, sar) - _CENTRE
    columns = {"sar_row": sar_index[:, 1], "sar_col": sar_index[:, 0]}
    return pd.DataFrame({**columns, "optical_row": optical_index[:, 1], "optical_col": optical_index[:, 0]})


def _map_crs(table: GivenTable) -> CRS | None:
    """What the comment ``#CRS: ...`` above the header says; None without one."""
    told = next((line[5:].strip() for line in table.comments if line.upper().startswith("#CRS:")), "")
    if not told:
        return None
    try:
        with rasterio.Env():
            return CRS.from_user_input(told)
    except CRSError as error:
        raise InputError(f"{table.path}: its CRS cannot be read ({told[:60]}); remove the line #CRS") from error


def _index_of_source(
    source: np.ndarray, matrix: geometry.Matrix, shape: tuple[int, int], path: Path, sar: Path
) -> np.ndarray:
    """(N, 2) continuous px from the upper left corner."""
    size = np.array(shape[::-1])
    ways = (source * [1, -1], geometry.apply(np.linalg.inv(matrix), source))
    inside = [((index >= 0) & (index <= size)).all(axis=1).mean() if len(index) else 1.0 for index in ways]
    if max(inside) > 0:
        return ways[int(np.argmax(inside))]
    raise InputError(
        f"{path}: its source points lie neither in px nor in the CRS inside {sar.name}; open the SAR image in the"
        " georeferencer, with the optical image as the map"
    )
