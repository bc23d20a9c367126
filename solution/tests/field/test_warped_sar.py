"""The SAR image on the optical grid: the right places, and the SAR image's own values, dtype, nodata and mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import MaskFlags
from rasterio.transform import Affine
from rio_cogeo.cogeo import cog_validate

from solution.core.errors import InputError
from solution.data import scene
from solution.field import candidates, fitting
from solution.field.shiftfield import Fit
from solution.field.warped_sar import RESAMPLINGS, check_resampling, write_warped_sar
from solution.tests.conftest import write_raster

SHAPE = (40, 48)
CRS = "EPSG:32637"
SIZE_M = 0.5


def shifted(dx: float, dy: float, shape: tuple[int, int] = SHAPE) -> Fit:
    """One shift for the whole image."""
    return fitting.fit(candidates.make("a", 0, "match", [[10, 20]], [[dx, dy]]), shape)[0]


def pair_of(folder: Path, sar: np.ndarray, sar_m: float = SIZE_M, nodata: float | None = None) -> scene.ScenePair:
    """A pair with equal origins, and an array (h, w) as the SAR image."""
    write_raster(folder / "o.tif", np.ones((1, *SHAPE), np.uint8), Affine(SIZE_M, 0, 5e5, 0, -SIZE_M, 5e6), CRS)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_raster(folder / "s.tif", sar[None], Affine(sar_m, 0, 5e5, 0, -sar_m, 5e6), CRS, nodata)
    return scene.open_pair(folder / "o.tif", folder / "s.tif")


def warped(pair: scene.ScenePair, fit: Fit, resampling: str = "bilinear") -> tuple[np.ndarray, np.ndarray, dict]:
    """Values, which of them are data, and the profile of what is written."""
    path = pair.optical.with_name("moved.tif")
    write_warped_sar(path, fit, pair, resampling)
    assert cog_validate(path, strict=True)[0]
    with rasterio.open(path) as written:
        assert (written.shape, written.crs) == (pair.shape, pair.crs)
        return written.read(1), written.dataset_mask() > 0, {**written.profile, "flags": written.mask_flag_enums[0]}


def random(dtype: str, low: int, high: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, shape).astype(dtype)


def test_values_are_those_of_the_apparent_position(pair):
    """The worked convention: an index shift of (6, -4) px is 3 m east and 2 m north."""
    value, data, profile = warped(pair, shifted(6.0, -4.0, pair.shape))
    assert (profile["count"], profile["dtype"], profile["nodata"]) == (1, "float32", None)
    # Optical index x lies at 354000 + 0.5 x, so its ground is in the SAR pixel of index (that + 3 - 353990) / 0.75.
    y, x = np.mgrid[8:592, 0:200]
    column, row = (10 + 0.5 * x + 3) / 0.75, (10 + 0.5 * y - 2) / 0.75
    np.testing.assert_allclose(value[8:592, 0:200], 1 + column + 1.7 * row, atol=0.1)
    assert data[8:592, 0:200].all()


def test_the_mask_says_where_the_sar_image_ends(pair):
    value, data, profile = warped(pair, shifted(140.0, 0.0, pair.shape))
    assert MaskFlags.per_dataset in profile["flags"]
    assert not data[:, 210:].any() and (value[~data] == 0).all()
    assert data[20:500, :190].all() and (value[20:500, :190] > 0).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_a_whole_shift_keeps_every_value_and_undeclared_zeros(tmp_path, dtype, resampling):
    sar = random(dtype, 0, 100)
    if np.dtype(dtype).itemsize >= 4 and dtype != "float32":
        sar += (1 << 24) + 1 if dtype != "float64" else 1e-9  # more than a float32 holds
        sar[::2, ::3] = 0
    value, data, profile = warped(pair_of(tmp_path, sar), shifted(3.0, -2.0), resampling)
    assert profile["dtype"] == dtype and profile["nodata"] is None
    assert np.array_equal(value[2:, :-3], sar[:-2, 3:]) and data[2:, :-3].all()
    assert not data[:2].any() and not data[:, -3:].any()


@pytest.mark.parametrize(("dtype", "nodata"), [("float32", np.nan), ("float32", -9999.0), ("uint8", 0), ("int16", -5)])
def test_nodata_stays_what_it_is_and_no_value_becomes_it(tmp_path, dtype, nodata):
    sar = random(dtype, -10 if dtype == "int16" else 0, 10)
    sar[10:20, 12:30] = nodata
    _, data, profile = warped(pair_of(tmp_path, sar, nodata=nodata), shifted(2.5, 0.0))
    np.testing.assert_equal(profile["nodata"], nodata)
    assert MaskFlags.nodata in profile["flags"]
    declared = np.isnan(sar) if np.isnan(nodata) else sar == nodata
    pairs = declared[:, 2:-1] & declared[:, 3:]  # the two pixels that a pixel's value is taken from
    assert pairs.any() and np.array_equal(data[:, : pairs.shape[1]], ~pairs)
    assert not data[:, -2:].any()


def test_a_mask_stays_a_mask(tmp_path):
    sar = random("uint8", 0, 200)
    pair = pair_of(tmp_path, sar)
    kept = np.ones(SHAPE, bool)
    kept[10:20, 12:30] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(pair.sar, "r+") as dataset:
        dataset.write_mask(kept)
    value, data, profile = warped(scene.open_pair(pair.optical, pair.sar), shifted(0.0, 0.0))
    assert profile["nodata"] is None and np.array_equal(data, kept)
    assert np.array_equal(value[kept], sar[kept]) and not value[~kept].any()


def test_nodata_that_the_dtype_cannot_hold_is_a_mask(tmp_path):
    pair = pair_of(tmp_path, random("uint8", 0, 200))
    odd = tmp_path / "odd.vrt"
    rasterio.shutil.copy(pair.sar, odd, driver="VRT")
    odd.write_text(odd.read_text().replace("<SimpleSource>", "<NoDataValue>-9999</NoDataValue><SimpleSource>"))
    _, data, profile = warped(scene.open_pair(pair.optical, odd), shifted(0.0, 0.0))
    assert data.all() and profile["dtype"] == "uint8"


def test_nearest_takes_a_value_that_is_there(tmp_path):
    """A shift of 0.6 px is nearer to the next pixel, one of 0.4 px to this one."""
    sar = random("uint8", 1, 250)
    pair = pair_of(tmp_path, sar)
    assert np.array_equal(warped(pair, shifted(0.6, -0.4), "nearest")[0][:, :-1], sar[:, 1:])
    assert np.array_equal(warped(pair, shifted(0.4, -0.4), "nearest")[0], sar)


@pytest.mark.parametrize("times", [2, 3, 4])
def test_average_is_the_mean_of_the_finer_pixels(tmp_path, times):
    """SAR pixels of a part of the optical size: half a pixel beside, other ones would be averaged."""
    fine = random("float32", 0, 100, (SHAPE[0] * times, SHAPE[1] * times))
    pair = pair_of(tmp_path, fine, SIZE_M / times)
    # The apparent shift is the index shift and half the difference of the pixels
    still = shifted(*(-pair.centre_offset_px))
    means = fine.reshape(SHAPE[0], times, SHAPE[1], times).mean(axis=(1, 3))
    np.testing.assert_allclose(warped(pair, still, "average")[0], means, atol=1e-3)
    if times > 2:  # the mean of 2 x 2 is bilinear in their midst
        assert np.abs(warped(pair, still, "bilinear")[0] - means).max() > 10
    beside = shifted(*(0.5 - pair.centre_offset_px))
    assert np.abs(warped(pair, beside, "average")[0] - means).max() > 10


def test_a_sar_image_of_another_crs_keeps_its_values_by_nearest(make_scene):
    made = make_scene(sar_crs="EPSG:32638", sar_shape=(300, 300), sar_offset=(-30.0, 40.0))
    pair = made.open()
    with rasterio.open(made.sar) as dataset:
        known = np.unique(dataset.read())
    value, data, _ = warped(pair, shifted(0.0, 0.0, pair.shape), "nearest")
    assert data.mean() > 0.5 and np.isin(value[data], known).all()


def test_an_unknown_resampling_is_refused():
    with pytest.raises(InputError, match="--resampling cubic: no such resampling; choose nearest, bilinear, average"):
        check_resampling("cubic")
