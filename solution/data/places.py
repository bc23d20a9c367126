"""From places that other programs note to indices of both images: what all readers of their points share.

A program's place is that of a pixel's centre, half a pixel from its upper left corner; an index stands for it.
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
from solution.data.frame import crs_of, indices, read_header, reproject_points
from solution.data.opening import open_raster
from solution.data.tables import GivenTable

CENTRE = 0.5
"""Of a pixel, px from its upper left corner along both axes."""


def optical_index(places: np.ndarray, crs: CRS | None, optical: Path) -> np.ndarray:
    """(N, 2) indices of the optical image whose ground lies at these places (N, 2), in `crs` or in its own."""
    header = read_header(optical, "optical")
    places = reproject_points(places, crs or header.crs, header.crs)
    return geometry.apply(np.linalg.inv(header.matrix), places) - CENTRE


def sar_index(places: np.ndarray, crs: CRS, sar: Path) -> np.ndarray:
    """(N, 2) indices of the SAR image that lies at these places (N, 2) as it is geocoded; NaN where none does."""
    with open_raster(sar) as dataset:
        return indices(dataset, reproject_points(places, crs, crs_of(dataset))) - CENTRE


def tiepoint_columns(optical: np.ndarray, sar: np.ndarray) -> pd.DataFrame:
    """Columns of SN9 tie-points from indices (N, 2) in both images."""
    columns = {"sar_row": sar[:, 1], "sar_col": sar[:, 0]}
    return pd.DataFrame({**columns, "optical_row": optical[:, 1], "optical_col": optical[:, 0]})


def told_crs(table: GivenTable) -> CRS | None:
    """What the comment ``#CRS: ...`` above the header says; None without one. Raises `InputError` where that is no CRS."""
    told = next((line[5:].strip() for line in table.comments if line.upper().startswith("#CRS:")), "")
    if not told:
        return None
    try:
        with rasterio.Env():
            return CRS.from_user_input(told)
    except CRSError as error:
        raise InputError(f"{table.path}: its CRS cannot be read ({told[:60]}); remove what names it") from error
