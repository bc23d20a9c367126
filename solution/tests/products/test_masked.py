"""Nothing is matched under a mask, whatever hides there, and undeclared fill costs nothing; through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from solution.field import candidates
from solution.tests.conftest import Scene
from solution.tests.products.conftest import read_map

SHAPE = (224, 256)
SEEN = (8.0, -4.0)
MASKED = 96  # columns of either image before this one

pytestmark = pytest.mark.usefixtures("good_teams")


@pytest.fixture
def plain(make_scene) -> Scene:
    return make_scene(
        "02_publictest", shape=SHAPE, sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0), points=None, displacement=SEEN
    )


def mask(path: Path, how: str) -> None:
    """Half of the image is declared to be without data, and shows the same ground, moved."""
    with rasterio.open(path) as dataset:
        values, profile = dataset.read(), dataset.profile
    values[:, :, :MASKED] = np.roll(values, (12, 20), axis=(1, 2))[:, :, :MASKED]
    told = np.full(values.shape[1:], 255, np.uint8)
    told[:, :MASKED] = 0
    if how == "alpha":
        values = np.concatenate([values, told[None]])
        profile.update(count=len(values), alpha="YES", photometric="RGB" if len(values) == 4 else "MINISBLACK")
    path.unlink()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values)
        if how == "mask":
            dataset.write_mask(told)


@pytest.mark.parametrize("how", ["mask", "alpha"])
@pytest.mark.parametrize("image", ["optical", "sar"])
def test_nothing_is_matched_under_a_mask(plain, go, tmp_path, image, how):
    mask(getattr(plain, image), how)
    out = tmp_path / "map.tif"
    code, _, err = go(plain.optical, plain.sar, out)
    assert code in (0, 4), err
    table = candidates.read(tmp_path / "map.candidates.parquet")
    kept = table[table["outlier"] == ""]
    column = kept["x"] if image == "optical" else kept["x"] + kept["dx"]
    assert len(kept) > 20 and (column < MASKED - 8).mean() <= 0.05
    assert (table["x"] > MASKED + 16).any()
    error = read_map(out)[:, :, MASKED + 16 :] - np.array(SEEN)[:, None, None]
    assert np.abs(np.median(error, axis=(1, 2))).max() < 0.3
    assert json.loads((tmp_path / "map.report.json").read_text())["support"] > 0.9  # of the ground that shows something


def test_undeclared_fill_costs_nothing_and_is_said_in_one_line(plain, go, tmp_path):
    with rasterio.open(plain.sar) as dataset:
        values, profile = dataset.read().astype(np.float32), dataset.profile
    decibels = 20 * np.log10(values)
    decibels[:, :28, :28] = -9999  # 3 %
    profile["dtype"] = "float32"
    with rasterio.open(plain.sar, "w", **profile) as dataset:
        dataset.write(decibels)
    code, printed, err = go(plain.optical, plain.sar, tmp_path / "map.tif")
    assert code == 0, err
    (line,) = (line for line in printed.splitlines() if "taken as nodata" in line)
    assert f"{plain.sar}: " in line and "-9999" in line
    error = read_map(tmp_path / "map.tif") - np.array(SEEN)[:, None, None]
    assert np.hypot(*error).mean() < 0.5
