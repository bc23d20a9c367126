"""How well transformations predict tie-points that they were not fitted to: the study of the challenge's paper, on any
sets of tie-points, with added noise and wrong points.

Ten-fold cross-validation; noise and wrong points come into the fitted points only, and all methods get the same ones.
Wrong points are added to the right ones, so that a share of 60 % means three wrong ones to every two right ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from rich import box
from rich.table import Table
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator, RBFInterpolator

from solution.core import geometry
from solution.core.errors import InputError
from solution.field import candidates, fitting

FOLDS = 10
_SEED = 0  # of the folds and of all disturbances
_BEYOND_PX = 50.0  # wrong shifts are drawn from the box of the right ones, widened by this
_MAGSAC_PX = 20.0  # largest distance of an inlier
_GROUP = 12  # wrong points in a cluster, on average
_GROUP_PX = 300.0  # standard deviation of their places
_GROUP_NOISE_PX = 3.0  # standard deviation of their shifts
_MARGIN_PX = 256.0  # from the last tie-points to the border of the image
_LEAST = 20  # tie-points

Predict = Callable[[np.ndarray], np.ndarray]
Method = Callable[[np.ndarray, np.ndarray], Predict]
"""Positions (N, 2) and shifts (N, 2) -> a function from positions (M, 2) to shifts (M, 2)."""


@dataclass(frozen=True)
class Disturbance:
    """What is done to the points that a method is fitted to.

    Attributes:
        noise_px: standard deviation per axis.
        wrong: share of wrong points among all.
        clustered: wrong points come in groups of one place and one shift each, else evenly.
    """

    noise_px: float = 0.0
    wrong: float = 0.0
    clustered: bool = False

    def __str__(self) -> str:
        parts = [f"noise {self.noise_px:g} px"] if self.noise_px else []
        parts += [f"{self.wrong:.0%} wrong{' in clusters' if self.clustered else ''}"] if self.wrong else []
        return ", ".join(parts) or "clean"

    def of(self, xy: np.ndarray, shift: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Disturbed copies of positions (N, 2) and shifts (N, 2), wrong points last."""
        noisy = shift + rng.normal(0.0, 1.0, shift.shape) * self.noise_px
        count = round(len(xy) * self.wrong / (1.0 - self.wrong))
        if not count:
            return xy, noisy
        low, high = shift.min(axis=0) - _BEYOND_PX, shift.max(axis=0) + _BEYOND_PX
        place, claim = rng.uniform(xy.min(axis=0), xy.max(axis=0), (count, 2)), rng.uniform(low, high, (count, 2))
        if self.clustered:
            groups = max(1, count // _GROUP)
            member = rng.integers(0, groups, count)
            place = np.clip(place[member] + rng.normal(0.0, _GROUP_PX, (count, 2)), xy.min(axis=0), xy.max(axis=0))
            claim = claim[member] + rng.normal(0.0, _GROUP_NOISE_PX, (count, 2))
        return np.vstack([xy, place]), np.vstack([noisy, claim])


CASES = (
    Disturbance(),
    *(Disturbance(noise) for noise in (3.0, 6.0, 10.0)),
    *(Disturbance(6.0, wrong, clustered) for clustered in (False, True) for wrong in (0.2, 0.4, 0.6)),
)


def shift(xy: np.ndarray, shift: np.ndarray) -> Predict:
    """The median shift."""
    middle = np.median(shift, axis=0)
    return lambda q: np.broadcast_to(middle, q.shape)


def affine(xy: np.ndarray, shift: np.ndarray) -> Predict:
    """Least squares."""
    return _moved_by(geometry.fit_affine(xy, xy + shift))


def affine_magsac(xy: np.ndarray, shift: np.ndarray) -> Predict:
    """MAGSAC++ (Barath et al. 2020), as OpenCV has it, then least squares on its inliers."""
    _, inlier = cv2.estimateAffine2D(
        xy, xy + shift, method=cv2.USAC_MAGSAC, ransacReprojThreshold=_MAGSAC_PX, maxIters=10_000
    )
    kept = inlier.ravel().astype(bool) if inlier is not None else np.zeros(len(xy), bool)
    return affine(xy[kept], shift[kept]) if kept.sum() >= 3 else affine(xy, shift)


def polynomial(xy: np.ndarray, shift: np.ndarray) -> Predict:
    """Second degree, least squares."""
    middle, extent = xy.mean(axis=0), np.ptp(xy, axis=0).max()

    def terms(q: np.ndarray) -> np.ndarray:
        x, y = ((q - middle) / extent).T
        return np.column_stack([np.ones_like(x), x, y, x * x, x * y, y * y])

    weights = np.linalg.lstsq(terms(xy), shift, rcond=None)[0]
    return lambda q: terms(q) @ weights


def delaunay(xy: np.ndarray, shift: np.ndarray) -> Predict:
    """Piecewise affine over the Delaunay triangulation of the points themselves; the
    nearest point beyond their hull."""
    inside, outside = LinearNDInterpolator(xy, shift), NearestNDInterpolator(xy, shift)

    def predict(q: np.ndarray) -> np.ndarray:
        values = inside(q)
        return np.where(np.isfinite(values), values, outside(q))

    return predict


def thin_plate(xy: np.ndarray, shift: np.ndarray) -> Predict:
    """A thin-plate spline through all points, without smoothing."""
    first = np.unique(xy, axis=0, return_index=True)[1]
    extent = np.ptp(xy, axis=0).max()
    spline = RBFInterpolator(xy[first] / extent, shift[first], kernel="thin_plate_spline")
    return lambda q: spline(q / extent)


def ours(xy: np.ndarray, shift: np.ndarray) -> Predict:
    """The fit of this package, as ``python -m solution fit`` runs it."""
    return fitted(xy, shift).shift_at


def fitted(xy: np.ndarray, shift: np.ndarray) -> fitting.Fit:
    """Our fit over an image that ends a little beyond the points."""
    shape = tuple(int(size) for size in (xy.max(axis=0) + _MARGIN_PX)[::-1])
    return fitting.quiet_fit(candidates.make("", -1, candidates.GIVEN, xy, shift), shape)


METHODS: dict[str, Method] = {
    "shift": shift,
    "affine": affine,
    "affine + MAGSAC": affine_magsac,
    "polynomial": polynomial,
    "Delaunay": delaunay,
    "thin plate": thin_plate,
    "ours": ours,
}


def _moved_by(matrix: geometry.Matrix) -> Predict:
    return lambda q: geometry.apply(matrix, q) - q


@dataclass(frozen=True)
class CrossValidated:
    """What cross-validation found on one set of tie-points.

    Attributes:
        name: of the scene.
        count: tie-points.
        errors: case -> method -> (count,) held-out errors in px.
        within: case -> shares of tie-points that lie within our 68 % radius and within twice that.
        in_sample: method -> mean error in px on the very points that it was fitted to, for the transforms of the paper.
    """

    name: str
    count: int
    errors: dict[str, dict[str, np.ndarray]]
    within: dict[str, tuple[float, float]]
    in_sample: dict[str, float]


def judge(
    name: str, xy: np.ndarray, shift: np.ndarray, cases: Sequence[Disturbance], step: Callable[[str], None]
) -> CrossValidated:
    """Cross-validate every method on one set of tie-points.

    Args:
        xy, shift: (N, 2), N at least 20.
        step: called with a line about each finished case.

    Raises:
        InputError: too few tie-points.
    """
    if len(xy) < _LEAST:
        raise InputError(f"scene {name}: has {len(xy)} tie-points; cross-validation needs at least {_LEAST}")
    fold = np.random.default_rng(_SEED).permutation(len(xy)) % FOLDS
    errors, within = {}, {}
    for case in cases:
        found = {method: np.zeros(len(xy)) for method in METHODS}
        ratio = np.zeros(len(xy))
        for held in (fold == k for k in range(FOLDS)):
            rng = np.random.default_rng([_SEED, int(np.flatnonzero(held)[0])])
            at, claim = case.of(xy[~held], shift[~held], rng)
            for method, fit in METHODS.items():
                if fit is not ours:
                    found[method][held] = np.hypot(*(fit(at, claim)(xy[held]) - shift[held]).T)
            own = fitted(at, claim)
            found["ours"][held] = np.hypot(*(own.shift_at(xy[held]) - shift[held]).T)
            ratio[held] = found["ours"][held] / own.sigma_at(xy[held]) if own.sigma is not None else np.nan
        errors[str(case)] = found
        within[str(case)] = tuple(float(np.mean(ratio <= sigmas)) for sigmas in (1, 2))
        step(
            f"{name}, {case}: " + ", ".join(f"{method} {np.mean(value):.2f}" for method, value in found.items()) + " px"
        )
    whole = {
        method: float(np.mean(np.hypot(*(METHODS[method](xy, shift)(xy) - shift).T)))
        for method in ("shift", "affine", "affine + MAGSAC")
    }
    return CrossValidated(name, len(xy), errors, within, {"zero shift": float(np.mean(np.hypot(*shift.T))), **whole})


def run(sets: Sequence[tuple[str, np.ndarray, np.ndarray]], step: Callable[[str], None]) -> list[CrossValidated]:
    """`judge` over all sets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [judge(name, xy, shift, CASES, step) for name, xy, shift in sets]


def tables(results: Sequence[CrossValidated]) -> list[Table]:
    """For each scene the held-out mean errors by case and method, and how many tie-points lie within our radius; then
    the transforms of the paper on their own points."""
    shown = []
    for result in results:
        table = Table(
            title=f"{result.name}: {result.count} tie-points, held-out mean error, px", box=box.SIMPLE, pad_edge=False
        )
        for heading in ("case", *METHODS, "in our radius", "in 2 radii"):
            table.add_column(heading, justify="left" if heading == "case" else "right")
        for case, found in result.errors.items():
            table.add_row(
                case,
                *(f"{np.mean(found[method]):.2f}" for method in METHODS),
                *(f"{share:.0%}" for share in result.within[case]),
            )
        shown.append(table)
    fitted_on = Table(
        title="one transform a scene, on the points it was fitted to: mean error, px", box=box.SIMPLE, pad_edge=False
    )
    names = list(results[0].in_sample)
    for heading in ("scene", *names):
        fitted_on.add_column(heading, justify="left" if heading == "scene" else "right")
    for result in results:
        fitted_on.add_row(result.name, *(f"{result.in_sample[name]:.2f}" for name in names))
    return [*shown, fitted_on]
