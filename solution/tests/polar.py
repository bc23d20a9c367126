"""Handmade scenes for the surface classes: an image whose brightness is its class, and polygons that say the same."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
from rasterio.transform import Affine
from shapely.geometry import box

from solution.surface.patchset import PatchWriter
from solution.tests.conftest import write_raster

CRS = "EPSG:3995"
TRANSFORM = Affine(40.0, 0.0, 400_000.0, 0.0, -40.0, -1_100_000.0)
SHADES = (40, 110, 200)
"""HH of water, ice and land; HV is half of it."""
SHAPE = (260, 420)


def class_map(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """(H, W): ice in a wide upper strip, land in a block at the lower left, water elsewhere. Another picture when rows
    and columns change places."""
    classes = np.zeros(shape, np.uint8)
    classes[:90] = 1
    classes[150:, :130] = 2
    return classes


def write_scene(
    folder: Path, name: str = "scene", bands: int = 2, noise: float = 0.0, seed: int = 0, nodata_columns: int = 0
) -> Path:
    """The image ``NAME.tif`` (nodata 0) of `class_map` -> its path."""
    folder.mkdir(parents=True, exist_ok=True)
    shades = np.array(SHADES, np.float32)[class_map()]
    rng = np.random.default_rng(seed)
    values = np.stack([shades / (1 + band) * (1 + noise * rng.standard_normal(shades.shape)) for band in range(bands)])
    values = np.clip(np.rint(values), 1, 255).astype(np.uint8)
    if nodata_columns:
        values[:, :, -nodata_columns:] = 0
    path = folder / f"{name}.tif"
    write_raster(path, values, TRANSFORM, CRS, nodata=0)
    return path


def write_polygons(
    path: Path, names=("W", "I", "L"), column: str = "poly_type", crs: str | None = None, prj: bool = True
) -> Path:
    """A shapefile of the areas of `class_map`."""
    height, width = SHAPE
    areas = [(0, 90, width, 150, 0), (130, 150, width, height, 0), (0, 0, width, 90, 1), (0, 150, 130, height, 2)]
    corners = [(TRANSFORM @ (left, bottom), TRANSFORM @ (right, top)) for left, top, right, bottom, _ in areas]
    table = geopandas.GeoDataFrame(
        {column: [names[area[4]] for area in areas]},
        geometry=[box(*lower, *upper) for lower, upper in corners],
        crs=CRS,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    (table.to_crs(crs) if crs else table).to_file(path, engine="pyogrio")
    if not prj:
        path.with_suffix(".prj").unlink()
    return path


def write_patches(folder: Path, scenes: int = 4, each: int = 12, channels: int = 3) -> Path:
    """Patches that tell their class by brightness and texture."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    writer, rng = PatchWriter(folder), np.random.default_rng(0)
    for scene in range(scenes):
        writer.begin_scene(f"{scene}.tif")
        for number in range(each):
            label = number % 3
            noise = 1 + 0.1 * rng.standard_normal((channels, 64, 64))
            writer.add(np.clip(SHADES[label] * noise, 1, 255).astype(np.uint8), number, scene, label)
    writer.finish()
    return folder
