"""What stands on the blocks: buildings by use, trees, walls, poles; and the vehicles of one date."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from solution.simulate.builder import Builder, Frame, Roof
from solution.simulate.ground import Ground, Palette
from solution.simulate.layout import KINDS, Layout
from solution.simulate.materials import Material
from solution.simulate.noise import STEP
from solution.simulate.presets import DISTRICTS

_SQUARE_METRES_PER_HA = 10_000.0
_BLOCK_NODES = 6
_CLUTTER_PER_CORNER = 1.5
_TRACKS_PER_HA = 0.35
_TRODDEN = (Material.SOIL, Material.DRY_GRASS, Material.GRASS, Material.GRAVEL)
_BUSY = ("apartments", "old_town", "industrial", "suburb", "village", "quarry")
_NO_CLUTTER = (Material.ASPHALT, Material.WATER, Material.PITCH, Material.VEHICLE)
_WALL_TONES = ((222, 216, 204), (206, 192, 172), (236, 234, 228), (230, 226, 216), (186, 150, 120), (178, 180, 184), (214, 198, 164))
_CAR_TONES = (
    (225, 225, 225), (214, 214, 212), (232, 232, 230), (60, 60, 64), (92, 94, 98), (150, 152, 156), (176, 176, 178), (34, 34, 38), (128, 52, 46),
    (62, 78, 116), (190, 184, 170),
)  # fmt: skip
_TIN_TONES = ((176, 92, 74), (96, 124, 170), (96, 150, 128), (190, 190, 188), (140, 110, 90), (205, 120, 96), (210, 206, 200))


@dataclass
class Slots:
    """Places where vehicles may stand: (x, y, cos, sin) in cells."""

    places: list[tuple[float, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """The ground between four streets, in street coordinates (m): u0 < u < u1, v0 < v < v1; `nodes` are cells (x, y) on a regular lattice."""

    label: int
    u0: float
    u1: float
    v0: float
    v1: float
    nodes: list[list[list[float]]] = field(repr=False)

    @property
    def size(self) -> tuple[float, float]:
        """Extent along u and v, m."""
        return self.u1 - self.u0, self.v1 - self.v0

    def frame(self, u: float, v: float) -> Frame:
        """Place and local direction of a lot, along the bent street (bilinear between the block's nodes)."""
        last = _BLOCK_NODES - 1
        s = min(max((u - self.u0) / (self.u1 - self.u0) * last, -0.5), last + 0.5)
        t = min(max((v - self.v0) / (self.v1 - self.v0) * last, -0.5), last + 0.5)
        j, i = min(max(int(s), 0), last - 1), min(max(int(t), 0), last - 1)
        s, t = s - j, t - i
        (ax, ay), (bx, by) = self.nodes[i][j], self.nodes[i][j + 1]
        (cx, cy), (dx, dy) = self.nodes[i + 1][j], self.nodes[i + 1][j + 1]
        along_x, along_y = (bx - ax) * (1 - t) + (dx - cx) * t, (by - ay) * (1 - t) + (dy - cy) * t
        length = math.hypot(along_x, along_y)
        x, y = ax * (1 - t) + cx * t + s * along_x, ay * (1 - t) + cy * t + s * along_y
        return Frame(x, y, along_x / length, along_y / length)


class Town:
    """Fills a ground's blocks. One generator, used in a fixed order, makes it repeat exactly."""

    def __init__(self, ground: Ground, layout: Layout, palette: Palette, rng: np.random.Generator) -> None:
        self.ground, self.layout, self.palette, self.rng = ground, layout, palette, rng
        self.build = Builder(ground, layout.cell_m, rng)
        self.slots = Slots()

    def fill(self) -> Slots:
        """Everything that stands still. Returns the places of vehicles."""
        self._tracks()
        for label in np.unique(self.layout.labels):
            for block, use in self._blocks(int(label)):
                _USES.get(use, _leave_empty)(self, block)
        self._scatter_trees()
        self._clutter()
        self._poles()
        return self.slots

    def _blocks(self, label: int) -> Iterator[tuple[Block, str]]:
        layout = self.layout
        rows, columns = np.nonzero(layout.labels == label)
        x, y = np.array([columns.min(), columns.max() + 1]) * STEP, np.array([rows.min(), rows.max() + 1]) * STEP
        corner_x, corner_y = (c.ravel().astype(np.float32) for c in np.meshgrid(x, y))
        warps = layout.warp_x.at(corner_x, corner_y), layout.warp_y.at(corner_x, corner_y)
        u, v = layout._to_uv(np.full(4, label), corner_x, corner_y, *warps)
        size_u, size_v = layout.block[label]
        inset = layout.street[label] / 2 + DISTRICTS[layout.district_kind(label)].sidewalk_m + 1.0
        for i in range(int(np.floor(u.min() / size_u)) - 1, int(np.ceil(u.max() / size_u)) + 1):
            for j in range(int(np.floor(v.min() / size_v)) - 1, int(np.ceil(v.max() / size_v)) + 1):
                edges = (i * size_u + inset, (i + 1) * size_u - inset, j * size_v + inset, (j + 1) * size_v - inset)
                if edges[1] - edges[0] < 8 or edges[3] - edges[2] < 8:
                    continue
                x, y = self._cells(label, np.linspace(*edges[:2], _BLOCK_NODES), np.linspace(*edges[2:], _BLOCK_NODES))
                if (layout.label_at(x, y) == label).any():
                    nodes = np.stack([x, y], axis=-1).reshape(_BLOCK_NODES, _BLOCK_NODES, 2)
                    self._note_corners(label, nodes[[0, 0, -1, -1], [0, -1, 0, -1]])
                    yield Block(label, *edges, nodes.tolist()), layout.block_name(label, i, j)

    def _cells(self, label: int, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        grid = np.meshgrid(u, v)
        return self.layout.to_cells(label, grid[0].ravel().astype(np.float64), grid[1].ravel().astype(np.float64))

    def _note_corners(self, label: int, xy: np.ndarray) -> None:
        keep = self.layout.label_at(xy[:, 0], xy[:, 1]) == label
        self.ground.corners.extend(map(tuple, xy[keep].tolist()))

    def slot(self, block: Block, frame: Frame, across: bool) -> None:
        """Remember a place for a vehicle, along the frame or across it, where its district and the arterial road leave room."""
        x, y = np.array([frame.x]), np.array([frame.y])
        if self.layout.label_at(x, y)[0] == block.label and self.layout.road_clearance(x, y)[0] > 2.5:
            direction = (-frame.sin, frame.cos) if across else (frame.cos, frame.sin)
            self.slots.places.append((frame.x, frame.y, *direction))

    def lot_is_free(self, label: int, frame: Frame, half_a: float, half_b: float) -> bool:
        """Inside its district, off the arterial road, and not built over."""
        cell = self.layout.cell_m
        corners = frame.corners(half_a / cell, half_b / cell)
        if (self.layout.label_at(corners[:, 0], corners[:, 1]) != label).any():
            return False
        return bool((self.layout.road_clearance(corners[:, 0], corners[:, 1]) > 3.5).all()) and self.build.is_free(
            frame, half_a + 0.5, half_b + 0.5
        )

    def house(self, label: int, frame: Frame, half_a: float, half_b: float, height_m: float, roof: Roof, wings: int = 0) -> bool:
        """A building where the lot is free: one prism and `wings` smaller ones; returns whether it was built."""
        if not self.lot_is_free(label, frame, half_a, half_b):
            return False
        rng, cell = self.rng, self.layout.cell_m
        tone = _WALL_TONES[rng.integers(len(_WALL_TONES))]
        identity = self.build.new_facade(frame, tuple(c * rng.uniform(0.8, 1.08) for c in tone))
        gain = rng.normal(0, 2.5)
        if wings and rng.random() < 0.5:  # a cross or a T: the main body is narrower, and the wings reach the lot's border
            self.build.prism(identity, frame, half_a, half_b * rng.uniform(0.45, 0.7), height_m, roof, gain)
            at = rng.uniform(-0.5, 0.5) * half_a / cell
            self.build.prism(identity, frame.offset(at, 0), half_a * rng.uniform(0.3, 0.5), half_b, height_m, roof, gain)
        else:
            self.build.prism(identity, frame, half_a, half_b, height_m, roof, gain)
        if roof.shape == "flat":
            self._roof_clutter(identity, frame, half_a, half_b, height_m, roof)
        self.ground.corners.append(tuple(frame.corners(half_a / cell, half_b / cell)[rng.integers(4)].tolist()))
        return True

    def _roof_clutter(self, identity: int, frame: Frame, half_a: float, half_b: float, height_m: float, roof: Roof) -> None:
        rng, cell = self.rng, self.layout.cell_m
        for _ in range(rng.integers(1, 2 + int(half_a * half_b / 25))):
            at = frame.offset(rng.uniform(-0.75, 0.75) * half_a / cell, rng.uniform(-0.75, 0.75) * half_b / cell)
            tone = rng.uniform(0.55, 1.25)
            top = Roof("flat", roof.material, tuple(min(255.0, c * tone) for c in roof.colour))
            size = rng.uniform(0.4, 2.2, 2)
            self.build.prism(identity, at, size[0], size[1], height_m + rng.uniform(0.6, 2.8), top, rng.normal(6, 4))

    def flat_roof(self) -> Roof:
        """Concrete, gravel or bitumen."""
        tone = self.rng.choice((0.55, 0.8, 1.0, 1.15, 1.3))
        return Roof("flat", Material.ROOF_FLAT, tuple(self.palette.colour[Material.ROOF_FLAT] * tone * self.rng.uniform(0.92, 1.08, 3)))

    def tile_roof(self, half_b: float, pitch: float) -> Roof:
        """Tiles on a gable or a hip."""
        colour = self.palette.colour[Material.ROOF_TILE] * self.rng.uniform(0.75, 1.2) * self.rng.uniform(0.92, 1.08, 3)
        shape = "gable" if self.rng.random() < 0.5 else "hip"
        return Roof(shape, Material.ROOF_TILE, tuple(colour), half_b * pitch)

    def tin_roof(self, half_b: float, pitch: float) -> Roof:
        """Painted sheet metal."""
        tone = np.array(_TIN_TONES[self.rng.integers(len(_TIN_TONES))]) * self.rng.uniform(0.8, 1.15)
        return Roof("gable", Material.ROOF_METAL, tuple(tone), half_b * pitch)

    def shingle_roof(self, half_b: float, pitch: float) -> Roof:
        """Grey or brown shingles of a suburb."""
        tone = np.array((128, 122, 116)) * self.rng.uniform(0.6, 1.25) * self.rng.uniform(0.93, 1.07, 3)
        return Roof("gable" if self.rng.random() < 0.4 else "hip", Material.ROOF_TILE, tuple(tone), half_b * pitch)

    def tree_at(self, x: float, y: float, radius_m: float) -> None:
        """A tree, unless it would stand on a carriageway, in water or on a roof."""
        i, j = int(y), int(x)
        if not (0 <= i < self.ground.height.shape[0] and 0 <= j < self.ground.height.shape[1]):
            return
        if self.ground.material[i, j] in (Material.ASPHALT, Material.WATER, Material.PITCH) or self.ground.building[i, j]:
            return
        colour = self.palette.colour[Material.TREE] * self.rng.uniform(0.75, 1.25) * self.rng.uniform(0.93, 1.07, 3)
        self.build.tree(x, y, radius_m, radius_m * self.rng.uniform(1.2, 2.4), colour)

    def _scatter_trees(self) -> None:
        """Single trees and clumps by each district's density; sites are drawn for the whole ground and thinned by district."""
        height, width = self.ground.height.shape
        area = height * width * self.layout.cell_m**2 / _SQUARE_METRES_PER_HA
        densest = float(self.layout.trees_per_ha.max())
        sites = self.rng.uniform((0, 0), (width - 1, height - 1), (self.rng.poisson(area * densest), 2))
        label = self.layout.label_at(sites[:, 0], sites[:, 1])
        kept = (label >= 0) & (self.rng.random(len(sites)) * densest < self.layout.trees_per_ha[label])
        clump = self.palette.blotch.window(0, 1, 0, 512)[0]
        for x, y in sites[kept]:
            self.tree_at(x, y, self.rng.uniform(1.3, 4.2) * (1.25 if clump[int(x + y) % 512] > 0.8 else 1.0))

    def _tracks(self) -> None:
        """Footpaths and cart tracks over natural ground, bent at random, some lined with bushes: trodden earth, smooth to the radar."""
        rng, cell = self.rng, self.layout.cell_m
        height, width = self.ground.height.shape
        trodden = np.zeros((height, width), np.uint8)
        lines = []
        for _ in range(rng.poisson(_TRACKS_PER_HA * height * width * cell**2 / _SQUARE_METRES_PER_HA)):
            heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.22, rng.integers(12, 40)))
            steps = 8.0 / cell * np.column_stack([np.cos(heading), np.sin(heading)])
            line = rng.uniform((0, 0), (width, height)) + np.cumsum(steps, axis=0)
            cv2.polylines(trodden, [np.rint(line).astype(np.int32)], False, 1, max(1, round(rng.uniform(0.7, 3.2) / cell)))
            lines.append(line)
        here = (trodden > 0) & np.isin(self.ground.material, _TRODDEN)
        tone = self.palette.colour[Material.SOIL] * rng.uniform(1.0, 1.2)
        self.ground.colour[here] = np.clip(0.3 * self.ground.colour[here] + 0.7 * tone, 0, 255).astype(np.uint8)
        self.ground.backscatter[here] -= np.minimum(self.ground.backscatter[here], 14)
        self.ground.material[here] = Material.SOIL
        for line in lines:
            if rng.random() < 0.35:
                for x, y in line[:: rng.integers(1, 3)] + rng.normal(0, 1.5, 2):
                    self.tree_at(x, y, rng.uniform(0.8, 3.0))

    def _clutter(self) -> None:
        """Sheds, bins, tanks, debris and shrubs near the corners of blocks and buildings: small things that both sensors see."""
        corners = np.array(self.ground.corners).reshape(-1, 2)
        if not len(corners):
            return
        chosen = self.rng.integers(len(corners), size=int(_CLUTTER_PER_CORNER * len(corners)))
        sites = corners[chosen] + self.rng.normal(0, 5.0 / self.layout.cell_m, (len(chosen), 2))
        label = self.layout.label_at(sites[:, 0], sites[:, 1])
        busy = np.isin(self.layout.kind[label], [KINDS.index(name) for name in _BUSY])
        for x, y in sites[busy & (label >= 0)]:
            if self.rng.random() < 0.5:
                self.tree_at(x, y, self.rng.uniform(0.6, 1.3))
            elif self.ground.material[int(y), int(x)] not in _NO_CLUTTER and self.ground.height[int(y), int(x)] < 0.3:
                angle, half = self.rng.uniform(0, np.pi), self.rng.uniform(0.4, 1.8, 2)
                tone = Roof("flat", Material.ROOF_METAL, tuple(self.rng.uniform(60, 230) * self.rng.uniform(0.9, 1.1, 3)))
                frame = Frame(float(x), float(y), float(np.cos(angle)), float(np.sin(angle)))
                self.build.prism(0, frame, half[0], half[1], self.rng.uniform(0.4, 2.6), tone, self.rng.normal(4, 4))

    def _poles(self) -> None:
        """Lamp posts and signs beside arterial roads: strong radar points."""
        height, width = self.ground.height.shape
        sites = self.rng.uniform((0, 0), (width - 1, height - 1), (int(height * width * self.layout.cell_m**2 / 250), 2))
        beside = np.abs(self.layout.road_clearance(sites[:, 0], sites[:, 1]) - 1.0) < 0.6
        for x, y in sites[beside].astype(int):
            if self.ground.height[y, x] == 0:
                self.ground.height[y, x] = self.rng.uniform(4, 10)
                self.ground.backscatter[y, x] = 180 + self.rng.integers(50)


def _leave_empty(town: Town, block: Block) -> None:
    """Open ground; now and then a spoil heap."""
    if town.rng.random() < 0.25:
        _heaps(town, block, town.rng.integers(1, 4))


def _heaps(town: Town, block: Block, count: int) -> None:
    rng = town.rng
    for _ in range(count):
        frame = block.frame(rng.uniform(block.u0, block.u1), rng.uniform(block.v0, block.v1))
        if town.lot_is_free(block.label, frame, 3.0, 3.0):
            material = Material.SOIL if rng.random() < 0.6 else Material.RUBBLE
            colour = town.palette.colour[material] * rng.uniform(0.85, 1.1)
            town.build.heap(frame, rng.uniform(2, 9), rng.uniform(2, 7), rng.uniform(0.8, 3.5), material, colour)


def _towers(town: Town, block: Block) -> None:
    """Point blocks on a loose grid, often of one design per block; a wall around some."""
    rng = town.rng
    half = rng.uniform((7, 6.5), (13, 11))
    storeys = rng.choice((4, 5, 6, 8, 10, 12, 14), p=(0.16, 0.2, 0.2, 0.18, 0.14, 0.08, 0.04))
    pitched = rng.random() < 0.55
    gap = rng.uniform(7, 16, 2)
    count = [max(1, int(extent / (2 * h + g))) for extent, h, g in zip(block.size, half, gap, strict=True)]
    for a in (np.arange(count[0]) + 0.5) / count[0]:
        for b in (np.arange(count[1]) + 0.5) / count[1]:
            if rng.random() < 0.16:
                continue
            frame = block.frame(block.u0 + a * block.size[0], block.v0 + b * block.size[1])
            roof = town.tile_roof(half[1], rng.uniform(0.25, 0.4)) if pitched else town.flat_roof()
            built = town.house(block.label, frame, half[0], half[1], 3.0 * max(2, storeys + rng.integers(-1, 2)), roof, wings=1)
            if built and pitched and rng.random() < 0.6:
                _attic(town, frame, half)
    _yard_cars(town, block, 0.06)
    if rng.random() < 0.45:
        _boundary_wall(town, block)


def _attic(town: Town, frame: Frame, half: np.ndarray) -> None:
    """The light box with tanks and collectors that sits in the middle of a tiled apartment roof."""
    i, j = int(frame.y), int(frame.x)
    if not (0 <= i < town.ground.height.shape[0] and 0 <= j < town.ground.height.shape[1]):
        return
    base = float(town.ground.height[i, j])
    grey = Roof("flat", Material.ROOF_FLAT, tuple(np.full(3, town.rng.uniform(150, 220))))
    town.build.prism(int(town.ground.building[i, j]), frame, half[0] * 0.35, half[1] * 0.3, base + 0.8, grey, 6.0)


def _slabs(town: Town, block: Block) -> None:
    rng = town.rng
    half_b = rng.uniform(5.5, 7.5)
    storeys = rng.integers(3, 9)
    for v in np.arange(block.v0 + half_b, block.v1 - half_b, 2 * half_b + rng.uniform(14, 24)):
        half_a = min(rng.uniform(16, 38), block.size[0] / 2 - 1)
        if half_a > 8:
            frame = block.frame((block.u0 + block.u1) / 2 + rng.uniform(-4, 4), v)
            roof = town.flat_roof() if rng.random() < 0.6 else town.tile_roof(half_b, 0.3)
            town.house(block.label, frame, half_a, half_b, 3.0 * storeys, roof)
    _yard_cars(town, block, 0.1)


def _perimeter(town: Town, block: Block) -> None:
    """Contiguous houses along all four streets, a courtyard inside."""
    rng = town.rng
    base = rng.integers(2, 7)
    for side, v in ((-1, block.v0), (1, block.v1)):
        u = block.u0
        while u < block.u1 - 6:
            half_a, half_b = rng.uniform(3.5, 8.0), rng.uniform(4.5, 7.5)
            if rng.random() > 0.08:
                frame = block.frame(u + half_a, v - side * half_b)
                roof = town.flat_roof() if rng.random() < 0.72 else town.tile_roof(half_b, rng.uniform(0.3, 0.5))
                town.house(block.label, frame, half_a - 0.5, half_b, 3.1 * max(1, base + rng.integers(-2, 3)), roof)
            u += 2 * half_a + (rng.uniform(2, 6) if rng.random() < 0.15 else 0.1)
    for u in (block.u0 + 5, block.u1 - 5):
        for v in np.arange(block.v0 + 20, block.v1 - 20, 11.0):
            town.house(block.label, block.frame(u, v), 4.5, 5.0, 3.1 * max(1, base + rng.integers(-2, 2)), town.flat_roof())


def _houses(town: Town, block: Block) -> None:
    """Detached houses on both long sides, with garages, drives, garden trees and fences."""
    rng, cell = town.rng, town.layout.cell_m
    lot = rng.uniform(15, 21)
    pitch = rng.uniform(0.35, 0.7)
    sides = ((1, block.v0), (-1, block.v1)) if block.size[1] > 34 else ((1, block.v0),)
    for inward, v in sides:
        for u in np.arange(block.u0 + lot / 2, block.u1 - lot / 2 + 0.1, lot):
            half_a, half_b = rng.uniform(4.8, lot / 2 - 1.2), rng.uniform(4.2, 6.0)
            setback = rng.uniform(5, 8)
            frame = block.frame(u + rng.uniform(-1, 1), v + inward * (setback + half_b))
            if not town.house(block.label, frame, half_a, half_b, rng.uniform(2.8, 6.0), town.shingle_roof(half_b, pitch)):
                continue
            drive = block.frame(u + rng.choice((-1, 1)) * (half_a - 2.2), v + inward * setback / 2)
            town.build.paint(drive, 2.4, setback / 2 + 1, Material.CONCRETE, town.palette.colour[Material.CONCRETE])
            town.slot(block, drive, across=True)
            if rng.random() < 0.5:
                back = v + inward * (setback + 2 * half_b + rng.uniform(9, 13))
                ends = [block.frame(u + s * lot / 2, back) for s in (-1, 1)]
                town.build.wall((ends[0].x, ends[0].y), (ends[1].x, ends[1].y), 1.8, (136, 116, 92))
            for _ in range(rng.poisson(1.4)):
                at = frame.offset(rng.uniform(-lot / 2, lot / 2) / cell, inward * rng.uniform(half_b + 2, half_b + 12) / cell)
                town.tree_at(at.x, at.y, rng.uniform(1.6, 4.5))


def _cottages(town: Town, block: Block) -> None:
    rng = town.rng
    for _ in range(rng.integers(3, 4 + int(block.size[0] * block.size[1] / 350))):
        half_a, half_b = rng.uniform(4, 8), rng.uniform(3, 5)
        frame = block.frame(rng.uniform(block.u0 + 6, block.u1 - 6), rng.uniform(block.v0 + 6, block.v1 - 6))
        turn = rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.12)
        c, s = np.cos(turn), np.sin(turn)
        frame = Frame(frame.x, frame.y, frame.cos * c - frame.sin * s, frame.sin * c + frame.cos * s)
        roof = town.tin_roof(half_b, rng.uniform(0.2, 0.5)) if rng.random() < 0.75 else town.flat_roof()
        if town.house(block.label, frame, half_a, half_b, rng.uniform(2.6, 4.5), roof) and rng.random() < 0.35:
            town.build.paint(
                frame, half_a + rng.uniform(2, 6), half_b + rng.uniform(2, 6), Material.SOIL, town.palette.colour[Material.SOIL]
            )


def _halls(town: Town, block: Block) -> None:
    rng = town.rng
    count = [max(1, int(extent // rng.uniform(48, 85))) for extent in block.size]
    for a in (np.arange(count[0]) + 0.5) / count[0]:
        for b in (np.arange(count[1]) + 0.5) / count[1]:
            half = np.array(block.size) / np.array(count) / 2 - rng.uniform(4, 11, 2)
            frame = block.frame(block.u0 + a * block.size[0], block.v0 + b * block.size[1])
            if half.min() < 6:
                continue
            tone = np.array((188, 196, 206)) * rng.choice((0.6, 0.85, 1.0, 1.2)) * rng.uniform(0.94, 1.06, 3)
            shape = "flat" if rng.random() < 0.6 else "gable"
            roof = Roof(shape, Material.ROOF_METAL, tuple(tone), rng.uniform(1, 3) if shape == "gable" else 0.0)
            town.house(block.label, frame, half[0], half[1], rng.uniform(5, 13), roof, wings=int(rng.random() < 0.3))
    _yard_cars(town, block, 0.15)
    if rng.random() < 0.6:
        _boundary_wall(town, block)


def _parking(town: Town, block: Block) -> None:
    """Double rows of bays, most of them taken."""
    for v in np.arange(block.v0 + 4, block.v1 - 3, 16.0):
        for row in (0.0, 5.4):
            if v + row > block.v1 - 2:
                continue
            for u in np.arange(block.u0 + 3, block.u1 - 2, 2.7):
                town.slot(block, block.frame(u, v + row), across=True)


def _yard_cars(town: Town, block: Block, density: float) -> None:
    """Cars along the block's kerbs, outside its edges."""
    rng = town.rng
    for v in (block.v0 - 2.5, block.v1 + 2.5):
        for u in np.arange(block.u0, block.u1, 6.0):
            if rng.random() < density * 6:
                town.slot(block, block.frame(u, v), across=False)


def _boundary_wall(town: Town, block: Block) -> None:
    corners = [(block.u0, block.v0), (block.u1, block.v0), (block.u1, block.v1), (block.u0, block.v1)]
    x, y = (np.array(c) for c in zip(*((f.x, f.y) for f in (block.frame(*c) for c in corners)), strict=True))
    if (town.layout.label_at(x, y) != block.label).any() or (town.layout.road_clearance(x, y) < 3).any():
        return
    for k in range(4):
        if town.rng.random() < 0.8:
            town.build.wall((x[k], y[k]), (x[(k + 1) % 4], y[(k + 1) % 4]), town.rng.uniform(1.4, 2.6), (190, 182, 170))


def _park(town: Town, block: Block) -> None:
    rng = town.rng
    frame = block.frame((block.u0 + block.u1) / 2, (block.v0 + block.v1) / 2)
    if rng.random() < 0.5 and min(block.size) > 40:
        colour = ((140, 70, 56), (64, 96, 58), (90, 110, 70))[rng.integers(3)]
        half = (min(block.size[0] / 2 - 4, 52.0), min(block.size[1] / 2 - 4, 33.0))
        if town.lot_is_free(block.label, frame, *half):
            town.build.paint(frame, *half, Material.PITCH, colour)
    _grove(town, block, rng.uniform(40, 160))


def _grove(town: Town, block: Block, per_ha: float) -> None:
    rng = town.rng
    count = rng.poisson(per_ha * block.size[0] * block.size[1] / _SQUARE_METRES_PER_HA)
    u, v = rng.uniform(block.u0, block.u1, count), rng.uniform(block.v0, block.v1, count)
    x, y = town.layout.to_cells(block.label, u, v)
    for k in np.flatnonzero(town.layout.label_at(x, y) == block.label):
        town.tree_at(float(x[k]), float(y[k]), rng.uniform(1.5, 4.0))


def _orchard(town: Town, block: Block) -> None:
    step = town.rng.uniform(4.5, 7)
    grid = np.meshgrid(np.arange(block.u0, block.u1, step), np.arange(block.v0, block.v1, step))
    x, y = town.layout.to_cells(block.label, grid[0].ravel(), grid[1].ravel())
    for k in np.flatnonzero(town.layout.label_at(x, y) == block.label):
        town.tree_at(float(x[k]), float(y[k]), town.rng.uniform(1.2, 2.2))


def _construction(town: Town, block: Block) -> None:
    """Spoil, rubble, and the bare frame of a building."""
    rng = town.rng
    _heaps(town, block, rng.integers(4, 14))
    if rng.random() < 0.5 and min(block.size) > 30:
        frame = block.frame((block.u0 + block.u1) / 2, (block.v0 + block.v1) / 2)
        half_a, half_b = rng.uniform(9, min(block.size) / 2.4, 2)
        if town.house(block.label, frame, half_a, half_b, 0.6, town.flat_roof()):
            cell = town.layout.cell_m
            for a in np.arange(-half_a, half_a, 5.0):
                for b in np.arange(-half_b, half_b, 5.0):
                    column = Roof("flat", Material.ROOF_FLAT, tuple(rng.uniform(110, 210) * np.array((1.0, 0.8, 0.7))))
                    town.build.prism(1, frame.offset(a / cell, b / cell), 1.6, 0.5, rng.uniform(1.5, 4.0), column, 8.0)


def _rubble(town: Town, block: Block) -> None:
    rng = town.rng
    for _ in range(rng.integers(3, 9)):
        frame = block.frame(rng.uniform(block.u0, block.u1), rng.uniform(block.v0, block.v1))
        if town.lot_is_free(block.label, frame, 6.0, 6.0):
            colour = town.palette.colour[Material.RUBBLE] * rng.uniform(0.85, 1.1)
            town.build.heap(frame, rng.uniform(5, 13), rng.uniform(5, 11), rng.uniform(1, 3.5), Material.RUBBLE, colour)


_USES: dict[str, Callable[[Town, Block], None]] = {
    "towers": _towers, "slabs": _slabs, "perimeter": _perimeter, "houses": _houses, "cottages": _cottages, "halls": _halls,
    "parking": _parking, "park": _park, "construction": _construction, "rubble": _rubble, "orchard": _orchard,
    "wood": lambda town, block: _grove(town, block, 320.0),
}  # fmt: skip


def park_vehicles(ground: Ground, cell_m: float, slots: Slots, share: float, rng: np.random.Generator) -> None:
    """The vehicles of one date: a share of the slots is taken, on open ground only."""
    build = Builder(ground, cell_m, rng)
    height, width = ground.height.shape
    for x, y, cos, sin in slots.places:
        taken, tone, db, van = rng.random(), rng.integers(len(_CAR_TONES)), rng.normal(-8, 4), rng.random() < 0.08
        if taken > share or not (8 < x < width - 8 and 8 < y < height - 8) or ground.height[int(y), int(x)] > 0.3:
            continue
        size = (6.5, 2.1, 2.6) if van else (4.4, 1.8, 1.5)
        build.car(Frame(x, y, cos, sin), *size, _CAR_TONES[tone], float(db))


def collapse(ground: Ground, share: float, rng: np.random.Generator) -> None:
    """Turn a share of the buildings into rubble, in place; they leave rough heaps a tenth as high."""
    count = len(ground.facades)
    fallen = np.concatenate([[False], rng.random(count) < share]) if count else np.zeros(1, bool)
    fallen = fallen[:65_535]
    cells = fallen[np.minimum(ground.building, len(fallen) - 1)]
    if not cells.any():
        return
    number = int(cells.sum())
    ground.height[cells] = 0.1 * ground.height[cells] + rng.gamma(2.0, 0.4, number).astype(np.float32)
    ground.backscatter[cells] = np.clip(rng.normal(140, 22, number), 0, 255).astype(np.uint8)
    ground.material[cells] = Material.RUBBLE
    ground.building[cells] = 0
