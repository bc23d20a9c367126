"""Terrain height as a regressor: a DEM says where the shift bends, tie-points say how much.

To a side-looking radar, ground is displaced in proportion to its height, along one direction for a whole scene:

    shift = field(x, y) + slope * (height - mean height)

What is left to the field is smooth, so that few tie-points suffice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.names import quoted
from solution.data.frame import check_placed
from solution.data.scene import ScenePair
from solution.data.validity import data_bands
from solution.data.views import open_image
from solution.field import fitting
from solution.field.robust import scale, student
from solution.field.settings import MIN_FIELD
from solution.field.shiftfield import QUANTUM, Fit

_REWEIGHTINGS = 10
_STRIP_ROWS = 256  # of the DEM that are read at a time
_LEAST_COVERED = 0.5  # share of the tie-points that a DEM must hold heights for
_FLAT = 1e-9  # keeps divisions by the spread of the heights finite on flat ground


class Relief:
    """An open DEM on the optical grid, read in windows.

    Attributes:
        mean: mean height over the tie-points, in the DEM's units.
    """

    def __init__(self, view: WarpedVRT) -> None:
        self._view, self.mean = view, 0.0

    def block(self, window: Window) -> np.ndarray:
        """(height, width) float32, 0 where the DEM has no data."""
        heights = self._view.read(1, window=RasterWindow(window.x, window.y, window.width, window.height), masked=True)
        return np.nan_to_num(heights.astype(np.float32).filled(np.nan) - np.float32(self.mean), nan=0.0)

    def at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) heights above 0 of the DEM at the optical pixels nearest to (N, 2); NaN outside it."""
        column, row = (
            np.clip(np.rint(axis), 0, size - 1).astype(int)
            for axis, size in zip(xy.T, (self._view.width, self._view.height), strict=True)
        )
        heights = np.full(len(xy), np.nan)
        for top in np.unique(row // _STRIP_ROWS) * _STRIP_ROWS:
            here = np.flatnonzero(row // _STRIP_ROWS * _STRIP_ROWS == top)
            rows = min(_STRIP_ROWS, self._view.height - top)
            strip = self._view.read(1, window=RasterWindow(0, top, self._view.width, rows), masked=True)
            heights[here] = strip.astype(np.float32).filled(np.nan)[row[here] - top, column[here]]
        return heights


@dataclass(frozen=True)
class ReliefFit(Fit):
    """A fit with a term in height.

    Attributes:
        relief: gives the heights, while its DEM is open.
        slope: (2,) px per unit of height.
    """

    relief: Relief | None = field(default=None, repr=False)
    slope: tuple[float, float] = (0.0, 0.0)

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """Shifts (N, 2) at optical positions (N, 2): those of the field, and beside them the slope times the height of
        the nearest pixel.
        """
        height = np.nan_to_num(self.relief.at(np.asarray(xy, np.float64)) - self.relief.mean, nan=0.0)
        return super().shift_at(xy) + height[:, None] * np.array(self.slope)

    def crossings(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(rows, columns, 2) float32 shifts where columns at x cross rows at y, as `shift_at` gives them."""
        xy = np.stack(np.meshgrid(x, y), axis=-1)
        return self.shift_at(xy.reshape(-1, 2)).reshape(xy.shape).astype(np.float32)

    def block(self, window: Window) -> np.ndarray:
        """(2, height, width) float32 shifts at every index of a window, terrain included."""
        bent = super().block(window) + np.array(self.slope, np.float32)[:, None, None] * self.relief.block(window)
        return np.rint(bent * QUANTUM) / np.float32(QUANTUM)

    def summary(self) -> str:
        """One line for people."""
        return f"{super().summary()}, and {self.slope[0]:+.3f}, {self.slope[1]:+.3f} px per unit of terrain height"


@contextmanager
def open_relief(path: Path, pair: ScenePair) -> Iterator[Relief]:
    """A DEM as seen on the optical grid. Raises `InputError` without a CRS, or with more than one band."""
    with open_image(path) as dataset:
        check_placed(dataset, path)
        bands = len(data_bands(dataset))
        if bands != 1:
            raise InputError(
                f"{path}: has {bands} bands where a DEM has one; pick one, for example: gdal_translate -b 1 {quoted(path)} dem.tif"
            )
        height, width = pair.shape
        grid = {"crs": pair.crs, "transform": Affine(*pair.transform[:2].ravel()), "width": width, "height": height}
        with WarpedVRT(dataset, **grid, resampling=Resampling.bilinear, nodata=float("nan"), dtype="float32") as view:
            yield Relief(view)


def fit_with_relief(table: pd.DataFrame, pair: ScenePair, relief: Relief, path: Path) -> tuple[Fit, pd.DataFrame]:
    """A fit as `fitting.fit` gives it, with a term in height where held-out tie-points are better for it, else without.

    Raises:
        InputError: the DEM does not reach half of the tie-points.
    """
    plain, judged = fitting.fit(table, pair.shape, pair.gsd_m)
    kept = (judged["outlier"] == "").to_numpy()
    if plain.kind == "zero" or kept.sum() < MIN_FIELD:
        return plain, judged
    xy = table[["x", "y"]].to_numpy()
    height = np.full(len(table), np.nan)
    inside = np.isfinite(xy).all(axis=1)
    height[inside] = relief.at(xy[inside])
    if np.isfinite(height[kept]).mean() < _LEAST_COVERED:
        raise InputError(
            f"{path}: holds heights for less than half of the tie-points; choose a DEM that covers {pair.optical.name}"
        )
    relief.mean = float(np.nanmean(height[kept]))
    height = np.nan_to_num(height - relief.mean, nan=0.0)
    slope = _slope(xy[kept], judged.loc[kept, ["dx", "dy"]].to_numpy(), height[kept])
    level = table.assign(dx=table["dx"] - slope[0] * height, dy=table["dy"] - slope[1] * height)
    bent, level = fitting.fit(level, pair.shape, pair.gsd_m)
    if bent.kind != plain.kind or not bent.residual_px < plain.residual_px:
        return plain, judged
    values = {item.name: getattr(bent, item.name) for item in fields(Fit)}
    return ReliefFit(**values, relief=relief, slope=(float(slope[0]), float(slope[1]))), level.assign(
        dx=table["dx"], dy=table["dy"]
    )


def _slope(xy: np.ndarray, shift: np.ndarray, height: np.ndarray) -> np.ndarray:
    """(2,) px per unit of height, beside an affine, with Student-t weights."""
    extent = np.ptp(xy, axis=0).max() + 1.0
    terms = np.column_stack([xy / extent, np.ones(len(xy)), height / (np.std(height) + _FLAT)])
    weight = np.ones(len(xy))
    for _ in range(_REWEIGHTINGS):
        root = np.sqrt(weight)[:, None]
        solution = np.linalg.lstsq(terms * root, shift * root, rcond=None)[0]
        distance = np.hypot(*(terms @ solution - shift).T)
        weight = student(distance, scale(distance))
    return solution[3] / (np.std(height) + _FLAT)
