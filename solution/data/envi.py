"""Image-to-image ground control points of ENVI (``.pts``): a place in the base image, and one in the image that is warped
to it. Here the optical image is the base and the SAR image is warped.

Columns have no header; lines of comment begin with ``;``. Coordinates are px, and (1, 1) is the upper left corner of the
first pixel, so that its centre is (1.5, 1.5) (ENVI's documentation, "GCP File Formats":
https://www.nv5geospatialsoftware.com/docs/GCPFileFormats.html).
"""

from __future__ import annotations

import pandas as pd

from solution.core.errors import InputError
from solution.data.dialects import ENVI_COLUMNS
from solution.data.places import CENTRE, tiepoint_columns
from solution.data.tables import GivenTable

FIRST = 1.0
"""What ENVI calls the upper left corner of an image, along both axes."""
HEADER = (
    "; ENVI Image to Image GCP File",
    "; base file: {base}",
    "; warp file: {warp}",
    "; Base Image (x,y), Warp Image (x,y)",
    ";",
)


def as_tiepoints(table: GivenTable) -> pd.DataFrame:
    """Columns of SN9 tie-points, float64 with fractions.

    Raises:
        InputError: cells that are text, or points of another kind than image to image.
    """
    if any(line.strip("; ").lower().startswith(("map (x", "map(x")) for line in table.comments):
        raise InputError(f"{table.path}: holds points from image to map; save them as image to image")
    index = table.numbers(ENVI_COLUMNS) - FIRST - CENTRE
    return tiepoint_columns(index[:, :2], index[:, 2:])
