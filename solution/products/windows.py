"""Rasters on the optical grid that are read window by window, when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rasterio.windows import Window as RasterWindow

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.places import Place
from solution.data.opening import open_raster

_ROWS = 512  # that are held in memory at a time


@dataclass(frozen=True, eq=False)
class WindowedRaster:
    """A float32 raster on disk, read window by window.

    ``raster[y0:y1, x0:x1]`` reads a window and nothing else; ``numpy.asarray(raster)`` reads it whole. Indices are those
    of numpy, as far as they are whole numbers, slices and an ellipsis. Any nodata mask of the file is not looked at.

    Attributes:
        path: of the file.
        shape: (H, W) of one band, (H, W, 2) of a field of vectors (x, y).
    """

    path: Path
    shape: tuple[int, ...]
    _place: Place | None = field(default=None, repr=False)

    @classmethod
    def of(cls, path: Path, vectors: bool, place: Place | None = None) -> WindowedRaster:
        """The raster of a file, whose folder stays as long as it. Raises `InputError` for an unreadable one."""
        with open_raster(path) as dataset:
            return cls(path, (*dataset.shape, 2) if vectors else dataset.shape, place)

    @property
    def dtype(self) -> np.dtype:
        """float32."""
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"{self.path}: is read from disk, which makes a copy")
        return self[...].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key: object) -> np.ndarray:
        rows, columns, *bands = _axes(key, self.ndim)
        wanted_rows, wanted_columns = np.arange(self.shape[0])[rows], np.arange(self.shape[1])[columns]
        found = self._read(np.atleast_1d(wanted_rows), np.atleast_1d(wanted_columns))
        drop = tuple(0 if np.ndim(wanted) == 0 else slice(None) for wanted in (wanted_rows, wanted_columns))
        return found[(*drop, *bands)]

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(N,) or (N, 2) values at positions (N,) in px, bilinear between pixels; whole numbers are pixels, and beyond the
        outermost ones the border's value repeats."""
        x, y = (np.clip(value, 0, size - 1) for value, size in ((x, self.shape[1]), (y, self.shape[0])))
        out = np.empty((len(x), *self.shape[2:]), np.float64)
        for chosen in _strips(y):
            column, row = np.floor(x[chosen]).astype(int), np.floor(y[chosen]).astype(int)
            left, top = column.min(), row.min()
            block = self[top : row.max() + 2, left : column.max() + 2].astype(np.float64)
            block = np.pad(block, ((0, 1), (0, 1), *[(0, 0)] * (self.ndim - 2)), mode="edge")
            u, v = (fraction.reshape(-1, *[1] * (self.ndim - 2)) for fraction in (x[chosen] - column, y[chosen] - row))
            row, column = row - top, column - left
            upper = block[row, column] * (1 - u) + block[row, column + 1] * u
            lower = block[row + 1, column] * (1 - u) + block[row + 1, column + 1] * u
            out[chosen] = upper * (1 - v) + lower * v
        return out

    def _read(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(len(rows), len(columns)) or with 2 more; memory is what is asked for and a strip."""
        out = np.empty((len(rows), len(columns), *self.shape[2:]), np.float32)
        if not out.size:
            return out
        left, right = int(columns.min()), int(columns.max()) + 1
        with open_raster(self.path) as dataset:
            bands = list(range(1, self.ndim)) if self.ndim > 2 else 1
            for chosen in _strips(rows):
                top, bottom = int(rows[chosen].min()), int(rows[chosen].max()) + 1
                block = dataset.read(bands, window=RasterWindow(left, top, right - left, bottom - top))
                block = np.moveaxis(block, 0, -1) if self.ndim > 2 else block
                out[chosen] = block[rows[chosen] - top][:, columns - left]
        return out


def _strips(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Indices of the positions that lie in a strip of the file, strip by strip."""
    strip = np.floor_divide(rows, _ROWS).astype(int)
    for one in np.unique(strip):
        yield np.flatnonzero(strip == one)


def _axes(key: object, count: int) -> list:
    """An index for each axis, of those that numpy takes."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(not (isinstance(one, int | np.integer | slice) or one is Ellipsis) or isinstance(one, bool) for one in keys):
        raise TypeError("index with whole numbers, slices and an ellipsis; other indices need numpy.asarray(...) first")
    if sum(one is Ellipsis for one in keys) > 1 or len(keys) - (Ellipsis in keys) > count:
        raise IndexError(f"too many indices for {count} axes")
    at = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    before, after = keys[:at], keys[at + 1 :]
    return [*before, *[slice(None)] * (count - len(before) - len(after)), *after]


def inside(xy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(N,) bool, which positions (N, 2) are on a pixel of an image of shape (H, W, ...)."""
    return Window(0, 0, shape[1], shape[0]).holds(xy)


def check_inside(x: np.ndarray, y: np.ndarray, shape: tuple[int, ...], path: Path) -> None:
    """Raise `InputError` where a position is on no pixel of an image of shape (H, W, ...), or is not finite."""
    lies = inside(np.column_stack([x, y]), shape)
    if not lies.all():
        first = int(np.flatnonzero(~lies)[0])
        raise InputError(
            f"{path}: position x = {x[first]:g}, y = {y[first]:g} is outside its {shape[1]} x {shape[0]} px; pass columns as x and rows as y"
        )
