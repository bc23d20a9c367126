"""Tie-points that people bring along, from any tool, as candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from solution.core.errors import InputError
from solution.data.qgis import POINT_COLUMNS
from solution.data.scene import ScenePair
from solution.data.tables import read_table
from solution.data.tiepoints import TIEPOINT_COLUMNS, tiepoints_between
from solution.field import candidates

NEEDED = ("x", "y", "dx", "dy")
_KNOWN = ("confidence", "sigma_px", "cycle_px")


def read_given(path: Path, pair: ScenePair) -> pd.DataFrame:
    """Candidates from a file.

    Args:
        path: parquet or text (`solution.data.tables`) with one of three sets of columns. Either ``x, y, dx, dy`` (optical index and index shift in
            optical px, as in an offset map) and, where they are there, ``confidence`` in [0, 1], ``sigma_px`` and
            ``cycle_px``; other columns are passed over. Or SN9 tie-points, ``sar_row, sar_col, optical_row,
            optical_col``, which may have fractions. Or points of the QGIS georeferencer (`solution.data.qgis`).
        pair: the images that they belong to.

    Raises:
        InputError: unreadable, without these columns, with text in them, or without a single usable row.
    """
    table = read_table(path)
    points = tiepoints_between(table, pair.optical, pair.sar)
    if points is not None:
        found = pair.tiepoints_of(points, table.path)
        return candidates.make(pair.name, -1, candidates.GIVEN, found.xy, found.shift)
    if not table.holds(NEEDED):
        raise table.lacks(NEEDED, TIEPOINT_COLUMNS, POINT_COLUMNS)
    values = table.numbers(NEEDED)
    if not np.isfinite(values).all(axis=1).any():
        raise InputError(f"{path}: holds no row with finite x, y, dx and dy; export it again")
    filled = candidates.make(pair.name, -1, candidates.GIVEN, values[:, :2], values[:, 2:])
    known = {name: table.numbers([name])[:, 0] for name in _KNOWN if table.holds([name])}
    if "confidence" in known:
        known["confidence"] = np.nan_to_num(known["confidence"], nan=1.0)
    return candidates.check(filled.assign(**known), str(path))
