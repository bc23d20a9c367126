"""Candidates as points to fit: rows gated one by one, copies put together, neighbours that vote on each other, and a robust affine.

The vote is relaxation labelling: points vote with a weight that is their own support.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from solution import geometry

MEDIAN_LENGTH = 1.1774
"""Of two-dimensional noise with a standard deviation of 1 per axis."""
RADIUS_68 = 1.5096
"""Within which 68 % of it lie."""
WINDOWED = ("flow",)
"""Sources that read their rows off overlapping windows."""

_ROUNDS = 12
_FIRST_SHARE = 0.6  # of good rows, before any is judged
_DEGREES = 3.0  # of Student-t noise


@dataclass(frozen=True)
class FitConfig:
    """Settings of the fit; the defaults are meant for every scene.

    Attributes:
        min_confidence: rows below are set aside.
        min_quality: likewise rows that the reranker gives less; rows that it has not judged pass.
        max_cycle_px: rows with a larger forward-backward error are set aside.
        neighbours: how many rows vote on a row.
        noise_px, slope: prior of the gate: noise of a typical row, and how fast the field wanders with distance (px per px).
        margin_px: added to the range of shifts over which wrong rows are thought uniform.
        sharing: share of the neighbours' error that averaging does not remove.
        min_probability: rows that belong to the field with less are set aside; the others keep it as a weight.
        min_field, min_affine: kept rows that a field and an affine need.
        max_exact: up to this many given points are fitted exactly (`gaussian`); more, and proposed ones, on the lattice.
        max_nodes: upper limit of the lattice.
        min_step_px, max_step_px: limits of the node distance.
        block_px, window_px: rows err alike within the first, and still much alike within the second.
        shared_px, shared_m: standard deviation per axis of what the proposed rows of a block get wrong alike, of the pixels and, where their size is known, on the
            ground; see `lattice.LatticeField._stiffness`.
        least_rows: rows of a source within window_px that have a vote together; fewer, which may be there by chance, have less.
        unseen_m: standard deviation per axis of what proposers get wrong alike, on the ground: a wall for the roof's edge, a shadow for the house. No fit can
            see it; it goes into the error estimate of proposed candidates where the pixel size is known.
        windowed_vote: of a windowed source beside others, which see finer.
        gate_sigmas: rows this many noise scales off the field are set aside.
        min_gate_px: but never nearer than this.
    """

    min_confidence: float = 0.02
    min_quality: float = 0.5
    max_cycle_px: float = 12.0
    neighbours: int = 24
    noise_px: float = 5.0
    slope: float = 0.1
    margin_px: float = 20.0
    sharing: float = 0.7
    min_probability: float = 0.2
    min_field: int = 16
    min_affine: int = 6
    max_exact: int = 600
    max_nodes: int = 40_000
    min_step_px: float = 16.0
    max_step_px: float = 128.0
    block_px: float = 96.0
    window_px: float = 192.0
    shared_px: float = 1.5
    shared_m: float = 1.0
    least_rows: int = 10
    windowed_vote: float = 0.25
    unseen_m: float = 1.5
    gate_sigmas: float = 5.0
    min_gate_px: float = 4.0


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


def consensus(points: Points, config: FitConfig) -> np.ndarray:
    """(N,) probability that a point belongs to the field, judged by its neighbours alone.

    Expectation-maximisation of a two-class mixture. A good point lies near what its neighbours predict, once the affine trend is taken off:
    their mean, weighted by their own probability and by the inverse variance of a field that wanders with distance, more along its main axis
    than across. A bad point is uniform over the range of all shifts. The point itself has no say, or it would always agree.
    """
    count = len(points)
    distance, index = cKDTree(points.xy).query(points.xy, k=min(config.neighbours + 1, count))
    others = index != np.arange(count)[:, None]
    low, high = np.percentile(points.shift, [2, 98], axis=0)
    outlier_density = 1.0 / np.prod(high - low + config.margin_px)
    noise = (config.noise_px * points.relative_sigma) ** 2
    probability, share = np.ones(count), _FIRST_SHARE
    for _ in range(_ROUNDS):
        trust = np.maximum(probability, 1e-4) * points.weight
        target, spread = principal(points, trust)
        ballot = others * trust[index]
        likelihood = share / (2 * np.pi)
        for axis in (0, 1):
            wander = np.minimum(config.slope * spread[axis] / spread[1] * distance, spread[axis]) ** 2
            variance = wander + noise[index]
            weight = ballot / variance
            total = weight.sum(axis=1) + 1 / spread[axis] ** 2
            mean = (weight * target[index, axis]).sum(axis=1) / total
            # Neighbours err together: their mean is hardly better than one of them.
            variance = config.sharing * ((weight * variance).sum(axis=1) + 1) / total + noise
            likelihood = likelihood * np.exp(-0.5 * (target[:, axis] - mean) ** 2 / variance) / np.sqrt(variance)
        # Half a step at a time, or neighbours condemn each other in turns.
        probability = (probability + likelihood / (likelihood + (1 - share) * outlier_density)) / 2
        share = float(np.clip(probability.mean(), 0.1, 0.98))
    return probability


def principal(points: Points, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (N, 2) to the affine trend along the axes across and along their main direction, and their two standard deviations."""
    trend = geometry.fit_affine(points.xy, points.xy + points.shift, trust)
    residual = points.shift - (geometry.apply(trend, points.xy) - points.xy)
    power, axes = np.linalg.eigh(np.einsum("n,ni,nj->ij", trust, residual, residual) / trust.sum())
    return residual @ axes, np.sqrt(np.maximum(power, 4.0))


def robust_affine(points: Points, config: FitConfig) -> geometry.Matrix:
    """Affine (translation with few or collinear points) with Student-t weights, from the median shift on."""
    base = points.weight / points.relative_sigma**2
    distance = np.hypot(*(points.shift - np.median(points.shift, axis=0)).T)
    enough = len(points) >= config.min_affine
    for _ in range(_ROUNDS):
        weight = base * student(distance / points.relative_sigma, scale(distance))
        matrix = np.eye(3)
        if enough:
            matrix = geometry.fit_affine(points.xy, points.xy + points.shift, weight)
        else:
            matrix[:2, 2] = np.average(points.shift, axis=0, weights=weight)
        distance = np.hypot(*(geometry.apply(matrix, points.xy) - points.xy - points.shift).T)
    return matrix


def scale(distance: np.ndarray) -> float:
    """Standard deviation per axis, px, of two-dimensional noise, from the median of its lengths (N,)."""
    return max(float(np.median(distance)) / MEDIAN_LENGTH, 0.05) if len(distance) else 0.05


def student(distance: np.ndarray, sigma: float) -> np.ndarray:
    """(N,) weights of two-dimensional Student-t noise, from its lengths (N,) and its standard deviation per axis, both in px."""
    return (_DEGREES + 2) / (_DEGREES + (distance / sigma) ** 2)
