"""Tie-points: the CSV they are read from, the checks it must pass, and the shifts they become."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from solution.core.errors import InputError

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
    """The tie-point table, int64, in file order.

    Raises `InputError` for a missing file, wrong columns, or values that are not whole numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path of the tie-point CSV")
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: is not a readable CSV ({str(error).splitlines()[0]}); its header must be {','.join(TIEPOINT_COLUMNS)}"
        ) from error
    return whole_tiepoints(table, path)


def whole_tiepoints(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The tie-point columns of a table as int64.

    Raises `InputError`, which names the file, for wrong columns, or values that are not whole numbers.
    """
    missing = [column for column in TIEPOINT_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(
            f"{path}: lacks the column(s) {', '.join(missing)}; the header must be {','.join(TIEPOINT_COLUMNS)}"
        )
    table = table[list(TIEPOINT_COLUMNS)].apply(pd.to_numeric, errors="coerce")
    bad = ~np.isfinite(table.to_numpy(np.float64)).all(axis=1) | (table.to_numpy(np.float64) % 1 != 0).any(axis=1)
    if bad.any():
        raise InputError(
            f"{path}: data row {int(np.flatnonzero(bad)[0]) + 1} holds a value that is not a whole number; tie-points are pixel indices"
        )
    return table.astype(np.int64)


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
        bad = (table[column] < 0) | (table[column] >= limit)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"{path}: {column} {int(table[column].iloc[row])} in data row {row + 1} is outside the image (0 to {limit - 1}); "
                "check that the CSV belongs to this pair"
            )
