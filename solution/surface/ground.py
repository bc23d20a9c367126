"""The ground that the SAR image of a pair shows where candidates end: open water and drifting ice move, and smooth dark ground shows nothing to match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from solution.errors import InputError
from solution.progress import Progress
from solution.scene import ScenePair
from solution.surface import PATCH_PX, water
from solution.surface.cellgrid import CellGrid
from solution.surface.network import PatchClassifier, check_channels
from solution.surface.scenes import scene_of

FEATURES = ("surface_moving", *(f"surface_{name}" for name in water.MEASURES))
"""Probability that the ground moves, and the measures of `water.Smoothness`; NaN = unknown."""


@dataclass(frozen=True)
class Ground:
    """What the SAR image of a pair shows, by the cell.

    Attributes:
        pair: the scene.
        moving: float32, probability of water or drifting ice; NaN = no data. From statistics it is 0 or 1.
        measures: float32, one grid for each of `water.MEASURES`.
    """

    pair: ScenePair
    moving: CellGrid
    measures: tuple[CellGrid, ...]

    @classmethod
    def of(cls, pair: ScenePair, net: PatchClassifier | None = None, progress: Progress | None = None) -> Ground:
        """Read the SAR image of a pair, once or twice, in strips.

        Args:
            net: a surface classifier in evaluation mode, which then says what moves; without it the statistics do.

        Raises:
            InputError: a classifier that does not take SAR images of one band, or an image smaller than its patches.
        """
        with pair.open_sar() as dataset:
            if min(dataset.shape) < water.CELL_PX:
                nothing = _nothing(dataset.shape)
                return cls(pair, nothing, (nothing,) * len(water.MEASURES))
            smoothness = water.measured(dataset, pair.sar_overview)
            measures = tuple(water.on_cells(layer, dataset.shape) for layer in smoothness.layers())
            if net is None:
                flat = water.smooth_dark(smoothness, water.WaterConfig())
                return cls(pair, water.on_cells(np.where(smoothness.valid, flat, np.nan), dataset.shape), measures)
            check_channels(net, dataset.count, pair.sar)
            if min(dataset.shape) < PATCH_PX:
                raise InputError(f"{pair.sar}: is smaller than a patch of the surface model, {PATCH_PX} px; leave --surface-model out")
            return cls(pair, water.moving_probability(scene_of(dataset, pair.sar), net, progress=progress), measures)

    def moves(self, table: pd.DataFrame) -> np.ndarray:
        """(N,) bool, whether the candidates of a table end on water or drifting ice; False where that is unknown."""
        return self.moving.at(self._ends(table), False) > water.MOVING

    def evidence(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """`FEATURES` -> (N,) float32, where the candidates of a table end."""
        ends = self._ends(table)
        grids = zip(FEATURES, (self.moving, *self.measures), strict=True)
        return {name: grid.at(ends, np.nan).astype(np.float32) for name, grid in grids}

    def _ends(self, table: pd.DataFrame) -> np.ndarray:
        """(N, 2) positions in px of the SAR image as it is read."""
        landed = table[["x", "y"]].to_numpy() + table[["dx", "dy"]].to_numpy() + self.pair.centre_offset_px
        return self.pair.sar_positions(landed)


def _nothing(shape: tuple[int, int]) -> CellGrid:
    return CellGrid(np.full((1, 1), np.nan, np.float32), max(shape), shape)
