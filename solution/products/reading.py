"""An offset map as pictures need it: decimated, checked, and finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.data.offsets import why_no_map
from solution.data.opening import open_raster
from solution.data.scene import ScenePair

_STRIP_ROWS = 256  # that are read at a time; the tiles of our maps have as many


def read_map(path: Path, pair: ScenePair | None, window: Window, shape: tuple[int, int]) -> np.ma.MaskedArray:
    """(2, h, w) float64 shift in optical px at the centres of a picture's pixels (nearest index); masked where the map
    says that there is no ground, and finite there too.

    Args:
        pair: of which it must be a map; None where the images are not there.
        window: what the picture shows, px.
        shape: (h, w) of the picture.

    Raises:
        InputError: a map of another grid, or one that is not finite.
    """
    with open_raster(path) as dataset:
        wrong = why_no_map(dataset, pair.shape, pair.transform, pair.crs) if pair else ""
        if wrong:
            raise InputError(f"{path}: {wrong}")
        values = _decimated(dataset, [1, 2], window, shape)
    finite = np.isfinite(values.data).all(axis=0)
    if not finite.all():
        raise InputError(
            f"{path}: is NaN or infinite at {1 - finite.mean():.1%} of what would be drawn; a map must be finite everywhere, predict it again or draw another --window"
        )
    return values.astype(np.float64)


def read_radius(path: Path, window: Window, shape: tuple[int, int]) -> np.ma.MaskedArray:
    """(h, w) 68 % radius of the error, px, as `read_map`."""
    with open_raster(path) as dataset:
        return _decimated(dataset, [1], window, shape)[0].astype(np.float64)


def _decimated(
    dataset: rasterio.io.DatasetReader, bands: list[int], window: Window, shape: tuple[int, int]
) -> np.ma.MaskedArray:
    """(len(bands), h, w) of the nearest pixels, every tile read once: GDAL's own decimation of several bands decodes
    tiles again and again, and takes minutes for a map of 100 MP."""
    rows = ((np.arange(shape[0]) + 0.5) * window.height / shape[0]).astype(np.int64) + window.y
    columns = ((np.arange(shape[1]) + 0.5) * window.width / shape[1]).astype(np.int64)
    parts = []
    for strip in np.unique(rows // _STRIP_ROWS):
        here = rows[rows // _STRIP_ROWS == strip]
        span = (int(here[0]), int(here[-1]) + 1)
        block = dataset.read(bands, window=(span, (window.x, window.stop[0])), masked=True)
        parts.append(block[:, here - span[0]][:, :, columns])
    return np.ma.concatenate(parts, axis=1)
