"""Stamps single objects into the ground: prisms with roofs, trees, walls, vehicles, rubble."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from solution.simulate.ground import GroundCells
from solution.simulate.materials import BACKSCATTER_DB, BACKSCATTER_TEXTURE_DB, COLOUR_TEXTURE, Material, encode_db

_NOISE = 512  # side of the noise tile, cells, from which all textures are cut


@dataclass(frozen=True)
class Pose:
    """Where a rectangle lies: its centre, cells, and the direction of its long axis."""

    x: float
    y: float
    cos: float
    sin: float

    def offset(self, a_cells: float, b_cells: float) -> Pose:
        """Moved along its own axes."""
        return Pose(
            self.x + self.cos * a_cells - self.sin * b_cells,
            self.y + self.sin * a_cells + self.cos * b_cells,
            self.cos,
            self.sin,
        )

    def corners(self, half_a: float, half_b: float) -> np.ndarray:
        """(4, 2) corners; halves in cells."""
        a = np.array([-half_a, half_a, half_a, -half_a])
        b = np.array([-half_b, -half_b, half_b, half_b])
        return np.column_stack([self.x + self.cos * a - self.sin * b, self.y + self.sin * a + self.cos * b])


@dataclass(frozen=True)
class Roof:
    """Shape (flat, gable, hip or dome), `Material`, RGB, and rise above the eaves in metres."""

    shape: str
    material: int
    colour: tuple[float, float, float]
    rise_m: float = 0.0


class Builder:
    """Writes objects into the ground; sizes are in metres, places in cells."""

    def __init__(self, ground: GroundCells, cell_m: float, rng: np.random.Generator) -> None:
        self.ground, self.cell, self.rng = ground, cell_m, rng
        self._noise = rng.standard_normal((_NOISE, _NOISE)).astype(np.float32)
        self._smooth = cv2.GaussianBlur(self._noise, (0, 0), 2.0) * 5.0
        self._crowns: dict[int, list[np.ndarray]] = {}

    def _window(self, pose: Pose, half_a: float, half_b: float):
        """Slices around a rectangle, and its local coordinates (a, b) in metres there; None off the ground."""
        corners = pose.corners(half_a / self.cell, half_b / self.cell)
        height, width = self.ground.height.shape
        x0, y0 = (max(0, int(v) - 1) for v in corners.min(axis=0))
        x1, y1 = min(width, int(corners[:, 0].max()) + 2), min(height, int(corners[:, 1].max()) + 2)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return None
        east = (np.arange(x0, x1, dtype=np.float32) - pose.x)[None, :] * self.cell
        south = (np.arange(y0, y1, dtype=np.float32) - pose.y)[:, None] * self.cell
        return (slice(y0, y1), slice(x0, x1)), pose.cos * east + pose.sin * south, -pose.sin * east + pose.cos * south

    def is_free(self, pose: Pose, half_a: float, half_b: float) -> bool:
        """Whether the rectangle lies on the ground and touches no building."""
        found = self._window(pose, half_a, half_b)
        if found is None:
            return False
        window, a, b = found
        return not self.ground.building[window][(np.abs(a) < half_a) & (np.abs(b) < half_b)].any()

    def new_facade(self, pose: Pose, colour: tuple[float, float, float]) -> int:
        """Register a building's walls; returns its identity."""
        rng = self.rng
        self.ground.facades.append(
            (pose.cos, pose.sin, *colour, rng.uniform(2.8, 3.4), rng.uniform(2.0, 4.5), rng.normal(0, 3.0))
        )
        return (len(self.ground.facades) - 1) % 65_534 + 1

    def prism(
        self,
        identity: int,
        pose: Pose,
        half_a: float,
        half_b: float,
        height_m: float,
        roof: Roof,
        extra_db: float = 0.0,
    ) -> None:
        """One box with a roof; the part that rises above what is there wins."""
        found = self._window(pose, half_a, half_b)
        if found is None:
            return
        window, a, b = found
        a, b = np.abs(a), np.abs(b)
        top = height_m + roof.rise_m * _roof_profile(roof.shape, a, b, half_a, half_b)
        mask = (a < half_a) & (b < half_b) & (top > self.ground.height[window])
        self._write(window, mask, top, roof.material, roof.colour, extra_db)
        self.ground.building[window][mask] = identity

    def _write(self, window, mask, top, material: int, colour, extra_db: float) -> None:
        ground = self.ground
        ground.height[window][mask] = top[mask] if isinstance(top, np.ndarray) else top
        ground.material[window][mask] = material
        fine, coarse = self._noise_like(mask)
        factor = 1 + COLOUR_TEXTURE[material] * (0.5 * fine + 0.8 * coarse)
        ground.colour[window][mask] = np.clip(np.asarray(colour, np.float32) * factor[mask][:, None], 0, 255).astype(
            np.uint8
        )
        db = BACKSCATTER_DB[material] + extra_db + BACKSCATTER_TEXTURE_DB[material] * (0.6 * fine + 0.8 * coarse)
        ground.backscatter[window][mask] = encode_db(db)[mask]

    def _noise_like(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = mask.shape
        y, x = self.rng.integers(0, _NOISE, 2)
        rows, columns = (y + np.arange(height)) % _NOISE, (x + np.arange(width)) % _NOISE
        return self._noise[rows][:, columns], self._smooth[rows][:, columns]

    def tree(self, x: float, y: float, radius_m: float, height_m: float, colour: np.ndarray) -> None:
        """A crown: a bumpy dome."""
        radius = max(2, round(radius_m / self.cell))
        crown = self._crown(radius)
        size = crown.shape[0]
        x0, y0 = int(x) - size // 2, int(y) - size // 2
        height, width = self.ground.height.shape
        if x0 < 0 or y0 < 0 or x0 + size > width or y0 + size > height:
            return
        window = (slice(y0, y0 + size), slice(x0, x0 + size))
        top = crown * height_m
        mask = (crown > 0) & (top > self.ground.height[window])
        self._write(window, mask, top, Material.TREE, colour, 0.0)
        self.ground.building[window][mask] = 0

    def _crown(self, radius: int) -> np.ndarray:
        if radius not in self._crowns:
            self._crowns[radius] = [self._new_crown(radius) for _ in range(6)]
        return self._crowns[radius][self.rng.integers(6)]

    def _new_crown(self, radius: int) -> np.ndarray:
        axis = np.arange(-radius - 1, radius + 2, dtype=np.float32)
        distance = np.hypot(axis[:, None], axis[None, :]) / radius
        bumps = cv2.GaussianBlur(
            self.rng.standard_normal(distance.shape).astype(np.float32), (0, 0), max(1.0, radius / 5)
        )
        bumps /= max(float(bumps.std()), 1e-6)
        inside = distance + 0.10 * bumps < 1
        return (
            np.where(inside, 0.12 + 0.8 * np.sqrt(np.clip(1 - distance**2, 0, 1)) + 0.09 * bumps, 0.0)
            .astype(np.float32)
            .clip(0, 1.2)
        )

    def wall(
        self, start: tuple[float, float], end: tuple[float, float], height_m: float, colour: tuple[float, float, float]
    ) -> None:
        """A thin wall or fence; it is a structure of its own for both sensors."""
        p, q = ((round(v[0]), round(v[1])) for v in (start, end))
        cv2.line(self.ground.height, p, q, height_m, 1)
        cv2.line(self.ground.colour, p, q, colour, 1)
        cv2.line(self.ground.material, p, q, int(Material.CONCRETE), 1)
        cv2.line(self.ground.backscatter, p, q, int(encode_db(-9.0)), 1)

    def car(
        self,
        pose: Pose,
        length_m: float,
        width_m: float,
        height_m: float,
        colour: tuple[float, float, float],
        db: float,
    ) -> None:
        """A box on wheels."""
        polygon = np.rint(pose.corners(length_m / 2 / self.cell, width_m / 2 / self.cell)).astype(np.int32)
        cv2.fillConvexPoly(self.ground.height, polygon, height_m)
        cv2.fillConvexPoly(self.ground.colour, polygon, colour)
        cv2.fillConvexPoly(self.ground.material, polygon, int(Material.VEHICLE))
        cv2.fillConvexPoly(self.ground.backscatter, polygon, int(encode_db(db)))
        cabin = np.rint(pose.corners(length_m / 5 / self.cell, width_m / 3 / self.cell)).astype(np.int32)
        cv2.fillConvexPoly(self.ground.colour, cabin, tuple(0.45 * c for c in colour))

    def heap(self, pose: Pose, half_a: float, half_b: float, height_m: float, material: int, colour) -> None:
        """Loose material: rubble or spoil, rough on top."""
        found = self._window(pose, half_a, half_b)
        if found is None:
            return
        window, a, b = found
        inside = 1 - (a / half_a) ** 2 - (b / half_b) ** 2
        fine, coarse = self._noise_like(inside)
        top = (
            height_m * np.clip(inside, 0, 1) * (0.7 + 0.3 * coarse) + (0.4 * fine if material == Material.RUBBLE else 0)
        ).clip(0.05)
        mask = (inside + 0.3 * coarse > 0.1) & (self.ground.building[window] == 0)
        self._write(window, mask, top.astype(np.float32), material, colour, 0.0)

    def paint(self, pose: Pose, half_a: float, half_b: float, material: int, colour) -> None:
        """A flat rectangle on the ground (yard, pitch, parking)."""
        found = self._window(pose, half_a, half_b)
        if found is None:
            return
        window, a, b = found
        mask = (np.abs(a) < half_a) & (np.abs(b) < half_b) & (self.ground.height[window] < 0.3)
        self._write(window, mask, np.zeros(a.shape, np.float32), material, colour, 0.0)


def _roof_profile(shape: str, a: np.ndarray, b: np.ndarray, half_a: float, half_b: float) -> np.ndarray:
    """Share of the rise, 0 at the eaves and 1 at the ridge; a and b are distances from the axes."""
    if shape == "gable":
        return 1 - b / half_b
    if shape == "hip":
        return np.minimum(1 - b / half_b, (half_a - a) / half_b)
    if shape == "dome":
        return np.sqrt(np.clip(1 - (a / half_a) ** 2 - (b / half_b) ** 2, 0, 1))
    return np.zeros_like(a)
