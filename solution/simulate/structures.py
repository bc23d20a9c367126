"""What stands on the blocks: buildings by use, trees, walls, poles; and the vehicles of one date."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from solution.simulate.builder import Builder, Pose, Roof
from solution.simulate.ground import GroundCells, Palette
from solution.simulate.layout import KINDS, Layout
from solution.simulate.materials import Material
from solution.simulate.noise import STEP
from solution.simulate.presets import DISTRICTS

SQUARE_METRES_PER_HA = 10_000.0
_BLOCK_NODES = 6  # nodes along each side of a block
_CLUTTER_PER_CORNER = 1.5
_TRACKS_PER_HA = 0.35
_TRODDEN = (Material.SOIL, Material.DRY_GRASS, Material.GRASS, Material.GRAVEL)
_BUSY = ("apartments", "old_town", "industrial", "suburb", "village", "quarry")
_NO_CLUTTER = (Material.ASPHALT, Material.WATER, Material.PITCH, Material.VEHICLE)
_WALL_TONES = (
    (222, 216, 204),
    (206, 192, 172),
    (236, 234, 228),
    (230, 226, 216),
    (186, 150, 120),
    (178, 180, 184),
    (214, 198, 164),
)
_CAR_TONES = (
    (225, 225, 225), (214, 214, 212), (232, 232, 230), (60, 60, 64), (92, 94, 98), (150, 152, 156), (176, 176, 178), (34, 34, 38), (128, 52, 46),
    (62, 78, 116), (190, 184, 170),
)  # fmt: skip
_TIN_TONES = (
    (176, 92, 74),
    (96, 124, 170),
    (96, 150, 128),
    (190, 190, 188),
    (140, 110, 90),
    (205, 120, 96),
    (210, 206, 200),
)


@dataclass
class Slots:
    """Places where vehicles may stand: (x, y, cos, sin) in cells."""

    places: list[tuple[float, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """The ground between four streets, in street coordinates, m: u0 < u < u1, v0 < v < v1.

    Attributes:
        label: district.
        nodes: cells (x, y) of a regular lattice over the block.
    """

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

    def pose(self, u: float, v: float) -> Pose:
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
        return Pose(x, y, along_x / length, along_y / length)


class Town:
    """Fills a ground's blocks. One generator, used in a fixed order, makes it repeat exactly."""

    def __init__(self, ground: GroundCells, layout: Layout, palette: Palette, rng: np.random.Generator) -> None:
        self.ground, self.layout, self.palette, self.rng = ground, layout, palette, rng
        self.build = Builder(ground, layout.cell_m, rng)
        self.slots = Slots()

    def fill(self, build: Callable[[Town, Block, str], None]) -> Slots:
        """Everything that stands still. Returns the places of vehicles.

        Args:
            build: puts up what stands in a block of a use.
        """
        self._tracks()
        for label in np.unique(self.layout.labels):
            for block, use in self._blocks(int(label)):
                build(self, block, use)
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
        u, v = layout.to_uv(np.full(4, label), corner_x, corner_y, *warps)
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

    def slot(self, block: Block, pose: Pose, across: bool) -> None:
        """Remember a place for a vehicle, along the pose's direction or across it, where its district and
        the arterial road leave room."""
        x, y = np.array([pose.x]), np.array([pose.y])
        if self.layout.label_at(x, y)[0] == block.label and self.layout.road_clearance(x, y)[0] > 2.5:
            direction = (-pose.sin, pose.cos) if across else (pose.cos, pose.sin)
            self.slots.places.append((pose.x, pose.y, *direction))

    def lot_is_free(self, label: int, pose: Pose, half_a: float, half_b: float) -> bool:
        """Inside its district, off the arterial road, and not built over."""
        cell = self.layout.cell_m
        corners = pose.corners(half_a / cell, half_b / cell)
        if (self.layout.label_at(corners[:, 0], corners[:, 1]) != label).any():
            return False
        return bool((self.layout.road_clearance(corners[:, 0], corners[:, 1]) > 3.5).all()) and self.build.is_free(
            pose, half_a + 0.5, half_b + 0.5
        )

    def house(
        self, label: int, pose: Pose, half_a: float, half_b: float, height_m: float, roof: Roof, wings: int = 0
    ) -> bool:
        """A building where the lot is free: one prism and `wings` smaller ones; returns whether it was built."""
        if not self.lot_is_free(label, pose, half_a, half_b):
            return False
        rng, cell = self.rng, self.layout.cell_m
        tone = _WALL_TONES[rng.integers(len(_WALL_TONES))]
        identity = self.build.new_facade(pose, tuple(c * rng.uniform(0.8, 1.08) for c in tone))
        gain = rng.normal(0, 2.5)
        # A cross or a T: the main body is narrower, and the wings reach the lot's border.
        if wings and rng.random() < 0.5:
            self.build.prism(identity, pose, half_a, half_b * rng.uniform(0.45, 0.7), height_m, roof, gain)
            at = rng.uniform(-0.5, 0.5) * half_a / cell
            self.build.prism(identity, pose.offset(at, 0), half_a * rng.uniform(0.3, 0.5), half_b, height_m, roof, gain)
        else:
            self.build.prism(identity, pose, half_a, half_b, height_m, roof, gain)
        if roof.shape == "flat":
            self._roof_clutter(identity, pose, half_a, half_b, height_m, roof)
        self.ground.corners.append(tuple(pose.corners(half_a / cell, half_b / cell)[rng.integers(4)].tolist()))
        return True

    def _roof_clutter(
        self, identity: int, pose: Pose, half_a: float, half_b: float, height_m: float, roof: Roof
    ) -> None:
        rng, cell = self.rng, self.layout.cell_m
        for _ in range(rng.integers(1, 2 + int(half_a * half_b / 25))):
            at = pose.offset(rng.uniform(-0.75, 0.75) * half_a / cell, rng.uniform(-0.75, 0.75) * half_b / cell)
            tone = rng.uniform(0.55, 1.25)
            top = Roof("flat", roof.material, tuple(min(255.0, c * tone) for c in roof.colour))
            size = rng.uniform(0.4, 2.2, 2)
            self.build.prism(identity, at, size[0], size[1], height_m + rng.uniform(0.6, 2.8), top, rng.normal(6, 4))

    def flat_roof(self) -> Roof:
        """Concrete, gravel or bitumen."""
        tone = self.rng.choice((0.55, 0.8, 1.0, 1.15, 1.3))
        return Roof(
            "flat",
            Material.ROOF_FLAT,
            tuple(self.palette.colour[Material.ROOF_FLAT] * tone * self.rng.uniform(0.92, 1.08, 3)),
        )

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
        if (
            self.ground.material[i, j] in (Material.ASPHALT, Material.WATER, Material.PITCH)
            or self.ground.building[i, j]
        ):
            return
        colour = self.palette.colour[Material.TREE] * self.rng.uniform(0.75, 1.25) * self.rng.uniform(0.93, 1.07, 3)
        self.build.tree(x, y, radius_m, radius_m * self.rng.uniform(1.2, 2.4), colour)

    def _scatter_trees(self) -> None:
        """Single trees and clumps by each district's density; sites are drawn for the whole
        ground and thinned by district."""
        height, width = self.ground.height.shape
        area = height * width * self.layout.cell_m**2 / SQUARE_METRES_PER_HA
        densest = float(self.layout.trees_per_ha.max())
        sites = self.rng.uniform((0, 0), (width - 1, height - 1), (self.rng.poisson(area * densest), 2))
        label = self.layout.label_at(sites[:, 0], sites[:, 1])
        kept = (label >= 0) & (self.rng.random(len(sites)) * densest < self.layout.trees_per_ha[label])
        clump = self.palette.blotch.window(0, 1, 0, 512)[0]
        for x, y in sites[kept]:
            self.tree_at(x, y, self.rng.uniform(1.3, 4.2) * (1.25 if clump[int(x + y) % 512] > 0.8 else 1.0))

    def _tracks(self) -> None:
        """Footpaths and cart tracks over natural ground, bent at random, some lined with bushes: trodden
        earth, smooth to the radar."""
        rng, cell = self.rng, self.layout.cell_m
        height, width = self.ground.height.shape
        trodden = np.zeros((height, width), np.uint8)
        lines = []
        for _ in range(rng.poisson(_TRACKS_PER_HA * height * width * cell**2 / SQUARE_METRES_PER_HA)):
            heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.22, rng.integers(12, 40)))
            steps = 8.0 / cell * np.column_stack([np.cos(heading), np.sin(heading)])
            line = rng.uniform((0, 0), (width, height)) + np.cumsum(steps, axis=0)
            cv2.polylines(
                trodden, [np.rint(line).astype(np.int32)], False, 1, max(1, round(rng.uniform(0.7, 3.2) / cell))
            )
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
        """Sheds, bins, tanks, debris and shrubs near the corners of blocks and buildings: small
        things that both sensors see."""
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
                tone = Roof(
                    "flat", Material.ROOF_METAL, tuple(self.rng.uniform(60, 230) * self.rng.uniform(0.9, 1.1, 3))
                )
                pose = Pose(float(x), float(y), float(np.cos(angle)), float(np.sin(angle)))
                self.build.prism(0, pose, half[0], half[1], self.rng.uniform(0.4, 2.6), tone, self.rng.normal(4, 4))

    def _poles(self) -> None:
        """Lamp posts and signs beside arterial roads: strong radar points."""
        height, width = self.ground.height.shape
        sites = self.rng.uniform(
            (0, 0), (width - 1, height - 1), (int(height * width * self.layout.cell_m**2 / 250), 2)
        )
        beside = np.abs(self.layout.road_clearance(sites[:, 0], sites[:, 1]) - 1.0) < 0.6
        for x, y in sites[beside].astype(int):
            if self.ground.height[y, x] == 0:
                self.ground.height[y, x] = self.rng.uniform(4, 10)
                self.ground.backscatter[y, x] = 180 + self.rng.integers(50)


def park_vehicles(ground: GroundCells, cell_m: float, slots: Slots, share: float, rng: np.random.Generator) -> None:
    """The vehicles of one date: a share of the slots is taken, on open ground only."""
    build = Builder(ground, cell_m, rng)
    height, width = ground.height.shape
    for x, y, cos, sin in slots.places:
        taken, tone, db, van = rng.random(), rng.integers(len(_CAR_TONES)), rng.normal(-8, 4), rng.random() < 0.08
        if taken > share or not (8 < x < width - 8 and 8 < y < height - 8) or ground.height[int(y), int(x)] > 0.3:
            continue
        size = (6.5, 2.1, 2.6) if van else (4.4, 1.8, 1.5)
        build.car(Pose(x, y, cos, sin), *size, _CAR_TONES[tone], float(db))


def collapse(ground: GroundCells, share: float, rng: np.random.Generator) -> None:
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
