"""Water and other smooth, dark ground of a SAR image, as a mask for registration: no match
on such ground can be trusted.

There are two ways to find it. `moving_probability` asks a surface classifier, which knows Sentinel-1 scenes of the
polar seas. `from_statistics` needs no model and suits any SAR image: it calls an area water where three things hold
over a neighbourhood of some hundred pixels.

- The mean is low for the scene.
- The coefficient of variation is that of speckle, which a homogeneous area of a SAR image has whatever its brightness
  (Ulaby et al. 1986).
- The averages of neighbouring blocks differ no more than speckle makes them, so there is no structure under it.

Small areas are left out, because roofs, roads and shadows are dark and smooth too.
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
from solution.data.frame import check_sar
from solution.data.validity import data_of
from solution.data.views import open_image
from solution.surface import NAMES
from solution.surface.cellgrid import CellGrid
from solution.surface.network import PatchClassifier, check_channels
from solution.surface.scenes import SurfaceScene, open_scene

CELL_PX = 16  # side of the cells that statistics are taken of
BLOCK_PX = 8  # side of the blocks within them whose means are compared
MEASURES = ("dark", "variation", "structure")
MOVING = 0.5
"""Ground that moves with a higher probability is masked."""
_CLASSIFIED_CELL_PX = 32
_STRIP_CELLS = 32  # rows of cells that are read at once
_QUANTISATION = 1 / 12  # variance of rounding to whole numbers
_SMOOTHEST_PERCENTILE = 10  # of the variation of dark cells, which is taken for that of speckle
_STRONGEST_SPECKLE = 1.0  # coefficient of variation of single-look intensity; that of amplitude is 0.52


@dataclass(frozen=True)
class WaterConfig:
    """When an area is water.

    Attributes:
        neighbourhood_cells: side of the square of cells over which statistics are taken.
        dark: largest mean amplitude, as a share of that of the scene's bright ground.
        bright_percentile: the percentile of the cells' means that is taken for bright ground.
        speckle: largest coefficient of variation, in multiples of that of the smoothest tenth of the dark cells.
        structure: largest root mean square difference of neighbouring blocks' means, as a share of the standard
            deviation of the pixels. Speckle whose neighbours are correlated over 2 px gives 0.35.
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
    """Statistics (h, w) of the neighbourhood of each whole cell, by which `smooth_dark` judges.

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


def mask(path: Path, net: PatchClassifier | None = None) -> CellGrid:
    """Water of a SAR GeoTIFF, bool.

    Args:
        net: a surface classifier, which finds ice too, for ice drifts; None = by statistics.

    Raises:
        InputError: unreadable; without a classifier, not one band of real values; with one, as `open_scene`, or other
            channels than it takes.
    """
    if net is None:
        return from_statistics(path, WaterConfig())
    with open_scene(path) as scene:
        check_channels(net, scene.channels, path)
        probability = moving_probability(scene, net)
    return replace(probability, values=probability.values > MOVING)


def moving_probability(scene: SurfaceScene, net: PatchClassifier, progress: Progress | None = None) -> CellGrid:
    """Probability, float32, of water or ice in cells of 32 px by a classifier; NaN where there is too little data."""
    from solution.surface.segment import classify_cells  # it also draws, for which predictions need not wait

    still = np.concatenate(
        [
            cells.probabilities[..., NAMES.index("land")]
            for cells in classify_cells(scene, net, _CLASSIFIED_CELL_PX, progress)
        ]
    )
    return CellGrid(1 - still, _CLASSIFIED_CELL_PX, scene.shape)


def from_statistics(path: Path, config: WaterConfig) -> CellGrid:
    """Smooth dark areas of a one-band SAR GeoTIFF, bool, read in strips.

    The values are amplitudes or decibels; intensity is taken for amplitude, which makes `WaterConfig.dark` laxer.
    Without any brighter ground beside it, water cannot be told from land that is as smooth, and nothing is masked.

    Raises:
        InputError: unreadable, or not one band of real values.
    """
    with open_image(path) as dataset:
        check_sar(dataset, path)
        if min(dataset.shape) < CELL_PX:
            raise InputError(
                f"{path}: is {dataset.width} x {dataset.height} px, too small for a water mask; choose a larger image"
            )
        return on_cells(smooth_dark(measured(dataset, raster.sar_overview(dataset), config), config), dataset.shape)


def measured(
    dataset: rasterio.io.DatasetReader, overview: raster.Overview, config: WaterConfig | None = None
) -> Smoothness:
    """Statistics of an open raster of at least one cell, which may be a warped view.

    Args:
        overview: what `raster.sar_overview` says of it.
    """
    decibel = not overview.radiometry.log
    strips = [_strip(dataset, top, decibel) for top in range(0, dataset.height - CELL_PX + 1, _STRIP_CELLS * CELL_PX)]
    return smoothness_of(np.concatenate(strips, axis=1), config or WaterConfig())


def on_cells(values: np.ndarray, shape: tuple[int, int]) -> CellGrid:
    """Values (h, w) of whole cells as a grid over an image, whose last, incomplete cells take the
    values of their neighbours."""
    cells = [-(-side // CELL_PX) for side in shape]
    completed = np.pad(
        values, [(0, whole - present) for whole, present in zip(cells, values.shape, strict=True)], mode="edge"
    )
    return CellGrid(completed if completed.dtype == bool else completed.astype(np.float32), CELL_PX, shape)


def _strip(dataset, top: int, decibel: bool) -> np.ndarray:
    """`cell_sums` (5, h, w) of the whole cells of the strip that begins at row `top`."""
    rows = min(_STRIP_CELLS * CELL_PX, dataset.height - top) // CELL_PX * CELL_PX
    window = RasterWindow(0, top, dataset.width // CELL_PX * CELL_PX, rows)
    raw = dataset.read(1, window=window)
    amplitude = raw.astype(np.float32)
    # Zeros among other amplitudes are dark water, not gaps: a cell counts as a gap where it holds nothing else.
    # Among decibels zeros fill what is empty.
    data = data_of(dataset, raw[None], window, zeros=not decibel)
    amplitude = np.where(data, amplitude, 0)
    amplitude = np.where(data, 10 ** (amplitude / 20), 0) if decibel else np.maximum(amplitude, 0)
    return cell_sums(amplitude, _QUANTISATION if raw.dtype.kind in "ui" else 0.0)


def cell_sums(amplitude: np.ndarray, rounding: float) -> np.ndarray:
    """(H, W) float32, whole cells -> (5, H / 16, W / 16) float64.

    By cell: validity, mean, mean square, and mean squared differences of neighbouring blocks along x and along y.

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
    """Statistics of a whole scene from its `cell_sums`."""
    valid = sums[0] > 0
    mean, square, across, down = _neighbourhood(sums, config.neighbourhood_cells)
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-12))
    bright = np.percentile(sums[1][valid], config.bright_percentile) if valid.any() else 1.0
    structure = np.sqrt(np.maximum(np.maximum(across, down), 0)) / deviation  # running sums may end a little below 0
    return Smoothness(valid, mean / max(bright, 1e-12), deviation / np.maximum(mean, 1e-12), structure)


def smooth_dark(found: Smoothness, config: WaterConfig) -> np.ndarray:
    """(h, w) bool, where there is water."""
    dark = found.valid & (found.dark <= config.dark)
    if not dark.any():
        return dark
    speckle = min(float(np.percentile(found.variation[dark], _SMOOTHEST_PERCENTILE)), _STRONGEST_SPECKLE)
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
    return np.stack(
        [cv2.blur(layer * valid, (side, side), borderType=cv2.BORDER_CONSTANT) for layer in sums[1:]]
    ) / np.maximum(share, 1e-9)


def _pooled(values: np.ndarray, side: int) -> np.ndarray:
    height, width = values.shape
    return values.reshape(height // side, side, width // side, side).mean(axis=(1, 3), dtype=np.float64)
