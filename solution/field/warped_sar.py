"""The SAR image resampled onto the optical grid through a fit, in its own dtype, with its own nodata value or a mask."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.dtypes import in_dtype_range
from rasterio.windows import Window as RasterWindow

from solution.core import geometry
from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.data.scene import ScenePair
from solution.data.validity import data_of
from solution.field.rasters import BLOCK_ROWS, new_product, raster_window
from solution.field.shiftfield import Fit

NEAREST, BILINEAR, AVERAGE = "nearest", "bilinear", "average"
RESAMPLINGS = (NEAREST, BILINEAR, AVERAGE)
"""How values are taken: of the nearest SAR pixel; between four; or the mean of those that an optical pixel covers, which is
bilinear where it covers no more than one."""

_LEAST_SHARE = 0.5  # of the weight of a sample that must fall on pixels with data
_LEAST_SIDE = 32  # px of a block, however many SAR pixels an optical one covers
_EXACT_BYTES = 2  # of whole numbers that float32 holds exactly


def check_resampling(resampling: str) -> None:
    """Raise `InputError` for one that is not in `RESAMPLINGS`."""
    if resampling not in RESAMPLINGS:
        raise InputError(f"--resampling {resampling}: no such resampling; choose {', '.join(RESAMPLINGS)}")


def write_warped_sar(
    path: Path, fit: Fit, pair: ScenePair, resampling: str = BILINEAR, tags: Mapping[str, str] | None = None
) -> None:
    """Write the SAR image resampled onto the optical grid through the map, a Cloud-Optimized GeoTIFF.

    An optical pixel takes the SAR value at its apparent position; see the package's convention page. Where the SAR image
    has none, there is its nodata value, or, where it declares none, zero under a mask.

    Args:
        resampling: one of `RESAMPLINGS`.
        tags: of the file, beside what it means.
    """
    meaning = f"SAR image moved onto the optical grid through the offset map, resampling {resampling}"
    to_sar = geometry.centres(np.linalg.inv(pair.sar_to_optical))
    finer = max(1, math.ceil(1 / pair.sar_pixel_px - 1e-6))
    steps = finer if resampling == AVERAGE else 1
    with pair.open_sar(nearest=resampling == NEAREST) as source:
        sampler = _Sampler(source, to_sar, steps, resampling == NEAREST)
        profile = {"dtype": source.dtypes[0], "nodata": sampler.nodata}
        predictor = 3 if sampler.dtype.kind == "f" else 2
        with new_product(path, pair, (source.descriptions[0] or "sar",), predictor=predictor, **profile) as target:
            target.dataset.update_tags(**{**(tags or {}), "MEANING": meaning})
            for window in _windows(pair.shape, max(_LEAST_SIDE, BLOCK_ROWS // finer)):
                value, data = sampler.sample(window, fit.block(window) + pair.centre_offset_px[:, None, None])
                target.write(value, 1, window=raster_window(window))
                if sampler.nodata is None:
                    target.write_mask(data, window=raster_window(window))


def _windows(shape: tuple[int, int], side: int) -> list[Window]:
    """Those that cover an image, cut at its border."""
    height, width = shape
    return [
        Window(one.x, one.y, min(side, width - one.x), min(side, height - one.y))
        for one in geometry.tile_grid(shape, side)
    ]


class _Sampler:
    """Samples an open SAR raster at the optical pixels of a window.

    Attributes:
        dtype: of the values.
        nodata: that stands where there is no data; None where a mask must say so.
    """

    def __init__(self, source: rasterio.io.DatasetReader, to_sar: geometry.Matrix, steps: int, nearest: bool) -> None:
        """Args: `to_sar` from the optical array grid to that of the raster; `steps` samples a side in an optical pixel."""
        self._source, self._to_sar, self._nearest = source, to_sar, nearest
        self.dtype = np.dtype(source.dtypes[0])
        holds = source.nodata is not None and in_dtype_range(source.nodata, source.dtypes[0])
        self.nodata = source.nodata if holds else None
        within = (np.arange(steps) + 0.5) / steps - 0.5
        self._offsets = np.stack(np.meshgrid(within, within), axis=-1).reshape(-1, 2) @ to_sar[:2, :2].T

    def sample(self, window: Window, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(h, w) values in the raster's dtype and (h, w) bool, which of them are data; `shift` (2, h, w) is the apparent
        one."""
        x, y = np.arange(window.x, window.stop[0], dtype=np.float64), np.arange(window.y, window.stop[1])
        position = geometry.apply(self._to_sar, np.stack(np.meshgrid(x, y), axis=-1) + np.moveaxis(shift, 0, -1))
        part = self._part(position)
        if part is None:
            nothing = np.zeros(position.shape[:2], bool)
            return self._stored(np.zeros(nothing.shape, self.dtype), nothing), nothing
        block, data, corner = part
        take = self._nearest_of if self._nearest else self._mean_of
        value, share = take(block, data, position - corner)
        return self._stored(value, share), share

    def _part(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """The part of the raster that positions (h, w, 2) need: (H, W) values, (H, W) bool, place of its first pixel; None
        where they all lie beyond it."""
        reach = np.abs(self._offsets).max(axis=0)
        low = np.maximum(np.floor(position.min(axis=(0, 1)) - reach).astype(int) - 1, 0)
        size = [self._source.width, self._source.height]
        high = np.minimum(np.ceil(position.max(axis=(0, 1)) + reach).astype(int) + 2, size)
        if (high <= low).any():
            return None
        place = RasterWindow(*low.tolist(), *(high - low).tolist())
        block = self._source.read([1], window=place)
        # A zero that the image does not declare is a value like others
        return block[0], data_of(self._source, block, place, zeros=self._source.nodata != 0), low

    def _nearest_of(self, block: np.ndarray, data: np.ndarray, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        column, row = np.moveaxis(np.floor(local + 0.5).astype(np.int64), -1, 0)
        inside = (column >= 0) & (row >= 0) & (column < block.shape[1]) & (row < block.shape[0])
        column, row = np.where(inside, column, 0), np.where(inside, row, 0)
        return block[row, column], inside & data[row, column]

    def _mean_of(self, block: np.ndarray, data: np.ndarray, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean over the samples of a pixel, each of them bilinear."""
        wide = self.dtype.itemsize > _EXACT_BYTES and self.dtype != np.float32
        exact = np.float64 if wide else np.float32
        planes = np.stack([np.where(data, block, 0).astype(exact), data.astype(exact)], axis=-1)
        total = np.zeros((*local.shape[:2], 2), exact)
        for offset in self._offsets:
            column, row = np.moveaxis((local + offset).astype(np.float32), -1, 0)
            total += cv2.remap(planes, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        value, share = np.moveaxis(total / len(self._offsets), -1, 0)
        return value / np.maximum(share, _LEAST_SHARE), share >= _LEAST_SHARE

    def _stored(self, value: np.ndarray, data: np.ndarray) -> np.ndarray:
        """(h, w) in the raster's dtype; nodata, or 0 under the mask, where there is no data, and nodata nowhere else."""
        rounded = np.rint(value) if self.dtype.kind in "ui" and value.dtype != self.dtype else value
        out = rounded.astype(self.dtype)
        gap = self.dtype.type(0 if self.nodata is None else self.nodata)
        if self.nodata is not None:
            taken = data & (out == gap)
            out[taken] = _neighbour(gap)
        out[~data] = gap
        return out


def _neighbour(value: np.generic) -> np.generic:
    """The value next to one, of the same dtype."""
    if value.dtype.kind == "f":
        return np.nextafter(value, value.dtype.type(np.inf))
    return value + value.dtype.type(1) if value < np.iinfo(value.dtype).max else value - value.dtype.type(1)
