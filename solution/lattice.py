"""A smooth random field on a lattice, fitted to points on top of an affine.

The field is Gaussian with Matern covariance (nu = 1), given by its sparse precision matrix on a regular lattice (Lindgren, Rue & Lindstrom
2011, eq. 10-12) and fitted by iterated reweighting with Student-t noise. How stiff it is, cross-validation over held-out blocks decides.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from scipy.ndimage import gaussian_filter
from scipy.sparse.linalg import SuperLU, splu

from solution import geometry
from solution.points import MEDIAN_LENGTH, RADIUS_68, WINDOWED, FitConfig, Points, scale, student
from solution.shiftfield import Fit, cell, corner_weights, within_limits

_REWEIGHTINGS = 2
_PAD = 2  # lattice cells beyond the image
_RANGE_SHARE = 0.25  # correlation range of the field over the longer side; the result hardly depends on it
_STIFFNESS = tuple(float(v) for v in np.logspace(6, 0, 7))
_GRADUAL = 3  # the stiffest levels, through which the weights are cooled down
_FOLDS = 5
_SMALL_LATTICE = 4000
_DRAWS = 32
_SMOOTH_NODES = 1.5
_SPOTS = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75), (0.5, 0.25))


class LatticeField:
    """Affine plus Matern field on a lattice; one instance per fit.

    Args:
        points: what to fit, at least `FitConfig.min_field` of them and not on one line.
        base: their robust affine, optical px.
        shape: (height, width) of the optical image.
    """

    def __init__(self, points: Points, base: geometry.Matrix, shape: tuple[int, int], config: FitConfig) -> None:
        self.points, self.base, self.shape, self.config = points, base, shape, config
        self.step = _node_step(points.xy, shape, config)
        self.columns, self.rows = (int(np.ceil((size - 1) / self.step)) + 2 * _PAD + 1 for size in shape[::-1])
        self.residual = points.shift - (geometry.apply(base, points.xy) - points.xy)
        self.small = self.rows * self.columns < _SMALL_LATTICE
        # Rows are the principal axes: along the terrain parallax, and across it.
        self.axes = np.linalg.eigh(np.cov(self.residual.T, aweights=points.weight))[1].T
        self.target = self.residual @ self.axes.T
        self.design = self._design(points.xy)
        laplacian = sparse.kronsum(_laplacian(self.columns), _laplacian(self.rows))
        kappa = np.sqrt(8) * self.step / (_RANGE_SHARE * max(shape))
        self.root = (laplacian + kappa**2 * sparse.identity(laplacian.shape[0])).tocsc()
        self.precision = (self.root @ self.root).tocsc()

    def fitted(self) -> Fit:
        """From the stiffest field to the one that predicts held-out blocks best, reweighting on the way."""
        weight = self._prior_weight()
        for stiffness in _STIFFNESS[:_GRADUAL]:
            weight = self._reweighted(np.full(2, stiffness), weight)
        stiffness, held_out, crowd = self._choose(weight)
        for _ in range(_REWEIGHTINGS):
            weight = self._reweighted(stiffness, weight, least_scale=held_out / MEDIAN_LENGTH)
        values = self._solve(weight, stiffness) @ self.axes
        nodes = np.moveaxis(values.reshape(self.rows, self.columns, 2), -1, 0)
        origin = (-_PAD * self.step, -_PAD * self.step)
        xy = np.stack(np.meshgrid(*(origin[0] + self.step * np.arange(n) for n in (self.columns, self.rows))), axis=-1)
        nodes = nodes + np.moveaxis(geometry.apply(self.base, xy) - xy, -1, 0)
        nodes = within_limits(nodes, self.points.shift)
        noise = held_out / MEDIAN_LENGTH * np.sqrt(crowd)
        spread = noise * self._spread(weight, stiffness)
        return Fit("field", nodes, origin, (self.step, self.step), len(self.points), held_out, sigma=RADIUS_68 * spread)

    def _spread(self, weight: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
        """(rows, columns) standard deviation of the field per axis (root mean square of both), for noise of 1 at a row of weight 1.

        Draws from the posterior: solving for noise whose covariance is the system's own matrix (Papandreou & Yuille 2010) gives its inverse's.
        """
        rng, variance = np.random.default_rng(0), np.zeros(self.rows * self.columns)
        for axis in (0, 1):
            factor, _ = self._system(weight, stiffness[axis])
            for _ in range(_DRAWS):  # one by one: a hundred thousand rows are usual
                of_rows = self.design.T @ (np.sqrt(weight) * rng.standard_normal(len(weight)))
                of_field = self.root @ rng.standard_normal(self.rows * self.columns)
                variance += 0.5 / _DRAWS * factor.solve(of_rows + np.sqrt(stiffness[axis]) / self.step * of_field) ** 2
        # Few draws scatter; neighbours differ little.
        return np.sqrt(gaussian_filter(variance.reshape(self.rows, self.columns), _SMOOTH_NODES, mode="nearest"))

    def _prior_weight(self) -> np.ndarray:
        return self.points.weight / self.points.relative_sigma**2

    def _reweighted(self, stiffness: np.ndarray, weight: np.ndarray, least_scale: float = 0.0) -> np.ndarray:
        """Student-t weights of the residuals. Few rows let a soft field run through all of them, so that the residuals look smaller than the
        noise and honest rows look like outliers; what held-out rows scatter is the least scale to believe."""
        distance = np.hypot(*(self.design @ self._solve(weight, stiffness) - self.target).T)
        noise = max(scale(distance), least_scale)
        return self._prior_weight() * student(distance / self.points.relative_sigma, noise)

    def _solve(self, weight: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
        """(nodes, 2) values along the axes."""
        if stiffness[0] == stiffness[1]:
            return self._solve_axis(weight, stiffness[0], [0, 1])
        return np.column_stack([self._solve_axis(weight, stiffness[axis], [axis])[:, 0] for axis in (0, 1)])

    def _solve_axis(self, weight: np.ndarray, stiffness: float, axes: list[int]) -> np.ndarray:
        factor, scaled = self._system(weight, stiffness)
        return factor.solve(scaled @ self.target[:, axes])

    def _system(self, weight: np.ndarray, stiffness: float) -> tuple[SuperLU, sparse.csr_matrix]:
        """The factored normal equations, and the weighted design (nodes, N)."""
        scaled = self.design.T.multiply(weight).tocsr()
        # The lattice's energy is divided by the step's square so that one stiffness means the same field at every step.
        matrix = (scaled @ self.design + stiffness / self.step**2 * self.precision).tocsc()
        return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}), scaled

    def _choose(self, weight: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Stiffness of each axis that predicts held-out rows best, the median held-out distance, and how many rows are worth one.

        A proposer's errors are alike within its receptive field. To a cross-validation such noise is terrain, and the field would follow it.
        Rows thinned to one per block do not share errors, so they call for a stiffer field if the noise is of that kind; the rows of a
        block are then worth one row together, which multiplies the stiffness by their number. Rows of windowed sources are of that kind
        whatever the cross-validation says, which cannot tell an error shared over several blocks from terrain;
        but too few windows would stiffen the field over real terrain.
        """
        windows = np.unique(np.floor(self.points.xy / self.config.window_px), axis=0)
        windowed = np.isin(self.points.source, WINDOWED).mean() > 0.5 and len(windows) >= self.config.min_field
        place = self.points.xy / (self.config.window_px if windowed else self.config.block_px)
        block = np.floor(place).astype(np.int64)
        loss, held_out = self._losses(weight, self._folds(block))
        level = loss.argmin(axis=0)
        stiffness = np.array(_STIFFNESS)
        typical = float(np.median(np.hypot(*held_out[level, :, [0, 1]])))
        alone = _one_per_block(place, block)
        if len(self.points) < 2 * len(alone[0]) or len(alone[0]) < self.config.min_field:
            return stiffness[level], typical, 1.0
        few = sum(self._thinned_losses(weight, rows) for rows in (alone if self.small else alone[:1]))
        thinned = few.argmin(axis=0)
        crowd = len(self.points) / len(alone[0]) if windowed or (thinned < level).any() else 1.0
        return np.minimum(stiffness[np.minimum(level, thinned)] * crowd, stiffness.max()), typical, crowd

    def _thinned_losses(self, weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
        thin = np.zeros_like(weight)
        thin[rows] = weight[rows]
        held = np.zeros(len(weight), dtype=bool)
        held[rows[::_FOLDS]] = True
        return self._losses(thin, [held])[0]

    def _losses(self, weight: np.ndarray, folds: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Per stiffness and axis the weighted absolute held-out residual (levels, 2), and the residuals themselves (levels, held rows, 2)."""
        residuals, weights = [], []
        for held in folds:
            design, target = self.design[held], self.target[held]
            values = [self._solve_axis(np.where(held, 0.0, weight), stiffness, [0, 1]) for stiffness in _STIFFNESS]
            residuals.append(np.abs(np.stack([design @ value - target for value in values])))
            weights.append(weight[held])
        residual = np.concatenate(residuals, axis=1)
        return np.einsum("lnc,n->lc", residual, np.concatenate(weights)), residual

    def _folds(self, block: np.ndarray) -> list[np.ndarray]:
        """Held-out masks made of whole blocks; all of them where that is cheap, else one."""
        fold = (block[:, 0] + 2 * block[:, 1]) % _FOLDS
        if (fold == fold[0]).all():
            fold = np.arange(len(fold)) % _FOLDS
        masks = [fold == k for k in np.unique(fold)]
        return masks if self.small else masks[:1]

    def _design(self, xy: np.ndarray) -> sparse.csr_matrix:
        """(N, nodes): weights of the four corners of each point's cell."""
        column, u = cell(xy[:, 0], -_PAD * self.step, self.step, self.columns)
        row, v = cell(xy[:, 1], -_PAD * self.step, self.step, self.rows)
        first = row * self.columns + column
        index = np.stack([first, first + 1, first + self.columns, first + self.columns + 1])
        rows = np.tile(np.arange(len(xy)), 4)
        return sparse.csr_matrix((corner_weights(u, v).ravel(), (rows, index.ravel())), shape=(len(xy), self.rows * self.columns))


def _one_per_block(place: np.ndarray, block: np.ndarray) -> list[np.ndarray]:
    """Row numbers of one point per block, that next to a fixed place in every block, so that two of them are about a block apart.

    Args:
        place: (N, 2) positions in blocks.
        block: (N, 2) their integer parts.
    """
    _, number = np.unique(block, axis=0, return_inverse=True)
    chosen = []
    for spot in _SPOTS:
        order = np.lexsort((np.hypot(*(place - block - spot).T), number))
        chosen.append(order[np.r_[True, np.diff(number[order]) > 0]])
    return chosen


def exact_step(count: int, shape: tuple[int, int], config: FitConfig) -> float:
    """Node distance for a process that is known everywhere: well below the points' typical distance, over which it bends."""
    return float(max(np.clip(0.2 * np.sqrt(shape[0] * shape[1] / count), config.min_step_px, config.max_step_px), _coarsest(shape, config)))


def _node_step(xy: np.ndarray, shape: tuple[int, int], config: FitConfig) -> float:
    """Node distance: three quarters of the candidates' typical distance, within limits, and never more than `max_nodes` nodes."""
    spacing = np.sqrt(shape[0] * shape[1] / len(xy))
    step = np.clip(0.75 * spacing, config.min_step_px, config.max_step_px)
    return float(max(step, _coarsest(shape, config)))


def _coarsest(shape: tuple[int, int], config: FitConfig) -> float:
    return np.sqrt(shape[0] * shape[1] / config.max_nodes)


def _laplacian(count: int) -> sparse.csr_matrix:
    """Second difference along one axis with free ends."""
    diagonal = np.full(count, 2.0)
    diagonal[[0, -1]] = 1.0
    return sparse.diags([-np.ones(count - 1), diagonal, -np.ones(count - 1)], [-1, 0, 1], format="csr")
