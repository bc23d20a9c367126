"""Both sensors, the grids of the two rasters, the terrain, and the displacement between the
images that follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solution.simulate.noise import STEP, CoarseField, coarse_shape, fractal
from solution.simulate.presets import Preset


@dataclass(frozen=True)
class SceneViews:
    """From where both sensors and the sun see a scene. Directions are unit vectors (x right, y down) on the ground.

    Attributes:
        cell_m: size of an optical pixel, which is that of a ground cell.
        sar_gsd_m: (x, y); the pixels of the challenge are not exactly square.
        lean: where the top of a building is displaced to in the optical image.
        lean_per_m: by how many metres per metre of height (tangent of the off-nadir angle).
        sun, sun_elevation_deg: towards the sun, and its height above the horizon.
        radar, incidence_deg: towards the radar, and its angle from the vertical.
    """

    cell_m: float
    sar_gsd_m: tuple[float, float]
    lean: tuple[float, float]
    lean_per_m: float
    sun: tuple[float, float]
    sun_elevation_deg: float
    radar: tuple[float, float]
    incidence_deg: float

    @property
    def layover_per_m(self) -> float:
        """Metres towards the radar by which a metre of height is displaced in ground range: 1 / tan(incidence)."""
        return float(1.0 / np.tan(np.deg2rad(self.incidence_deg)))


def _direction(angle: float) -> tuple[float, float]:
    return float(np.cos(angle)), float(np.sin(angle))


def draw_views(preset: Preset, rng: np.random.Generator) -> SceneViews:
    """Draw the views of one scene.

    Radar look directions favour east and west, as polar orbits do, but any heading occurs.
    """
    gsd_sar = rng.uniform(*preset.sar_gsd_m)
    look = rng.normal(0.0, 0.35) + np.pi * rng.integers(2) if rng.random() < 0.6 else rng.uniform(0, 2 * np.pi)
    return SceneViews(
        cell_m=float(rng.uniform(*preset.optical_gsd_m)),
        sar_gsd_m=(float(gsd_sar), float(gsd_sar * (1 + rng.normal(0, 1e-4)))),
        lean=_direction(rng.uniform(0, 2 * np.pi)),
        lean_per_m=float(np.tan(np.deg2rad(rng.uniform(*preset.off_nadir_deg)))),
        sun=_direction(rng.uniform(0.15, 0.85) * np.pi),
        sun_elevation_deg=float(rng.uniform(*preset.sun_elevation_deg)),
        radar=_direction(look),
        incidence_deg=float(rng.uniform(*preset.incidence_deg)),
    )


@dataclass(frozen=True)
class Grids:
    """Rasters and ground, all north up.

    Attributes:
        optical_shape: (h, w).
        sar_shape: (h, w).
        sar_origin_m: world position of the SAR raster's upper left corner; the optical one's is (0, 0).
        ground_shape: (h, w) cells.
        ground_origin: (x, y) of the first ground cell in optical pixels, zero or negative.
    """

    optical_shape: tuple[int, int]
    sar_shape: tuple[int, int]
    sar_origin_m: tuple[float, float]
    ground_shape: tuple[int, int]
    ground_origin: tuple[int, int]


@dataclass(frozen=True)
class Displacement:
    """Where ground appears in either image. Fields are in metres on the ground's coarse nodes.

    Attributes:
        terrain: height above the ellipsoid that the SAR image was geocoded to.
        optical_x, optical_y: position in the orthophoto minus true position, given at the orthophoto's place.
        sar_x, sar_y: position in the SAR image minus true position, of bare ground.
    """

    terrain: CoarseField
    optical_x: CoarseField
    optical_y: CoarseField
    sar_x: CoarseField
    sar_y: CoarseField


def build(
    shape: tuple[int, int], preset: Preset, views: SceneViews, rng: np.random.Generator
) -> tuple[Grids, Displacement]:
    """Terrain, displacement, and a ground just large enough to fill both rasters.

    The terrain's fractal is scaled so that the displacement, not the height, has the preset's relief: that is what
    tie-points show.
    """
    cell = views.cell_m
    reach = int(np.ceil(160.0 / cell / STEP)) * STEP
    full = (shape[0] + 2 * reach, shape[1] + 2 * reach)
    nodes = coarse_shape(full)
    relief = rng.uniform(*preset.relief_m) / 1.83 ** (hurst := rng.uniform(*preset.hurst))
    parallax = _terrain(nodes, cell * STEP, relief, hurst, rng)
    terrain = parallax / views.layover_per_m
    error = rng.uniform(*preset.dem_error) * _missed_relief(nodes, cell * STEP, relief, hurst, rng)
    error += 0.25 * rng.uniform(*preset.dem_error) * (terrain - terrain.mean())
    bias = rng.uniform(*preset.bias_m) * np.array(_direction(rng.uniform(0, 2 * np.pi)))
    drift = 0.12 * relief * fractal(nodes, cell * STEP, 0.9, 400.0, rng)
    lean, radar = np.array(views.lean), np.array(views.radar)
    optical = [error * views.lean_per_m * lean[axis] for axis in (0, 1)]
    across = np.array([-radar[1], radar[0]])
    sar = [bias[axis] + (parallax - parallax.mean()) * radar[axis] + drift * across[axis] for axis in (0, 1)]
    sar = [_limit(field, reach * cell * 0.8) for field in sar]
    origin = np.round(rng.uniform((-6.0, -6.0), (10.0, 10.0)), 3)
    grids, cut = _grids(shape, views, origin, sar, optical, reach)
    return grids, Displacement(
        *(CoarseField(np.ascontiguousarray(field[cut], dtype=np.float32)) for field in (terrain, *optical, *sar))
    )


def _limit(field: np.ndarray, most: float) -> np.ndarray:
    """Bend extremes smoothly to +-`most`; nearly the identity below half of it."""
    return (most * np.tanh(field / most)).astype(np.float32)


def _terrain(
    nodes: tuple[int, int], step_m: float, relief: float, hurst: float, rng: np.random.Generator
) -> np.ndarray:
    """Fractal relief with crests sharper than valley floors: half of it is folded about a random level."""
    smooth = fractal(nodes, step_m, hurst, 30.0, rng)
    folded = -np.abs(fractal(nodes, step_m, hurst, 40.0, rng) - rng.normal(0, 2.0))
    return relief * (0.85 * smooth + 0.75 * folded)


def _missed_relief(
    nodes: tuple[int, int], step_m: float, relief: float, hurst: float, rng: np.random.Generator
) -> np.ndarray:
    """Error of the orthorectification's terrain model: fractal up to wavelengths of a kilometre and a half."""
    return relief * fractal(nodes, step_m, hurst, 60.0, rng, coarsest_m=1500.0)


def _grids(
    shape: tuple[int, int],
    views: SceneViews,
    origin: np.ndarray,
    sar: list[np.ndarray],
    optical: list[np.ndarray],
    reach: int,
) -> tuple[Grids, tuple[slice, slice]]:
    cell = views.cell_m
    sar_shape = tuple(int(shape[axis] * cell / views.sar_gsd_m[1 - axis]) for axis in (0, 1))
    border = int(np.ceil(25.0 / cell))
    low, high = [], []
    for axis in (0, 1):
        extent = shape[1 - axis]
        shifts = np.array([sar[axis].min(), sar[axis].max()]) / cell
        seen = np.abs(optical[axis]).max() / cell
        first = min(-seen, origin[axis] / cell - shifts[1]) - border
        last = (
            max(extent + seen, (origin[axis] + sar_shape[1 - axis] * views.sar_gsd_m[axis]) / cell - shifts[0]) + border
        )
        low.append(max(-reach, int(np.floor(first / STEP)) * STEP))
        high.append(min(extent + reach, low[-1] + int(np.ceil((last - low[-1]) / STEP)) * STEP))
    cut = tuple(slice((low[axis] + reach) // STEP, (high[axis] + reach) // STEP + 1) for axis in (1, 0))
    ground_shape = (high[1] - low[1], high[0] - low[0])
    return Grids(shape, sar_shape, (float(origin[0]), float(origin[1])), ground_shape, (low[0], low[1])), cut
