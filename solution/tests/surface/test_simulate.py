"""Simulated polar scenes: repeatable, exact in their polygons, and not to be told apart by brightness alone."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from solution.surface import LETTERS
from solution.surface.backscatter import CELL_M, Ice, Rows, Sea, foreshortened, speckled
from solution.surface.patchset import read_patches
from solution.surface.simulate import write_scene
from solution.tests.conftest import invoke


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Three scenes, made by the command line; the second one holds all classes."""
    out = tmp_path_factory.mktemp("polar") / "scenes"
    invoke("surface", "simulate", out, "--scenes", 3, "--size", 300, 420, "--seed", 25)
    return out


def truth_of(path) -> np.ndarray:
    """(H, W) class of every pixel, from the polygons."""
    table = geopandas.read_file(path.with_suffix(".shp"))
    with rasterio.open(path) as dataset:
        burnt = [(shape, LETTERS.index(letter)) for shape, letter in zip(table.geometry, table.poly_type, strict=True)]
        return rasterize(burnt, dataset.shape, fill=9, transform=dataset.transform, dtype="uint8")


def test_two_runs_give_the_same_bytes_and_seeds_differ(scenes, tmp_path):
    write_scene(tmp_path / "again", (300, 420), 26)
    for suffix in (".tif", ".shp"):
        assert (tmp_path / f"again{suffix}").read_bytes() == (scenes / f"scene_26{suffix}").read_bytes()
    assert (scenes / "scene_25.tif").read_bytes() != (scenes / "scene_26.tif").read_bytes()


def test_polygons_cover_every_pixel_once_and_all_classes_occur(scenes):
    seen = np.zeros(3, int)
    for path in sorted(scenes.glob("*.tif")):
        truth = truth_of(path)
        table = geopandas.read_file(path.with_suffix(".shp"))
        assert truth.max() <= 2
        assert table.area.sum() == pytest.approx(truth.size * CELL_M**2)
        seen += np.bincount(truth.ravel(), minlength=3)
    assert (seen > 0.02 * seen.sum()).all()


def test_the_sampler_agrees_with_the_truth_and_with_no_transposed_one(scenes, tmp_path):
    for image in sorted(scenes.glob("*.tif"))[:2]:
        out = tmp_path / image.stem
        invoke("surface", "sample", image, image.with_suffix(".shp"), out, "--stride", 20)
        truth, found = truth_of(image), read_patches(out)
        rows = np.loadtxt(out / "meta.csv", dtype=str)
        x, y = rows[:, 1].astype(int), rows[:, 2].astype(int)
        assert np.array_equal(truth[y + 32, x + 32], found.labels)
        inside = (x + 32 < truth.shape[0]) & (y + 32 < truth.shape[1])
        assert (truth[x[inside] + 32, y[inside] + 32] != found.labels[inside]).mean() > 0.15


def test_brightness_alone_does_not_tell_water_from_ice():
    levels, threshold = ([], []), np.linspace(-40, 0, 200)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows = Rows(0, 64, 64, np.full(64, rng.uniform(20, 46), np.float32))
        sea, ice = Sea((64, 64), rng).bands(rows), Ice((64, 64), rng).bands(rows, np.zeros((64, 64), np.float32))
        for found, bands in zip(levels, (sea, ice), strict=True):
            found.append(bands[0].ravel())
    below = [np.searchsorted(np.sort(np.concatenate(found)), threshold) / (6 * 64 * 64) for found in levels]
    assert 0.5 + np.abs(below[0] - below[1]).max() / 2 < 0.85  # accuracy of the best threshold on HH


def test_speckle_has_the_looks_it_should():
    noisy = speckled(np.ones((1, 400, 400), np.float32), 10.0, np.random.default_rng(0))
    assert noisy.mean() == pytest.approx(1, abs=0.01)
    assert 0.15 < noisy.std() < 1 / np.sqrt(10)


def test_relief_moves_towards_the_sensor_and_keeps_the_power():
    power, height, angle = np.zeros((1, 4, 100), np.float32), np.zeros((4, 100), np.float32), np.full(100, 45.0)
    power[0, :, 30:70] = 1
    height[:, 40:60] = 4 * CELL_M  # h / tan(45) = 4 px
    seen, cells = foreshortened(power, height, angle)
    assert seen.sum() == pytest.approx(power.sum(), rel=1e-5) and np.allclose(seen[0], cells)
    assert seen[0, 0, 36:40].sum() == pytest.approx(8, abs=0.1) and seen[0, 0, 57] < 0.3 and seen[0, 0, 65] == 1


def test_a_scene_that_is_too_small_is_refused(tmp_path, run):
    code, _, error = run("surface", "simulate", tmp_path / "out", "--size", 100, 400)
    assert code == 2 and "--size 100 400" in error and not (tmp_path / "out").exists()
