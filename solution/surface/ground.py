"""The ground that the SAR image of a pair shows where candidates end: open water and drifting ice move, and smooth dark
ground shows nothing to match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from solution.core.errors import InputError
from solution.core.progress import Progress
from solution.data.scene import ScenePair
from solution.surface import PATCH_PX, water
from solution.surface.cellgrid import CellGrid
from solution.surface.network import PatchClassifier, check_channels
from solution.surface.scenes import scene_of

GROUND_FEATURES = ("surface_moving", *(f"surface_{name}" for name in water.MEASURES))
"""Whether the ground moves, 0 or 1, and the measures of `water.Smoothness`; NaN = unknown. Never a probability:
rerankers learn from statistics, which give none."""


@dataclass(frozen=True)
class Ground:
    """What the SAR image of a pair shows, by the cell.

    Attributes:
        pair: the scene.
        moving: float32, probability of water or drifting ice, a grid from the statistics, where it is 0 or 1, and one
            from the classifier, as far as they were asked; NaN = no data.
        measures: float32, one grid for each of `water.MEASURES`.
    """

    pair: ScenePair
    moving: tuple[CellGrid, ...]
    measures: tuple[CellGrid, ...]

    @classmethod
    def of(
        cls,
        pair: ScenePair,
        net: PatchClassifier | None = None,
        progress: Progress | None = None,
        by_statistics: bool = True,
    ) -> Ground:
        """Read the SAR image of a pair, in strips.

        Args:
            net: a surface classifier in evaluation mode, which says where water and ice are.
            by_statistics: take smooth dark ground for water, too.

        Raises:
            InputError: as `check_model`.
        """
        if net is not None:
            check_model(pair, net)
        with pair.open_sar() as dataset:
            if min(dataset.shape) < water.CELL_PX:
                nothing = _nothing(dataset.shape)
                return cls(pair, (), (nothing,) * len(water.MEASURES))
            smoothness = water.measured(dataset, pair.sar_overview)
            measures = tuple(water.on_cells(layer, dataset.shape) for layer in smoothness.layers())
            moving = []
            if by_statistics:
                flat = water.smooth_dark(smoothness, water.WaterConfig())
                moving.append(water.on_cells(np.where(smoothness.valid, flat, np.nan), dataset.shape))
            if net is not None:
                moving.append(water.moving_probability(scene_of(dataset, pair.sar), net, progress))
            return cls(pair, tuple(moving), measures)

    def moves(self, table: pd.DataFrame) -> np.ndarray:
        """(N,) bool, whether the candidates of a table end on water or drifting ice by any of
        `moving`; False where unknown."""
        return self._moving(self._ends(table)) == 1

    def features(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """`GROUND_FEATURES` -> (N,) float32, where the candidates of a table end."""
        ends = self._ends(table)
        values = (self._moving(ends), *(grid.at(ends, np.nan) for grid in self.measures))
        return {name: value.astype(np.float32) for name, value in zip(GROUND_FEATURES, values, strict=True)}

    def _moving(self, ends: np.ndarray) -> np.ndarray:
        """(N,) 1 where any of `moving` says so, 0 where none does, NaN where none knows."""
        said = [grid.at(ends, np.nan) for grid in self.moving]
        known = [np.where(np.isfinite(value), value > water.MOVING, np.nan) for value in said]
        return np.fmax.reduce([np.full(len(ends), np.nan), *known])

    def _ends(self, table: pd.DataFrame) -> np.ndarray:
        """(N, 2) positions in px of the SAR image as it is read."""
        landed = table[["x", "y"]].to_numpy() + table[["dx", "dy"]].to_numpy() + self.pair.centre_offset_px
        return self.pair.sar_positions(landed)


def check_model(pair: ScenePair, net: PatchClassifier) -> None:
    """Raise `InputError` where a surface classifier does not take the one band of a pair's SAR image, or the
    image is smaller than a patch."""
    check_channels(net, 1, pair.sar)
    if min(pair.sar_shape) < PATCH_PX:
        width, height = pair.sar_shape[::-1]
        raise InputError(
            f"{pair.sar}: is {width} x {height} px, smaller than a patch of the surface model, {PATCH_PX} px; leave --surface-model out"
        )


def _nothing(shape: tuple[int, int]) -> CellGrid:
    return CellGrid(np.full((1, 1), np.nan, np.float32), max(shape), shape)
