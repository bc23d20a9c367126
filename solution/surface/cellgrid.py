"""Values on a coarse grid of square cells over an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CellGrid:
    """Values of the cells of an image.

    Attributes:
        values: (h, w); cell (i, j) covers the rows ``[i * cell_px, (i + 1) * cell_px)`` and the columns
            ``[j * cell_px, (j + 1) * cell_px)``; the last cells may reach past the image.
        cell_px: side of a cell.
        shape: (height, width) of the image.
    """

    values: np.ndarray
    cell_px: int
    shape: tuple[int, int]

    def at(self, xy: np.ndarray, outside: float | bool) -> np.ndarray:
        """(N,) values at positions in the image.

        Args:
            xy: (N, 2) positions (x, y), px, integers at pixel centres.
            outside: the value beyond the image, and where a position is not finite.
        """
        x, y = np.asarray(xy, float).T + 0.5
        with np.errstate(invalid="ignore"):
            inside = (x >= 0) & (y >= 0) & (x < self.shape[1]) & (y < self.shape[0])
        column, row = (np.where(inside, axis, 0).astype(int) // self.cell_px for axis in (x, y))
        return np.where(inside, self.values[row, column], outside)
