"""Tie-points: the CSV they are read from, the checks it must pass, and the shifts they become."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from solution.core.errors import InputError
from solution.data import envi, gdal_points, lines, qgis
from solution.data.dialects import ENVI_COLUMNS, GDAL_COLUMNS
from solution.data.tables import GivenTable, read_table
from solution.data.vectors import LINE_COLUMNS

TIEPOINT_COLUMNS = ("sar_row", "sar_col", "optical_row", "optical_col")


@dataclass(frozen=True)
class TiePoints:
    """Tie-points of a scene in optical px, float64, unrounded.

    Attributes:
        x, y: (N,) optical index.
        dx, dy: (N,) shift, optical -> SAR.
    """

    x: np.ndarray
    y: np.ndarray
    dx: np.ndarray
    dy: np.ndarray

    @property
    def xy(self) -> np.ndarray:
        """(N, 2)."""
        return np.column_stack([self.x, self.y])

    @property
    def shift(self) -> np.ndarray:
        """(N, 2)."""
        return np.column_stack([self.dx, self.dy])

    def __len__(self) -> int:
        return len(self.x)


def read_tiepoint_csv(path: Path) -> pd.DataFrame:
    """The tie-point table of a scene, int64, in file order.

    Raises `InputError` for a missing file, wrong columns, or values that are not whole numbers.
    """
    table = read_table(path)
    if not table.holds(TIEPOINT_COLUMNS):
        raise table.lacks(TIEPOINT_COLUMNS)
    values = table.numbers(TIEPOINT_COLUMNS, "a whole number")
    bad = ~np.isfinite(values).all(axis=1) | (values % 1 != 0).any(axis=1)
    if bad.any():
        raise InputError(
            f"{path}: data row {int(np.flatnonzero(bad)[0]) + 1} holds a value that is not a whole number; tie-points are pixel indices"
        )
    with np.errstate(invalid="ignore"):  # numbers beyond int64 lie outside every image, which is said later
        return pd.DataFrame(values.astype(np.int64), columns=list(TIEPOINT_COLUMNS))


def tiepoints_between(table: GivenTable, optical: Path, sar: Path) -> pd.DataFrame | None:
    """Tie-points of people's own, `TIEPOINT_COLUMNS` in float64, fractions kept; None where the table holds other columns.

    Args:
        table: lines (`solution.data.lines`), SN9 tie-points, what the QGIS georeferencer saved (`solution.data.qgis`), or
            ground control points of ENVI (`solution.data.envi`) or GDAL (`solution.data.gdal_points`).

    Returns:
        One row for every data row that counts; the index is the number of that row.

    Raises:
        InputError: cells that are text or empty, or as `qgis.as_tiepoints` and `envi.as_tiepoints`.
    """
    if table.holds(LINE_COLUMNS):
        found = lines.as_tiepoints(table, optical, sar)
    elif table.holds(TIEPOINT_COLUMNS):
        found = pd.DataFrame(table.numbers(TIEPOINT_COLUMNS), columns=list(TIEPOINT_COLUMNS))
    elif table.holds(ENVI_COLUMNS):
        found = envi.as_tiepoints(table)
    elif table.holds(GDAL_COLUMNS):
        found = gdal_points.as_tiepoints(table, optical)
    elif qgis.source_columns(table):
        found = qgis.as_tiepoints(table, optical, sar)
    else:
        return None
    bad = ~np.isfinite(found.to_numpy()).all(axis=1)
    if bad.any():
        raise InputError(
            f"{table.path}: data row {int(np.flatnonzero(bad)[0]) + 1} has an empty cell; fill or remove it"
        )
    return found


def check_range(table: pd.DataFrame, path: Path, optical_shape: tuple[int, int], sar_shape: tuple[int, int]) -> None:
    """Check that every tie-point lies inside both images, whose shapes are (height, width).

    Raises `InputError`, which names the file, where one does not.
    """
    limits = {
        "optical_row": optical_shape[0],
        "optical_col": optical_shape[1],
        "sar_row": sar_shape[0],
        "sar_col": sar_shape[1],
    }
    for column, limit in limits.items():
        # Half a pixel around: an index is the place of a pixel's centre
        bad = (table[column] < -0.5) | (table[column] >= limit - 0.5)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"{path}: {column} {table[column].iloc[row]:g} in data row {row + 1} is outside the image (0 to {limit - 1}); "
                "check that the CSV belongs to this pair"
            )
