"""Candidates as points to fit: rows gated one by one, copies put together, sources balanced."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from solution.field.settings import FitConfig

WINDOWED = ("flow",)
"""Sources that read their rows off overlapping windows."""


@dataclass(frozen=True)
class Points:
    """Distinct candidates: rows that repeat each other to the last digit count once, so that copies cannot outvote the rest.

    Attributes:
        xy, shift: (N, 2).
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


def simple_gate(table: pd.DataFrame, shape: tuple[int, int], config: FitConfig) -> np.ndarray:
    """(N,) reasons that a row alone gives, '' for none; the first that applies wins."""
    x, y, dx, dy = (table[name].to_numpy() for name in ("x", "y", "dx", "dy"))
    confidence, cycle = table["confidence"].to_numpy(), table["cycle_px"].to_numpy()
    height, width = shape
    with np.errstate(invalid="ignore"):
        rules = {
            "invalid": ~(np.isfinite(x) & np.isfinite(y) & np.isfinite(dx) & np.isfinite(dy) & np.isfinite(confidence)),
            "outside": (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1),
            "limit": np.maximum(np.abs(dx), np.abs(dy)) > max(shape) / 2,
            "confidence": confidence < config.min_confidence,
            "quality": table["quality"].to_numpy() < config.min_quality,
            "cycle": cycle > config.max_cycle_px,
        }
    return np.select(list(rules.values()), list(rules), default="").astype(object)


def distinct(table: pd.DataFrame, usable: np.ndarray, config: FitConfig) -> Points:
    """The points of the rows `usable` (their numbers) of a candidate table; copies take the mean of their confidences and spreads."""
    values = table[["x", "y", "dx", "dy"]].to_numpy()[usable]
    unique, point_of = np.unique(values, axis=0, return_inverse=True)
    order = np.argsort(point_of, kind="stable")
    counts = np.bincount(point_of, minlength=len(unique))
    rows = np.split(usable[order], np.cumsum(counts)[:-1]) if len(unique) else []
    spread = np.hypot(table["sigma_px"].to_numpy()[usable], np.nan_to_num(table["cycle_px"].to_numpy()[usable]) / 2)
    known = np.isfinite(spread) & (spread > 0)
    relative = np.clip(spread / np.median(spread[known]), 0.5, 4.0) if known.any() else np.ones(len(usable))
    relative = np.where(known, relative, 1.0)
    columns = (table["confidence"].to_numpy()[usable], relative)
    means = (np.bincount(point_of, values, len(unique)) / counts for values in columns)
    source = np.empty(len(unique), dtype=object)
    source[point_of] = table["source"].to_numpy()[usable]
    points = Points(unique[:, :2], unique[:, 2:], *means, source, rows)
    return replace(points, weight=points.weight * _balance(points, config))


def _balance(points: Points, config: FitConfig) -> np.ndarray:
    """(N,) factors of mean 1 that give the sources of a neighbourhood one vote each, windowed ones a part of one: the rows of one source err alike there,
    however many they are."""
    number, sources = pd.factorize(points.source)
    if len(sources) < 2:
        return np.ones(len(points))
    place = np.floor(points.xy / config.window_px)
    _, group = np.unique(np.column_stack([place, number]), axis=0, return_inverse=True)
    share = 1.0 / np.maximum(np.bincount(group)[group], config.least_rows)
    share[np.isin(points.source, WINDOWED)] *= config.windowed_vote
    return share / share.mean()
