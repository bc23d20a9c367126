"""The SAR image: side-looking, geocoded to the ellipsoid, with layover, shadow, double bounce, sidelobes and speckle.

A scatterer at height z above the geocoding surface appears z / tan(incidence) closer to the radar than it is. Power is
accumulated on a lattice of ground cells by bilinear splatting, so that a regular ground gives an even image and
foreshortened slopes brighten by themselves. It is then brought to the SAR raster, multiplied by complex speckle, and
band-limited by the aperture, which also gives bright points their sidelobes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import fft

from solution.simulate.ground import GroundCells
from solution.simulate.materials import DB_TO_POWER, Material
from solution.simulate.noise import hash01
from solution.simulate.optical import BLOCK, CellWindow
from solution.simulate.presets import Preset
from solution.simulate.sensors import Displacement, Grids, SceneViews
from solution.simulate.sight import horizon, shift_slices

_REACH_M = 150.0  # no shadow is followed further
_WALL_M = 1.0  # what rises by more above its surroundings is a wall
_HALO = 48  # px around a block that take part in its speckle, so that sidelobes cross the borders of blocks


@dataclass(frozen=True)
class SarLook:
    """Radiometry of one SAR image.

    Attributes:
        looks: independent looks averaged.
        band: share of the sampling bandwidth that the aperture fills, (range, azimuth); less is softer.
        taper: 0 for a sharp-edged aperture (strong sidelobes) to 1 for a raised cosine.
        floor_db: noise-equivalent backscatter.
        bounce_db: double bounce of a wall that faces the radar squarely, above one ground cell at 0 dB.
        facade_db, window_db: backscatter of bare walls, and of their windows' corners.
        aspect: decibels lost by double bounce per (45 degrees of misalignment) squared.
        top_percentile, level: the amplitude at this percentile becomes this 8-bit value.
        gamma: exponent of the amplitude; below 1 it lifts the dark.
        material_db: this image's departure from every material's mean backscatter (season, moisture, wind).
    """

    looks: int
    band: tuple[float, float]
    taper: float
    floor_db: float
    bounce_db: float
    facade_db: float
    window_db: float
    aspect: float
    top_percentile: float
    level: float
    gamma: float
    material_db: tuple[float, ...]


def draw_look(rng: np.random.Generator, landscape: Preset) -> SarLook:
    """One-look spotlight images most often, multi-looked ones too; or what the landscape's own sensor gives."""
    material_db = rng.normal(0, 2.0, len(Material))
    material_db[Material.TREE] = rng.normal(-2.5, 3.0)
    material_db[Material.ROOF_METAL] = rng.normal(0, 4.0)
    for material, departure_db in landscape.material_db.items():
        material_db[material] += departure_db
    drawn = SarLook(
        looks=int(rng.choice((1, 2, 3, 4), p=(0.55, 0.2, 0.1, 0.15))),
        band=(float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.6, 0.95))),
        taper=float(rng.uniform(0.1, 0.9)),
        floor_db=float(rng.uniform(-24, -15)),
        bounce_db=float(rng.uniform(8, 18)),
        facade_db=float(rng.uniform(-18, -9)),
        window_db=float(rng.uniform(4, 14)),
        aspect=float(rng.uniform(4, 14)),
        top_percentile=float(rng.uniform(98.5, 99.9)),
        level=float(rng.uniform(130, 255)),
        gamma=float(rng.uniform(0.75, 1.0)),
        material_db=tuple(material_db.tolist()),
    )
    return replace(drawn, **landscape.sar_look)


@dataclass(frozen=True)
class Power:
    """What the radar receives, on the ground's cells (not yet speckled).

    Attributes:
        total: (h, w) float32 linear power.
        raised: (h, w) float32, the share of it that comes from more than `_WALL_M` above
            ground: layover where it is large.
        shadow: (h, w) bool in *ground* geometry: cells that the radar does not see.
    """

    total: np.ndarray
    raised: np.ndarray
    shadow: np.ndarray


def accumulate(ground: GroundCells, displacement: Displacement, views: SceneViews, look: SarLook) -> Power:
    """Received power of the whole ground, block by block."""
    shape = ground.height.shape
    total, raised, shadow = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, bool)
    for top in range(0, shape[0], BLOCK):
        for left in range(0, shape[1], BLOCK):
            part = CellWindow(top, min(top + BLOCK, shape[0]), left, min(left + BLOCK, shape[1]))
            _accumulate_block(ground, displacement, views, look, part, total, raised, shadow)
    return Power(total, raised, shadow)


def _accumulate_block(ground, displacement, views, look, part: CellWindow, total, raised, shadow) -> None:
    drop = views.cell_m * views.layover_per_m
    reach = int(min(float(ground.height.max()) / drop, _REACH_M / views.cell_m)) + 8
    wide = part.grow(reach)
    height = wide.cut(ground.height)
    terrain = displacement.terrain.window(*wide.window)
    surface = height + terrain
    ceiling = horizon(surface, views.radar, drop, reach)
    inner = slice(reach, -reach)
    seen = (surface >= ceiling - 0.05)[inner, inner]
    shadow[part.top : part.bottom, part.left : part.right] = ~seen & (height[inner, inner] < 1.0)
    base_x = displacement.sar_x.window(*part.window) / views.cell_m
    base_y = displacement.sar_y.window(*part.window) / views.cell_m
    columns = np.arange(part.left, part.right, dtype=np.float32)[None, :] + base_x
    rows = np.arange(part.top, part.bottom, dtype=np.float32)[:, None] + base_y
    own = height[inner, inner]
    material = part.cut(ground.material)
    tilt = np.where(material == Material.TREE, 1.0, _local_incidence(surface, views)[inner, inner]).astype(np.float32)
    season = (10 ** (np.array(look.material_db) / 10)).astype(np.float32)
    power = DB_TO_POWER[part.cut(ground.backscatter)] * season[material] * seen * tilt
    z = _scatterer_height(own, material, part)
    _splat(total, raised, columns, rows, z, power, views)
    _splat_walls(ground, views, look, part, height, surface, ceiling, reach, columns, rows, total, raised)


def _scatterer_height(own: np.ndarray, material: np.ndarray, part: CellWindow) -> np.ndarray:
    """Tops scatter at their height; crowns scatter from anywhere inside."""
    crown = material == Material.TREE
    if not crown.any():
        return own
    x, y = np.meshgrid(np.arange(part.left, part.right), np.arange(part.top, part.bottom))
    depth = hash01(x, y, 5)
    return np.where(crown, own * (0.35 + 0.65 * depth), own)


def _local_incidence(surface: np.ndarray, views: SceneViews) -> np.ndarray:
    """Power factor of tilted facets: cosine of the local incidence squared, one for level ground."""
    smooth = cv2.GaussianBlur(surface, (0, 0), 1.0)
    scale = 1.0 / (2 * views.cell_m)
    towards = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, scale=scale) * views.radar[0]
    towards += cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, scale=scale) * views.radar[1]
    slope = np.clip(-towards, -0.8, 0.8)
    incidence = np.deg2rad(views.incidence_deg)
    local = np.clip(incidence - np.arctan(slope), 0.0, np.pi / 2 - 0.03)
    return ((np.cos(local) / np.cos(incidence)) ** 2).astype(np.float32)


def _splat(total, raised, columns, rows, z, power, views: SceneViews) -> None:
    """Add power at the place where each scatterer appears."""
    reach = views.layover_per_m / views.cell_m
    x = (columns + z * np.float32(reach * views.radar[0])).ravel()
    y = (rows + z * np.float32(reach * views.radar[1])).ravel()
    power = np.broadcast_to(power, columns.shape).ravel()
    keep = (power > 1e-6) & (x > 0) & (y > 0) & (x < total.shape[1] - 1.01) & (y < total.shape[0] - 1.01)
    if not keep.any():
        return
    high = np.broadcast_to(z, columns.shape).ravel()[keep] > _WALL_M
    x, y, power = x[keep], y[keep], power[keep]
    _bilinear_add(total, x, y, power)
    if high.any():
        _bilinear_add(raised, x[high], y[high], power[high])


def _bilinear_add(target: np.ndarray, x: np.ndarray, y: np.ndarray, power: np.ndarray) -> None:
    column, row = x.astype(np.int32), y.astype(np.int32)
    top, left = int(row.min()), int(column.min())
    size = (int(row.max()) - top + 2, int(column.max()) - left + 2)
    fx, fy = x - column, y - row
    index = (row - top) * size[1] + (column - left)
    weights = ((0, (1 - fx) * (1 - fy)), (1, fx * (1 - fy)), (size[1], (1 - fx) * fy), (size[1] + 1, fx * fy))
    patch = np.zeros(size[0] * size[1])
    for step, weight in weights:
        patch += np.bincount(index + step, weights=power * weight, minlength=len(patch))
    target[top : top + size[0], left : left + size[1]] += patch.reshape(size).astype(np.float32)


def _splat_walls(ground, views, look, part, height, surface, ceiling, reach, columns, rows, total, raised) -> None:
    """Walls that face the radar: their surface, windows, and the double bounce at their foot."""
    inner = slice(reach, -reach)
    front = _in_front(height, views.radar)
    drop = (height - front)[inner, inner]
    material = part.cut(ground.material)
    wall = (drop > _WALL_M) & (material != Material.TREE) & (material != Material.RUBBLE)
    if not wall.any():
        return
    facing, length = _facing(height, views, inner, wall)
    i, j = np.nonzero(wall)
    foot, top = front[inner, inner][wall], height[inner, inner][wall]
    lit_from = (_in_front(ceiling, views.radar) - (surface - height))[inner, inner][wall]
    x, y = columns[wall], rows[wall]
    identity = part.cut(ground.building)[wall].astype(np.int64)
    foot_seen = lit_from < foot + 0.5
    angle = np.arccos(np.clip(facing, 0, 1))
    gain = (
        look.bounce_db
        - look.aspect * (angle / (np.pi / 4)) ** 2
        + 10 * np.log10(np.clip((top - foot) / 6.0, 0.15, 2.0))
    )
    patchy = 6.0 * (hash01(i // 5 + part.top // 5, j // 5 + part.left // 5, identity) - 0.6)
    bounce = np.where(foot_seen & (facing > 0.1), 10 ** ((gain + patchy) / 10), 0).astype(np.float32) * length
    _splat(total, raised, x, y, foot, bounce, views)
    _splat_facades(
        ground,
        views,
        look,
        total,
        raised,
        x,
        y,
        foot,
        top,
        lit_from,
        facing,
        length,
        identity,
        i + part.top,
        j + part.left,
    )


def _in_front(array: np.ndarray, radar: tuple[float, float]) -> np.ndarray:
    """The array's value one cell closer to the radar."""
    to, of = shift_slices(array.shape, round(radar[0]), round(radar[1]))
    out = array.copy()
    out[to] = array[of]
    return out


def _facing(height: np.ndarray, views: SceneViews, inner: slice, wall: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine between a wall's normal and the radar's direction, and the length of wall, cells,
    that one wall cell stands for."""
    smooth = cv2.GaussianBlur(np.minimum(height, 30.0), (0, 0), 2.0)
    normal_x = -cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3)[inner, inner][wall]
    normal_y = -cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)[inner, inner][wall]
    length = np.maximum(np.hypot(normal_x, normal_y), 1e-6)
    return (normal_x * views.radar[0] + normal_y * views.radar[1]) / length, np.ones_like(length)


def _splat_facades(
    ground, views, look, total, raised, x, y, foot, top, lit_from, facing, length, identity, row, column
) -> None:
    """Sample points up each wall, half a cell from the next; windows and balconies are corners that
    repeat with storey and pitch."""
    step = views.cell_m * np.tan(np.deg2rad(views.incidence_deg))
    count = np.maximum(((top - foot) / step).astype(int), 1)
    wall = np.repeat(np.arange(len(x)), count)
    level = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    z = (foot[wall] + (level + 0.5) * step).astype(np.float32)
    keep = (z > lit_from[wall]) & (facing[wall] > 0.05)
    wall, z = wall[keep], z[keep]
    if not len(wall):
        return
    base = 10 ** (look.facade_db / 10) * facing[wall].clip(0, 1) ** 2
    power = base + _windows(ground, views, look, identity[wall], row[wall], column[wall], z, facing[wall])
    _splat(total, raised, x[wall], y[wall], z, (power * length[wall]).astype(np.float32), views)


def _windows(ground, views, look, identity, row, column, z, facing) -> np.ndarray:
    """Power of window and balcony corners: points at multiples of storey and pitch, each of its own strength."""
    table = np.array(ground.facades or [(1, 0, 0, 0, 0, 3, 3, 0)], np.float32)
    entry = table[np.maximum(identity - 1, 0)]
    cos, sin, storey, pitch, gain = entry[:, 0], entry[:, 1], entry[:, 5], entry[:, 6], entry[:, 7]
    a = (column * cos + row * sin) * views.cell_m
    b = (-column * sin + row * cos) * views.cell_m
    along_a = np.abs(views.radar[0] * cos + views.radar[1] * sin) < np.abs(-views.radar[0] * sin + views.radar[1] * cos)
    along = np.where(along_a, a, b)
    window = np.floor(along / pitch)
    floor = np.floor(z / storey)
    on = ((along / pitch) % 1 < views.cell_m / pitch * 1.3) & ((z / storey) % 1 < 0.25) & (identity > 0)
    own = 10 ** ((look.window_db + gain + 16 * (hash01(identity, window, floor) - 0.75)) / 10)
    return np.where(on, own * np.clip(facing, 0, 1), 0.0)


def intensity(power: Power, grids: Grids, views: SceneViews) -> tuple[np.ndarray, np.ndarray]:
    """Total and raised power on the SAR raster, without speckle or noise: (h, w) float32 each."""
    gsd = np.array(views.sar_gsd_m) / views.cell_m
    origin = np.array(grids.sar_origin_m) / views.cell_m - np.array(grids.ground_origin)
    # array coordinates whose integers are centres: p_ground = (p_sar + 1/2) * gsd + origin - 1/2
    matrix = np.array([[gsd[0], 0, origin[0] + gsd[0] / 2 - 0.5], [0, gsd[1], origin[1] + gsd[1] / 2 - 0.5]])
    sigma = 0.42 * float(gsd.mean())
    size = grids.sar_shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return tuple(
        cv2.warpAffine(cv2.GaussianBlur(p, (0, 0), sigma), matrix, size, flags=flags)
        for p in (power.total, power.raised)
    )


def speckle(scene: np.ndarray, views: SceneViews, look: SarLook, rng: np.random.Generator) -> np.ndarray:
    """Noise-free intensity (h, w) -> detected intensity (h, w) float32: circular complex Gaussian speckle through the
    aperture, averaged over looks."""
    out = np.empty(scene.shape, np.float32)
    floor = np.float32(10 ** (look.floor_db / 10))
    for top in range(0, scene.shape[0], BLOCK):
        for left in range(0, scene.shape[1], BLOCK):
            wide = CellWindow(
                top - _HALO,
                min(top + BLOCK, scene.shape[0]) + _HALO,
                left - _HALO,
                min(left + BLOCK, scene.shape[1]) + _HALO,
            )
            amplitude = np.sqrt(wide.cut(scene) + floor)
            shape = tuple(fft.next_fast_len(n) for n in amplitude.shape)
            aperture = _aperture(shape, views, look)
            power = np.zeros(amplitude.shape, np.float32)
            for _ in range(look.looks):
                field = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
                signal = (amplitude * (field[0] + 1j * field[1])).astype(np.complex64)
                image = fft.ifft2(fft.fft2(signal, shape) * aperture)[: amplitude.shape[0], : amplitude.shape[1]]
                power += image.real**2 + image.imag**2
            inner = power[_HALO:-_HALO, _HALO:-_HALO] / (2 * look.looks)
            out[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return out


def _aperture(shape: tuple[int, int], views: SceneViews, look: SarLook) -> np.ndarray:
    """(h, w) float32 transfer function: a rectangle along range and azimuth, tapered, with unit mean power."""
    ky, kx = fft.fftfreq(shape[0])[:, None], fft.fftfreq(shape[1])[None, :]
    along_range = (kx * views.radar[0] + ky * views.radar[1]) / (0.5 * look.band[0])
    along_azimuth = (-kx * views.radar[1] + ky * views.radar[0]) / (0.5 * look.band[1])
    window = np.ones(shape, np.float32)
    for k in (along_range, along_azimuth):
        window *= (1 - look.taper + look.taper * 0.5 * (1 + np.cos(np.pi * np.clip(k, -1, 1)))) * (np.abs(k) <= 1)
    return (window / np.sqrt(np.mean(window**2))).astype(np.float32)


def quantise(detected: np.ndarray, look: SarLook, dtype: str) -> np.ndarray:
    """Amplitude as products deliver it: 8 bit with clipped walls, 16 bit with room above, or float32 unscaled.

    Zero is kept for no data.
    """
    amplitude = np.sqrt(detected)
    top = float(np.percentile(amplitude[::3, ::3], look.top_percentile))
    if dtype == "float32":
        return np.maximum(amplitude, 1e-6)
    if dtype == "uint16":
        return np.clip(np.rint(2000.0 * amplitude / max(top, 1e-9)), 1, 65_535).astype(np.uint16)
    scaled = look.level * (amplitude / max(top, 1e-9)) ** look.gamma
    return np.clip(np.rint(scaled), 1, 255).astype(np.uint8)
