"""Whole scenes: the same classes as patch by patch, whatever the size and stride; files whole,
repeatable and in the image's frame."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import torch

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.weights import compact
from solution.surface import COLOURS, segment
from solution.surface.network import STAGE, PatchClassifier, SurfaceConfig, probabilities
from solution.surface.scenes import as_channels, open_scene
from solution.tests import polar
from solution.tests.conftest import invoke, write_raster


@pytest.fixture(scope="module")
def net() -> PatchClassifier:
    """A classifier that tells bright from dark by chance weights with normalisation
    statistics of the handmade scene."""
    torch.manual_seed(3)
    net = PatchClassifier(dataclasses.replace(SurfaceConfig().smoke()))
    shades = torch.tensor(polar.SHADES).repeat(20)[:, None, None, None] * (1 + 0.2 * torch.rand(60, 3, 64, 64))
    for _ in range(20):
        net(shades.clamp(0, 255))
    return net.eval()


@pytest.fixture(scope="module")
def weights(net, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "surface.safetensors"
    artefact.save_weights(
        path, compact(net), Manifest(STAGE, -1, ("handmade",), dataclasses.asdict(SurfaceConfig().smoke()), 0)
    )
    return path


def noisy(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Write an image of two bands -> its channels."""
    rough = np.random.default_rng(1).integers(1, 256, (2, *shape), dtype=np.uint8)
    values = np.stack(
        [np.maximum(cv2.GaussianBlur(band, (0, 0), 6) * np.uint8(1) - 90, 1).astype(np.uint8) * 3 for band in rough]
    )
    write_raster(path, values, polar.TRANSFORM, polar.CRS, nodata=0)
    return as_channels(values)


@pytest.mark.parametrize(("shape", "stride"), [((320, 300), 32), ((130, 64), 64), ((71, 90), 16), ((300, 110), 20)])
def test_cells_have_the_class_of_the_patch_around_them(tmp_path, net, shape, stride):
    pixels = noisy(tmp_path / "image.tif", shape)
    with open_scene(tmp_path / "image.tif") as scene:
        strips = list(segment.classify_cells(scene, net, stride))
    found = np.concatenate([strip.probabilities for strip in strips])
    mirrored = np.pad(pixels, ((0, 0), (128, 128), (128, 128)), mode="symmetric")
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            top, left = (128 + cell * stride + stride // 2 - 32 for cell in (row, column))
            alone = probabilities(net, mirrored[None, :, top : top + 64, left : left + 64])[0]
            assert found[row, column] == pytest.approx(alone, abs=1e-5), (row, column)
            assert found[row, column].argmax() == alone.argmax() or np.ptp(np.sort(alone)[-2:]) < 1e-4
    assert np.array_equal(np.concatenate([strip.grey for strip in strips]), pixels[0])


def test_strips_change_nothing(tmp_path, net, monkeypatch):
    noisy(tmp_path / "image.tif", (330, 200))
    results = []
    for rows in (32, 96, 4096):
        monkeypatch.setattr(segment, "_STRIP_PX", rows)
        with open_scene(tmp_path / "image.tif") as scene:
            results.append(np.concatenate([strip.probabilities for strip in segment.classify_cells(scene, net, 32)]))
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


def test_files_are_in_the_frame_of_the_image_and_repeat(tmp_path, weights):
    image = polar.write_scene(tmp_path, noise=0.2, nodata_columns=90)
    outs = [tmp_path / name / "map.tif" for name in "ab"]
    for out in outs:
        invoke("surface", "segment", image, out, "--weights", weights, "--device", "cpu")
    for suffix in (".tif", ".probabilities.tif", ".png"):
        one, two = (out.with_suffix(suffix).read_bytes() for out in outs)
        assert one == two and len(one) > 300
    assert {path.name for path in outs[0].parent.iterdir()} == {"map.tif", "map.probabilities.tif", "map.png"}
    with (
        rasterio.open(image) as source,
        rasterio.open(outs[0]) as classes,
        rasterio.open(outs[0].with_suffix(".probabilities.tif")) as shares,
    ):
        assert (classes.crs, classes.transform, classes.shape) == (source.crs, source.transform, source.shape)
        assert classes.dtypes == ("uint8",) and classes.nodata == 0 and classes.colormap(1)[2][:3] == COLOURS[1]
        assert shares.crs == source.crs and shares.transform @ (2, 3) == source.transform @ (64, 96)
        values, nodata, odds = classes.read(1), source.read(1) == 0, shares.read()
    assert np.array_equal(values == 0, nodata) and values.max() <= 3
    known = np.isfinite(odds[0])
    assert np.allclose(odds.sum(axis=0)[known], 1, atol=1e-5) and not known[:, -2:].any() and known[:, 0].all()
    cells = values[16::32, 16::32]
    rows, columns = cells.shape
    filled = cells > 0
    assert np.array_equal(cells[filled], odds.argmax(axis=0)[:rows, :columns][filled] + 1)


def test_progress_has_a_total(tmp_path, net):
    image, seen = polar.write_scene(tmp_path), []
    segment.segment(image, tmp_path / "map.tif", net, 32, lambda what, done, total: seen.append((done, total)))
    assert seen[0] == (0, 9 * 14) and seen[-1] == (9 * 14, 9 * 14)


def test_only_the_first_band_goes_to_weights_of_one_band(tmp_path):
    torch.manual_seed(3)
    net, seen = PatchClassifier(SurfaceConfig(channels=1).smoke()).eval(), []
    for name, bands, chosen in (("both", 2, 1), ("alone", 1, None)):
        image = polar.write_scene(tmp_path / name, bands=bands, noise=0.3)
        segment.segment(image, tmp_path / name / "map.tif", net, 32, bands=chosen)
        with rasterio.open(tmp_path / name / "map.probabilities.tif") as probabilities:
            seen.append(probabilities.read())
    np.testing.assert_array_equal(*seen)


def test_bad_input_leaves_nothing(tmp_path, weights, run):
    blank, nan, grey, small = (tmp_path / f"{name}.tif" for name in ("blank", "nan", "grey", "small"))
    write_raster(blank, np.zeros((2, 100, 100), np.uint8), polar.TRANSFORM, polar.CRS)
    write_raster(nan, np.full((2, 100, 100), np.nan, np.float32), polar.TRANSFORM, polar.CRS)
    write_raster(grey, np.full((1, 100, 100), 9, np.uint8), polar.TRANSFORM, polar.CRS)
    write_raster(small, np.full((2, 50, 100), 9, np.uint8), polar.TRANSFORM, polar.CRS)
    cut = tmp_path / "cut.tif"
    good = polar.write_scene(tmp_path, noise=0.3)
    cut.write_bytes(good.read_bytes()[:-2000])
    for image, words in (
        (blank, "holds no data"),
        (nan, "holds no data"),
        (grey, "has one band"),
        (small, "smaller than a patch"),
        (cut, "cut.tif"),
    ):
        code, _, error = run(
            "surface", "segment", image, tmp_path / "out" / "map.tif", "--weights", weights, "--device", "cpu"
        )
        assert code == 2 and image.name in error and words in error and len(error.strip().splitlines()) == 1, error
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    for out, stride, words in ((tmp_path / "map.png", 32, "ends in .tif"), (tmp_path / "map.tif", 65, "--stride 65")):
        code, _, error = run(
            "surface", "segment", good, out, "--stride", stride, "--weights", weights, "--device", "cpu"
        )
        assert code == 2 and words in error and not out.exists()
