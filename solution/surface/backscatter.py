"""What simulated sea, ice and land send back in HH and HV, dB, before the instrument adds its own.

The levels follow what C-band extra-wide-swath scenes show: wind-roughened sea falls off steeply with
incidence angle and hardly depolarises, ice falls off slowly and depolarises by volume and ridges, land has
relief. They overlap on purpose: rough sea is as bright as ice in HH, calm sea as dark as young ice, and both
can lie below the noise floor of HV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from solution.simulate.noise import CoarseField, Texture, coarse_shape, fractal

CELL_M = 40.0  # size of a pixel
_COARSE_M = 8 * CELL_M
_WIDEST_PX = 2000  # extent over which fields are drawn where the scene is smaller
_POINTS = 4  # echoes of each cell
Bands = tuple[np.ndarray, np.ndarray]
"""HH and HV, (h, w) float32 dB."""


def coarse_field(shape: tuple[int, int], rng: np.random.Generator, hurst: float = 0.7) -> CoarseField:
    """A smooth random field of zero mean and unit variance over a scene.

    A small scene is a cut out of a large one, so the mean and variance are those of what lies around it, too.
    """
    nodes = fractal(coarse_shape(tuple(max(side, _WIDEST_PX) for side in shape)), _COARSE_M, hurst, 2 * _COARSE_M, rng)
    return CoarseField(((nodes - nodes.mean()) / max(float(nodes.std()), 1e-9)).astype(np.float32))


@dataclass(frozen=True)
class Rows:
    """Rows [top, bottom) of a scene that is `width` px wide.

    Attributes:
        angle: (width,) incidence angle in degrees.
    """

    top: int
    bottom: int
    width: int
    angle: np.ndarray

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """top, bottom, left, right."""
        return self.top, self.bottom, 0, self.width

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns (1, w) and rows (h, 1), float32."""
        return np.arange(self.width, dtype=np.float32)[None], np.arange(self.top, self.bottom, dtype=np.float32)[
            :, None
        ]


def _wave(rows: Rows, length_px: float, direction: float, phase_shift: np.ndarray) -> np.ndarray:
    x, y = rows.grid()
    return np.sin(2 * np.pi * (x * np.cos(direction) + y * np.sin(direction)) / length_px + phase_shift)


class Sea:
    """Wind sea with swell, wind rows, gusts, and calm dark areas and slicks."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.level = rng.uniform(-21.0, -9.0)  # dB at 30 degrees
        self.slope = rng.uniform(0.35, 0.6)  # dB per degree
        self.gusts, self.calm = coarse_field(shape, rng), coarse_field(shape, rng, 0.5)
        self.gust_db, self.calm_from = rng.uniform(0.8, 2.5), rng.uniform(0.9, 2.2)
        self.swell_px, self.swell_db, self.direction = (
            rng.uniform(4.5, 14.0),
            rng.uniform(0.0, 1.1),
            rng.uniform(0, np.pi),
        )
        self.row_px, self.row_db = rng.uniform(25.0, 80.0), rng.uniform(0.0, 1.2)
        self.fine = Texture(rng, 1.0, 24.0)
        self.depolarised = rng.uniform(-23.0, -14.5)

    def bands(self, rows: Rows) -> Bands:
        bounds = rows.bounds
        wobble = 1.5 * self.gusts.window(*bounds)
        calm = expit(8 * (self.calm.window(*bounds) - self.calm_from))
        waves = (1 - calm) * (
            self.swell_db * _wave(rows, self.swell_px, self.direction, wobble)
            + self.row_db * _wave(rows, self.row_px, self.direction + 0.3, 2 * wobble)
            + 0.4 * self.fine.window(*bounds)
        )
        hh = (
            self.level
            - self.slope * (rows.angle - 30.0)
            + self.gust_db * self.gusts.window(*bounds)
            - 9.0 * calm
            + waves
        )
        return hh, hh + self.depolarised


class Ice:
    """Pack ice of floes, leads and ridges: young and smooth here, deformed there; and
    level fast ice along the coast."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.level, self.slope = rng.uniform(-17.5, -12.0), rng.uniform(0.12, 0.25)
        self.deformation, self.leads = coarse_field(shape, rng), Texture(rng, 2.2, 150.0)
        self.floes, self.ridges, self.fine = Texture(rng, 1.8, 90.0), Texture(rng, 1.9, 60.0), Texture(rng, 1.1, 12.0)
        self.lead_width, self.lead_db = rng.uniform(0.02, 0.07), rng.uniform(-6.0, 2.0)
        self.young_from = rng.uniform(0.9, 1.8)
        self.rough = rng.uniform(0.9, 1.5)

    def bands(self, rows: Rows, fast: np.ndarray) -> Bands:
        """`fast` (h, w) in [0, 1]: where the ice is fast to the coast."""
        bounds = rows.bounds
        deformation = self.deformation.window(*bounds)
        young = np.maximum(expit(-5 * (deformation + self.young_from)), 0.7 * fast)
        strength = self.rough * (1 - 0.3 * young) * np.clip(1 + 0.35 * deformation, 0.4, 1.8)
        # Floes are plates of one brightness each, so their field is cut into steps.
        # Ridges and leads are thin lines: the zeros of fields.
        floes = np.round(1.6 * self.floes.window(*bounds)) / 1.6
        ridge = np.exp(-((self.ridges.window(*bounds) / 0.09) ** 2))
        lead = np.exp(-((self.leads.window(*bounds) / self.lead_width) ** 2)) * (1 - fast)
        knots = np.maximum(self.fine.window(*bounds) - 1.6, 0)
        hh = (
            self.level
            - self.slope * (rows.angle - 30.0)
            - 3.0 * young
            + strength * (1.1 * floes + 3.0 * ridge + 2.0 * knots)
            + self.lead_db * lead
        )
        hv = (
            hh
            - 10.0
            - 1.5 * young
            + strength * (0.7 * ridge + 1.2 * knots)
            + 1.5 * np.clip(deformation, -1, 2)
            - 2.0 * np.abs(lead)
        )
        return hh, hv


class Land:
    """Hills, lowland with lakes, and ice caps. Relief is laid over towards the sensor, which sits to the left."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.level, self.slope = rng.uniform(-14.0, -9.0), rng.uniform(0.1, 0.2)
        self.relief, self.peaks = coarse_field(shape, rng, 0.9), Texture(rng, 2.0, 120.0)
        self.height_m = rng.uniform(40.0, 700.0)
        self.caps, self.cap_from = coarse_field(shape, rng, 0.8), rng.uniform(0.4, 2.0)
        self.lakes, self.fine = Texture(rng, 2.0, 60.0), Texture(rng, 1.1, 20.0)
        self.lake_from = rng.uniform(1.6, 2.8)

    def height(self, rows: Rows, inland: np.ndarray) -> np.ndarray:
        """(h, w) m; 0 at the coast. `inland` (h, w) rises from 0 at the coast to 1."""
        bounds = rows.bounds
        shape = np.clip(0.6 + 0.5 * self.relief.window(*bounds), 0.1, None) * (1 + 0.35 * self.peaks.window(*bounds))
        return self.height_m * inland * np.maximum(shape, 0)

    def bands(self, rows: Rows) -> Bands:
        """Of flat ground; `foreshortened` adds the relief."""
        bounds = rows.bounds
        cap = expit(10 * (self.caps.window(*bounds) - self.cap_from))
        lake = expit(20 * (self.lakes.window(*bounds) - self.lake_from))
        texture = 1.3 * self.fine.window(*bounds) + 0.8 * self.peaks.window(*bounds)
        hh = (
            self.level
            - self.slope * (rows.angle - 30.0)
            + (1 - 0.8 * cap) * texture
            + 4.0 * cap
            - 9.0 * lake * (1 - cap)
        )
        return hh, hh - 7.5 + 3.0 * cap + 0.4 * texture - 3.0 * lake


def foreshortened(power: np.ndarray, height: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put the echo of every ground cell where a side-looking radar sees it, h / tan(angle) nearer to the sensor.

    Slopes towards the sensor gather in few bright pixels, those away from it stretch and fade.

    Args:
        power: (bands, h, w), 0 where there is no land.
        height: (h, w) m.
        angle: (w,) incidence angle, degrees; the sensor is on the left.

    Returns:
        Power (bands, h, w) and how many ground cells fell into each pixel (h, w), both float32.
    """
    rows, width = height.shape
    # Several points a cell, or their spacing would beat with that of the pixels and draw contour lines.
    across = (np.arange(width * _POINTS) + 0.5) / _POINTS - 0.5
    low = np.clip(np.floor(across), 0, width - 2).astype(np.int64)
    share = np.clip(across - low, 0, 1)
    fine = height[:, low] * (1 - share) + height[:, low + 1] * share
    place = across - fine / (np.tan(np.deg2rad(angle.repeat(_POINTS))) * CELL_M)
    left = np.floor(place).astype(np.int64)
    land = (power[0] > 0).repeat(_POINTS, axis=1)
    echoes = [band.repeat(_POINTS, axis=1) / _POINTS for band in (*power, np.ones_like(height))]
    out = np.zeros((len(echoes), rows * width))
    for step in (0, 1):
        column, weight = left + step, np.abs(1 - step - (place - left))
        inside = land & (column >= 0) & (column < width)
        index = (np.arange(rows)[:, None] * width + column)[inside]
        for band, values in enumerate(echoes):
            out[band] += np.bincount(index, (weight * values)[inside], rows * width)
    out = out.reshape(-1, rows, width).astype(np.float32)
    return out[:-1], out[-1]


def speckled(power: np.ndarray, looks: float, rng: np.random.Generator) -> np.ndarray:
    """Multiplicative gamma speckle of `looks` looks, its neighbours slightly alike as in a resampled product."""
    gamma = rng.gamma(looks, 1 / looks, power.shape).astype(np.float32)
    smooth = gaussian_filter(gamma, (0,) * (power.ndim - 2) + (0.5, 0.5), truncate=3.0)
    return power * smooth
