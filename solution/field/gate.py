"""Candidates as points to fit: rows gated one by one, copies put together, sources balanced."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from solution.field.settings import WINDOW_PX, FitConfig

_MIN_CONFIDENCE = 0.02
_MIN_QUALITY = 0.5  # by design: what the reranker thinks more likely wrong than right
_MAX_CYCLE_PX = 12.0
_MOST_SHIFT = 0.5  # of the image's longer side; by design: what is farther off shows another place
_WAYS = 2  # a forward-backward error is made on two ways
_RELATIVE_SIGMA = (0.5, 4.0)  # limits; by design: what proposers claim of themselves is not believed beyond
_LEAST_ROWS = 10  # chosen on: s12, vhr_check, simulated
"""Rows of a source within a window that have a vote together; fewer, which may be there by chance, have less."""
_WINDOWED_VOTE = 0.25  # chosen on: s12, vhr_check, simulated
"""Of a windowed source beside others, which see finer."""


@dataclass(frozen=True)
class Points:
    """Distinct candidates: rows that repeat each other to the last digit count once, so that copies cannot outvote the
    rest.

    Attributes:
        xy, shift: (N, 2) optical index and index shift, optical px.
        weight: (N,) trust, in (0, 1] before the sources are balanced.
        relative_sigma: (N,) claimed standard deviation over the table's median.
        source: (N,) name of the source.
        rows: per point, the rows of the table that it stands for.
    """

    xy: np.ndarray
    shift: np.ndarray
    weight: np.ndarray
    relative_sigma: np.ndarray
    source: np.ndarray
    rows: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.xy)

    def keep(self, mask: np.ndarray) -> Points:
        """The points of a mask (N,)."""
        rows = [rows for rows, kept in zip(self.rows, mask, strict=True) if kept]
        columns = (self.xy, self.shift, self.weight, self.relative_sigma, self.source)
        return Points(*(column[mask] for column in columns), rows)

    def rows_where(self, mask: np.ndarray) -> np.ndarray:
        """Rows of the table that the points of a mask (N,) stand for."""
        chosen = [self.rows[i] for i in np.flatnonzero(mask)]
        return np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.int64)


def row_reasons(table: pd.DataFrame, shape: tuple[int, int], moving: np.ndarray | None = None) -> np.ndarray:
    """Reasons to set a row aside that the row alone gives.

    Args:
        table: `candidates` of one scene.
        shape: (height, width) of the optical image.
        moving: (N,) bool, rows on water or drifting ice; None = none.

    Returns:
        (N,) strings, '' for rows that may stay; the first reason that applies wins.
    """
    x, y, dx, dy = (table[name].to_numpy() for name in ("x", "y", "dx", "dy"))
    confidence, cycle = table["confidence"].to_numpy(), table["cycle_px"].to_numpy()
    height, width = shape
    with np.errstate(invalid="ignore"):
        rules = {
            "invalid": ~(np.isfinite(x) & np.isfinite(y) & np.isfinite(dx) & np.isfinite(dy) & np.isfinite(confidence)),
            "outside": (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1),
            "limit": np.maximum(np.abs(dx), np.abs(dy)) > _MOST_SHIFT * max(shape),
            "confidence": confidence < _MIN_CONFIDENCE,
            "quality": table["quality"].to_numpy() < _MIN_QUALITY,  # rows that no reranker has judged pass
            "cycle": cycle > _MAX_CYCLE_PX,
            "surface": np.zeros(len(table), bool) if moving is None else moving,
        }
    return np.select(list(rules.values()), list(rules), default="").astype(object)


def distinct(table: pd.DataFrame, usable: np.ndarray, config: FitConfig) -> Points:
    """The points of the rows `usable` (their numbers) of a candidate table; copies take the mean of their confidences
    and spreads.
    """
    values = table[["x", "y", "dx", "dy"]].to_numpy()[usable]
    unique, point_of = np.unique(values, axis=0, return_inverse=True)
    order = np.argsort(point_of, kind="stable")
    counts = np.bincount(point_of, minlength=len(unique))
    rows = np.split(usable[order], np.cumsum(counts)[:-1]) if len(unique) else []
    spread = np.hypot(table["sigma_px"].to_numpy()[usable], np.nan_to_num(table["cycle_px"].to_numpy()[usable]) / _WAYS)
    known = np.isfinite(spread) & (spread > 0)
    relative = np.clip(spread / np.median(spread[known]), *_RELATIVE_SIGMA) if known.any() else np.ones(len(usable))
    relative = np.where(known, relative, 1.0)
    columns = (table["confidence"].to_numpy()[usable], relative)
    means = (np.bincount(point_of, values, len(unique)) / counts for values in columns)
    source = np.empty(len(unique), dtype=object)
    source[point_of] = table["source"].to_numpy()[usable]
    points = Points(unique[:, :2], unique[:, 2:], *means, source, rows)
    return replace(points, weight=points.weight * _balance(points, config))


def _balance(points: Points, config: FitConfig) -> np.ndarray:
    """(N,) factors of mean 1 that give the sources of a neighbourhood one vote each, windowed ones a part of one.

    The rows of one source err alike there, however many they are.
    """
    number, sources = pd.factorize(points.source)
    if len(sources) < 2:
        return np.ones(len(points))
    place = np.floor(points.xy / WINDOW_PX)
    _, group = np.unique(np.column_stack([place, number]), axis=0, return_inverse=True)
    share = 1.0 / np.maximum(np.bincount(group)[group], _LEAST_ROWS)
    share[np.isin(points.source, config.windowed)] *= _WINDOWED_VOTE
    return share / share.mean()
