"""A tile of both images with the SAR one read through a field, and the matches found in it as rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from solution.core.geometry import Window
from solution.data.raster import output_axes, output_grid
from solution.data.scene import ScenePair
from solution.field import candidates
from solution.field.fitting import Fit

Translate = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""SAR tile (h, w) in [0, 1] and its validity (h, w) -> optical-like (3, h, w) in [0, 1], as
`translator.network.translate` does with its network."""
TILES_A_PASS = 100_000
"""Tile numbers of a scene's n-th pass start at n times this."""
LARGE_SCENE_PX = 100e6
"""Above this many optical px a scene is matched on every second pixel, unless a finest level is asked for: every pixel
would take four times as long."""


def finest_level(shape: tuple[int, int], asked: int | None) -> int:
    """The level to end on for a scene of `shape` px: what was asked for, else every pixel, or every second one of a
    scene above `LARGE_SCENE_PX`."""
    return asked or (2 if shape[0] * shape[1] > LARGE_SCENE_PX else 1)


@dataclass(frozen=True)
class WarpedTile:
    """Both images on the grid of a level, in [0, 1]; the SAR image already moved by a field.

    Attributes:
        window: in optical px.
        factor: level, optical px per level px.
        field: what the SAR image was moved by; None = geocoding alone.
        optical: (3, h, w).
        optical_valid: (h, w).
        sar: (1, h, w).
        sar_valid: (h, w).
    """

    window: Window
    factor: int
    field: Fit | None
    optical: np.ndarray
    optical_valid: np.ndarray
    sar: np.ndarray
    sar_valid: np.ndarray

    def rows(
        self, pair: ScenePair, fold: int, source: str, number: int, p: np.ndarray, residual: np.ndarray, **columns
    ) -> pd.DataFrame:
        """Candidates from matches in the tile.

        Args:
            number: of the tile, for the table.
            p: (N, 2) optical positions, tile px.
            residual: (N, 2) apparent shifts that are left, tile px.
            columns: confidence; sigma_px and cycle_px in tile px.
        """
        xy, landed = self.optical_xy(p), self.optical_xy(p + residual)
        shift = residual * self.factor
        if self.field is not None:
            shift = shift + self.field.shift_at(landed)
        for name in ("sigma_px", "cycle_px"):
            columns[name] = columns[name] * self.factor
        return candidates.make(pair.name, fold, source, xy, shift, tile=number, **columns)

    def optical_xy(self, p: np.ndarray) -> np.ndarray:
        """Optical array positions (N, 2) of tile positions (N, 2)."""
        return np.array([self.window.x, self.window.y]) + (p + 0.5) * self.factor - 0.5


def read_tile(pair: ScenePair, window: Window, factor: int, field: Fit | None) -> WarpedTile | None:
    """Both images of a window; None where either has no data there."""
    optical, optical_valid = pair.sample_optical(output_grid(window, factor), factor)
    if not optical_valid.any():
        return None
    sar, sar_valid = read_sar(pair, window, factor, field)
    if not sar_valid.any():
        return None
    return WarpedTile(window, factor, field, optical, optical_valid, sar, sar_valid)


def read_sar(pair: ScenePair, window: Window, factor: int, field: Fit | None) -> tuple[np.ndarray, np.ndarray]:
    """The SAR image of a window moved by a field (None: as geocoded): (1, h, w) in [0, 1], and its validity (h, w)."""
    grid = output_grid(window, factor)
    if field is not None:
        grid += field.crossings(*output_axes(window, factor))
    return pair.sample_sar(grid + pair.centre_offset_px, factor)
