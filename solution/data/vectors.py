"""Lines of a GeoPackage or GeoJSON as a table: what they carry, and where each begins and ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from rasterio.crs import CRS

from solution.core.errors import InputError

SUFFIXES = (".gpkg", ".geojson")
LAYER = "tie_points"
"""The layer that is read where a file has several; ours is called so."""
LINE_COLUMNS = ("line_start_x", "line_start_y", "line_end_x", "line_end_y")
"""Positions in the CRS of the lines."""


def read_lines(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Attributes by name with `LINE_COLUMNS` beside them, and the comment ``#CRS: ...`` where the CRS is known.

    Raises:
        InputError: unreadable, several layers, or something other than lines in it.
    """
    # Reading lines is rare, and these take longer to import than all the rest of this room
    import pyogrio
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        meta, table = pyogrio.read_arrow(path, layer=_layer(path, pyogrio.list_layers(path)[:, 0].tolist()))
    except (DataSourceError, DataLayerError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0][:160]}); export it again") from error
    name = meta["geometry_name"] or "wkb_geometry"
    lines = shapely.from_wkb(table.column(name).to_numpy(zero_copy_only=False))
    points, of = shapely.get_coordinates(lines, return_index=True)
    counts = np.bincount(of, minlength=len(lines))
    short = np.flatnonzero(counts < 2)
    if len(short):
        raise InputError(
            f"{path}: feature {short[0] + 1} is no line; draw each tie-point as a line from its place in the optical image"
            " to that in the SAR image"
        )
    last = np.cumsum(counts) - 1
    ends = np.column_stack([points[last - counts + 1], points[last]])
    cells = table.drop_columns([name]).to_pandas().drop(columns=list(LINE_COLUMNS), errors="ignore")
    cells[list(LINE_COLUMNS)] = ends
    crs = CRS.from_user_input(meta["crs"]) if meta["crs"] else None
    return cells, () if crs is None else (f"#CRS: {crs.to_wkt()}",)


def _layer(path: Path, names: list[str]) -> str:
    if LAYER in names or len(names) == 1:
        return LAYER if LAYER in names else names[0]
    raise InputError(f"{path}: has {len(names)} layers; name that of the tie-points {LAYER}")
