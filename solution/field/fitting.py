"""From candidates to the offset map: robust gate, a smooth random field, nodes, and a piecewise-affine map written block by block.

1. `consensus.consensus` sets aside rows that their neighbours do not support (relaxation labelling: rows vote with a weight that is their own
   support).
2. The kept shifts are a robust affine plus a Gaussian field with Matern covariance (nu = 1), given by its sparse precision matrix on a
   regular lattice (Lindgren, Rue & Lindstrom 2011, eq. 10-12) and fitted by iterated reweighting with Student-t noise. Both components are
   taken along the principal axes of the affine's residual: one of them is the SAR range, which carries the terrain and needs far less
   smoothing than the other (`robust.robust_affine`, `lattice.LatticeField`).
3. The lattice nodes span the map. On a square lattice the Delaunay triangulation is known: every cell is cut along its anti-diagonal, so the
   piecewise-affine map has a closed form (`shiftfield.Fit`) and 170 million pixels take seconds to write (`offset_map`).
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

from solution.field import candidates
from solution.field.consensus import consensus
from solution.field.gate import Points, distinct, simple_gate
from solution.field.gaussian import GaussianField
from solution.field.lattice import LatticeField, exact_step
from solution.field.robust import MEDIAN_LENGTH, RADIUS_68, robust_affine
from solution.field.settings import FitConfig
from solution.field.shiftfield import Fit, from_affine, within_limits

_RIGHT = 0.5  # least probability of a given point that is kept

__all__ = ["Fit", "FitConfig", "fit", "quiet_fit"]


def fit(
    table: pd.DataFrame,
    shape: tuple[int, int],
    gsd_m: float | None = None,
    config: FitConfig | None = None,
    moving: np.ndarray | None = None,
) -> tuple[Fit, pd.DataFrame]:
    """Fit the shift field of one scene.

    Args:
        table: `candidates` of one scene, from any number of sources.
        shape: (height, width) of the optical image.
        gsd_m: optical pixel size, where known: what proposers get wrong alike on the ground depends on it.
        moving: (N,) bool, rows on water or drifting ice, which are set aside; None = none.

    Returns:
        The fit, and a copy of the table with `outlier` filled: '', `invalid`, `outside`, `limit`, `confidence`, `quality`, `cycle`, `surface`, `neighbours`
        (disagrees with its neighbourhood) or `field` (disagrees with the fitted field). A fit of kind ``zero`` has warned.
    """
    config = config or FitConfig()
    table = candidates.check(table).copy()
    reason = simple_gate(table, shape, config)
    if moving is not None:
        reason[(reason == "") & moving] = "surface"
    points = distinct(table, np.flatnonzero(reason == ""), config)
    probability = consensus(points, config) if len(points) >= config.min_affine else np.ones(len(points))
    result = None
    if _stand_alone(points, config):
        result, right = _exact(points, probability, shape, config)
        probability = np.where(right, probability, 0.0)
        if result is not None:
            reason[points.rows_where(~right)] = "field"
    if result is None:
        result = _gated(points, probability, reason, shape, gsd_m, config)
    table["outlier"] = reason
    result = replace(result, inliers=int((reason == "").sum()), gsd_m=gsd_m)
    if gsd_m and result.sigma is not None and (points.source != candidates.GIVEN).any():
        result = replace(result, sigma=np.hypot(result.sigma, RADIUS_68 * config.unseen_m / gsd_m))
    if result.kind == "zero":
        warnings.warn("no candidates to trust: the offset map is ZERO SHIFT everywhere", stacklevel=2)
    return result, table


def _stand_alone(points: Points, config: FitConfig) -> bool:
    """Whether every point has an error of its own, and they are few enough for the exact process."""
    return config.min_field <= len(points) <= config.max_exact and (points.source == candidates.GIVEN).all()


def _exact(points: Points, probability: np.ndarray, shape: tuple[int, int], config: FitConfig) -> tuple[Fit | None, np.ndarray]:
    """The exact process as a field on nodes, None where it finds too few right points; and which points (N,) are right."""
    process = GaussianField(points.xy, points.shift, probability)
    right = process.probability >= _RIGHT
    if right.sum() < config.min_field:
        return None, right
    residual = float(np.median(np.hypot(*(process.predicted_px - points.shift)[right].T)))
    step = exact_step(len(points), shape, config)
    columns, rows = (max(2, int(np.ceil((size - 1) / step)) + 1) for size in shape[::-1])
    xy = np.stack(np.meshgrid(step * np.arange(columns), step * np.arange(rows)), axis=-1).reshape(-1, 2)
    nodes = within_limits(np.moveaxis(process.shift_at(xy).reshape(rows, columns, 2), -1, 0), points.shift[right])
    sigma = RADIUS_68 * np.hypot(process.sigma_at(xy), process.noise_px).reshape(rows, columns)
    return Fit("field", nodes, (0.0, 0.0), (step, step), int(right.sum()), residual, sigma=sigma), right


def _gated(
    points: Points, probability: np.ndarray, reason: np.ndarray, shape: tuple[int, int], gsd_m: float | None, config: FitConfig
) -> Fit:
    """From the points that their neighbours support; `reason` learns what was set aside for whom."""
    supported = probability >= config.min_probability
    reason[points.rows_where(~supported)] = "neighbours"
    points = replace(points, weight=points.weight * probability).keep(supported)
    result = _fit_points(points, shape, gsd_m, config)
    if result.kind != "zero":
        distance = np.hypot(*(points.shift - result.shift_at(points.xy)).T)
        limit = np.maximum(config.min_gate_px, config.gate_sigmas * result.residual_px / MEDIAN_LENGTH * points.relative_sigma)
        reason[points.rows_where(distance > limit)] = "field"
    return result


def quiet_fit(table: pd.DataFrame, shape: tuple[int, int], gsd_m: float | None = None, moving: np.ndarray | None = None) -> Fit:
    """A fit that no map is written from: a fall back to zero shift is said by its kind alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(table, shape, gsd_m, moving=moving)[0]


def _fit_points(points: Points, shape: tuple[int, int], gsd_m: float | None, config: FitConfig) -> Fit:
    if len(points) == 0:
        return from_affine("zero", np.eye(3), points.xy, points.shift, shape)
    base = robust_affine(points, config)
    kind = "shift" if np.array_equal(base[:2, :2], np.eye(2)) else "affine"
    if kind == "shift" or len(points) < config.min_field:
        return from_affine(kind, base, points.xy, points.shift, shape)
    proposed = (points.source != candidates.GIVEN).any()
    shared_px = float(np.hypot(config.shared_px, config.shared_m / gsd_m if gsd_m else 0.0)) if proposed else 0.0
    return LatticeField(points, base, shape, config, shared_px).fitted()
