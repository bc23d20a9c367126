"""Values on a coarse grid of square cells over an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CellGrid:
    """What is known of an image by the cell.

    Attributes:
        values: (h, w); cell (i, j) covers the pixels ``[i * cell_px, (i + 1) * cell_px)`` x ``[j * cell_px, (j + 1) * cell_px)``; the last ones may reach past the image.
        cell_px: side of a cell.
        shape: (height, width) of the image.
    """

    values: np.ndarray
    cell_px: int
    shape: tuple[int, int]

    def at(self, xy: np.ndarray, outside: float | bool) -> np.ndarray:
        """(N,) values at positions (N, 2) = (x, y) in px of the image, integers at pixel centres; `outside` beyond the image and where not finite."""
        x, y = np.asarray(xy, float).T + 0.5
        with np.errstate(invalid="ignore"):
            inside = (x >= 0) & (y >= 0) & (x < self.shape[1]) & (y < self.shape[0])
        column, row = (np.where(inside, axis, 0).astype(int) // self.cell_px for axis in (x, y))
        return np.where(inside, self.values[row, column], outside)
