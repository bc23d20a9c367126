"""Which pixels carry data: masks inside and beside the file, alpha bands and nodata values say the same in every use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from solution.core.geometry import Window
from solution.data.scene import open_pair
from solution.data.views import open_image
from solution.field.shiftfield import from_affine
from solution.field.warped_sar import write_warped_sar
from solution.surface import water
from solution.tests.conftest import Recipe, Scene, write_scene

WHOLE = Window(0, 0, 192, 160)
SPLIT = 96  # columns of the image before this one are masked


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    recipe = Recipe(sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0), sar_dtype="float32", kind="db", displacement=(0.0, 0.0))
    return write_scene(tmp_path_factory.mktemp("whole"), "02_train_01", recipe)


def hide(source: Path, path: Path, how: str, junk: float) -> Path:
    """A copy whose left half is said to carry no data, and holds junk."""
    with rasterio.open(source) as dataset:
        values, profile = dataset.read(), dataset.profile
    mask = np.full(values.shape[1:], 255, np.uint8)
    mask[:, :SPLIT] = 0
    values[:, :, :SPLIT] = junk
    values[:, ::2, :SPLIT] = junk / 2
    if how == "alpha":
        values = np.concatenate([values, mask[None].astype(values.dtype)])
        profile.update(count=len(values), alpha="YES", photometric="RGB" if len(values) == 4 else "MINISBLACK")
    if how == "nodata":
        values[:, :, :SPLIT] = junk
        profile["nodata"] = junk
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=how == "internal mask"),
        rasterio.open(path, "w", **profile) as dataset,
    ):
        dataset.write(values)
        if "mask" in how:
            dataset.write_mask(mask)
    assert path.with_name(path.name + ".msk").exists() == (how == "mask beside it")
    return path


HOW = pytest.mark.parametrize("how", ["internal mask", "mask beside it", "alpha", "nodata"])


@HOW
@pytest.mark.parametrize("image", ["optical", "sar"])
def test_what_is_masked_is_neither_read_nor_stretched_nor_matched(scene, tmp_path, how, image):
    paths = {"optical": scene.optical, "sar": scene.sar}
    whole = open_pair(**paths)
    paths[image] = hide(paths[image], tmp_path / "hidden.tif", how, 250.0)
    pair = open_pair(**paths)
    pair.check()
    seen = pair.read(WHOLE)
    assert not seen.valid[:, :SPLIT].any() and seen.valid[:, SPLIT:].all()
    bright = getattr(seen, image)
    assert not bright[:, :, :SPLIT].any()
    assert (
        np.abs(bright - getattr(whole.read(WHOLE), image))[:, :, SPLIT:].mean() < 0.05
    )  # as of the visible half alone
    assert np.abs(pair.read(WHOLE, 4).sar[0, :, SPLIT // 4 + 1 :]).max() > 0.3  # nor does it bleed into averages
    places = np.array([[20.0, 80.0], [150.0, 80.0], [100.0, 80.0]])
    shift = np.array([[0.0, 0.0], [0.0, 0.0], [-40.0, 0.0]])
    expected = [True, False, image == "sar"]
    assert pair.masked(places, shift).tolist() == expected and not whole.masked(places, shift).any()


@HOW
def test_a_masked_sar_image_in_another_crs(scene, tmp_path, make_scene, how):
    made = make_scene(sar_crs="EPSG:32636", sar_shape=(240, 240), sar_offset=(-9, 9), sar_dtype="float32", kind="db")
    pair = open_pair(made.optical, hide(made.sar, tmp_path / "hidden.tif", how, 250.0))
    assert pair.reproject_sar
    seen = pair.read(WHOLE)
    whole = made.open().read(WHOLE)
    assert 0.2 < seen.valid.mean() < 0.8 and seen.sar[0][seen.valid == 0].max(initial=0) == 0
    assert np.abs(seen.sar - whole.sar)[0][seen.valid > 0].mean() < 0.1


@HOW
def test_masked_ground_is_no_water_and_is_not_resampled(scene, tmp_path, how):
    pair = open_pair(scene.optical, hide(scene.sar, tmp_path / "hidden.tif", how, 250.0))
    with pair.open_sar() as dataset:
        found = water.measured(dataset, pair.sar_overview)
        assert not found.valid[:, : SPLIT // water.CELL_PX].any() and found.valid[:, SPLIT // water.CELL_PX :].all()
    still = from_affine("affine", np.eye(3), np.zeros((0, 2)), np.zeros((0, 2)), pair.shape)
    write_warped_sar(tmp_path / "moved.tif", still, pair)
    with rasterio.open(tmp_path / "moved.tif") as moved, rasterio.open(scene.sar) as sar:
        assert moved.nodata == (250.0 if how == "nodata" else None)
        assert np.array_equal(moved.dataset_mask() > 0, np.broadcast_to(np.arange(192) >= SPLIT, pair.shape))
        assert np.array_equal(moved.read(1)[:, SPLIT:], sar.read(1)[:160, SPLIT:192])


def test_a_raster_that_declares_nothing_is_read_as_it_is(scene):
    with open_image(scene.sar) as dataset:
        assert type(dataset) is rasterio.io.DatasetReader
    assert not scene.open().remarks()


def test_support_is_asked_of_ground_with_data_only(scene, tmp_path):
    from solution.field import candidates, fitting, verdict

    pair = open_pair(hide(scene.optical, tmp_path / "hidden.tif", "alpha", 250.0), scene.sar)
    x, y = np.meshgrid(np.arange(SPLIT + 4.0, 192, 8), np.arange(4.0, 160, 8))
    xy = np.column_stack([x.ravel(), y.ravel()])
    table = candidates.make("s", 0, "flow", xy, np.random.default_rng(0).normal(0, 0.1, xy.shape))
    fit, judged = fitting.fit(table, pair.shape, pair.gsd_m)
    judge: Callable = verdict.judge
    assert judge(fit, judged, pair.shape).support < 0.7
    assert judge(fit, judged, pair.shape, masked=pair.masked).support == 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_undeclared_zeros_of_a_sar_image_in_another_crs_carry_no_data(make_scene, dtype):
    made = make_scene(sar_crs="EPSG:32636", sar_shape=(240, 240), sar_offset=(-9, 9), sar_dtype=dtype)
    with rasterio.open(made.sar, "r+") as dataset:
        values = np.maximum(dataset.read(), 1)
        values[:, :, 120:] = 0
        dataset.write(values)
    pair = made.open()
    with pair.open_sar() as seen:
        found = seen.read(1)
    pair.check()
    radiometry, share = pair.sar_overview.radiometry, pair.valid_share()
    with rasterio.open(made.sar, "r+") as dataset:
        dataset.nodata = 0
    declared = made.open()
    assert pair.reproject_sar and 0.2 < share < 0.8 and share == pytest.approx(declared.valid_share(), abs=0.02)
    assert ((found > 0) & (found < 0.5)).mean() < 0.02 and (found == 0).mean() > 0.3
    assert radiometry.low == pytest.approx(declared.sar_overview.radiometry.low, rel=0.05)
