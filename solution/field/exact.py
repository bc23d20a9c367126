"""A robust Gaussian process for few tie-points, exact and dense.

It does what the lattice does for thousands of candidates, with everything learned from the points.

The field is an affine plus one process along each of the two principal axes of the affine's residual. Each process has
an amplitude, a length and a noise of its own, found by maximum marginal likelihood (Rasmussen & Williams 2006, ch. 5).
One of the axes is the SAR range, which carries the terrain; the other needs to vary far less. The covariance is the
mean of the exponential one and of Matern 5/2, of one length: real terrain displacement has slopes as well as breaks.

Wrong points are found by expectation-maximisation of a two-class mixture. A point is judged by what the others predict
at its place. Others nearby that make the same claim do not count there, lest a coherent group of wrong matches, as a
repeated street grid gives, vouch for itself; the prediction without a group has a closed form (ibid., eq. 5.12, for
blocks).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial import cKDTree

from solution.core import geometry
from solution.core.geometry import spacing

_SQRT5 = np.sqrt(5.0)
_TREND_PX = 100.0  # standard deviation of what is left of the affine, across the scene
_BLOCK = 4096  # positions that are predicted at a time
_SURELY_WRONG = 0.05  # points of less probability have no say in amplitude, length and noise
_LEAST_AMPLITUDE_PX = 1.0  # added to the spread of the points, from which the search for the amplitude starts
_LOG_AMPLITUDE, _LOG_NOISE = (-3.0, 8.0), (-3.0, 5.0)  # limits of the logarithms of the standard deviations, px
_LENGTHS = (0.005, 2.0)  # limits of the length, as shares of the points' extent
_MOST_STEPS = 25  # of the search for amplitude, length and noise
_HOPELESS = 1e10  # loss where the covariance is not positive definite
_BULK = (1, 99)  # percentiles of the shifts that wrong points are thought to spread over
_SHARES = (
    0.1,
    0.98,
)  # limits of the share of right points: with none, or with all, no point could be judged otherwise any more


@dataclass(frozen=True)
class GaussianConfig:
    """Settings of the process and of the search for wrong points.

    Attributes:
        rounds: of expectation-maximisation.
        refresh: rounds at which amplitude, length and noise are estimated anew, beside the last one.
        group_spacings, group_px, group_size: of the nearest group_size points, those within this many typical distances
            whose shift differs by less than group_px have no say about a point.
        degrees: of the Student-t distribution of right points, once few wrong ones are left: real terrain has steps
            that a Gaussian would call wrong.
        clean_share: share of right points from which on that is so.
        length_share, noise_px: centres of weak priors (a factor e each way) of the length, as a share of the points'
            extent, and of the noise.
        least_probability: points that are surely wrong keep this much weight, which only serves to keep matrices well
            conditioned.
        first_doubt: factor on the predictions' variance in the first round, halved from round to round: points that are
            condemned before the field is known make it too flat, which condemns more of them.
    """

    rounds: int = 14
    refresh: tuple[int, ...] = (0, 2, 4)
    group_spacings: float = 2.0
    group_px: float = 20.0
    group_size: int = 32
    degrees: float = 4.0
    clean_share: float = 0.85
    length_share: float = 0.15
    noise_px: float = 5.0
    least_probability: float = 1e-3
    first_doubt: float = 8.0


@dataclass(frozen=True)
class _Axis:
    """One component: its settings and what prediction needs.

    Attributes:
        amplitude, noise: variances, px^2.
        length: px.
        factor: Cholesky factor of the covariance of the points.
        pull: (N,) the inverse covariance times the points' values.
    """

    amplitude: float
    length: float
    noise: float
    factor: tuple[np.ndarray, bool]
    pull: np.ndarray


class GaussianField:
    """A fitted field.

    Attributes:
        probability: (N,) that a point belongs to the field.
        predicted_px: (N, 2) shift that the others predict at each point.
    """

    def __init__(
        self, xy: np.ndarray, shift: np.ndarray, probability: np.ndarray, config: GaussianConfig | None = None
    ) -> None:
        """Fit.

        Args:
            xy: (N, 2) positions, N at least 6.
            shift: (N, 2) px.
            probability: (N,) first guess of which points are right, from whatever knows better than nothing.
        """
        self._xy, self._shift, self._config = (
            np.asarray(xy, np.float64),
            np.asarray(shift, np.float64),
            config or GaussianConfig(),
        )
        self._middle, self._extent = self._xy.mean(axis=0), max(float(np.ptp(self._xy, axis=0).max()), 1.0)
        self._distance = np.sqrt(((self._xy[:, None] - self._xy[None]) ** 2).sum(axis=-1))
        self._trend = self._trend_at(self._xy)
        self.probability = np.clip(np.asarray(probability, np.float64), 0.0, 1.0)
        self._fit()

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """Shifts (M, 2), px, at positions (M, 2)."""
        xy = np.asarray(xy, np.float64)
        parts = [np.zeros((0, 2))]
        for start in range(0, len(xy), _BLOCK):
            part = xy[start : start + _BLOCK]
            values = np.stack([self._covariance_to(part, axis) @ axis.pull for axis in self._components], axis=1)
            parts.append(geometry.apply(self._base, part) - part + values @ self._axes.T)
        return np.concatenate(parts)

    def sigma_at(self, xy: np.ndarray) -> np.ndarray:
        """Standard deviation per axis (M,), px, of the field itself at positions (M, 2): the root mean square of both
        axes.
        """
        xy = np.asarray(xy, np.float64)
        parts = [np.zeros(0)]
        for start in range(0, len(xy), _BLOCK):
            part = xy[start : start + _BLOCK]
            parts.append(np.sqrt(0.5 * sum(self._variance_at(part, axis) for axis in self._components)))
        return np.concatenate(parts)

    @property
    def noise_px(self) -> float:
        """Standard deviation per axis (root mean square of both) of a right point around the field."""
        return float(np.sqrt(0.5 * sum(axis.noise for axis in self._components)))

    def _variance_at(self, xy: np.ndarray, axis: _Axis) -> np.ndarray:
        across = self._covariance_to(xy, axis)
        own = axis.amplitude + _TREND_PX**2 * (self._trend_at(xy) ** 2).sum(axis=1)
        return np.maximum(own - np.einsum("mn,nm->m", across, cho_solve(axis.factor, across.T)), 0.0)

    def _trend_at(self, xy: np.ndarray) -> np.ndarray:
        return np.column_stack([2.0 * (xy - self._middle) / self._extent, np.ones(len(xy))])

    def _covariance_to(self, xy: np.ndarray, axis: _Axis) -> np.ndarray:
        distance = np.sqrt(((xy[:, None] - self._xy[None]) ** 2).sum(axis=-1))
        return axis.amplitude * correlation(distance / axis.length) + _TREND_PX**2 * self._trend_at(xy) @ self._trend.T

    def _fit(self) -> None:
        config, count = self._config, len(self._xy)
        groups = self._groups()
        settings: list[np.ndarray | None] = [None, None]
        self.predicted_px = np.zeros((count, 2))
        variance = np.zeros((count, 2))
        for number in range(config.rounds):
            self._aim()
            self._components = []
            for which in (0, 1):
                values = self._target[:, which]
                if number in (*config.refresh, config.rounds - 1):
                    settings[which] = self._settings(values, settings[which])
                axis = self._component(values, settings[which])
                self._components.append(axis)
                self.predicted_px[:, which], variance[:, which] = self._without_group(axis, values, groups)
            if number < config.rounds - 1:
                self._judge(variance * max(config.first_doubt / 2**number, 1.0))
        self.predicted_px = geometry.apply(self._base, self._xy) - self._xy + self.predicted_px @ self._axes.T

    def _aim(self) -> None:
        """The affine, the axes of its residual, and the residual along them, all weighted by the probabilities."""
        trust = np.maximum(self.probability, self._config.least_probability)
        self._base = geometry.fit_affine(self._xy, self._xy + self._shift, trust)
        residual = self._shift - (geometry.apply(self._base, self._xy) - self._xy)
        self._axes = np.linalg.eigh(np.einsum("n,ni,nj->ij", trust, residual, residual))[1]
        self._target = residual @ self._axes

    def _groups(self) -> list[np.ndarray]:
        """Per point, the nearest points that claim the same, itself included, sorted."""
        distance, index = cKDTree(self._xy).query(self._xy, k=min(self._config.group_size, len(self._xy)))
        reach = self._config.group_spacings * spacing(self._xy)
        alike = np.linalg.norm(self._shift[index] - self._shift[:, None], axis=2) < self._config.group_px
        member = (distance <= reach) & alike
        member[:, 0] = True
        # Of several points at one place the nearest need not be the point itself.
        return [
            np.union1d(others[inside], point) for point, (others, inside) in enumerate(zip(index, member, strict=True))
        ]

    def _settings(self, values: np.ndarray, start: np.ndarray | None) -> np.ndarray:
        """Logarithms of amplitude (standard deviation), length and noise that make the right points likeliest."""
        from scipy.optimize import minimize  # not above: a prediction of proposed candidates does not need it

        config = self._config
        right = self.probability > min(_SURELY_WRONG, float(self.probability.max()) / 2)
        distance, trust, values = self._distance[np.ix_(right, right)], self.probability[right], values[right]
        trend = _TREND_PX**2 * self._trend[right] @ self._trend[right].T
        centre = np.log([np.std(values) + _LEAST_AMPLITUDE_PX, config.length_share * self._extent, config.noise_px])

        def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
            amplitude, length, noise = np.exp(2 * logs[0]), np.exp(logs[1]), np.exp(2 * logs[2]) / trust
            field = amplitude * correlation(distance / length)
            try:
                factor = cho_factor(field + trend + np.diag(noise), lower=True)
            except np.linalg.LinAlgError:
                return _HOPELESS, np.zeros(3)
            pull, inverse = cho_solve(factor, values), cho_solve(factor, np.eye(len(values)))
            slope = inverse - np.outer(pull, pull)
            prior = np.array([0.0, *(logs[1:] - centre[1:])])
            value = 0.5 * values @ pull + np.log(np.diag(factor[0])).sum() + 0.5 * prior @ prior
            along_length = 0.5 * np.sum(slope * amplitude * _steepness(distance / length))
            return value, np.array([np.sum(slope * field), along_length, np.diag(slope) @ noise]) + prior

        shortest, longest = _LENGTHS
        limits = [_LOG_AMPLITUDE, tuple(np.log([shortest * self._extent, longest * self._extent])), _LOG_NOISE]
        first, options = centre if start is None else start, {"maxiter": _MOST_STEPS}
        return minimize(loss, first, jac=True, method="L-BFGS-B", bounds=limits, options=options).x

    def _component(self, values: np.ndarray, logs: np.ndarray) -> _Axis:
        amplitude, length, noise = float(np.exp(2 * logs[0])), float(np.exp(logs[1])), float(np.exp(2 * logs[2]))
        matrix = amplitude * correlation(self._distance / length) + _TREND_PX**2 * self._trend @ self._trend.T
        matrix[np.diag_indices_from(matrix)] += self._noise(noise)
        factor = cho_factor(matrix, lower=True)
        return _Axis(amplitude, length, noise, factor, cho_solve(factor, values))

    def _noise(self, noise: float) -> np.ndarray:
        return noise / np.maximum(self.probability, self._config.least_probability)

    def _without_group(
        self, axis: _Axis, values: np.ndarray, groups: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N,) what is predicted at each point by all outside its group, and the variance of a right point around
        that."""
        inverse = cho_solve(axis.factor, np.eye(len(values)))
        noise = self._noise(axis.noise)
        predicted, variance = np.empty(len(values)), np.empty(len(values))
        for point, group in enumerate(groups):
            own = np.searchsorted(group, point)
            block = np.linalg.inv(inverse[np.ix_(group, group)])
            predicted[point] = values[point] - block[own] @ axis.pull[group]
            variance[point] = max(block[own, own] - noise[point], 0.0) + axis.noise
        return predicted, variance

    def _judge(self, variance: np.ndarray) -> None:
        """Half a step towards the probability that the predictions give every point; `predicted_px` is along the axes
        here.
        """
        config = self._config
        low, high = np.percentile(self._shift, _BULK, axis=0)
        wrong = 1.0 / np.prod(high - low + config.group_px)
        share = float(np.clip(self.probability.mean(), *_SHARES))
        square = ((self._target - self.predicted_px) ** 2 / variance).sum(axis=1)
        heavy = (1.0 + square / config.degrees) ** (-(config.degrees + 2.0) / 2.0)
        right = (
            share
            * (heavy if share > config.clean_share else np.exp(-0.5 * square))
            / (2 * np.pi * np.sqrt(variance.prod(axis=1)))
        )
        self.probability = (self.probability + right / (right + (1.0 - share) * wrong)) / 2


def correlation(distance: np.ndarray) -> np.ndarray:
    """Correlation of the field at distances in units of its length."""
    return 0.5 * (np.exp(-distance) + (1.0 + _SQRT5 * distance + 5.0 / 3.0 * distance**2) * np.exp(-_SQRT5 * distance))


def _steepness(distance: np.ndarray) -> np.ndarray:
    """Derivative of `correlation` by the logarithm of the length."""
    return (
        0.5
        * distance
        * (np.exp(-distance) + 5.0 / 3.0 * distance * (1.0 + _SQRT5 * distance) * np.exp(-_SQRT5 * distance))
    )
