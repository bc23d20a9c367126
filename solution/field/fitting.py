"""From candidates to the offset map: robust gate, a smooth random field, nodes, and a piecewise-affine map written
block by block.

1. `consensus.consensus` sets aside rows that their neighbours do not support (relaxation labelling: rows vote with a
   weight that is their own support).
2. The kept shifts are a robust affine plus a Gaussian field with Matern covariance (nu = 1), given by its sparse
   precision matrix on a regular lattice (Lindgren, Rue & Lindstrom 2011, eq. 10-12) and fitted by iterated reweighting
   with Student-t noise. Both components are taken along the principal axes of the affine's residual: one of them is the
   SAR range, which carries the terrain and needs far less smoothing than the other (`robust.robust_affine`,
   `lattice.LatticeField`). Few tie-points that people bring along are fitted by a dense process instead, which learns
   its settings from them (`exact`).
3. The lattice nodes span the map. On a square lattice the Delaunay triangulation is known: every cell is cut along its
   anti-diagonal, so the piecewise-affine map has a closed form (`shiftfield.Fit`) and 170 million pixels take seconds
   to write (`offset_map`).
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

from solution.field import candidates
from solution.field.consensus import consensus
from solution.field.exact import GaussianField
from solution.field.gate import Points, distinct, row_reasons
from solution.field.lattice import LatticeField, exact_step
from solution.field.robust import MEDIAN_LENGTH, RADIUS_68, robust_affine
from solution.field.settings import MIN_AFFINE, MIN_FIELD, FitConfig
from solution.field.shiftfield import Fit, from_affine, within_limits

_MIN_PROBABILITY = 0.2  # that a point belongs to the field: with less it is set aside, else it keeps it as a weight
_GATE_SIGMAS = 5.0  # a point is set aside so many noise scales off the fitted field ...
_MIN_GATE_PX = 4.0  # ... but never nearer than this
# Points of people's own that are fitted exactly: the exact process takes time with the cube of their number
_MAX_EXACT = 600
_RIGHT = 0.5  # least probability of such a point that is kept; by design: more likely right than wrong
_SHARED_PX, _SHARED_M = 1.5, 1.0  # chosen on: s12, vhr_check, simulated
"""Standard deviation per axis of what the proposed rows of a block get wrong alike: in pixels, and on the ground."""
__all__ = ["Fit", "FitConfig", "fit", "quiet_fit", "with_unseen"]


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
        config: None = the defaults.
        moving: (N,) bool, rows on water or drifting ice, which are set aside; None = none.

    Returns:
        The fit, and a copy of the table with `outlier` filled: '', `invalid`, `outside`, `limit`, `confidence`,
        `quality`, `cycle`, `surface`, `neighbours` (disagrees with its neighbourhood) or `field` (disagrees with the
        fitted field). A fit of kind ``zero`` has warned.
    """
    config = config or FitConfig()
    table = candidates.check(table)
    of_rows = row_reasons(table, shape, moving)
    points = distinct(table, np.flatnonzero(of_rows == ""), config)
    fitted, of_points = _fit_points(points, shape, gsd_m, config)
    outlier = _put_together(of_rows, points, of_points)
    fitted = replace(fitted, inliers=int((outlier == "").sum()), gsd_m=gsd_m)
    if _any_proposed(points):
        fitted = with_unseen(fitted, config.unseen_m)
    if fitted.kind == "zero":
        warnings.warn("no candidates to trust: the offset map is ZERO SHIFT everywhere", stacklevel=2)
    return fitted, table.assign(outlier=outlier)


def quiet_fit(
    table: pd.DataFrame, shape: tuple[int, int], gsd_m: float | None = None, moving: np.ndarray | None = None
) -> Fit:
    """A fit that no map is written from: a fall back to zero shift is said by its kind alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(table, shape, gsd_m, moving=moving)[0]


def _fit_points(
    points: Points, shape: tuple[int, int], gsd_m: float | None, config: FitConfig
) -> tuple[Fit, np.ndarray]:
    """The fit, and why each point (N,) was set aside, '' for those that were kept."""
    probability = consensus(points) if len(points) >= MIN_AFFINE else np.ones(len(points))
    if _stand_alone(points):
        process = GaussianField(points.xy, points.shift, probability)
        right = process.probability >= _RIGHT
        if right.sum() >= MIN_FIELD:
            return _on_nodes(process, points, right, shape), np.where(right, "", "field")
        probability = np.where(right, probability, 0.0)
    supported = probability >= _MIN_PROBABILITY
    fitted = _fit_supported(replace(points, weight=points.weight * probability).keep(supported), shape, gsd_m, config)
    return fitted, np.select([~supported, _off_the_field(points, fitted)], ["neighbours", "field"], default="")


def _put_together(of_rows: np.ndarray, points: Points, of_points: np.ndarray) -> np.ndarray:
    """Reasons of all rows of the table: their own, and else those of the points that stand for them."""
    reasons = of_rows.copy()
    for reason in np.unique(of_points):
        reasons[points.rows_where(of_points == reason)] = str(reason)
    return reasons


def with_unseen(fitted: Fit, unseen_m: float) -> Fit:
    """The fit with what proposers get wrong alike beside its own 68 % radius, where the pixel size is known.

    Args:
        unseen_m: see `FitConfig`.
    """
    if fitted.sigma is None or not fitted.gsd_m or not unseen_m:
        return fitted
    return replace(fitted, sigma=np.hypot(fitted.sigma, RADIUS_68 * unseen_m / fitted.gsd_m))


def _any_proposed(points: Points) -> bool:
    return bool((points.source != candidates.GIVEN).any())


def _stand_alone(points: Points) -> bool:
    """Whether every point has an error of its own, and they are few enough for the exact process."""
    return MIN_FIELD <= len(points) <= _MAX_EXACT and not _any_proposed(points)


def _on_nodes(process: GaussianField, points: Points, right: np.ndarray, shape: tuple[int, int]) -> Fit:
    """The exact process as a field on nodes; `right` (N,) says which of its points it keeps."""
    residual = float(np.median(np.hypot(*(process.predicted_px - points.shift)[right].T)))
    step = exact_step(len(points), shape)
    columns, rows = (max(2, int(np.ceil((size - 1) / step)) + 1) for size in shape[::-1])
    xy = np.stack(np.meshgrid(step * np.arange(columns), step * np.arange(rows)), axis=-1).reshape(-1, 2)
    nodes = within_limits(np.moveaxis(process.shift_at(xy).reshape(rows, columns, 2), -1, 0), points.shift[right])
    sigma = RADIUS_68 * np.hypot(process.sigma_at(xy), process.noise_px).reshape(rows, columns)
    return Fit("field", nodes, (0.0, 0.0), (step, step), int(right.sum()), residual, sigma=sigma)


def _fit_supported(points: Points, shape: tuple[int, int], gsd_m: float | None, config: FitConfig) -> Fit:
    """The most that so many points carry: zero shift, one shift, an affine, or a field on a lattice."""
    if len(points) == 0:
        return from_affine("zero", np.eye(3), points.xy, points.shift, shape)
    base = robust_affine(points)
    kind = "shift" if np.array_equal(base[:2, :2], np.eye(2)) else "affine"
    if kind == "shift" or len(points) < MIN_FIELD:
        return from_affine(kind, base, points.xy, points.shift, shape)
    shared_px = float(np.hypot(_SHARED_PX, _SHARED_M / gsd_m if gsd_m else 0.0)) if _any_proposed(points) else 0.0
    return LatticeField(points, base, shape, config, shared_px).fitted()


def _off_the_field(points: Points, fitted: Fit) -> np.ndarray:
    """(N,) bool, points that the fitted field does not explain."""
    if fitted.kind == "zero":
        return np.zeros(len(points), bool)
    distance = np.hypot(*(points.shift - fitted.shift_at(points.xy)).T)
    limit = np.maximum(_MIN_GATE_PX, _GATE_SIGMAS * fitted.residual_px / MEDIAN_LENGTH * points.relative_sigma)
    return distance > limit
