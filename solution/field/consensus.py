"""Neighbours that vote on each other (relaxation labelling): points vote with a weight that is their own support."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from solution.core import geometry
from solution.field.gate import Points

_NEIGHBOURS = 24  # that vote on a point
_VOTES = 12  # rounds
_NOISE_PX = 5.0  # prior: noise of a typical point
_SLOPE = 0.1  # prior: how fast the field wanders with distance, px per px
_SHARING = 0.7  # share of the neighbours' error that averaging does not remove
_FIRST_SHARE = 0.6  # of good points, before any is judged
_SHARES = (0.1, 0.98)  # limits of that share: with none, or with all, no vote could change it any more
_BULK = (2, 98)  # percentiles of the shifts that wrong points are thought to spread over ...
_MARGIN_PX = 20.0  # ... and so much more
_LEAST_TRUST = 1e-4  # keeps sums of weights above 0
_LEAST_SPREAD = 4.0  # px^2, variance along an axis: a field that seems flatter is still allowed some terrain


def consensus(points: Points) -> np.ndarray:
    """(N,) probability that a point belongs to the field, judged by its neighbours alone.

    Expectation-maximisation of a two-class mixture. A good point lies near what its neighbours predict, once the affine
    trend is taken off: their mean, weighted by their own probability and by the inverse variance of a field that
    wanders with distance, more along its main axis than across. A bad point is uniform over the range of all shifts.
    The point itself has no say, or it would always agree.
    """
    count = len(points)
    distance, index = cKDTree(points.xy).query(points.xy, k=min(_NEIGHBOURS + 1, count))
    others = index != np.arange(count)[:, None]
    low, high = np.percentile(points.shift, _BULK, axis=0)
    outlier_density = 1.0 / np.prod(high - low + _MARGIN_PX)
    noise = (_NOISE_PX * points.relative_sigma) ** 2
    probability, share = np.ones(count), _FIRST_SHARE
    for _ in range(_VOTES):
        trust = np.maximum(probability, _LEAST_TRUST) * points.weight
        target, spread = _principal(points, trust)
        ballot = others * trust[index]
        likelihood = share / (2 * np.pi)
        for axis in (0, 1):
            wander = np.minimum(_SLOPE * spread[axis] / spread[1] * distance, spread[axis]) ** 2
            variance = wander + noise[index]
            weight = ballot / variance
            total = weight.sum(axis=1) + 1 / spread[axis] ** 2
            mean = (weight * target[index, axis]).sum(axis=1) / total
            # Neighbours err together: their mean is hardly better than one of them.
            variance = _SHARING * ((weight * variance).sum(axis=1) + 1) / total + noise
            likelihood = likelihood * np.exp(-0.5 * (target[:, axis] - mean) ** 2 / variance) / np.sqrt(variance)
        # Half a step at a time, or neighbours condemn each other in turns.
        probability = (probability + likelihood / (likelihood + (1 - share) * outlier_density)) / 2
        share = float(np.clip(probability.mean(), *_SHARES))
    return probability


def _principal(points: Points, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (N, 2) to the affine trend along the axes across and along their main direction, and their two standard
    deviations.
    """
    trend = geometry.fit_affine(points.xy, points.xy + points.shift, trust)
    residual = points.shift - (geometry.apply(trend, points.xy) - points.xy)
    power, axes = np.linalg.eigh(np.einsum("n,ni,nj->ij", trust, residual, residual) / trust.sum())
    return residual @ axes, np.sqrt(np.maximum(power, _LEAST_SPREAD))
