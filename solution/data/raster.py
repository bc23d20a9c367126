"""One raster: its validity and stretch, and its pixels at arbitrary positions.

Nothing here ever holds a full-size float image: everything is read through windows, and the only whole-image state is
an overview that is `OVERVIEW_CELL` times smaller on a side.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import rasterio
from rasterio.windows import Window as RasterWindow

from solution.core.geometry import Window
from solution.data.validity import data_bands, data_of, has_mask, read_data

OVERVIEW_CELL = 8
_STRIP_ROWS = 512


@dataclass(frozen=True)
class Radiometry:
    """Maps raw values to [0, 1]: an optional logarithm, then a linear stretch between two robust percentiles.

    The logarithm makes amplitude and intensity equal up to a factor that the stretch removes, and turns multiplicative
    speckle into additive noise.
    """

    low: float
    high: float
    log: bool
    floor: float = 1.0

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        value = np.log(np.maximum(raw, 0) + self.floor) if self.log else raw
        return np.clip((value - self.low) / max(self.high - self.low, 1e-12), 0.0, 1.0).astype(np.float32)

    @property
    def darkest(self) -> float:
        """A raw value that maps to 0, to fill gaps with; 0 itself would be the brightest one in decibels."""
        return 0.0 if self.log else self.low

    @classmethod
    def of_sample(cls, sample: np.ndarray, log: bool, percentiles: tuple[float, float]) -> Radiometry:
        """From a sample of valid raw values. `floor`, which keeps log(0) finite, is 5 % of the median amplitude."""
        if not log:
            low, high = np.percentile(sample, percentiles)
            return cls(float(low), float(high), False)
        positive = sample[sample > 0]
        floor = 0.05 * float(np.median(positive)) if len(positive) else 1.0
        low, high = np.percentile(np.log(np.maximum(sample, 0) + floor), percentiles)
        return cls(float(low), float(high), True, floor)


@dataclass(frozen=True)
class Overview:
    """A whole image at 1/`OVERVIEW_CELL`: what is valid, and how its values are stretched.

    Attributes:
        valid: (h, w) bool, true where any pixel of the cell carries data.
        radiometry: raw values to [0, 1].
    """

    valid: np.ndarray
    radiometry: Radiometry


def optical_bands(dataset: rasterio.io.DatasetReader) -> list[int]:
    """The first three bands that hold values, or the first one of a grey image."""
    bands = data_bands(dataset)
    return bands[:3] if len(bands) >= 3 else bands[:1]


def optical_overview(dataset: rasterio.io.DatasetReader) -> Overview:
    """Validity and stretch of an optical image (reads it once)."""
    return _overview(dataset, optical_bands(dataset), log=False, percentiles=(0.5, 99.5))


def sar_overview(dataset: rasterio.io.DatasetReader) -> Overview:
    """Validity and stretch of a SAR image (reads it once)."""
    return _overview(dataset, [1], log=True, percentiles=(1.0, 99.8))


def read_sar(dataset: rasterio.io.DatasetReader, overview: Overview, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """A SAR image on its own grid, with the pixels that registration sees.

    Args:
        window: px of the SAR image; may reach past it, where validity is 0.

    Returns:
        (h, w) in [0, 1] and validity (h, w), both float32.
    """
    grid = output_grid(window, 1)
    valid = sample_valid(overview.valid, grid, dataset.shape)
    raw = sample_values(dataset, [1], grid, 1.0, overview.radiometry.darkest)
    return overview.radiometry(raw[0]) * valid, valid


def output_grid(window: Window, factor: int) -> np.ndarray:
    """(h, w, 2) positions, in the optical array grid, of the centres of the window's output pixels."""
    return np.stack(np.meshgrid(*output_axes(window, factor)), axis=-1)


def output_axes(window: Window, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """x (w,) of the columns and y (h,) of the rows of `output_grid`."""
    x = window.x + (np.arange(window.width // factor) + 0.5) * factor - 0.5
    y = window.y + (np.arange(window.height // factor) + 0.5) * factor - 0.5
    return x, y


def _overview(
    dataset: rasterio.io.DatasetReader, bands: list[int], log: bool, percentiles: tuple[float, float]
) -> Overview:
    cell = OVERVIEW_CELL
    height, width = dataset.shape
    valid = np.zeros((-(-height // cell), -(-width // cell)), dtype=bool)
    samples = []
    stride = max(1, int(np.sqrt(height * width / 4e6)))
    for top in range(0, height, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, height - top)
        block, data = read_data(dataset, bands, RasterWindow(0, top, width, rows))
        padded = np.zeros((-(-rows // cell) * cell, valid.shape[1] * cell), dtype=bool)
        padded[:rows, :width] = data
        cells = padded.reshape(padded.shape[0] // cell, cell, -1, cell).any(axis=(1, 3))
        valid[top // cell : top // cell + len(cells)] = cells
        samples.append(block[:, ::stride, ::stride][:, data[::stride, ::stride]].astype(np.float32).ravel())
    sample = np.concatenate(samples)
    if len(sample) == 0:
        return Overview(valid, Radiometry(0.0, 1.0, False))
    decibel = log and float(np.percentile(sample, 2)) < 0
    return Overview(valid, Radiometry.of_sample(sample, log and not decibel, percentiles))


def sample_valid(overview: np.ndarray, xy: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(h, w) float32, 1 inside the image and inside a valid overview cell.

    Args:
        overview: `Overview.valid`.
        xy: (h, w, 2) array coordinates of the full image, whose (height, width) is `shape`.
    """
    x, y = xy[..., 0] + 0.5, xy[..., 1] + 0.5
    inside = (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
    column = np.clip(x * (1 / OVERVIEW_CELL), 0, overview.shape[1] - 1).astype(np.int32)
    row = np.clip(y * (1 / OVERVIEW_CELL), 0, overview.shape[0] - 1).astype(np.int32)
    return (inside & overview[row, column]).astype(np.float32)


def sample_values(
    dataset: rasterio.io.DatasetReader, bands: list[int], xy: np.ndarray, spacing_px: float, fill: float
) -> np.ndarray:
    """Raw values (bands, h, w) float32 at array positions xy (h, w, 2), averaged over whole pixels at wide spacings.

    `fill` takes the place of nodata, and of what lies outside.
    """
    step = max(1, int(spacing_px + 1e-6))
    (left, right), (top, bottom) = (
        _span(xy[..., axis], step, size) for axis, size in ((0, dataset.width), (1, dataset.height))
    )
    if right <= left or bottom <= top:
        return np.full((len(bands), *xy.shape[:2]), fill, dtype=np.float32)
    block = _averaged(dataset, bands, RasterWindow(left, top, right - left, bottom - top), step, fill)
    column, row = (
        ((xy[..., axis] + (0.5 - start)) / step - 0.5).astype(np.float32) for axis, start in ((0, left), (1, top))
    )
    return _remap(block, column, row)


def _averaged(
    dataset: rasterio.io.DatasetReader, bands: list[int], window: RasterWindow, step: int, fill: float
) -> np.ndarray:
    """As `_average_down`, of a window that is read strip by strip: on coarse levels it is the whole of a large image."""
    rows = window.height if step == 1 else max(_STRIP_ROWS // step, 1) * step
    strips = []
    for top in range(0, window.height, rows):
        part = RasterWindow(window.col_off, window.row_off + top, window.width, min(rows, window.height - top))
        block = dataset.read(bands, window=part)
        # Zeros of whole numbers are dark, and need no filling
        gaps = block.dtype.kind == "f" or bool(dataset.nodata) or has_mask(dataset)
        strips.append(_average_down(block, step, data_of(dataset, block, part) if gaps else None, fill))
    return np.concatenate(strips, axis=1) if len(strips) > 1 else strips[0]


def _span(position: np.ndarray, step: int, size: int) -> tuple[int, int]:
    """First pixel and one past the last one that bilinear samples of `step` px cells need along an axis of `size` px.

    The first one is a multiple of `step`, so that two windows average the same cells.
    """
    first = int(np.floor(position.min())) - 2 * step
    return max(0, first // step * step), min(size, int(np.ceil(position.max())) + 2 * step + 1)


def _remap(block: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Bilinear samples of (bands, H, W) at (h, w) positions; borders repeat. OpenCV rounds positions to 1/32 px."""
    limit = 32_000  # OpenCV indexes remap sources with 16 bits
    if max(block.shape[1:]) >= limit:
        raise ValueError(f"window of {block.shape[1:]} px is too large to resample at once")
    return np.stack([cv2.remap(band, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for band in block])


def _average_down(block: np.ndarray, step: int, data: np.ndarray | None, fill: float) -> np.ndarray:
    """Mean over step x step pixels that carry data (h, w), float32 (bands, H, W), `fill` where none does; `data` None =
    all do."""
    values = block.astype(np.float32)
    weight = None
    if data is not None:
        weight = data.astype(np.float32)
        values = np.where(data, values, np.float32(fill))
    if step == 1:
        return values
    pooled = np.stack([_pool_mean(band, step) for band in values])
    if weight is None:
        return pooled
    share = _pool_mean(weight, step)
    return np.where(share > 0, fill + (pooled - fill) / np.maximum(share, 1e-6), fill).astype(np.float32)


def _pool_mean(band: np.ndarray, step: int) -> np.ndarray:
    height, width = band.shape
    bottom, right = -height % step, -width % step
    if bottom or right:
        band = cv2.copyMakeBorder(band, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return cv2.resize(band, (band.shape[1] // step, band.shape[0] // step), interpolation=cv2.INTER_AREA)
