"""Tie-points as text: SN9 columns, points of the QGIS georeferencer, ENVI's and GDAL's ground control points.

Each function gives the lines above the rows, and the rows: columns (N, k) and how one of them is printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solution.core.names import as_utf8
from solution.core.writing import atomic_path
from solution.data import envi
from solution.data.ends import Ends
from solution.data.places import CENTRE
from solution.data.scene import ScenePair
from solution.data.tiepoints import TIEPOINT_COLUMNS

_INDEX = "%.4f"
_PLACE = "%.13g"
"""Of a place in metres or degrees: to a hundredth of a millimetre."""
_ROWS = 50_000
"""That are held as text at a time."""


@dataclass(frozen=True)
class Text:
    """What a file holds.

    Attributes:
        above: lines above the rows.
        values: (N, k) float64.
        row: of the format, for k values.
    """

    above: tuple[str, ...]
    values: np.ndarray
    row: str


def write(path: Path, text: Text) -> None:
    """Write a file whole or not at all. Raises `InputError` where the disk refuses it."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in text.above)
        for start in range(0, len(text.values), _ROWS):
            file.writelines(f"{text.row % tuple(row)}\n" for row in text.values[start : start + _ROWS].tolist())


def sn9(pair: ScenePair, ends: Ends, kept: np.ndarray) -> Text:
    """Rows and columns of the challenge's CSV, with fractions."""
    values = np.column_stack([ends.sar[:, ::-1], ends.optical[:, ::-1]])
    return Text((",".join(TIEPOINT_COLUMNS),), values, ",".join([_INDEX] * 4))


def qgis(pair: ScenePair, ends: Ends, kept: np.ndarray) -> Text:
    """What the QGIS georeferencer loads where the SAR image is open in it; those that are not kept are switched off."""
    source = ends.sar_at if ends.sar_on_grid else (ends.sar + CENTRE) * [1, -1]
    above = (f"#CRS: {pair.crs.to_wkt()}", "mapX,mapY,sourceX,sourceY,enable,dX,dY,residual")
    return Text(above, np.column_stack([ends.optical_at, source, kept]), ",".join([_PLACE] * 4) + ",%d,0,0,0")


def envi_points(pair: ScenePair, ends: Ends, kept: np.ndarray) -> Text:
    """Image-to-image points of ENVI."""
    names = {"base": as_utf8(pair.optical.name), "warp": as_utf8(pair.sar.name)}
    above = tuple(line.format(**names) for line in envi.HEADER)
    values = np.column_stack([ends.optical, ends.sar]) + CENTRE + envi.FIRST
    return Text(above, values, " ".join(["%14.4f"] * 4))


def gdal(pair: ScenePair, ends: Ends, kept: np.ndarray) -> Text:
    """Options for ``gdal_translate --optfile``."""
    above = (
        "# gdal_translate --optfile THIS_FILE SAR.tif WITH_POINTS.tif; gdalwarp -tps WITH_POINTS.tif MOVED.tif",
        f"-a_srs {_named(pair.crs)}",
    )
    values = np.column_stack([ends.sar + CENTRE, ends.optical_at])
    return Text(above, values, f"-gcp {_INDEX} {_INDEX} {_PLACE} {_PLACE}")


def _named(crs: object) -> str:
    """As GDAL's options take a CRS: its code, or its definition in quotes."""
    code = crs.to_epsg()
    if code is not None:
        return f"EPSG:{code}"
    return '"' + crs.to_wkt().replace("\\", "\\\\").replace('"', '\\"') + '"'
