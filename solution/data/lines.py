"""Tie-points as lines: each begins where the ground lies in the optical image, and ends where it lies in the SAR image as
that is geocoded. `solution.data.vectors` reads them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from solution.data.frame import read_header
from solution.data.places import optical_index, sar_index, tiepoint_columns, told_crs
from solution.data.tables import GivenTable
from solution.data.vectors import LINE_COLUMNS


def as_tiepoints(table: GivenTable, optical: Path, sar: Path) -> pd.DataFrame:
    """Columns of SN9 tie-points, float64 with fractions; NaN for a line that ends where the SAR image cannot lie."""
    ends = table.numbers(LINE_COLUMNS)
    crs = told_crs(table) or read_header(optical, "optical").crs
    return tiepoint_columns(optical_index(ends[:, :2], crs, optical), sar_index(ends[:, 2:], crs, sar))
