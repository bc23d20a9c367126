"""Neighbours that vote on each other (relaxation labelling): points vote with a weight that is their own support."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from solution.core import geometry
from solution.field.gate import Points
from solution.field.settings import FitConfig

_VOTES = 12
_FIRST_SHARE = 0.6  # of good rows, before any is judged


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
    for _ in range(_VOTES):
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
