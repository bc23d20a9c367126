"""The ground: one height field with colour, backscatter, material and building identity per cell, and its bare
cover (land use and roads)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from solution.simulate.layout import KINDS, ROUNDABOUT_M, Layout, Streets
from solution.simulate.materials import (
    BACKSCATTER_DB,
    BACKSCATTER_TEXTURE_DB,
    COLOUR,
    COLOUR_TEXTURE,
    Material,
    encode_db,
)
from solution.simulate.noise import Texture, hash01
from solution.simulate.presets import DISTRICTS, Preset

_STRIP = 512  # rows that are covered at once
_SAR_PATCH_DB = 2.5  # by which the backscatter of natural ground differs from place to place


@dataclass
class GroundCells:
    """Everything both sensors look at, on (h, w) cells.

    Attributes:
        height: (h, w) float32, metres above the terrain.
        colour: (h, w, 3) uint8 RGB at full sun.
        backscatter: (h, w) uint8 code, see `materials.encode_db`.
        material: (h, w) uint8.
        building: (h, w) uint16, 0 where there is none, else 1 + row of `facades`.
        facades: one row per building: cos and sin of its axis, RGB of its walls, storey height,
            window pitch, reflectivity (dB).
        corners: (n, 2) cells (x, y) at which a person would click: junctions, lot corners, wall feet.
    """

    height: np.ndarray
    colour: np.ndarray
    backscatter: np.ndarray
    material: np.ndarray
    building: np.ndarray
    facades: list[tuple[float, ...]] = field(default_factory=list)
    corners: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> GroundCells:
        """Flat and black."""
        return cls(
            np.zeros(shape, np.float32), np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8), np.zeros(shape, np.uint8),
            np.zeros(shape, np.uint16),
        )  # fmt: skip

    def copy(self) -> GroundCells:
        """Independent arrays; the lists are shared."""
        return GroundCells(
            self.height.copy(), self.colour.copy(), self.backscatter.copy(), self.material.copy(), self.building.copy(),
            self.facades, self.corners,
        )  # fmt: skip


@dataclass(frozen=True)
class Palette:
    """Colours and textures of one scene.

    Attributes:
        colour: (materials, 3) float32 RGB.
        patches: which cover grows where, for both sensors.
        radar_patches: what only the radar sees (roughness, moisture).
        grain, blotch: fine and coarse texture of colour.
        radar_grain: texture of backscatter.
    """

    colour: np.ndarray
    patches: Texture
    radar_patches: Texture
    grain: Texture
    blotch: Texture
    radar_grain: Texture


def draw_palette(preset: Preset, rng: np.random.Generator) -> Palette:
    """Regional tints: bare ground after the preset, vegetation after a random season."""
    colour = COLOUR * (1 + rng.normal(0, 0.06, (len(COLOUR), 1)) + rng.normal(0, 0.02, COLOUR.shape))
    colour[Material.SOIL] = np.array(preset.soil_rgb) * (1 + rng.normal(0, 0.06))
    season = rng.random()
    for name in (Material.GRASS, Material.CROP):
        colour[name] = (1 - 0.5 * season) * colour[name] + 0.5 * season * colour[Material.DRY_GRASS]
    return Palette(
        colour.astype(np.float32), Texture(rng, 1.35, 256), Texture(rng, 1.5, 320), Texture(rng, 0.5, 16), Texture(rng, 1.3, 192),
        Texture(rng, 0.9, 24),
    )  # fmt: skip


def fill_cover(ground: GroundCells, layout: Layout, palette: Palette) -> None:
    """Land cover, fields, streets, arterial roads and parking surfaces, strip by strip; sets
    material, colour and backscatter."""
    height, width = ground.height.shape
    for top in range(0, height, _STRIP):
        window = (top, min(top + _STRIP, height), 0, width)
        streets = layout.streets(*window)
        material, brightness, extra_db = _cover(streets, layout, palette, window)
        rows = slice(window[0], window[1])
        ground.material[rows] = material
        ground.colour[rows], ground.backscatter[rows] = _paint(material, brightness, extra_db, palette, window)


def _paint(material, brightness, extra_db, palette: Palette, window) -> tuple[np.ndarray, np.ndarray]:
    grain, blotch = palette.grain.window(*window), palette.blotch.window(*window)
    factor = brightness * (1 + COLOUR_TEXTURE[material] * (0.55 * grain + 0.75 * blotch))
    colour = np.clip(palette.colour[material] * factor[..., None], 0, 255).astype(np.uint8)
    patches = np.floor(palette.radar_patches.window(*window) * 1.6) / 1.6
    natural = np.isin(
        material, (Material.SOIL, Material.DRY_GRASS, Material.GRASS, Material.CROP, Material.GRAVEL, Material.CONCRETE)
    )
    db = BACKSCATTER_DB[material] + extra_db + BACKSCATTER_TEXTURE_DB[material] * palette.radar_grain.window(*window)
    return colour, encode_db(db + natural * _SAR_PATCH_DB * patches)


def _cover(streets: Streets, layout: Layout, palette: Palette, window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Material (uint8), brightness factor and additional backscatter (dB) of every cell."""
    i = np.floor(streets.u / layout.block[streets.label, 0]).astype(np.int32)
    j = np.floor(streets.v / layout.block[streets.label, 1]).astype(np.int32)
    block = layout.block_kind(streets.label, i, j)
    tone = hash01(streets.label, i, j, layout.key + 1)
    material = _open_ground(streets, layout, _ragged_patches(palette, window), block, tone)
    brightness = (0.86 + 0.28 * tone).astype(np.float32)
    extra_db = (3.0 * (hash01(streets.label, i, j, layout.key + 2) - 0.5)).astype(np.float32)
    _add_rows(material, brightness, extra_db, streets, layout, tone)
    road = _streets(material, brightness, extra_db, streets, layout)
    road |= _arterials(material, brightness, extra_db, road, streets, layout)
    _markings(brightness, streets)
    _roundabouts(material, brightness, layout, window)
    return material, brightness, extra_db


def _kerbs(extra_db: np.ndarray, street: np.ndarray, streets: Streets, layout: Layout) -> None:
    """Kerbs, and guard rails on posts along some roads: lines that the radar sees and the eye hardly does."""
    rail = hash01(streets.border, layout.key + 5)
    line = (np.abs(streets.edge_m - streets.half_m - 0.2) < 0.3) & ~street & (streets.half_m > 5)
    post = np.floor((streets.u + streets.v) / 1.8) % 2 == 0
    extra_db[line] = np.where((rail < 0.4) & post, 15.0, 4.0 + 3.0 * rail)[line]


def _ragged_patches(palette: Palette, window) -> np.ndarray:
    """Where which cover grows, in [0, 1), with grainy borders."""
    return np.clip(palette.patches.uniform(*window) + 0.04 * palette.grain.window(*window), 0, 0.9999)


def _open_ground(
    streets: Streets, layout: Layout, patch: np.ndarray, block: np.ndarray, tone: np.ndarray
) -> np.ndarray:
    material = np.zeros(patch.shape, np.uint8)
    kinds = layout.kind[streets.label]
    for index, name in enumerate(KINDS):
        here = kinds == index
        if not here.any():
            continue
        spec = DISTRICTS[name]
        share = np.cumsum([weight for _, weight in spec.cover])
        codes = np.array([code for code, _ in spec.cover], np.uint8)
        draw = (patch[here] + 0.8 * tone[here]) % 1.0 if name != "fields" else (0.08 * patch[here] + tone[here]) % 1.0
        material[here] = codes[np.minimum(np.searchsorted(share / share[-1], draw, side="right"), len(codes) - 1)]
        for number, (use, _) in enumerate(spec.blocks):
            surface = _BLOCK_SURFACE.get(use)
            if surface is not None:
                cells = here & (block == number)
                other = material[cells] if surface[1] is None else surface[1]
                material[cells] = np.where(tone[cells] < surface[2], surface[0], other)
    return material


# Surface of a block by its use: material, other material (None: the district's cover), share of the first.
_BLOCK_SURFACE = {
    "parking": (Material.ASPHALT, Material.CONCRETE, 0.7),
    "park": (Material.GRASS, Material.DRY_GRASS, 0.7),
    "construction": (Material.SOIL, Material.GRAVEL, 0.7),
    "rubble": (Material.SOIL, Material.RUBBLE, 0.5),
    "perimeter": (Material.PAVING, Material.CONCRETE, 0.6),
    "towers": (Material.PAVING, None, 0.35),
    "slabs": (Material.PAVING, None, 0.3),
    "halls": (Material.CONCRETE, None, 0.55),
}


def _add_rows(material, brightness, extra_db, streets: Streets, layout: Layout, tone: np.ndarray) -> None:
    """Furrows and crop rows in fields: stripes of colour and of backscatter with one period but different strengths."""
    field = (layout.kind[streets.label] == KINDS.index("fields")) & (material != Material.DRY_GRASS)
    if not field.any():
        return
    along = np.where(tone[field] * 7 % 1 < 0.5, streets.u[field], streets.v[field])
    period = 1.2 + 4.0 * (tone[field] * 13 % 1)
    wave = np.sin(2 * np.pi * along / period)
    brightness[field] *= 1 + 0.10 * (tone[field] * 17 % 1) * wave
    extra_db[field] += 2.5 * (tone[field] * 23 % 1) * wave


def _street_gap(layout: Layout, label, line, segment, axis: int, share) -> np.ndarray:
    return hash01(label, line, segment, layout.key + 11 + axis) < share


def _streets(
    material: np.ndarray, brightness: np.ndarray, extra_db: np.ndarray, streets: Streets, layout: Layout
) -> np.ndarray:
    """Local streets and their sidewalks; returns where the carriageway is."""
    kinds = layout.kind[streets.label]
    surface = np.array([DISTRICTS[name].street for name in KINDS], np.uint8)[kinds]
    sidewalk = np.array([DISTRICTS[name].sidewalk_m for name in KINDS], np.float32)[kinds]
    gap = np.array([DISTRICTS[name].gap for name in KINDS], np.float32)[kinds]
    half = layout.street[streets.label] / 2
    road, walk, kerb = (np.zeros(material.shape, bool) for _ in range(3))
    for axis, (across, along) in enumerate(((streets.u, streets.v), (streets.v, streets.u))):
        line = np.rint(across / layout.block[streets.label, axis])
        segment = np.floor(along / layout.block[streets.label, 1 - axis])
        distance = np.abs(across - line * layout.block[streets.label, axis])
        exists = (half > 0) & ~_street_gap(layout, streets.label, line, segment, axis, gap)
        road |= exists & (distance < half)
        walk |= exists & (distance < half + sidewalk) & (sidewalk > 0)
        kerb |= exists & (np.abs(distance - half) < 0.3) & (sidewalk > 0)
    material[walk] = Material.PAVING
    material[road] = surface[road]
    brightness[road | walk] = (0.85 + 0.6 * hash01(streets.label, layout.key + 3) * (surface == Material.ASPHALT))[
        road | walk
    ]
    extra_db[road | walk] = 0.0
    extra_db[kerb & ~road] = 5.0
    return road


def _arterials(
    material: np.ndarray,
    brightness: np.ndarray,
    extra_db: np.ndarray,
    street: np.ndarray,
    streets: Streets,
    layout: Layout,
) -> np.ndarray:
    """Roads between districts, with sidewalks, and a median strip where they are wide."""
    half = streets.half_m
    rural = half < 5
    walk = ~rural & ~street & (streets.edge_m < half + 3.0)
    road = streets.edge_m < half
    material[walk] = Material.PAVING
    brightness[walk] = 1.0
    material[road] = np.where(
        rural[road] & (hash01(streets.border[road], layout.key) < 0.5), Material.SOIL, Material.ASPHALT
    )
    median = (half > 9) & (streets.edge_m < 1.8) & (streets.junction_m > half + 8)
    material[median] = Material.GRASS
    brightness[road] = 0.78 + 0.4 * float(hash01(layout.key + 4))
    extra_db[road | walk] = 0.0
    _kerbs(extra_db, street, streets, layout)
    return road & ~median


def _roundabouts(material: np.ndarray, brightness: np.ndarray, layout: Layout, window) -> None:
    """A ring of tarmac around a planted island."""
    top, bottom, left, right = window
    for x, y in layout.roundabouts:
        if not top - 100 < y < bottom + 100:
            continue
        distance = np.hypot(np.arange(left, right)[None, :] - x, np.arange(top, bottom)[:, None] - y) * layout.cell_m
        material[distance < ROUNDABOUT_M] = Material.ASPHALT
        material[distance < 0.55 * ROUNDABOUT_M] = Material.PAVING
        material[distance < 0.5 * ROUNDABOUT_M] = Material.GRASS
        brightness[distance < ROUNDABOUT_M] = 1.0


def _markings(brightness: np.ndarray, streets: Streets) -> None:
    """Painted lines: edge and lane lines of wide roads. Bright to the eye, unseen by the radar."""
    half = streets.half_m
    wide = (half > 5) & (streets.junction_m > half + 5)
    edge_line = np.abs(streets.edge_m - (half - 0.6)) < 0.18
    lane = np.abs(streets.edge_m - half / 2) < 0.16
    dashed = np.floor((streets.u + streets.v) / 4.0) % 2 == 0
    brightness[wide & (edge_line | (lane & dashed))] *= 1.4
