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
        path: parquet, text, or lines (`solution.data.tables`). Either with ``x, y, dx, dy`` (optical index and index
            shift in optical px, as in an offset map), or with tie-points in any of the forms that
            `data.tiepoints.tiepoints_between` knows, which count first. Where ``confidence`` in [0, 1], ``sigma_px``
            and ``cycle_px`` are there, they are taken too; other columns are passed over.
        pair: the images that they belong to.

    Raises:
        InputError: unreadable, without these columns, with text in them, or without a single usable row.
    """
    table = read_table(path)
    points = tiepoints_between(table, pair.optical, pair.sar)
    if points is not None:
        found = pair.tiepoints_of(points, table.path)
        values, rows = np.column_stack([found.xy, found.shift]), points.index.to_numpy()
    elif table.holds(NEEDED):
        values, rows = table.numbers(NEEDED), slice(None)
    else:
        raise table.lacks(NEEDED, TIEPOINT_COLUMNS, POINT_COLUMNS)
    if not np.isfinite(values).all(axis=1).any():
        raise InputError(f"{path}: holds no row with finite x, y, dx and dy; export it again")
    filled = candidates.make(pair.name, -1, candidates.GIVEN, values[:, :2], values[:, 2:])
    known = {name: table.numbers([name])[rows, 0] for name in _KNOWN if table.holds([name])}
    if "confidence" in known:
        known["confidence"] = np.nan_to_num(known["confidence"], nan=1.0)
    return candidates.check(filled.assign(**known), str(path))
