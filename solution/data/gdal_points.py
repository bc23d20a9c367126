"""Ground control points as options of GDAL's programs: ``-gcp PIXEL LINE EASTING NORTHING``, a line each, in a file that
``--optfile`` names, and ``-a_srs`` for the CRS of eastings and northings.

Pixel and line are those of the SAR image, from its upper left corner, so that the centre of the first pixel is (0.5, 0.5);
easting and northing are where the optical image shows the same ground (``gdal_translate`` and the raster data model:
https://gdal.org/en/stable/user/raster_data_model.html#gcps).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from solution.data.dialects import GDAL_COLUMNS
from solution.data.places import CENTRE, optical_index, tiepoint_columns, told_crs
from solution.data.tables import GivenTable


def as_tiepoints(table: GivenTable, optical: Path) -> pd.DataFrame:
    """Columns of SN9 tie-points, float64 with fractions. Raises `InputError` for cells that are text, or an unknown CRS."""
    values = table.numbers(GDAL_COLUMNS)
    return tiepoint_columns(optical_index(values[:, 2:], told_crs(table), optical), values[:, :2] - CENTRE)
