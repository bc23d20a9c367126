"""From candidates to the offset map: robust gate, a smooth random field, nodes, and a piecewise-affine map written block by block.

1. `_consensus` sets aside rows that their neighbours do not support (relaxation labelling: rows vote with a weight that is their own support).
2. The kept shifts are a robust affine plus a Gaussian field with Matern covariance (nu = 1), given by its sparse precision matrix on a
   regular lattice (Lindgren, Rue & Lindstrom 2011, eq. 10-12) and fitted by iterated reweighting with Student-t noise. Both components are
   taken along the principal axes of the affine's residual: one of them is the SAR range, which carries the terrain and needs far less
   smoothing than the other.
3. The lattice nodes span the map. On a square lattice the Delaunay triangulation is known: every cell is cut along its anti-diagonal, so the
   piecewise-affine map has a closed form and 170 million pixels take seconds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import rasterio
import scipy.sparse as sparse
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from solution import candidates, geometry
from solution.artefact import atomic_path
from solution.errors import InputError
from solution.geometry import Window
from solution.scene import ScenePair, open_raster

EXIT_ZERO_SHIFT = 3
"""Exit code of a prediction that had to fall back to no shift at all."""

BAND_NAMES = ("dx", "dy")
_BLOCK_ROWS = 512
_TILE = 256
_CACHE_MB = 128
_ROUNDS = 12
_FIRST_SHARE = 0.6  # of good rows, before any is judged
_REWEIGHTINGS = 2
_MEDIAN_LENGTH = 1.1774  # of two-dimensional noise with a standard deviation of 1 per axis
_WINDOWED = ("flow",)  # sources that read their rows off overlapping windows
_DEGREES = 3.0  # of Student-t noise
_PAD = 2  # lattice cells beyond the image
_RANGE_SHARE = 0.25  # correlation range of the field over the longer side; the result hardly depends on it
_STIFFNESS = tuple(float(v) for v in np.logspace(6, 0, 7))
_GRADUAL = 3  # the stiffest levels, through which the weights are cooled down
_FOLDS = 5
_SMALL_LATTICE = 4000
_SPOTS = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75), (0.5, 0.25))
_QUANTUM = 512.0  # shifts are stored in 1/512 px: far below any error, and it halves the file


@dataclass(frozen=True)
class FitConfig:
    """Settings of the fit; the defaults are meant for every scene.

    Attributes:
        min_confidence: rows below are set aside.
        max_cycle_px: rows with a larger forward-backward error are set aside.
        neighbours: how many rows vote on a row.
        noise_px, slope: prior of the gate: noise of a typical row, and how fast the field wanders with distance (px per px).
        margin_px: added to the range of shifts over which wrong rows are thought uniform.
        sharing: share of the neighbours' error that averaging does not remove.
        min_probability: rows that belong to the field with less are set aside; the others keep it as a weight.
        min_field, min_affine: kept rows that a field and an affine need.
        max_nodes: upper limit of the lattice.
        min_step_px, max_step_px: limits of the node distance.
        block_px, window_px: rows err alike within this distance, those of windowed sources within the second; see `_Field._choose`.
        least_rows: rows of a source within window_px that have a vote together; fewer, which may be there by chance, have less.
        gate_sigmas: rows this many noise scales off the field are set aside.
        min_gate_px: but never nearer than this.
    """

    min_confidence: float = 0.02
    max_cycle_px: float = 12.0
    neighbours: int = 24
    noise_px: float = 5.0
    slope: float = 0.1
    margin_px: float = 20.0
    sharing: float = 0.7
    min_probability: float = 0.2
    min_field: int = 16
    min_affine: int = 6
    max_nodes: int = 40_000
    min_step_px: float = 16.0
    max_step_px: float = 128.0
    block_px: float = 96.0
    window_px: float = 192.0
    least_rows: int = 10
    gate_sigmas: float = 5.0
    min_gate_px: float = 4.0


@dataclass(frozen=True)
class Fit:
    """A fitted shift field: values at the nodes of a square lattice, affine on each triangle between them.

    Attributes:
        kind: ``field``, ``affine``, ``shift`` or ``zero``.
        nodes: (2, rows, columns) float64 shift at the nodes, optical px.
        origin: (x, y) of node [0, 0].
        step: (x, y) distance of neighbouring nodes, px.
        inliers: rows that the fit kept.
        residual_px: median distance of held-out kept rows to the field (of kept rows to the transform for the simpler kinds); NaN without.
        gsd_m: optical pixel size, where known.
    """

    kind: str
    nodes: np.ndarray
    origin: tuple[float, float]
    step: tuple[float, float]
    inliers: int
    residual_px: float
    gsd_m: float | None = None

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """Shifts (N, 2) at optical positions (N, 2); beyond the lattice the border's value repeats."""
        column, u = _cell(np.asarray(xy, np.float64)[:, 0], self.origin[0], self.step[0], self.nodes.shape[2])
        row, v = _cell(np.asarray(xy, np.float64)[:, 1], self.origin[1], self.step[1], self.nodes.shape[1])
        corner = [self.nodes[:, row + j, column + i] for j, i in ((0, 0), (0, 1), (1, 0), (1, 1))]
        return np.einsum("kn,kcn->nc", _corner_weights(u, v), np.stack(corner))

    def block(self, window: Window) -> np.ndarray:
        """(2, height, width) float32 shifts at every index of a window."""
        column, u = _cell(np.arange(window.x, window.x + window.width), self.origin[0], self.step[0], self.nodes.shape[2])
        row, v = _cell(np.arange(window.y, window.y + window.height), self.origin[1], self.step[1], self.nodes.shape[1])
        u, v = u.astype(np.float32), v.astype(np.float32)
        out = np.empty((2, window.height, window.width), dtype=np.float32)
        for band, nodes in enumerate(self.nodes.astype(np.float32)):
            for cell_row in np.unique(row):
                rows = np.flatnonzero(row == cell_row)
                top, bottom = nodes[cell_row], nodes[cell_row + 1]
                along_x = (top[column + 1] - top[column]) * u + top[column]
                along_y = (bottom - top)[column]
                twist = (bottom[1:] - bottom[:-1] - top[1:] + top[:-1])[column]
                beyond = np.maximum(u + v[rows, None] - 1, 0)
                out[band, rows] = along_x + v[rows, None] * along_y + twist * beyond
        return np.rint(out * _QUANTUM) / np.float32(_QUANTUM)

    def summary(self) -> str:
        """One line for people."""
        metres = f" ({self.residual_px * self.gsd_m:.2f} m)" if self.gsd_m else ""
        residual = f", held-out residual {self.residual_px:.2f} px{metres}" if np.isfinite(self.residual_px) else ""
        return f"fit: {self.kind} from {self.inliers} candidates{residual}"


@dataclass(frozen=True)
class _Points:
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

    def keep(self, mask: np.ndarray) -> _Points:
        rows = [rows for rows, kept in zip(self.rows, mask, strict=True) if kept]
        columns = (self.xy, self.shift, self.weight, self.relative_sigma, self.source)
        return _Points(*(column[mask] for column in columns), rows)

    def rows_where(self, mask: np.ndarray) -> np.ndarray:
        chosen = [self.rows[i] for i in np.flatnonzero(mask)]
        return np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.int64)


def fit(
    table: pd.DataFrame, shape: tuple[int, int], gsd_m: float | None = None, config: FitConfig | None = None
) -> tuple[Fit, pd.DataFrame]:
    """Fit the shift field of one scene.

    Args:
        table: `candidates` of one scene, from any number of sources.
        shape: (height, width) of the optical image.
        gsd_m: optical pixel size, for the summary only.

    Returns:
        The fit, and a copy of the table with `outlier` filled: '', `invalid`, `outside`, `limit`, `confidence`, `cycle`, `neighbours`
        (disagrees with its neighbourhood) or `field` (disagrees with the fitted field). A fit of kind ``zero`` has warned; the command
        line ends with `EXIT_ZERO_SHIFT` then.
    """
    config = config or FitConfig()
    table = candidates.check(table).copy()
    reason = _simple_gate(table, shape, config)
    points = _distinct(table, np.flatnonzero(reason == ""), config)
    if len(points) >= config.min_affine:
        probability = _consensus(points, config)
        supported = probability >= config.min_probability
        reason[points.rows_where(~supported)] = "neighbours"
        points = replace(points, weight=points.weight * probability).keep(supported)
    result = _fit_points(points, shape, config)
    if result.kind != "zero":
        distance = np.hypot(*(points.shift - result.shift_at(points.xy)).T)
        limit = np.maximum(config.min_gate_px, config.gate_sigmas * result.residual_px / _MEDIAN_LENGTH * points.relative_sigma)
        reason[points.rows_where(distance > limit)] = "field"
    table["outlier"] = reason
    result = replace(result, inliers=int((reason == "").sum()), gsd_m=gsd_m)
    if result.kind == "zero":
        warnings.warn("no candidates to trust: the offset map is ZERO SHIFT everywhere", stacklevel=2)
    return result, table


def quiet_fit(table: pd.DataFrame, shape: tuple[int, int], gsd_m: float | None = None) -> Fit:
    """A fit that no map is written from: a fall back to zero shift is said by its kind alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(table, shape, gsd_m)[0]


def _simple_gate(table: pd.DataFrame, shape: tuple[int, int], config: FitConfig) -> np.ndarray:
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
            "cycle": cycle > config.max_cycle_px,
        }
    return np.select(list(rules.values()), list(rules), default="").astype(object)


def _distinct(table: pd.DataFrame, usable: np.ndarray, config: FitConfig) -> _Points:
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
    points = _Points(unique[:, :2], unique[:, 2:], *means, source, rows)
    return replace(points, weight=points.weight * _balance(points, config))


def _balance(points: _Points, config: FitConfig) -> np.ndarray:
    """(N,) factors of mean 1 that give the sources of a neighbourhood one vote each: the rows of one source err alike there, however many they are."""
    number, sources = pd.factorize(points.source)
    if len(sources) < 2:
        return np.ones(len(points))
    place = np.floor(points.xy / config.window_px)
    _, group = np.unique(np.column_stack([place, number]), axis=0, return_inverse=True)
    share = 1.0 / np.maximum(np.bincount(group)[group], config.least_rows)
    return share / share.mean()


def _consensus(points: _Points, config: FitConfig) -> np.ndarray:
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
        target, spread = _principal(points, trust)
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


def _principal(points: _Points, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (N, 2) to the affine trend along the axes across and along their main direction, and their two standard deviations."""
    trend = geometry.fit_affine(points.xy, points.xy + points.shift, trust)
    residual = points.shift - (geometry.apply(trend, points.xy) - points.xy)
    power, axes = np.linalg.eigh(np.einsum("n,ni,nj->ij", trust, residual, residual) / trust.sum())
    return residual @ axes, np.sqrt(np.maximum(power, 4.0))


def _fit_points(points: _Points, shape: tuple[int, int], config: FitConfig) -> Fit:
    if len(points) == 0:
        return _from_affine("zero", np.eye(3), points, shape)
    base = _robust_affine(points, config)
    kind = "shift" if np.array_equal(base[:2, :2], np.eye(2)) else "affine"
    if kind == "shift" or len(points) < config.min_field:
        return _from_affine(kind, base, points, shape)
    return _Field(points, base, shape, config).fitted()


def _from_affine(kind: str, matrix: geometry.Matrix, points: _Points, shape: tuple[int, int]) -> Fit:
    """A transform as a lattice of 2 x 2 nodes at the image's corners, which represents it exactly."""
    size = np.maximum(np.array(shape[::-1], dtype=np.float64) - 1, 1)
    corners = np.stack(np.meshgrid([0, size[0]], [0, size[1]]), axis=-1)
    shift = geometry.apply(matrix, corners) - corners
    residual = np.hypot(*(geometry.apply(matrix, points.xy) - points.xy - points.shift).T)
    nodes = _within_limits(np.moveaxis(shift, -1, 0), points)
    return Fit(kind, nodes, (0.0, 0.0), (size[0], size[1]), len(points), float(np.median(residual)) if len(points) else np.nan)


def _within_limits(nodes: np.ndarray, points: _Points) -> np.ndarray:
    """Extrapolation stays near what the candidates span: a quarter of their range beyond it, and at least the gate of a good fit."""
    if len(points) == 0:
        return nodes
    low, high = points.shift.min(axis=0), points.shift.max(axis=0)
    margin = 0.25 * (high - low) + 5.0
    return np.clip(nodes, (low - margin)[:, None, None], (high + margin)[:, None, None])


def _robust_affine(points: _Points, config: FitConfig) -> geometry.Matrix:
    """Affine (translation with few or collinear points) with Student-t weights, from the median shift on."""
    base = points.weight / points.relative_sigma**2
    distance = np.hypot(*(points.shift - np.median(points.shift, axis=0)).T)
    enough = len(points) >= config.min_affine
    for _ in range(_ROUNDS):
        weight = base * _student(distance / points.relative_sigma, _scale(distance))
        matrix = np.eye(3)
        if enough:
            matrix = geometry.fit_affine(points.xy, points.xy + points.shift, weight)
        else:
            matrix[:2, 2] = np.average(points.shift, axis=0, weights=weight)
        distance = np.hypot(*(geometry.apply(matrix, points.xy) - points.xy - points.shift).T)
    return matrix


def _scale(distance: np.ndarray) -> float:
    """Standard deviation per axis of two-dimensional noise, from the median of its length."""
    return max(float(np.median(distance)) / _MEDIAN_LENGTH, 0.05) if len(distance) else 0.05


def _student(distance: np.ndarray, scale: float) -> np.ndarray:
    """Reweighting of two-dimensional Student-t noise."""
    return (_DEGREES + 2) / (_DEGREES + (distance / scale) ** 2)


class _Field:
    """Affine plus Matern field on a lattice; one instance per fit."""

    def __init__(self, points: _Points, base: geometry.Matrix, shape: tuple[int, int], config: FitConfig) -> None:
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
        root = (laplacian + kappa**2 * sparse.identity(laplacian.shape[0])).tocsc()
        self.precision = (root @ root).tocsc()

    def fitted(self) -> Fit:
        """From the stiffest field to the one that predicts held-out blocks best, reweighting on the way."""
        weight = self._prior_weight()
        for stiffness in _STIFFNESS[:_GRADUAL]:
            weight = self._reweighted(np.full(2, stiffness), weight)
        stiffness, held_out = self._choose(weight)
        for _ in range(_REWEIGHTINGS):
            weight = self._reweighted(stiffness, weight, least_scale=held_out / _MEDIAN_LENGTH)
        values = self._solve(weight, stiffness) @ self.axes
        nodes = np.moveaxis(values.reshape(self.rows, self.columns, 2), -1, 0)
        origin = (-_PAD * self.step, -_PAD * self.step)
        xy = np.stack(np.meshgrid(*(origin[0] + self.step * np.arange(n) for n in (self.columns, self.rows))), axis=-1)
        nodes = nodes + np.moveaxis(geometry.apply(self.base, xy) - xy, -1, 0)
        return Fit("field", _within_limits(nodes, self.points), origin, (self.step, self.step), len(self.points), held_out)

    def _prior_weight(self) -> np.ndarray:
        return self.points.weight / self.points.relative_sigma**2

    def _reweighted(self, stiffness: np.ndarray, weight: np.ndarray, least_scale: float = 0.0) -> np.ndarray:
        """Student-t weights of the residuals. Few rows let a soft field run through all of them, so that the residuals look smaller than the
        noise and honest rows look like outliers; what held-out rows scatter is the least scale to believe."""
        distance = np.hypot(*(self.design @ self._solve(weight, stiffness) - self.target).T)
        scale = max(_scale(distance), least_scale)
        return self._prior_weight() * _student(distance / self.points.relative_sigma, scale)

    def _solve(self, weight: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
        """(nodes, 2) values along the axes."""
        if stiffness[0] == stiffness[1]:
            return self._solve_axis(weight, stiffness[0], [0, 1])
        return np.column_stack([self._solve_axis(weight, stiffness[axis], [axis])[:, 0] for axis in (0, 1)])

    def _solve_axis(self, weight: np.ndarray, stiffness: float, axes: list[int]) -> np.ndarray:
        scaled = self.design.T.multiply(weight).tocsr()
        # The lattice's energy is divided by the step's square so that one stiffness means the same field at every step.
        matrix = (scaled @ self.design + stiffness / self.step**2 * self.precision).tocsc()
        factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        return factor.solve(scaled @ self.target[:, axes])

    def _choose(self, weight: np.ndarray) -> tuple[np.ndarray, float]:
        """Stiffness of each axis that predicts held-out rows best, and the median held-out distance.

        A proposer's errors are alike within its receptive field. To a cross-validation such noise is terrain, and the field would follow it.
        Rows thinned to one per block do not share errors, so they call for a stiffer field if the noise is of that kind; the rows of a
        block are then worth one row together, which multiplies the stiffness by their number. Rows of windowed sources are of that kind
        whatever the cross-validation says, which cannot tell an error shared over several blocks from terrain;
        but too few windows would stiffen the field over real terrain.
        """
        windows = np.unique(np.floor(self.points.xy / self.config.window_px), axis=0)
        windowed = np.isin(self.points.source, _WINDOWED).mean() > 0.5 and len(windows) >= self.config.min_field
        place = self.points.xy / (self.config.window_px if windowed else self.config.block_px)
        block = np.floor(place).astype(np.int64)
        loss, held_out = self._losses(weight, self._folds(block))
        level = loss.argmin(axis=0)
        stiffness = np.array(_STIFFNESS)
        typical = float(np.median(np.hypot(*held_out[level, :, [0, 1]])))
        alone = _one_per_block(place, block)
        if len(self.points) < 2 * len(alone[0]) or len(alone[0]) < self.config.min_field:
            return stiffness[level], typical
        few = sum(self._thinned_losses(weight, rows) for rows in (alone if self.small else alone[:1]))
        thinned = few.argmin(axis=0)
        crowd = len(self.points) / len(alone[0]) if windowed or (thinned < level).any() else 1.0
        return np.minimum(stiffness[np.minimum(level, thinned)] * crowd, stiffness.max()), typical

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
        column, u = _cell(xy[:, 0], -_PAD * self.step, self.step, self.columns)
        row, v = _cell(xy[:, 1], -_PAD * self.step, self.step, self.rows)
        first = row * self.columns + column
        index = np.stack([first, first + 1, first + self.columns, first + self.columns + 1])
        rows = np.tile(np.arange(len(xy)), 4)
        return sparse.csr_matrix((_corner_weights(u, v).ravel(), (rows, index.ravel())), shape=(len(xy), self.rows * self.columns))


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


def _node_step(xy: np.ndarray, shape: tuple[int, int], config: FitConfig) -> float:
    """Node distance: three quarters of the candidates' typical distance, within limits, and never more than `max_nodes` nodes."""
    spacing = np.sqrt(shape[0] * shape[1] / len(xy))
    step = np.clip(0.75 * spacing, config.min_step_px, config.max_step_px)
    return float(max(step, np.sqrt(shape[0] * shape[1] / config.max_nodes)))


def _laplacian(count: int) -> sparse.csr_matrix:
    """Second difference along one axis with free ends."""
    diagonal = np.full(count, 2.0)
    diagonal[[0, -1]] = 1.0
    return sparse.diags([-np.ones(count - 1), diagonal, -np.ones(count - 1)], [-1, 0, 1], format="csr")


def _cell(position: np.ndarray, origin: float, step: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the lattice cell along one axis and the place in it, [0, 1]; positions beyond the lattice are moved to its border."""
    place = np.clip((position - origin) / step, 0.0, count - 1)
    cell = np.minimum(place.astype(np.int64), count - 2)
    return cell, place - cell


def _corner_weights(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(4, N) barycentric weights of (left top, right top, left bottom, right bottom) in a cell cut along its anti-diagonal."""
    beyond = np.maximum(u + v - 1, 0)
    return np.stack([1 - u - v + beyond, u - beyond, v - beyond, beyond])


def write_map(path: Path, fit: Fit, pair: ScenePair) -> None:
    """Write the offset map: (2, H, W) float32 on the optical grid, bands `dx` and `dy`; whole and checked, or not at all.

    Memory stays at a few blocks of `_BLOCK_ROWS` rows. Equal fits give equal bytes.
    """
    height, width = pair.shape
    profile = _profile(pair, count=2, dtype="float32", predictor=3)
    with atomic_path(Path(path)) as temporary:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB), rasterio.open(temporary, "w", **profile) as target:
            for band, name in enumerate(BAND_NAMES, start=1):
                target.set_band_description(band, name)
            for top in range(0, height, _BLOCK_ROWS):
                rows = min(_BLOCK_ROWS, height - top)
                block = fit.block(Window(0, top, width, rows))
                if not np.isfinite(block).all():
                    raise ValueError(f"the fit of {pair.name} is not finite in rows {top} to {top + rows - 1}")
                target.write(block, window=RasterWindow(0, top, width, rows))
        _check_map(temporary, fit, pair)


def _profile(pair: ScenePair, **more: object) -> dict:
    (a, b, c), (d, e, f) = pair.transform[:2]
    return {
        "driver": "GTiff",
        "height": pair.shape[0],
        "width": pair.shape[1],
        "crs": pair.crs,
        "transform": Affine(a, b, c, d, e, f),
        "tiled": True,
        "blockxsize": _TILE,
        "blockysize": _TILE,
        "compress": "deflate",
        "zlevel": 1,
        "num_threads": "all_cpus",
        "bigtiff": "if_safer",
        **more,
    }


def _check_map(path: Path, fit: Fit, pair: ScenePair) -> None:
    """Reopen what was written and compare its frame, and a lattice of its tiles, with what was meant."""
    height, width = pair.shape
    with open_raster(path) as written:
        if (written.count, written.shape, written.dtypes[0]) != (2, pair.shape, "float32"):
            raise InputError(f"{path}: was not written as a 2-band float32 map of {width} x {height} px; check the disk and predict again")
        for y in sorted({0, height // 2 // _TILE * _TILE, (height - 1) // _TILE * _TILE}):
            for x in sorted({0, width // 2 // _TILE * _TILE, (width - 1) // _TILE * _TILE}):
                window = Window(x, y, min(_TILE, width - x), min(_TILE, height - y))
                block = written.read(window=RasterWindow(window.x, window.y, window.width, window.height))
                if not np.array_equal(block, fit.block(window)):
                    raise InputError(f"{path}: what was read back differs from what was written; check the disk and predict again")


def write_warped_sar(path: Path, fit: Fit, pair: ScenePair) -> None:
    """Write the SAR image resampled onto the optical grid through the map, in its own dtype, nodata 0.

    An optical pixel takes the SAR value (bilinear) at its apparent position; see the package's convention page.
    """
    height, width = pair.shape
    to_sar = geometry.centres(np.linalg.inv(pair.sar_to_optical))
    with pair.open_sar() as source, atomic_path(Path(path)) as temporary:
        dtype = source.dtypes[0]
        profile = _profile(pair, count=1, dtype=dtype, nodata=0, predictor=3 if dtype.startswith("float") else 2)
        with rasterio.open(temporary, "w", **profile) as target:
            for window in geometry.tile_grid(pair.shape, _BLOCK_ROWS):
                window = Window(window.x, window.y, min(window.width, width - window.x), min(window.height, height - window.y))
                shift = np.moveaxis(fit.block(window), 0, -1) + pair.centre_offset_px
                x = np.arange(window.x, window.stop[0], dtype=np.float64)
                y = np.arange(window.y, window.stop[1], dtype=np.float64)
                position = geometry.apply(to_sar, np.stack(np.meshgrid(x, y), axis=-1) + shift)
                block = _sample_sar(source, position, np.dtype(dtype))
                target.write(block, 1, window=RasterWindow(window.x, window.y, window.width, window.height))


def _sample_sar(source: rasterio.io.DatasetReader, position: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(h, w) bilinear values at array positions (h, w, 2) of the raster; 0 where there is no data."""
    low = np.maximum(np.floor(position.min(axis=(0, 1))).astype(int) - 1, 0)
    high = np.minimum(np.ceil(position.max(axis=(0, 1))).astype(int) + 2, [source.width, source.height])
    if (high <= low).any():
        return np.zeros(position.shape[:2], dtype=dtype)
    raw = source.read(1, window=RasterWindow(*low.tolist(), *(high - low).tolist())).astype(np.float32)
    data = np.isfinite(raw) & (raw != 0)
    if source.nodata is not None:
        data &= raw != np.float32(source.nodata)
    local = (position - low).astype(np.float32)
    planes = np.stack([np.where(data, raw, 0), data.astype(np.float32)], axis=-1)
    value, share = np.moveaxis(cv2.remap(planes, local[..., 0], local[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), -1, 0)
    out = np.where(share >= 0.5, value / np.maximum(share, 0.5), 0)
    return np.rint(out).astype(dtype) if dtype.kind in "ui" else out.astype(dtype)
