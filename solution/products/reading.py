"""An offset map as pictures need it: decimated, checked, and finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.data.offsets import why_no_map
from solution.data.opening import open_raster
from solution.data.scene import ScenePair


def read_map(path: Path, pair: ScenePair | None, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """(2, h, w) float64 shift in optical px at the centres of a picture's pixels (nearest index).

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
        values = dataset.read([1, 2], window=_rows_and_columns(window), out_shape=(2, *shape))
    finite = np.isfinite(values).all(axis=0)
    if not finite.all():
        raise InputError(
            f"{path}: is NaN or infinite at {1 - finite.mean():.1%} of what would be drawn; a map must be finite everywhere, predict it again or draw another --window"
        )
    return values.astype(np.float64)


def read_radius(path: Path, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """(h, w) 68 % radius of the error, px, as `read_map`."""
    with open_raster(path) as dataset:
        return dataset.read(1, window=_rows_and_columns(window), out_shape=shape).astype(np.float64)


def _rows_and_columns(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.y, window.stop[1]), (window.x, window.stop[0])
