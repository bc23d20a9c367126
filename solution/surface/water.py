"""Water and other smooth, dark ground of a SAR image, as a mask for registration: such ground gives no match that could be trusted.

Two ways. `moving_probability` asks a surface classifier, which knows Sentinel-1 scenes of the polar seas. `from_statistics` needs no model and suits any SAR image: it calls
an area smooth where three things hold over a neighbourhood of some hundred pixels. The mean is low for the scene. The coefficient of variation is that of speckle,
which a homogeneous area of a SAR image has whatever its brightness (Ulaby et al. 1986). And the averages of neighbouring blocks differ no more than speckle makes them,
so there is no structure under it. Small areas are left out, because roofs, roads and shadows are dark and smooth too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.windows import Window as RasterWindow
from scipy import ndimage

from solution.core.errors import InputError
from solution.core.progress import Progress
from solution.data import raster
from solution.surface import NAMES
from solution.surface.cellgrid import CellGrid
from solution.surface.network import PatchClassifier, check_channels
from solution.surface.scenes import SurfaceScene, open_scene

CELL_PX = 16
BLOCK_PX = 8
MEASURES = ("dark", "variation", "structure")
MOVING = 0.5
"""Ground that moves with a higher probability is masked."""
_STRIP_CELLS = 32
_QUANTISATION = 1 / 12
_STRONGEST_SPECKLE = 1.0
"""Coefficient of variation of single-look intensity; that of amplitude is 0.52."""


@dataclass(frozen=True)
class WaterConfig:
    """When an area is water.

    Attributes:
        neighbourhood_cells: side of the square of cells over which statistics are taken.
        dark: mean amplitude at most this share of the scene's bright ground, which is the `bright_percentile` of the cells' means.
        bright_percentile: see above.
        speckle: coefficient of variation at most so many times that of the smoothest tenth of the dark cells.
        structure: root mean square difference of neighbouring blocks' means at most this share of the standard deviation of the pixels. Speckle whose
            neighbours are correlated over 2 px gives 0.35.
        least_area_px2: smaller areas are left out.
    """

    neighbourhood_cells: int = 5
    dark: float = 0.4
    bright_percentile: float = 85.0
    speckle: float = 1.3
    structure: float = 0.5
    least_area_px2: float = 160.0**2


@dataclass(frozen=True)
class Smoothness:
    """What `smooth_dark` goes by: statistics (h, w) of the neighbourhood of each whole cell.

    Attributes:
        valid: bool, whether the cell itself carries data.
        dark: mean amplitude over that of the scene's bright ground.
        variation: standard deviation over mean, the coefficient of variation.
        structure: root mean square difference of neighbouring blocks' means over the standard deviation of the pixels.
    """

    valid: np.ndarray
    dark: np.ndarray
    variation: np.ndarray
    structure: np.ndarray

    def layers(self) -> list[np.ndarray]:
        """The `MEASURES`, NaN where there is no data."""
        return [np.where(self.valid, getattr(self, name), np.nan) for name in MEASURES]


def mask(path: Path, net: PatchClassifier | None = None, config: WaterConfig | None = None) -> CellGrid:
    """Water of a SAR GeoTIFF, bool: by a surface classifier where one is given (there also ice, which drifts), and else by statistics.

    Raises:
        InputError: unreadable; without a classifier, not one band of real values; with one, as `open_scene`, or other channels than it takes.
    """
    if net is None:
        return from_statistics(path, config or WaterConfig())
    with open_scene(path) as scene:
        check_channels(net, scene.channels, path)
        probability = moving_probability(scene, net)
    return replace(probability, values=probability.values > MOVING)


def moving_probability(scene: SurfaceScene, net: PatchClassifier, stride: int = 32, progress: Progress | None = None) -> CellGrid:
    """Probability, float32, of water or ice in cells of `stride` px by a classifier; NaN where there is too little data."""
    from solution.surface.segment import classify_cells  # it also draws, for which predictions need not wait

    still = np.concatenate([cells.probabilities[..., NAMES.index("land")] for cells in classify_cells(scene, net, stride, progress)])
    return CellGrid(1 - still, stride, scene.shape)


def from_statistics(path: Path, config: WaterConfig) -> CellGrid:
    """Smooth dark areas of a one-band SAR GeoTIFF, bool, in strips; amplitude or decibels. Intensity is taken for amplitude, which makes `dark` laxer.

    Without any brighter ground beside it, water cannot be told from land that is as smooth, and nothing is masked.

    Raises:
        InputError: unreadable, or not one band of real values.
    """
    with raster.open_raster(path) as dataset:
        raster.check_sar(dataset, path)
        if min(dataset.shape) < CELL_PX:
            raise InputError(f"{path}: is {dataset.width} x {dataset.height} px, too small for a water mask; choose a larger image")
        return on_cells(smooth_dark(measured(dataset, raster.sar_overview(dataset), config), config), dataset.shape)


def measured(dataset: rasterio.io.DatasetReader, overview: raster.Overview, config: WaterConfig | None = None) -> Smoothness:
    """Statistics of an open raster of at least one cell, which may be a warped view, and its `raster.sar_overview`."""
    decibel = not overview.radiometry.log
    strips = [_strip(dataset, top, decibel) for top in range(0, dataset.height - CELL_PX + 1, _STRIP_CELLS * CELL_PX)]
    return smoothness_of(np.concatenate(strips, axis=1), config or WaterConfig())


def on_cells(values: np.ndarray, shape: tuple[int, int]) -> CellGrid:
    """Values (h, w) of whole cells as a grid over an image; its last, incomplete cells are what their neighbours are."""
    cells = [-(-side // CELL_PX) for side in shape]
    completed = np.pad(values, [(0, whole - present) for whole, present in zip(cells, values.shape, strict=True)], mode="edge")
    return CellGrid(completed if completed.dtype == bool else completed.astype(np.float32), CELL_PX, shape)


def _strip(dataset, top: int, decibel: bool) -> np.ndarray:
    """(5, h, w) float32 sums of the whole cells of a strip, see `cell_sums`."""
    rows = min(_STRIP_CELLS * CELL_PX, dataset.height - top) // CELL_PX * CELL_PX
    raw = dataset.read(1, window=RasterWindow(0, top, dataset.width // CELL_PX * CELL_PX, rows))
    amplitude = raw.astype(np.float32)
    # Zeros among other amplitudes are dark water, not gaps: a cell counts as a gap where it holds nothing else. Among decibels they fill what is empty.
    data = np.isfinite(amplitude) & (amplitude != dataset.nodata if dataset.nodata else True) & ((amplitude != 0) | (not decibel))
    amplitude = np.where(data, amplitude, 0)
    amplitude = np.where(data, 10 ** (amplitude / 20), 0) if decibel else np.maximum(amplitude, 0)
    return cell_sums(amplitude, _QUANTISATION if raw.dtype.kind in "ui" else 0.0)


def cell_sums(amplitude: np.ndarray, rounding: float) -> np.ndarray:
    """(H, W) float32, whole cells -> (5, H / 16, W / 16) float64 by cell: validity, mean, mean square, and mean squared differences of neighbouring blocks along x and y.

    Args:
        rounding: variance that quantisation added to the pixels; it is taken off the mean square.
    """
    mean = _pooled(amplitude, CELL_PX)
    square = _pooled(amplitude**2, CELL_PX) - rounding
    blocks = _pooled(amplitude, BLOCK_PX)
    across = np.diff(blocks, axis=1, append=blocks[:, -2:-1]) ** 2
    down = np.diff(blocks, axis=0, append=blocks[-2:-1]) ** 2
    per_cell = CELL_PX // BLOCK_PX
    differences = [_pooled(values.astype(np.float32), per_cell) for values in (across, down)]
    return np.stack([(mean > 0).astype(np.float64), mean, square, *differences]).astype(np.float64)


def smoothness_of(sums: np.ndarray, config: WaterConfig) -> Smoothness:
    """From `cell_sums` of a whole scene."""
    valid = sums[0] > 0
    mean, square, across, down = _neighbourhood(sums, config.neighbourhood_cells)
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-12))
    bright = np.percentile(sums[1][valid], config.bright_percentile) if valid.any() else 1.0
    structure = np.sqrt(np.maximum(np.maximum(across, down), 0)) / deviation  # running sums may end a little below 0
    return Smoothness(valid, mean / max(bright, 1e-12), deviation / np.maximum(mean, 1e-12), structure)


def smooth_dark(found: Smoothness, config: WaterConfig) -> np.ndarray:
    """(h, w) bool, where water is."""
    dark = found.valid & (found.dark <= config.dark)
    if not dark.any():
        return dark
    speckle = min(float(np.percentile(found.variation[dark], 10)), _STRONGEST_SPECKLE)
    smooth = dark & (found.variation <= config.speckle * speckle) & (found.structure <= config.structure)
    # What was judged is the neighbourhood of a cell, so all of it is smooth; but not beyond the dark.
    grown = ndimage.binary_dilation(smooth, iterations=config.neighbourhood_cells // 2, mask=dark)
    labels, count = ndimage.label(grown)
    area = ndimage.sum_labels(grown, labels, np.arange(count + 1)) * CELL_PX**2
    return grown & (area >= config.least_area_px2)[labels]


def _neighbourhood(sums: np.ndarray, side: int) -> np.ndarray:
    """(4, h, w) averages over valid cells around each cell."""
    valid = sums[0]
    share = cv2.blur(valid, (side, side), borderType=cv2.BORDER_CONSTANT)
    return np.stack([cv2.blur(layer * valid, (side, side), borderType=cv2.BORDER_CONSTANT) for layer in sums[1:]]) / np.maximum(share, 1e-9)


def _pooled(values: np.ndarray, side: int) -> np.ndarray:
    height, width = values.shape
    return values.reshape(height // side, side, width // side, side).mean(axis=(1, 3), dtype=np.float64)
