"""Where the ground of an optical pixel lies in the SAR image, as training is told it, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from rasterio.enums import Resampling
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from solution.data.opening import open_raster

_TRUTH_STEP_PX = 8
_DENSE_SPLINE = 600  # tie-points up to which one spline over all of them is cheap


class TiePointField:
    """Apparent shift interpolated between tie-points, and how sure it is.

    The shift is a thin-plate spline. Its standard deviation grows linearly with the distance to the nearest tie-point,
    with coefficients fitted to the residuals of ten-fold cross-validation, so that dense labels are used exactly where
    the tie-points are close enough.
    """

    def __init__(self, xy: np.ndarray, shift: np.ndarray, growth: np.ndarray | None = None) -> None:
        """xy (N, 2) optical px, shift (N, 2) apparent px.

        Args:
            growth: what an earlier cross-validation of the same tie-points found, as `state` tells it.
        """
        _, first = np.unique(xy, axis=0, return_index=True)
        self._xy, self._shift = xy[np.sort(first)], shift[np.sort(first)]
        self._tree = cKDTree(self._xy)
        self._spline = self._fit(self._xy, self._shift)
        self._sigma_at_zero, self._sigma_per_px = self._error_growth() if growth is None else map(float, growth)

    def state(self) -> dict[str, np.ndarray]:
        """What makes the same field again, without the cross-validation."""
        return {"xy": self._xy, "shift": self._shift, "growth": np.array([self._sigma_at_zero, self._sigma_per_px])}

    @staticmethod
    def _fit(xy: np.ndarray, shift: np.ndarray) -> RBFInterpolator:
        degree = 1 if len(xy) >= 4 else 0
        kernel = "thin_plate_spline" if degree else "linear"
        return RBFInterpolator(
            xy / 1000.0, shift, kernel=kernel, degree=degree, neighbors=None if len(xy) <= _DENSE_SPLINE else 64
        )

    def _error_growth(self) -> tuple[float, float]:
        count = len(self._xy)
        if count < 10:
            return 1.0, 0.05
        fold = np.random.default_rng(0).permutation(count) % 10
        distance, error = np.zeros(count), np.zeros(count)
        for k in range(10):
            kept, left_out = fold != k, fold == k
            distance[left_out] = cKDTree(self._xy[kept]).query(self._xy[left_out])[0]
            predicted = self._fit(self._xy[kept], self._shift[kept])(self._xy[left_out] / 1000.0)
            error[left_out] = np.hypot(*(predicted - self._shift[left_out]).T)
        near = distance <= np.median(distance)
        slope = 0.0
        if not near.all():  # tie-points on a regular grid are all equally far from each other
            further = np.median(distance[~near]) - np.median(distance[near])
            slope = (np.median(error[~near]) - np.median(error[near])) / max(further, 1.0)
        slope = max(float(slope), 0.2 * float(np.median(error) / max(np.median(distance), 1.0)))
        return max(float(np.median(error[near]) - slope * np.median(distance[near])), 0.5), slope

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> apparent shift (N, 2) px."""
        return self._spline(xy / 1000.0)

    def sigma_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> standard deviation (N,) px."""
        return self._sigma_at_zero + self._sigma_per_px * self._tree.query(xy)[0]


class TruthMapField:
    """Apparent shift from a simulator's exact offset map, kept at 1 / 8 of its resolution."""

    def __init__(self, cells: np.ndarray, step: np.ndarray, offset: np.ndarray) -> None:
        """cells (2, h, w) float32 means of index shifts, px; step (2,) px a cell (x, y); offset (2,) apparent less index
        shift, px."""
        self._map, self._step, self._offset = cells, step, offset

    @classmethod
    def of_file(cls, path: Path, centre_offset_px: np.ndarray) -> TruthMapField:
        """From an offset map. Raises `InputError` as `opening.open_raster`."""
        with open_raster(path) as dataset:
            shape = (-(-dataset.height // _TRUTH_STEP_PX), -(-dataset.width // _TRUTH_STEP_PX))
            # A mean lies at its cell's centre; GDAL's nearest pixel lies half a pixel beyond.
            cells = dataset.read([1, 2], out_shape=(2, *shape), resampling=Resampling.average).astype(np.float32)
            step = np.array([dataset.width / shape[1], dataset.height / shape[0]])
        return cls(cells, step, centre_offset_px)

    def state(self) -> dict[str, np.ndarray]:
        """What makes the same field again."""
        return {"cells": self._map, "step": self._step, "offset": self._offset}

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> apparent shift (N, 2) px; beyond the border the nearest value."""
        position = ((xy + 0.5) / self._step - 0.5).astype(np.float32)
        bands = [
            cv2.remap(band, position[:, :1], position[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
            for band in self._map
        ]
        return np.stack(bands, axis=1).astype(np.float64) + self._offset

    def sigma_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> standard deviation (N,) px."""
        return np.full(len(xy), 0.5)


class RegisteredField:
    """Zero shift, good to about `sigma_px`."""

    def __init__(self, sigma_px: float) -> None:
        self._sigma_px = sigma_px

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> zeros (N, 2)."""
        return np.zeros((len(xy), 2))

    def sigma_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> standard deviation (N,) px."""
        return np.full(len(xy), self._sigma_px)


def field_of(state: Mapping[str, np.ndarray]) -> TiePointField | TruthMapField:
    """The field whose `state` it is."""
    if "cells" in state:
        return TruthMapField(state["cells"], state["step"], state["offset"])
    return TiePointField(state["xy"], state["shift"], state["growth"])
