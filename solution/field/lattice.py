"""A smooth random field on a lattice, fitted to points on top of an affine.

The field is Gaussian with Matern covariance (nu = 1), given by its sparse precision matrix on a regular lattice
(Lindgren, Rue & Lindstrom 2011, eq. 10-12) and fitted by iterated reweighting with Student-t noise. How stiff it is,
the evidence decides together with what proposers can see at all (`LatticeField._stiffness`).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import scipy.sparse as sparse
from scipy.ndimage import gaussian_filter
from scipy.sparse.linalg import SuperLU, splu

from solution.core import geometry
from solution.field.gate import Points
from solution.field.robust import MEDIAN_LENGTH, RADIUS_68, principal_axes, scale, student
from solution.field.settings import BLOCK_PX, MIN_FIELD, WINDOW_PX, FitConfig
from solution.field.shiftfield import Fit, cell, corner_weights, within_limits

Result = TypeVar("Result")

_REWEIGHTINGS = 2
_PAD = 2  # lattice cells beyond the image, so that its border is no border of the field
_MAX_NODES = 40_000
_STEP_PX = (16.0, 128.0)  # limits of the node distance
_STEP_SPACINGS = 0.75  # node distance of the lattice, in typical distances of the points
_EXACT_STEP_SPACINGS = 0.2  # the same for the exact process, which bends over much less than a typical distance
_RANGE_SHARE = 0.25  # correlation range of the field over the longer side; the result hardly depends on it
_GRADUAL = (1e6, 1e5, 1e4)  # stiffnesses through which the weights are cooled down
_DECADES = np.linspace(
    6.0, -2.0, 17
)  # powers of ten of the stiffness, per row of a block, over which the evidence is averaged
_HOPELESS = 15.0  # so far below the best, nothing softer is tried
_LEAST_MISFIT = 1e-9  # px^2, keeps logarithms finite where the points agree to the last digit
_FOLDS = 5
_FOLD_STEP = 2  # from one row of blocks to the next, so that neighbouring blocks are never held out together
_SMALL_LATTICE = 4000  # nodes up to which holding out every fold is cheap
_MAJORITY = 0.5  # of the points: from there on they count as windowed
_NODES_OF_BLOCK = 0.5  # distance of the nodes that the evidence needs, in blocks
_DRAWS = 32
_SMOOTH_NODES = 1.5  # few draws scatter; neighbours differ little


class Lattice:
    """Nodes over an image and some way beyond it, and the prior of a field's values there.

    Args:
        shape: (height, width) of the image.
        step: distance of the nodes, px. Prior and data are weighed so that one stiffness means the same field at every
            step.
    """

    def __init__(self, shape: tuple[int, int], step: float) -> None:
        self.step = step
        self.columns, self.rows = (int(np.ceil((size - 1) / step)) + 2 * _PAD + 1 for size in shape[::-1])
        self.nodes = self.rows * self.columns
        self.origin = (-_PAD * step, -_PAD * step)
        laplacian = sparse.kronsum(_laplacian(self.columns), _laplacian(self.rows))
        # The range is sqrt(8 nu) / kappa (ibid.); here kappa is that of one step.
        kappa = np.sqrt(8) * step / (_RANGE_SHARE * max(shape))
        self.root = ((laplacian + kappa**2 * sparse.identity(self.nodes)) / step).tocsc()
        self.precision = (self.root @ self.root).tocsc()

    def xy(self) -> np.ndarray:
        """(rows, columns, 2) positions of the nodes."""
        return geometry.lattice(self.origin, (self.step, self.step), (self.rows, self.columns))

    def design(self, xy: np.ndarray) -> sparse.csr_matrix:
        """(N, nodes): weights of the four corners of each point's cell."""
        column, u = cell(xy[:, 0], self.origin[0], self.step, self.columns)
        row, v = cell(xy[:, 1], self.origin[1], self.step, self.rows)
        first = row * self.columns + column
        index = np.stack([first, first + 1, first + self.columns, first + self.columns + 1])
        rows = np.tile(np.arange(len(xy)), 4)
        return sparse.csr_matrix((corner_weights(u, v).ravel(), (rows, index.ravel())), shape=(len(xy), self.nodes))


class LatticeField:
    """Affine plus Matern field on a lattice; one instance per fit.

    Args:
        points: what to fit, at least `MIN_FIELD` of them and not on one line.
        base: their robust affine, optical px.
        shape: (height, width) of the optical image.
        config: says which sources are windowed.
        shared_px: standard deviation per axis of what the rows of a block get wrong alike, at least; 0 where each row
            has an error of its own.
    """

    def __init__(
        self, points: Points, base: geometry.Matrix, shape: tuple[int, int], config: FitConfig, shared_px: float
    ) -> None:
        self.points, self.base, self.shape, self.config, self.shared_px = points, base, shape, config, shared_px
        self.lattice = Lattice(shape, _node_step(len(points), shape))
        self.residual = points.shift - (geometry.apply(base, points.xy) - points.xy)
        self.small = self.lattice.nodes < _SMALL_LATTICE
        # Rows are the principal axes: along the terrain parallax, and across it.
        self.axes = principal_axes(self.residual, points.weight)
        self.target = self.residual @ self.axes.T
        self.design = self.lattice.design(points.xy)

    def fitted(self) -> Fit:
        """From the stiffest field to the one that is likeliest, reweighting on the way."""
        weight = self._prior_weight()
        for stiffness in _GRADUAL:
            weight = self._reweighted(np.full(2, stiffness), weight)
        stiffness, noise = self._stiffness(weight)
        held_out = self._held_out(weight, stiffness)
        for _ in range(_REWEIGHTINGS):
            weight = self._reweighted(stiffness, weight, least_scale=held_out / MEDIAN_LENGTH)
        lattice, xy = self.lattice, self.lattice.xy()
        values, variance = zip(
            *_of_axes(lambda axis: self._posterior(axis, weight, stiffness[axis], noise[axis])), strict=True
        )
        values = (np.column_stack(values) @ self.axes).reshape(lattice.rows, lattice.columns, 2)
        nodes = within_limits(np.moveaxis(values + geometry.apply(self.base, xy) - xy, -1, 0), self.points.shift)
        variance = np.mean(variance, axis=0).reshape(lattice.rows, lattice.columns)
        spread = np.sqrt(gaussian_filter(variance, _SMOOTH_NODES, mode="nearest"))
        return Fit(
            "field",
            nodes,
            lattice.origin,
            (lattice.step, lattice.step),
            len(self.points),
            held_out,
            sigma=RADIUS_68 * spread,
        )

    def _posterior(
        self, axis: int, weight: np.ndarray, stiffness: float, noise: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """(nodes,) values and (nodes,) variances, px^2, of the field along one axis.

        Draws from the posterior (Papandreou & Yuille 2010): a system that is solved for noise whose covariance is its
        own matrix gives noise whose covariance is the inverse of that matrix.

        Args:
            weight: (N,) of the points.
            noise: the standard deviation, px, at a point of weight 1.
        """
        factor, scaled = self._system(weight, stiffness)
        rng, variance = np.random.default_rng(axis), np.zeros(self.lattice.nodes)
        for _ in range(_DRAWS):  # one by one: a hundred thousand rows are usual
            of_rows = self.design.T @ (np.sqrt(weight) * rng.standard_normal(len(weight)))
            of_field = self.lattice.root @ rng.standard_normal(self.lattice.nodes)
            variance += factor.solve(of_rows + np.sqrt(stiffness) * of_field) ** 2
        return factor.solve(scaled @ self.target[:, axis]), noise**2 / _DRAWS * variance

    def _prior_weight(self) -> np.ndarray:
        return self.points.weight / self.points.relative_sigma**2

    def _reweighted(self, stiffness: np.ndarray, weight: np.ndarray, least_scale: float = 0.0) -> np.ndarray:
        """(N,) Student-t weights of the residuals to the field of such a stiffness.

        Few rows let a soft field run through all of them, so that the residuals look smaller than the noise and honest
        rows look like outliers; what held-out rows scatter is the least scale to believe.
        """
        distance = np.hypot(*(self.design @ self._solve(weight, stiffness) - self.target).T)
        noise = max(scale(distance), least_scale)
        return self._prior_weight() * student(distance / self.points.relative_sigma, noise)

    def _solve(self, weight: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
        """(nodes, 2) values along the axes."""
        if stiffness[0] == stiffness[1]:
            return self._solve_axis(weight, stiffness[0], [0, 1])
        return np.column_stack(_of_axes(lambda axis: self._solve_axis(weight, stiffness[axis], [axis])[:, 0]))

    def _solve_axis(self, weight: np.ndarray, stiffness: float, axes: list[int]) -> np.ndarray:
        factor, scaled = self._system(weight, stiffness)
        return factor.solve(scaled @ self.target[:, axes])

    def _system(self, weight: np.ndarray, stiffness: float) -> tuple[SuperLU, sparse.csr_matrix]:
        """The factored normal equations, and the weighted design (nodes, N)."""
        scaled = self.design.T.multiply(weight).tocsr()
        return _factored((scaled @ self.design + stiffness * self.lattice.precision).tocsc()), scaled

    def _stiffness(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Stiffness (2,) and noise (2,), the standard deviation at a row of weight 1, of both axes.

        Both are means over the evidence of blocks, not its maximum: means move gently where candidates do. The rows of
        a block are put together. What proposers get wrong alike there looks like terrain, to the evidence as to every
        cross-validation: so the noise of a block is never thought to be below `shared_px`. The blocks of a window err
        alike too; the noise that is returned allows for it.
        """
        evidence, noise, rows = self._evidence(weight)
        share = np.exp(evidence - evidence.max(axis=0))
        share /= share.sum(axis=0)
        blocks = WINDOW_PX / BLOCK_PX if self.shared_px else 1.0
        return rows * 10 ** (_DECADES @ share), blocks * np.sqrt(rows * (share * noise).sum(axis=0))

    def _evidence(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """How well each stiffness explains the blocks' means, or the rows where each has an error of its own.

        Returns:
            Log marginal likelihood for each of `_DECADES` and each axis (levels, 2), the likeliest variance of the
            noise there (levels, 2), and the weight of a typical block.
        """
        block, lattice = np.arange(len(weight)), self.lattice
        if self.shared_px:
            _, block = np.unique(np.floor(self.points.xy / BLOCK_PX), axis=0, return_inverse=True)
            lattice = Lattice(self.shape, max(lattice.step, _NODES_OF_BLOCK * BLOCK_PX))
        count = int(block.max()) + 1
        total = np.bincount(block, weight, count)
        rows = float(np.median(total))
        mean = sparse.csr_matrix((weight / total[block], (block, np.arange(len(weight)))), shape=(count, len(weight)))
        design, target, trust = lattice.design(mean @ self.points.xy), mean @ self.target, np.minimum(total / rows, 1.0)
        scaled = design.T.multiply(trust).tocsr()
        energy, precision = (scaled @ design).tocsc(), lattice.precision
        right, square = scaled @ target, trust @ target**2
        free = _log_determinant(_factored(precision))
        found, noises = np.full((len(_DECADES), 2), -np.inf), np.zeros((len(_DECADES), 2))
        for level, stiffness in enumerate(10**_DECADES):
            factor = _factored((energy + stiffness * precision).tocsc())
            misfit = np.maximum(square - (right * factor.solve(right)).sum(axis=0), _LEAST_MISFIT)
            noises[level] = np.maximum(misfit / count, self.shared_px**2)
            found[level] = -0.5 * (count * np.log(noises[level]) + misfit / noises[level])
            found[level] += 0.5 * (free + lattice.nodes * np.log(stiffness) - _log_determinant(factor))
            if (found[level] < found.max(axis=0) - _HOPELESS).all():
                break
        return found, noises, rows

    def _held_out(self, weight: np.ndarray, stiffness: np.ndarray) -> float:
        """The median distance, px, of held-out rows to the field without them."""
        windows = np.unique(np.floor(self.points.xy / WINDOW_PX), axis=0)
        windowed = np.isin(self.points.source, self.config.windowed).mean() > _MAJORITY and len(windows) >= MIN_FIELD
        block = np.floor(self.points.xy / (WINDOW_PX if windowed else BLOCK_PX)).astype(np.int64)
        distance = []
        for held in self._folds(block):
            values = self._solve(np.where(held, 0.0, weight), stiffness)
            distance.append(np.hypot(*(self.design[held] @ values - self.target[held]).T))
        return float(np.median(np.concatenate(distance)))

    def _folds(self, block: np.ndarray) -> list[np.ndarray]:
        """Held-out masks made of whole blocks; all of them where that is cheap, else one."""
        fold = (block[:, 0] + _FOLD_STEP * block[:, 1]) % _FOLDS
        if (fold == fold[0]).all():
            fold = np.arange(len(fold)) % _FOLDS
        masks = [fold == k for k in np.unique(fold)]
        return masks if self.small else masks[:1]


def _of_axes(work: Callable[[int], Result]) -> list[Result]:
    """What is worked out for each axis, side by side: SuperLU lets other threads run. `core.parallel` would load torch,
    which fitting people's own points does without. No factors may be handed out of it: SuperLU keeps a list of its
    memory for every thread, and what another thread lets go of stays taken for ever (scipy issue 15921)."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, (0, 1)))


def _factored(matrix: sparse.csc_matrix) -> SuperLU:
    """The factors of a symmetric positive definite matrix."""
    return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def _log_determinant(factor: SuperLU) -> float:
    return float(np.log(np.abs(factor.U.diagonal())).sum())


def exact_step(count: int, shape: tuple[int, int]) -> float:
    """Node distance, px, for a process that is known everywhere and fitted to `count` points."""
    return _step(_EXACT_STEP_SPACINGS, count, shape)


def _node_step(count: int, shape: tuple[int, int]) -> float:
    """Node distance, px, of the lattice of `count` points."""
    return _step(_STEP_SPACINGS, count, shape)


def _step(spacings: float, count: int, shape: tuple[int, int]) -> float:
    """So many typical distances of the points, within limits, and never more than `_MAX_NODES` nodes."""
    spacing = np.sqrt(shape[0] * shape[1] / count)
    return float(max(np.clip(spacings * spacing, *_STEP_PX), np.sqrt(shape[0] * shape[1] / _MAX_NODES)))


def _laplacian(count: int) -> sparse.csr_matrix:
    """Second difference along one axis with free ends."""
    diagonal = np.full(count, 2.0)
    diagonal[[0, -1]] = 1.0
    return sparse.diags([-np.ones(count - 1), diagonal, -np.ones(count - 1)], [-1, 0, 1], format="csr")
