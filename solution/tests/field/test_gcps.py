"""GDAL moves the SAR image by our GCPs to where we move it."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import reproject
from rasterio.warp import transform as warp_points

from solution.core.errors import InputError
from solution.data import scene
from solution.field import gcps
from solution.field.shiftfield import Fit
from solution.field.warped_sar import write_warped_sar
from solution.tests.conftest import write_raster

SHAPE = (260, 300)
OPTICAL, SAR = Affine(0.5, 0, 354000.0, 0, -0.5, 4108000.0), Affine(0.75, 0, 353970.0, 0, -0.75, 4108030.0)
STEP = 16.0


def bent(amplitude: float) -> Fit:
    """A field that bends strongly, by so many px within less than 100."""
    rows, columns = (int(size / STEP) + 2 for size in SHAPE)
    x, y = np.meshgrid(np.arange(columns) * STEP, np.arange(rows) * STEP)
    nodes = np.stack([12 + amplitude * np.sin(x / 60), -9 + amplitude * np.cos((x + y) / 70)])
    return Fit("field", nodes, (0.0, 0.0), (STEP, STEP), 100, 0.1)


def pair_of(
    folder: Path, axis: int, sar: str = "EPSG:32637", transform: Affine = SAR, **more: object
) -> scene.ScenePair:
    """A pair whose SAR values are the columns (axis 0) or rows (1) of the SAR image, from 1 on: differences are px."""
    write_raster(folder / "o.tif", np.ones((1, *SHAPE), np.uint8), OPTICAL, "EPSG:32637")
    values = 1 + np.indices((320, 330), np.float32)[::-1][axis]
    write_raster(folder / "s.tif", values[None], transform, sar, **more)
    return scene.open_pair(folder / "o.tif", folder / "s.tif")


def by_gdal(vrt: Path, pair: scene.ScenePair) -> np.ndarray:
    """The VRT on the optical grid, as ``gdalwarp -tps`` makes it; NaN where nothing is."""
    moved = np.full(pair.shape, np.nan, np.float32)
    with rasterio.open(vrt) as dataset:
        points, crs = dataset.gcps
        reproject(
            rasterio.band(dataset, 1),
            moved,
            gcps=points,
            src_crs=crs,
            dst_crs=pair.crs,
            dst_transform=OPTICAL,
            dst_nodata=np.nan,
            resampling=Resampling.bilinear,
            SRC_METHOD="GCP_TPS",
        )
    return moved


def differences(folder: Path, fit: Fit, **more: object) -> np.ndarray:
    """(2, h, w) px of the SAR image between GDAL's moved image and ours, NaN where one of them has nothing."""
    found = []
    for axis in (0, 1):
        pair = pair_of(folder, axis, **more)
        gcps.write_vrt(folder / "g.vrt", gcps.control_points(fit, pair), pair, "bilinear")
        write_warped_sar(folder / "moved.tif", fit, pair)
        with rasterio.open(folder / "moved.tif") as written:
            ours = np.where(written.dataset_mask() > 0, written.read(1), np.nan)
        found.append(by_gdal(folder / "g.vrt", pair) - ours)
    return np.stack(found)


def test_gdal_gives_the_same_warped_sar(tmp_path):
    off = differences(tmp_path, bent(12.0))
    seen = np.isfinite(off)
    print(f"largest difference {np.nanmax(np.abs(off)):.3f} px, mean {np.nanmean(off, axis=(1, 2)).round(3)}")
    assert seen.mean() > 0.9 and np.nanmax(np.abs(off)) < 1.0
    assert np.abs(np.nanmean(off, axis=(1, 2))).max() < 0.05


@pytest.mark.parametrize("beside", [{"pixel": 0.5}, {"position": 0.5 * 0.5}], ids=str)
def test_half_a_pixel_in_a_gcp_would_show(tmp_path, monkeypatch, beside):
    """In px of the SAR image, and in metres of an optical px."""
    find = gcps.control_points

    def displaced(*arguments: object) -> gcps.ControlPoints:
        points = find(*arguments)
        return replace(points, **{name: getattr(points, name) + much for name, much in beside.items()})

    monkeypatch.setattr(gcps, "control_points", displaced)
    assert np.abs(np.nanmean(differences(tmp_path, bent(1.0)), axis=(1, 2))).min() > 0.3


def test_a_sar_image_in_another_crs(tmp_path):
    """30 m beyond the left and upper border of the optical image, in the neighbouring zone."""
    east, north = warp_points("EPSG:32637", "EPSG:32636", [SAR.c - 20], [SAR.f + 20])
    transform = Affine(0.75, 0, east[0], 0, -0.75, north[0])
    off = differences(tmp_path, bent(1.0), sar="EPSG:32636", transform=transform)
    assert np.isfinite(off).mean() > 0.5 and np.nanmax(np.abs(off)) < 1.0
    assert np.abs(np.nanmean(off, axis=(1, 2))).max() < 0.05


def test_the_points_are_few_spread_and_as_near_as_they_say(tmp_path, monkeypatch):
    pair = pair_of(tmp_path, 0)
    points = gcps.control_points(bent(1.0), pair)
    assert 100 < len(points.pixel) <= 144 and points.worst_px < 0.5
    assert (
        f"g.vrt: {len(points.pixel)} GCPs, whose thin-plate spline stays within {points.worst_px:.2f} px"
        in points.line(Path("g.vrt"))
    )
    columns, rows = (~OPTICAL) @ tuple(points.position.T)
    cells = np.histogram2d(rows, columns, bins=4, range=[[0, SHAPE[0]], [0, SHAPE[1]]])[0]
    assert cells.min() > 0.6 * cells.max()
    assert len(gcps.control_points(bent(30.0), pair).pixel) > 144
    monkeypatch.setattr(gcps, "_COUNTS", (40,))
    rough = gcps.control_points(bent(12.0), pair)
    assert len(rough.pixel) <= 40 and rough.worst_px > 1.0  # said, where no number is enough
    assert max(gcps._COUNTS) <= gcps.MOST == 5000


def test_the_vrt_is_the_sar_image_itself_wherever_both_are_moved(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "maps").mkdir()
    pair, path = pair_of(tmp_path / "images", 0, nodata=7.0), tmp_path / "maps" / "g.vrt"
    gcps.write_vrt(path, gcps.control_points(bent(1.0), pair), pair, "average", {"VERDICT": "ok"})
    text = path.read_text()
    assert '<SourceFilename relativeToVRT="1">../images/s.tif</SourceFilename>' in text
    assert str(tmp_path) not in text and not list(path.parent.glob(".*"))
    shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}_moved"))
    with rasterio.open(tmp_path.with_name(f"{tmp_path.name}_moved") / "maps" / "g.vrt") as moved:
        with rasterio.open(pair.sar) as sar:
            assert np.array_equal(moved.read(), sar.read())
        assert (moved.nodata, moved.dtypes, moved.gcps[1]) == (7.0, ("float32",), pair.crs)
        assert moved.tags()["VERDICT"] == "ok" and float(moved.tags()["GCPS_WITHIN_PX"]) < 0.5
        assert moved.tags()["COMMAND"] == (
            "gdalwarp -tps -te 354000.0 4107870.0 354150.0 4108000.0 -ts 300 260 -r average g.vrt g.tif"
        )


def test_a_mask_comes_along(tmp_path):
    pair = pair_of(tmp_path, 0)
    kept = np.indices((320, 330))[0] > 100
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(pair.sar, "r+") as dataset:
        dataset.write_mask(kept)
    gcps.write_vrt(tmp_path / "g.vrt", gcps.control_points(bent(1.0), pair), pair, "bilinear")
    with rasterio.open(tmp_path / "g.vrt") as written:
        assert np.array_equal(written.dataset_mask() > 0, kept)


def test_names_that_no_vrt_can_have_or_hold(tmp_path):
    pair = pair_of(tmp_path, 0)
    with pytest.raises(InputError, match=r"g\.tif: the VRT with GCPs is an XML file of GDAL; .* ends in \.vrt"):
        gcps.check(tmp_path / "g.tif", pair)
    odd = tmp_path / "s\udcff.tif"
    shutil.copy(pair.sar, odd)
    with pytest.raises(InputError, match="its name is not UTF-8, which no VRT can hold; rename it"):
        gcps.check(tmp_path / "g.vrt", scene.open_pair(pair.optical, odd))
    gcps.check(None, scene.open_pair(pair.optical, odd))


def test_the_command_can_be_pasted_whatever_the_name(tmp_path):
    pair, path = pair_of(tmp_path, 0), tmp_path / "a map.vrt"
    gcps.write_vrt(path, gcps.control_points(bent(1.0), pair), pair, "bilinear")
    with rasterio.open(path) as dataset:
        assert shlex.split(dataset.tags()["COMMAND"])[-2:] == ["a map.vrt", "a map.tif"]
