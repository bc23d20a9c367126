"""The water mask: flat dark speckle is water; bright ground, texture, structure in the dark
and small dark spots are not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine
from scipy.ndimage import gaussian_filter

from solution.core.errors import InputError
from solution.surface import water
from solution.surface.cellgrid import CellGrid
from solution.surface.network import PatchClassifier, SurfaceConfig
from solution.surface.water import WaterConfig, from_statistics
from solution.tests import polar
from solution.tests.conftest import write_raster

SIZE = 768


def speckle(looks: float, seed: int = 0) -> np.ndarray:
    """(SIZE, SIZE) amplitude of unit power, its neighbours correlated as in an oversampled product."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal((2, int(looks), SIZE, SIZE), dtype=np.float32), (0, 0, 0.6, 0.6))
    power = (field**2).sum(axis=(0, 1))
    return np.sqrt(power / power.mean())


def ground(dark: str, looks: float = 1) -> np.ndarray:
    """(SIZE, SIZE) amplitude: textured bright land, and a dark lower right of some kind."""
    rng = np.random.default_rng(5)
    reflectivity = 100 * np.exp(0.5 * gaussian_filter(rng.standard_normal((SIZE, SIZE)), 3) * 3 * np.sqrt(4 * np.pi))
    y, x = np.mgrid[:SIZE, :SIZE]
    field = (x > 300) & (y > 260)
    shade = {
        "water": 12.0,
        "furrows": 12.0 * (1 + 0.5 * np.sin(2 * np.pi * x / 24)),
        "blocks": 12.0 * np.where((x // 40 + y // 40) % 2, 1.4, 0.6),
        "smooth but bright": 90.0,
    }[dark]
    reflectivity[field] = np.broadcast_to(shade, field.shape)[field]
    reflectivity[60:120, 60:120] = 12.0  # a roof
    return reflectivity * speckle(looks)


def write(path: Path, amplitude: np.ndarray, dtype: str = "uint16") -> Path:
    values = np.clip(np.rint(amplitude * 20), 1, 65_535) if dtype == "uint16" else np.clip(np.rint(amplitude), 0, 255)
    values = (
        20 * np.log10(np.maximum(amplitude, 1e-3)) - 60
        if dtype == "decibel"
        else amplitude / 500
        if dtype == "below 1"
        else values
    )
    write_raster(
        path, values[None].astype("float32" if dtype in ("decibel", "below 1") else dtype), polar.TRANSFORM, polar.CRS
    )
    return path


def share(found: CellGrid, region: tuple[slice, slice]) -> float:
    return float(found.values[region].mean())


INNER = np.s_[20:46, 23:46]  # of the dark area, in cells, two cells within it
LAND = np.s_[:14, :]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "decibel", "below 1"])
@pytest.mark.parametrize("looks", [1, 4])
def test_flat_dark_speckle_is_water_and_textured_land_is_not(tmp_path, dtype, looks):
    found = from_statistics(write(tmp_path / "sar.tif", ground("water", looks), dtype), WaterConfig())
    assert found.values.shape == (48, 48) and found.values.dtype == bool
    assert share(found, INNER) > 0.95 and share(found, LAND) == 0 and share(found, np.s_[:, :16]) == 0


@pytest.mark.parametrize("kind", ["furrows", "blocks", "smooth but bright"])
@pytest.mark.parametrize("looks", [1, 4])
def test_structure_or_brightness_is_not_water(tmp_path, kind, looks):
    found = from_statistics(write(tmp_path / "sar.tif", ground(kind, looks)), WaterConfig())
    assert found.values.mean() < 0.02


def test_decibels_are_filled_with_zeros_that_are_not_bright(tmp_path):
    whole = from_statistics(write(tmp_path / "sar.tif", ground("water"), "decibel"), WaterConfig()).values
    with rasterio.open(tmp_path / "sar.tif", "r+") as file:
        image = file.read(1)
        image[:, :160] = 0
        file.write(image, 1)
    filled = from_statistics(tmp_path / "sar.tif", WaterConfig()).values
    assert not filled[:, :10].any() and (filled[:, 14:] != whole[:, 14:]).mean() < 0.02


def test_each_condition_is_needed(tmp_path):
    lax = {
        "furrows": {"structure": 9.0, "speckle": 9.0},
        "smooth but bright": {"dark": 9.0},
        "blocks": {"structure": 9.0, "speckle": 9.0},
    }
    for kind, loosened in lax.items():
        path = write(tmp_path / "sar.tif", ground(kind))
        assert share(from_statistics(path, dataclasses.replace(WaterConfig(), **loosened)), INNER) > 0.9, kind


def test_small_dark_spots_are_left_out_unless_asked_for(tmp_path):
    path = write(tmp_path / "sar.tif", np.where(np.arange(SIZE) < 96, 12, 100) * speckle(4))
    wanted = from_statistics(path, WaterConfig())
    assert wanted.values[:, :5].mean() > 0.9 and not wanted.values[:, 7:].any()
    assert not from_statistics(path, dataclasses.replace(WaterConfig(), least_area_px2=1e9)).values.any()


def test_positions_are_looked_up_in_x_and_y(tmp_path):
    found = from_statistics(write(tmp_path / "sar.tif", ground("water")), WaterConfig())
    assert (
        found.at(
            np.array([[700, 400], [400, 700], [700, 100], [100, 700], [-1, 400], [400, SIZE], [np.nan, 3]]), False
        ).tolist()
        == [True, True] + [False] * 5
    )
    edge = CellGrid(np.array([[True, False]]), 16, (16, 24))
    assert edge.at(np.array([[15.4, 0], [15.6, 0], [-0.5, -0.5], [-0.6, 0], [23.4, 15.4]]), False).tolist() == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_strips_change_nothing(tmp_path, monkeypatch):
    path = write(tmp_path / "sar.tif", ground("water"))
    whole = from_statistics(path, WaterConfig()).values
    monkeypatch.setattr(water, "_STRIP_CELLS", 12)
    again = from_statistics(path, WaterConfig()).values
    assert (whole != again).mean() < 0.01


def test_a_scene_of_one_kind_or_without_data_masks_nothing(tmp_path):
    for values in (12 * speckle(1), np.zeros((SIZE, SIZE))):
        assert not from_statistics(write(tmp_path / "sar.tif", values, "uint8"), WaterConfig()).values.any()


def test_sizes_that_are_no_multiple_of_a_cell(tmp_path):
    found = from_statistics(write(tmp_path / "sar.tif", ground("water")[:, : SIZE - 7]), WaterConfig())
    assert found.values.shape == (48, 48) and found.at(np.array([[SIZE - 9, 500]]), False).all()


def test_other_rasters_are_named(tmp_path):
    write_raster(tmp_path / "two.tif", np.ones((2, 64, 64), np.uint8), polar.TRANSFORM, polar.CRS)
    with pytest.raises(InputError, match=r"two\.tif: has 2 bands"):
        from_statistics(tmp_path / "two.tif", WaterConfig())
    with pytest.raises(InputError, match=r"nothing\.tif: no such file"):
        water.mask(tmp_path / "nothing.tif")


@pytest.mark.parametrize("moving", [0, 1])
def test_a_classifier_says_where_water_or_ice_is(tmp_path, moving):
    class DarkIsMoving(PatchClassifier):
        def forward(self, pixels):
            dark = pixels[:, 0].float().mean(dim=(1, 2)) < 70
            scores = [torch.zeros_like(dark), torch.zeros_like(dark), ~dark]
            scores[moving] = dark
            return 9.0 * torch.stack(scores, dim=1)

    found = water.mask(polar.write_scene(tmp_path, nodata_columns=100), DarkIsMoving(SurfaceConfig().smoke()))
    assert found.cell_px == 32 and found.values.shape == (9, 14)
    assert found.at(np.array([[250, 200], [60, 20], [60, 220], [410, 120]]), False).tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_undeclared_fill_is_no_data(tmp_path):
    """Beside -9999, all other decibels would be equally bright."""
    rng = np.random.default_rng(0)
    decibels = (20 * np.log10(rng.rayleigh(1.0, (1, 320, 320)) + 1e-3)).astype(np.float32)
    decibels[:, :, 200:] -= 20.0
    path = tmp_path / "s.tif"
    write_raster(path, decibels, Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32637")
    whole = water.mask(path).values
    decibels[:, :64, :64] = -9999
    write_raster(path, decibels, Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32637")
    assert whole.any() and np.array_equal(water.mask(path).values, whole)
