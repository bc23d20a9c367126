"""What a fit says of matches that it did not see: whole blocks of them are held out, and the scene is fitted again.

Neighbouring matches share most of their pixels, and so their errors. Rows that are held out one by one would be
foretold by their neighbours' mistakes; whole blocks are foretold from further away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from solution.core import geometry
from solution.field.fitting import quiet_fit
from solution.field.gate import Points, distinct
from solution.field.robust import principal_axes, robust_affine
from solution.field.settings import BLOCK_PX, MIN_FIELD, WINDOW_PX, FitConfig

FOLDS = 5
_BLOCKS_PX = (WINDOW_PX, BLOCK_PX, BLOCK_PX / 2, BLOCK_PX / 4)  # the largest that gives enough blocks is taken
_LEAST_BLOCKS = 4 * FOLDS
_MOST_ROWS = 600_000  # that are fitted in all; a fit of 400,000 takes about ten seconds
_SEED = 0


@dataclass(frozen=True)
class HeldOut:
    """Residuals of held-out matches.

    Attributes:
        rows: (N,) numbers of the table's rows that were held out; the fit to all rows kept them.
        residual: (N, 2) shift of the row less that of the field that was fitted without the row's fold, optical px.
        block_px: side of a block.
        blocks: how many there are, in all folds.
        folds: how many of the `FOLDS` folds were held out; fewer than all where there are very many rows.
        shared: whether neighbouring blocks share windows of the matching, as blocks below `WINDOW_PX` do.
    """

    rows: np.ndarray
    residual: np.ndarray
    block_px: float
    blocks: int
    folds: int

    @property
    def length(self) -> np.ndarray:
        """(N,) px."""
        return np.hypot(*self.residual.T)

    @property
    def shared(self) -> bool:
        return self.block_px < WINDOW_PX


def hold_out(table: pd.DataFrame, shape: tuple[int, int], gsd_m: float | None) -> HeldOut | None:
    """Hold out the kept rows of a table fold by fold, each time fitting all others anew, gate and consensus included.

    Args:
        table: candidates of one scene with `outlier` filled. Rows on water stay out; all others may come back.
        shape: (height, width) of the optical image.
        gsd_m: optical pixel size, where known.

    Returns:
        None where there are too few rows or blocks to hold any out.
    """
    kept = np.flatnonzero((table["outlier"] == "").to_numpy())
    if len(kept) < MIN_FIELD:
        return None
    block_px, block = _blocks(table[["x", "y"]].to_numpy()[kept])
    blocks = int(block.max()) + 1
    if blocks < 2:
        return None
    fold = np.random.default_rng(_SEED).permutation(blocks)[block] % FOLDS
    usable = (table["outlier"] != "surface").to_numpy()
    folds = np.unique(fold)[: max(1, _MOST_ROWS // int(usable.sum()))]
    rows, residual = [], []
    for held in (kept[fold == number] for number in folds):
        seen = usable.copy()
        seen[held] = False
        field = quiet_fit(table[seen].reset_index(drop=True), shape, gsd_m)
        own = table.iloc[held]
        rows.append(held)
        residual.append(own[["dx", "dy"]].to_numpy() - field.shift_at(own[["x", "y"]].to_numpy()))
    return HeldOut(np.concatenate(rows), np.concatenate(residual), block_px, blocks, len(folds))


def range_axis(table: pd.DataFrame) -> tuple[np.ndarray, float] | None:
    """The direction along which the terrain moves the scene's ground: that of the SAR range.

    It is the principal axis by which the fit smooths: of what the affine leaves of the kept rows.

    Returns:
        (2,) unit vector (x, y) whose x is not negative, and the share of the variance that lies along it, from 1/2
        (no direction stands out) to 1; None where there are too few rows, or nothing is left.
    """
    kept = np.flatnonzero((table["outlier"] == "").to_numpy())
    points = distinct(table, kept, FitConfig())
    if len(points) < MIN_FIELD:
        return None
    left = _beyond_affine(points)
    axis = principal_axes(left, points.weight)[1]
    spread = (
        np.average((left @ axis) ** 2, weights=points.weight),
        np.average((left**2).sum(axis=1), weights=points.weight),
    )
    return (axis if axis[0] >= 0 else -axis, float(spread[0] / spread[1])) if spread[1] > 0 else None


def _beyond_affine(points: Points) -> np.ndarray:
    """(N, 2) shifts less those of the robust affine."""
    base = robust_affine(points)
    return points.shift - (geometry.apply(base, points.xy) - points.xy)


def _blocks(xy: np.ndarray) -> tuple[float, np.ndarray]:
    """Side of the blocks, and the number of the block (N,) that each position lies in."""
    for side in _BLOCKS_PX:
        _, block = np.unique(np.floor(xy / side), axis=0, return_inverse=True)
        if block.max() + 1 >= _LEAST_BLOCKS:
            break
    return side, block
