"""What stands in a block of a town, by its use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solution.simulate.builder import Pose, Roof
from solution.simulate.materials import Material
from solution.simulate.structures import SQUARE_METRES_PER_HA, Block, Town


def _leave_empty(town: Town, block: Block) -> None:
    """Open ground; now and then a spoil heap."""
    if town.rng.random() < 0.25:
        _heaps(town, block, town.rng.integers(1, 4))


def _heaps(town: Town, block: Block, count: int) -> None:
    rng = town.rng
    for _ in range(count):
        pose = block.pose(rng.uniform(block.u0, block.u1), rng.uniform(block.v0, block.v1))
        if town.lot_is_free(block.label, pose, 3.0, 3.0):
            material = Material.SOIL if rng.random() < 0.6 else Material.RUBBLE
            colour = town.palette.colour[material] * rng.uniform(0.85, 1.1)
            town.build.heap(pose, rng.uniform(2, 9), rng.uniform(2, 7), rng.uniform(0.8, 3.5), material, colour)


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
            pose = block.pose(block.u0 + a * block.size[0], block.v0 + b * block.size[1])
            roof = town.tile_roof(half[1], rng.uniform(0.25, 0.4)) if pitched else town.flat_roof()
            built = town.house(
                block.label, pose, half[0], half[1], 3.0 * max(2, storeys + rng.integers(-1, 2)), roof, wings=1
            )
            if built and pitched and rng.random() < 0.6:
                _attic(town, pose, half)
    _yard_cars(town, block, 0.06)
    if rng.random() < 0.45:
        _boundary_wall(town, block)


def _attic(town: Town, pose: Pose, half: np.ndarray) -> None:
    """The light box with tanks and collectors that sits in the middle of a tiled apartment roof."""
    i, j = int(pose.y), int(pose.x)
    if not (0 <= i < town.ground.height.shape[0] and 0 <= j < town.ground.height.shape[1]):
        return
    base = float(town.ground.height[i, j])
    grey = Roof("flat", Material.ROOF_FLAT, tuple(np.full(3, town.rng.uniform(150, 220))))
    town.build.prism(int(town.ground.building[i, j]), pose, half[0] * 0.35, half[1] * 0.3, base + 0.8, grey, 6.0)


def _slabs(town: Town, block: Block) -> None:
    rng = town.rng
    half_b = rng.uniform(5.5, 7.5)
    storeys = rng.integers(3, 9)
    for v in np.arange(block.v0 + half_b, block.v1 - half_b, 2 * half_b + rng.uniform(14, 24)):
        half_a = min(rng.uniform(16, 38), block.size[0] / 2 - 1)
        if half_a > 8:
            pose = block.pose((block.u0 + block.u1) / 2 + rng.uniform(-4, 4), v)
            roof = town.flat_roof() if rng.random() < 0.6 else town.tile_roof(half_b, 0.3)
            town.house(block.label, pose, half_a, half_b, 3.0 * storeys, roof)
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
                pose = block.pose(u + half_a, v - side * half_b)
                roof = town.flat_roof() if rng.random() < 0.72 else town.tile_roof(half_b, rng.uniform(0.3, 0.5))
                town.house(block.label, pose, half_a - 0.5, half_b, 3.1 * max(1, base + rng.integers(-2, 3)), roof)
            u += 2 * half_a + (rng.uniform(2, 6) if rng.random() < 0.15 else 0.1)
    for u in (block.u0 + 5, block.u1 - 5):
        for v in np.arange(block.v0 + 20, block.v1 - 20, 11.0):
            town.house(
                block.label, block.pose(u, v), 4.5, 5.0, 3.1 * max(1, base + rng.integers(-2, 2)), town.flat_roof()
            )


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
            pose = block.pose(u + rng.uniform(-1, 1), v + inward * (setback + half_b))
            if not town.house(
                block.label, pose, half_a, half_b, rng.uniform(2.8, 6.0), town.shingle_roof(half_b, pitch)
            ):
                continue
            drive = block.pose(u + rng.choice((-1, 1)) * (half_a - 2.2), v + inward * setback / 2)
            town.build.paint(drive, 2.4, setback / 2 + 1, Material.CONCRETE, town.palette.colour[Material.CONCRETE])
            town.slot(block, drive, across=True)
            if rng.random() < 0.5:
                back = v + inward * (setback + 2 * half_b + rng.uniform(9, 13))
                ends = [block.pose(u + s * lot / 2, back) for s in (-1, 1)]
                town.build.wall((ends[0].x, ends[0].y), (ends[1].x, ends[1].y), 1.8, (136, 116, 92))
            for _ in range(rng.poisson(1.4)):
                at = pose.offset(
                    rng.uniform(-lot / 2, lot / 2) / cell, inward * rng.uniform(half_b + 2, half_b + 12) / cell
                )
                town.tree_at(at.x, at.y, rng.uniform(1.6, 4.5))


def _cottages(town: Town, block: Block) -> None:
    rng = town.rng
    for _ in range(rng.integers(3, 4 + int(block.size[0] * block.size[1] / 350))):
        half_a, half_b = rng.uniform(4, 8), rng.uniform(3, 5)
        pose = block.pose(rng.uniform(block.u0 + 6, block.u1 - 6), rng.uniform(block.v0 + 6, block.v1 - 6))
        turn = rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.12)
        c, s = np.cos(turn), np.sin(turn)
        pose = Pose(pose.x, pose.y, pose.cos * c - pose.sin * s, pose.sin * c + pose.cos * s)
        roof = town.tin_roof(half_b, rng.uniform(0.2, 0.5)) if rng.random() < 0.75 else town.flat_roof()
        if town.house(block.label, pose, half_a, half_b, rng.uniform(2.6, 4.5), roof) and rng.random() < 0.35:
            town.build.paint(
                pose,
                half_a + rng.uniform(2, 6),
                half_b + rng.uniform(2, 6),
                Material.SOIL,
                town.palette.colour[Material.SOIL],
            )


def _halls(town: Town, block: Block) -> None:
    rng = town.rng
    count = [max(1, int(extent // rng.uniform(48, 85))) for extent in block.size]
    for a in (np.arange(count[0]) + 0.5) / count[0]:
        for b in (np.arange(count[1]) + 0.5) / count[1]:
            half = np.array(block.size) / np.array(count) / 2 - rng.uniform(4, 11, 2)
            pose = block.pose(block.u0 + a * block.size[0], block.v0 + b * block.size[1])
            if half.min() < 6:
                continue
            tone = np.array((188, 196, 206)) * rng.choice((0.6, 0.85, 1.0, 1.2)) * rng.uniform(0.94, 1.06, 3)
            shape = "flat" if rng.random() < 0.6 else "gable"
            roof = Roof(shape, Material.ROOF_METAL, tuple(tone), rng.uniform(1, 3) if shape == "gable" else 0.0)
            town.house(block.label, pose, half[0], half[1], rng.uniform(5, 13), roof, wings=int(rng.random() < 0.3))
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
                town.slot(block, block.pose(u, v + row), across=True)


def _yard_cars(town: Town, block: Block, density: float) -> None:
    """Cars along the block's kerbs, outside its edges."""
    rng = town.rng
    for v in (block.v0 - 2.5, block.v1 + 2.5):
        for u in np.arange(block.u0, block.u1, 6.0):
            if rng.random() < density * 6:
                town.slot(block, block.pose(u, v), across=False)


def _boundary_wall(town: Town, block: Block) -> None:
    corners = [(block.u0, block.v0), (block.u1, block.v0), (block.u1, block.v1), (block.u0, block.v1)]
    x, y = (np.array(c) for c in zip(*((f.x, f.y) for f in (block.pose(*c) for c in corners)), strict=True))
    if (town.layout.label_at(x, y) != block.label).any() or (town.layout.road_clearance(x, y) < 3).any():
        return
    for k in range(4):
        if town.rng.random() < 0.8:
            town.build.wall((x[k], y[k]), (x[(k + 1) % 4], y[(k + 1) % 4]), town.rng.uniform(1.4, 2.6), (190, 182, 170))


def _park(town: Town, block: Block) -> None:
    rng = town.rng
    pose = block.pose((block.u0 + block.u1) / 2, (block.v0 + block.v1) / 2)
    if rng.random() < 0.5 and min(block.size) > 40:
        colour = ((140, 70, 56), (64, 96, 58), (90, 110, 70))[rng.integers(3)]
        half = (min(block.size[0] / 2 - 4, 52.0), min(block.size[1] / 2 - 4, 33.0))
        if town.lot_is_free(block.label, pose, *half):
            town.build.paint(pose, *half, Material.PITCH, colour)
    _grove(town, block, rng.uniform(40, 160))


def _grove(town: Town, block: Block, per_ha: float) -> None:
    rng = town.rng
    count = rng.poisson(per_ha * block.size[0] * block.size[1] / SQUARE_METRES_PER_HA)
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
        pose = block.pose((block.u0 + block.u1) / 2, (block.v0 + block.v1) / 2)
        half_a, half_b = rng.uniform(9, min(block.size) / 2.4, 2)
        if town.house(block.label, pose, half_a, half_b, 0.6, town.flat_roof()):
            cell = town.layout.cell_m
            for a in np.arange(-half_a, half_a, 5.0):
                for b in np.arange(-half_b, half_b, 5.0):
                    column = Roof("flat", Material.ROOF_FLAT, tuple(rng.uniform(110, 210) * np.array((1.0, 0.8, 0.7))))
                    town.build.prism(1, pose.offset(a / cell, b / cell), 1.6, 0.5, rng.uniform(1.5, 4.0), column, 8.0)


def _rubble(town: Town, block: Block) -> None:
    rng = town.rng
    for _ in range(rng.integers(3, 9)):
        pose = block.pose(rng.uniform(block.u0, block.u1), rng.uniform(block.v0, block.v1))
        if town.lot_is_free(block.label, pose, 6.0, 6.0):
            colour = town.palette.colour[Material.RUBBLE] * rng.uniform(0.85, 1.1)
            town.build.heap(pose, rng.uniform(5, 13), rng.uniform(5, 11), rng.uniform(1, 3.5), Material.RUBBLE, colour)


_USES: dict[str, Callable[[Town, Block], None]] = {
    "towers": _towers, "slabs": _slabs, "perimeter": _perimeter, "houses": _houses, "cottages": _cottages, "halls": _halls,
    "parking": _parking, "park": _park, "construction": _construction, "rubble": _rubble, "orchard": _orchard,
    "wood": lambda town, block: _grove(town, block, 320.0),
}  # fmt: skip


def build_block(town: Town, block: Block, use: str) -> None:
    """What stands in a block of a use; blocks of unknown use are left empty."""
    _USES.get(use, _leave_empty)(town, block)
