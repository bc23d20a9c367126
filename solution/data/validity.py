"""Which pixels carry data: one answer for reading, stretching, proposing and judging.

A pixel carries none where the file says so (an internal or external mask, an alpha band, its nodata value), where it is
not finite, and where it is zero in all bands. Fill that the file does not declare is declared by `solution.data.fill`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as RasterWindow


def data_bands(dataset: rasterio.io.DatasetReader) -> list[int]:
    """Numbers, from 1, of the bands that hold values: all but the alpha band."""
    alpha = _alpha_band(dataset)
    return [band for band in dataset.indexes if band != alpha]


def has_alpha(dataset: rasterio.io.DatasetReader) -> bool:
    """Whether one of the bands is alpha."""
    return _alpha_band(dataset) is not None


def has_mask(dataset: rasterio.io.DatasetReader) -> bool:
    """Whether a mask of the whole image, or an alpha band, says which pixels carry data."""
    return has_alpha(dataset) or MaskFlags.per_dataset in dataset.mask_flag_enums[0]


def _alpha_band(dataset: rasterio.io.DatasetReader) -> int | None:
    return next((band for band in dataset.indexes[1:] if dataset.colorinterp[band - 1] is ColorInterp.alpha), None)


def read_data(
    dataset: rasterio.io.DatasetReader, bands: Sequence[int], window: RasterWindow
) -> tuple[np.ndarray, np.ndarray]:
    """Raw values (len(bands), h, w) of a window inside the image, and which pixels carry data, (h, w) bool."""
    block = dataset.read(list(bands), window=window)
    return block, data_of(dataset, block, window)


def data_of(
    dataset: rasterio.io.DatasetReader, block: np.ndarray, window: RasterWindow, zeros: bool = False
) -> np.ndarray:
    """(h, w) bool, which pixels of a block (bands, h, w) that was read from a window carry data.

    Args:
        zeros: whether zero in all bands is data.
    """
    data = _has_values(block, dataset.nodata, zeros)
    if has_mask(dataset):
        alpha = _alpha_band(dataset)
        # GDAL takes alpha of whole numbers only for a mask
        data &= (dataset.dataset_mask(window=window) if alpha is None else dataset.read(alpha, window=window)) > 0
    return data


def _has_values(block: np.ndarray, nodata: float | None, zeros: bool) -> np.ndarray:
    """(h, w) bool by values alone: finite in every band, and neither nodata nor, unless `zeros`, zero in all of them."""
    data = np.isfinite(block).all(axis=0) if block.dtype.kind == "f" else np.ones(block.shape[1:], bool)
    if not zeros:
        data &= ~(block == 0).all(axis=0)
    if nodata and np.isfinite(nodata):
        data &= ~(block == nodata).all(axis=0)
    return data
