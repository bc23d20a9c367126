"""Tie-points that people bring along, from any tool, as candidates."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from solution.core.errors import InputError
from solution.data.scene import ScenePair
from solution.data.tiepoints import TIEPOINT_COLUMNS
from solution.field import candidates

NEEDED = ("x", "y", "dx", "dy")
_KNOWN = ("confidence", "sigma_px", "cycle_px")


def read_given(path: Path, pair: ScenePair) -> pd.DataFrame:
    """Candidates from a file.

    Args:
        path: parquet or CSV with one of two sets of columns. Either ``x, y, dx, dy`` (optical index and index shift in
            optical px, as in an offset map) and, where they are there, ``confidence`` in [0, 1], ``sigma_px`` and
            ``cycle_px``; other columns are passed over. Or SN9 tie-points, ``sar_row, sar_col, optical_row,
            optical_col``.
        pair: the images that they belong to.

    Raises:
        InputError: unreadable, without these columns, or without a single usable row.
    """
    path = Path(path)
    table = _read(path)
    if set(TIEPOINT_COLUMNS) <= set(table.columns):
        points = pair.tiepoints(path, table)
        return candidates.make(pair.name, -1, candidates.GIVEN, points.xy, points.shift)
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: lacks the column(s) {', '.join(missing)}; pass a table with x,y,dx,dy, or SN9 tie-points with {','.join(TIEPOINT_COLUMNS)}"
        )
    values = _numbers(table[list(NEEDED)], path)
    if not np.isfinite(values).all(axis=1).any():
        raise InputError(f"{path}: holds no row with finite x, y, dx and dy; export it again")
    filled = candidates.make(pair.name, -1, candidates.GIVEN, values[:, :2], values[:, 2:])
    known = {name: pd.to_numeric(table[name], errors="coerce").to_numpy() for name in _KNOWN if name in table.columns}
    if "confidence" in known:
        known["confidence"] = np.nan_to_num(known["confidence"], nan=1.0)
    return candidates.check(filled.assign(**known), str(path))


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        return (
            pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path, sep=None, engine="python")
        )
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: is not a readable parquet or CSV file ({str(error).splitlines()[0][:120]}); export it again"
        ) from error


def _numbers(table: pd.DataFrame, path: Path) -> np.ndarray:
    try:
        return table.to_numpy(np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: holds something other than numbers in {', '.join(NEEDED)} ({error}); export it again"
        ) from error
