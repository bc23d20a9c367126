"""Two-dimensional noise with long tails, and an affine that stands it."""

from __future__ import annotations

import numpy as np

from solution.core import geometry
from solution.field.gate import Points
from solution.field.settings import MIN_AFFINE

MEDIAN_LENGTH = 1.1774
"""Median length of two-dimensional noise with a standard deviation of 1 per axis."""
RADIUS_68 = 1.5096
"""Radius within which 68 % of such noise lies."""
_REWEIGHTINGS = 12
_DEGREES = 3.0  # of freedom of Student-t noise
_LEAST_SCALE_PX = 0.05  # keeps weights finite where points agree to the last digit


def robust_affine(points: Points) -> geometry.Matrix:
    """Affine (translation with few or collinear points) with Student-t weights, from the median shift on."""
    base = points.weight / points.relative_sigma**2
    distance = np.hypot(*(points.shift - np.median(points.shift, axis=0)).T)
    enough = len(points) >= MIN_AFFINE
    for _ in range(_REWEIGHTINGS):
        weight = base * student(distance / points.relative_sigma, scale(distance))
        matrix = np.eye(3)
        if enough:
            matrix = geometry.fit_affine(points.xy, points.xy + points.shift, weight)
        else:
            matrix[:2, 2] = np.average(points.shift, axis=0, weights=weight)
        distance = np.hypot(*(geometry.apply(matrix, points.xy) - points.xy - points.shift).T)
    return matrix


def principal_axes(residual: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(2, 2) rows are unit vectors along which residuals (N, 2) with weights (N,) scatter least, and most.

    Terrain moves SAR ground along the range alone, so that what an affine leaves scatters most along the range.
    """
    return np.linalg.eigh(np.cov(residual.T, aweights=weight))[1].T


def scale(distance: np.ndarray) -> float:
    """Standard deviation per axis, px, of two-dimensional noise, from the median of its lengths (N,)."""
    return max(float(np.median(distance)) / MEDIAN_LENGTH, _LEAST_SCALE_PX) if len(distance) else _LEAST_SCALE_PX


def student(distance: np.ndarray, sigma: float) -> np.ndarray:
    """(N,) weights of two-dimensional Student-t noise, from its lengths (N,) and its standard deviation per axis, both
    in px.
    """
    return (_DEGREES + 2) / (_DEGREES + (distance / sigma) ** 2)
