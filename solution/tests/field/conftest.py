"""A pair whose SAR values say where in the SAR image they stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from solution.data import scene
from solution.tests.conftest import write_raster


@pytest.fixture
def pair(tmp_path: Path) -> scene.ScenePair:
    """An optical image of 0.5 m and a SAR image of 0.75 m whose value is 1 + column + 1.7 row."""
    optical, sar = tmp_path / "02_optical_train_01.tif", tmp_path / "02_sar_train_01.tif"
    ones = np.ones((1, 600, 300), np.float32)
    write_raster(optical, ones, Affine(0.5, 0, 354000.0, 0, -0.5, 4108000.0), "EPSG:32637")
    y, x = np.mgrid[0:420, 0:240].astype(np.float32)
    values = (1 + x + 1.7 * y)[None]
    write_raster(sar, values, Affine(0.75, 0, 353990.0, 0, -0.75, 4108010.0), "EPSG:32637")
    return scene.open_pair(optical, sar)
