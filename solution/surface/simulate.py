"""Simulated extra-wide-swath scenes with exact polygons of sea, ice and land, so that the
truth about every pixel is known.

A scene is laid out on coarse fields, then painted strip by strip: class map, backscatter, relief, instrument. The
polygons follow the class map's pixel edges, after the relief was laid over: they are exact for what the image shows.
Leads belong to the ice and lakes to the land, as in ice charts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import geopandas
import numpy as np
from rasterio.features import shapes
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow
from scipy.ndimage import distance_transform_edt
from shapely.geometry import shape as as_polygon

from solution.core.progress import Progress, counted
from solution.core.writing import atomic_folder
from solution.data.raster_writing import new_raster
from solution.simulate.noise import STEP, CoarseField, Texture
from solution.surface import LETTERS
from solution.surface.backscatter import CELL_M, Ice, Land, Rows, Sea, coarse_field, foreshortened
from solution.surface.instrument import Instrument
from solution.surface.polygons import ATTRIBUTES

CRS = "EPSG:3995"
ORIGIN_M = (400_000.0, -1_100_000.0)
SMALLEST = 128  # side of a scene, px
_STRIP_ROWS = 512  # that are painted at once
_SMALLEST_FEATURE_PX = 25
_ROUGHNESS = 0.05  # of coast and ice edge, as a share of the smooth field that draws them
_FAST_EDGE_PX = 8.0  # over which fast ice turns into pack ice
_INLAND_PX = 40.0  # from the coast to where relief is at its full height
_LEAST_ECHO = 0.25  # ground cells in a pixel, from which it shows land that was laid over the sea
WATER, ICE, LAND = range(3)


@dataclass(frozen=True)
class PolarLayout:
    """Where sea, ice and land of a scene are, before relief is laid over.

    Attributes:
        classes: (H, W) uint8, 0 to 2.
        coast: distance in px from the coast, positive on land and negative at sea.
        fast_px: width of the fast ice along the coast.
    """

    classes: np.ndarray
    coast: CoarseField
    fast_px: float


def simulate(out: Path, scenes: int, size: tuple[int, int], seed: int, progress: Progress | None = None) -> list[str]:
    """Write ``scene_SEED.tif`` (HH, HV, uint8) and ``scene_SEED.shp`` for the seeds from
    `seed` on, whole or not at all.

    Returns:
        Names of the scenes.
    """
    names = []
    with atomic_folder(out) as folder:
        for number, _ in counted(range(scenes), "simulating", progress):
            name = f"scene_{seed + number}"
            write_scene(folder / name, size, seed + number)
            names.append(name)
    return names


def write_scene(stem: Path, size: tuple[int, int], seed: int) -> None:
    """Write one scene, `size` (height, width) in px, beside the polygons of its classes."""
    layout_rng, look_rng = (np.random.default_rng([seed, part]) for part in (0, 1))
    layout = lay_out(size, layout_rng)
    sea, ice, land, instrument = (kind(size, look_rng) for kind in (Sea, Ice, Land, Instrument))
    transform = Affine(CELL_M, 0.0, ORIGIN_M[0], 0.0, -CELL_M, ORIGIN_M[1])
    seen = np.empty(size, np.uint8)
    profile = {
        "driver": "GTiff",
        "height": size[0],
        "width": size[1],
        "count": 2,
        "dtype": "uint8",
        "crs": CRS,
        "transform": transform,
    }
    layout_of_file = {
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "zlevel": 1,
        "nodata": 0,
    }
    with new_raster(stem.with_suffix(".tif"), ("HH", "HV"), **profile, **layout_of_file) as target:
        for number, top in enumerate(range(0, size[0], _STRIP_ROWS)):
            rows = Rows(top, min(top + _STRIP_ROWS, size[0]), size[1], instrument.angle)
            power, seen[rows.top : rows.bottom] = paint(layout, rows, sea, ice, land)
            block = instrument.record(power, rows, np.random.default_rng([seed, 2, number]))
            target.write(block, window=RasterWindow(0, top, size[1], rows.bottom - rows.top))
    outline(seen, transform).to_file(stem.with_suffix(".shp"), engine="pyogrio")


def lay_out(size: tuple[int, int], rng: np.random.Generator) -> PolarLayout:
    """Draw coast and ice edge: thresholds of fields that are fractal down to the pixel, without specks."""
    land_share = rng.choice([0.0, 1.0], p=[0.25, 0.75]) * rng.uniform(0.1, 0.4)
    ice_share = rng.uniform(0.2, 0.8)
    fast_px = rng.choice([0.0, 1.0], p=[0.4, 0.6]) * rng.uniform(35.0, 90.0)
    fields = [(coarse_field(size, rng, 0.9), Texture(rng, 2.0, 200.0)) for _ in range(2)]
    land, ice = (_above(field, size, share) for field, share in zip(fields, (land_share, ice_share), strict=True))
    coast = _distance(land)
    if fast_px:
        ice |= _full(coast, size) > -fast_px
    return PolarLayout(np.where(land, LAND, np.where(ice, ICE, WATER)).astype(np.uint8), coast, fast_px)


def _above(field: tuple[CoarseField, Texture], size: tuple[int, int], share: float) -> np.ndarray:
    """(H, W) bool, true on about `share` of the scene."""
    if share == 0:
        return np.zeros(size, bool)
    smooth, rough = field
    threshold = np.quantile(smooth.nodes, 1 - share)
    mask = np.empty(size, np.uint8)
    for top in range(0, size[0], _STRIP_ROWS):
        bounds = (top, min(top + _STRIP_ROWS, size[0]), 0, size[1])
        mask[bounds[0] : bounds[1]] = smooth.window(*bounds) + _ROUGHNESS * rough.window(*bounds) > threshold
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_SMALLEST_FEATURE_PX, _SMALLEST_FEATURE_PX))
    return cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel), cv2.MORPH_CLOSE, kernel).astype(bool)


def _distance(land: np.ndarray) -> CoarseField:
    """Signed distance from the coast, px."""
    coarse = land[STEP // 2 :: STEP, STEP // 2 :: STEP]
    coarse = np.pad(
        coarse,
        ((0, -(-land.shape[0] // STEP) + 1 - coarse.shape[0]), (0, -(-land.shape[1] // STEP) + 1 - coarse.shape[1])),
        mode="edge",
    )
    if not coarse.any():
        return CoarseField(np.full(coarse.shape, -1e6, np.float32))
    return CoarseField((STEP * (distance_transform_edt(coarse) - distance_transform_edt(~coarse))).astype(np.float32))


def _full(field: CoarseField, size: tuple[int, int]) -> np.ndarray:
    return field.window(0, size[0], 0, size[1])


def paint(layout: PolarLayout, rows: Rows, sea: Sea, ice: Ice, land: Land) -> tuple[np.ndarray, np.ndarray]:
    """Backscatter (2, h, w), linear, and classes (h, w) uint8 as seen, relief laid over."""
    ground = layout.classes[rows.top : rows.bottom]
    distance = layout.coast.window(*rows.bounds)
    fast = np.clip((distance + layout.fast_px) / _FAST_EDGE_PX, 0, 1) if layout.fast_px else np.zeros_like(distance)
    at_sea = np.where(ground == ICE, _stacked(ice.bands(rows, fast)), _stacked(sea.bands(rows)))
    echo = 10 ** (at_sea / 10)
    on_land = ground == LAND
    if not on_land.any():
        return echo, ground
    flat = 10 ** (_stacked(land.bands(rows)) / 10) * on_land
    height = land.height(rows, np.clip(distance / _INLAND_PX, 0, 1)) * on_land
    laid_over, cells = foreshortened(flat, height, rows.angle)
    covered = on_land | (cells > _LEAST_ECHO)
    return np.where(covered, laid_over, echo), np.where(covered, LAND, ground).astype(np.uint8)


def _stacked(bands: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.stack(bands).astype(np.float32)


def outline(classes: np.ndarray, transform: Affine) -> geopandas.GeoDataFrame:
    """The polygons of a class map (H, W), along its pixel edges."""
    found = [(as_polygon(geometry), LETTERS[int(value)]) for geometry, value in shapes(classes, transform=transform)]
    return geopandas.GeoDataFrame(
        {ATTRIBUTES[0]: [letter for _, letter in found]}, geometry=[polygon for polygon, _ in found], crs=CRS
    )
