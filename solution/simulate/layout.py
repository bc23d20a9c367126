"""Where things are: districts bounded by arterial roads, each with its own curved street coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from solution.simulate.noise import STEP, CoarseField, coarse_shape, fractal, hash01
from solution.simulate.presets import DISTRICTS, Preset

KINDS = tuple(DISTRICTS)
ROUNDABOUT_M = 19.0  # radius


@dataclass(frozen=True)
class Streets:
    """Street coordinates (u, v) at some points, in metres.

    Attributes:
        label: district index.
        edge_m: distance to the middle of the nearest arterial road.
        half_m: half of that road's width; the same seen from either side.
        junction_m: distance to the second nearest arterial road: small where roads meet.
        border: identity of that road.
        u, v: coordinates along which the district's streets run at multiples of its block size.
    """

    label: np.ndarray
    edge_m: np.ndarray
    half_m: np.ndarray
    junction_m: np.ndarray
    border: np.ndarray
    u: np.ndarray
    v: np.ndarray


@dataclass(frozen=True)
class Layout:
    """All districts of a scene; arrays have one entry per district, positions are cells of the ground.

    Attributes:
        cell_m: size of a cell.
        seed: (n, 2) centres.
        kind: index into `KINDS`.
        cos, sin: direction of u.
        block: (n, 2) distance between streets, m.
        street, bend, arterial: width of streets, amplitude of their curves, width of the road around, m.
        trees_per_ha: density.
        warp_x, warp_y: unit-amplitude curves, and the border warp of the districts, on coarse nodes.
        edge, junction, half: distance to the nearest and second nearest border, and half the width
            of the road on the nearest, m.
        labels, beyond: the district of every node, and the one across the nearest border.
        roundabouts: (n, 2) cells.
        key: mixes the scene's seed into every hash.
    """

    cell_m: float
    seed: np.ndarray
    kind: np.ndarray
    cos: np.ndarray
    sin: np.ndarray
    block: np.ndarray
    street: np.ndarray
    bend: np.ndarray
    arterial: np.ndarray
    trees_per_ha: np.ndarray
    warp_x: CoarseField
    warp_y: CoarseField
    edge: CoarseField
    junction: CoarseField
    half: CoarseField
    labels: np.ndarray
    beyond: np.ndarray
    roundabouts: np.ndarray
    key: int

    def district_kind(self, label: int) -> str:
        """Name of a district's kind."""
        return KINDS[self.kind[label]]

    def streets(self, top: int, bottom: int, left: int, right: int) -> Streets:
        """Street coordinates of every cell in a window."""
        rows = np.clip(np.arange(top, bottom) // STEP, 0, self.labels.shape[0] - 1)
        columns = np.clip(np.arange(left, right) // STEP, 0, self.labels.shape[1] - 1)
        label, beyond = self.labels[rows][:, columns], self.beyond[rows][:, columns]
        x = np.arange(left, right, dtype=np.float32)[None, :]
        y = np.arange(top, bottom, dtype=np.float32)[:, None]
        window = (top, bottom, left, right)
        u, v = self.to_uv(label, x, y, self.warp_x.window(*window), self.warp_y.window(*window))
        border = np.minimum(label, beyond) * 65_537 + np.maximum(label, beyond)
        return Streets(
            label, self.edge.window(*window), self.half.window(*window), self.junction.window(*window), border, u, v
        )

    def to_uv(self, label, x, y, warp_x, warp_y):
        bend = self.bend[label]
        east = (x - self.seed[label, 0]) * np.float32(self.cell_m) + bend * warp_x
        south = (y - self.seed[label, 1]) * np.float32(self.cell_m) + bend * warp_y
        return self.cos[label] * east + self.sin[label] * south, -self.sin[label] * east + self.cos[label] * south

    def to_cells(self, label: int, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cells (x, y) of street coordinates, by fixed-point iteration, as curves are gentle."""
        east = self.cos[label] * u - self.sin[label] * v
        south = self.sin[label] * u + self.cos[label] * v
        x, y = self.seed[label, 0] + east / self.cell_m, self.seed[label, 1] + south / self.cell_m
        for _ in range(6):
            warp_x, warp_y = self.warp_x.at(x, y), self.warp_y.at(x, y)
            x = self.seed[label, 0] + (east - self.bend[label] * warp_x) / self.cell_m
            y = self.seed[label, 1] + (south - self.bend[label] * warp_y) / self.cell_m
        return x, y

    def road_clearance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Distance (m) of cells (x, y) from the kerb of the nearest arterial road; negative on it."""
        clearance = self.edge.at(x, y) - self.half.at(x, y)
        for centre in self.roundabouts:
            clearance = np.minimum(clearance, np.hypot(x - centre[0], y - centre[1]) * self.cell_m - ROUNDABOUT_M)
        return clearance

    def label_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """District of cells (x, y); -1 outside the ground."""
        i, j = np.floor(np.asarray(y) / STEP).astype(int), np.floor(np.asarray(x) / STEP).astype(int)
        inside = (i >= 0) & (j >= 0) & (i < self.labels.shape[0] - 1) & (j < self.labels.shape[1] - 1)
        return np.where(
            inside, self.labels[np.clip(i, 0, self.labels.shape[0] - 1), np.clip(j, 0, self.labels.shape[1] - 1)], -1
        )

    def block_kind(self, label: np.ndarray | int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Index into the district kind's `blocks` of block (i, j)."""
        draw = hash01(label, i, j, self.key)
        kinds = self.kind[label]
        return np.sum(draw[..., None] >= _CUMULATIVE[kinds], axis=-1)

    def block_name(self, label: int, i: int, j: int) -> str:
        """What block (i, j) of a district is used for."""
        return DISTRICTS[self.district_kind(label)].blocks[int(self.block_kind(label, np.array(i), np.array(j)))][0]


def _cumulative_blocks() -> np.ndarray:
    most = max(len(district.blocks) for district in DISTRICTS.values())
    table = np.ones((len(KINDS), most - 1))
    for row, kind in enumerate(KINDS):
        share = np.array([weight for _, weight in DISTRICTS[kind].blocks])
        cumulative = np.cumsum(share / share.sum())[:-1]
        table[row, : len(cumulative)] = cumulative
    return table


_CUMULATIVE = _cumulative_blocks()


def build(shape: tuple[int, int], cell_m: float, preset: Preset, rng: np.random.Generator) -> Layout:
    """Draw the districts of a ground of `shape` cells."""
    nodes = coarse_shape(shape)
    spacing = rng.uniform(*preset.district_m) / cell_m
    seed = _seeds(shape, spacing, rng)
    n = len(seed)
    names = sorted(preset.districts)
    share = np.array([preset.districts[name] for name in names])
    kind = np.array([KINDS.index(names[k]) for k in rng.choice(len(names), n, p=share / share.sum())])
    specs = [DISTRICTS[KINDS[k]] for k in kind]
    main_angle = rng.uniform(0, np.pi)
    angle = np.where(rng.random(n) < 0.6, main_angle + rng.normal(0, 0.08, n), rng.uniform(0, np.pi, n))
    # A fractal has unit differences at 100 m; curves shall have unit deviation.
    warp = [fractal(nodes, cell_m * STEP, 1.0, 90.0, rng, coarsest_m=600.0) for _ in (0, 1)]
    warp = [CoarseField((field / max(float(field.std()), 1e-6)).astype(np.float32)) for field in warp]
    border = [
        CoarseField(16.0 / cell_m * fractal(nodes, cell_m * STEP, 1.0, 60.0, rng, coarsest_m=500.0)) for _ in (0, 1)
    ]
    labels, beyond, edge, junction = _borders(nodes, seed, border, cell_m)
    draw = lambda name: np.array([rng.uniform(*getattr(spec, name)) for spec in specs], np.float32)  # noqa: E731
    block = np.column_stack([draw("block_m"), draw("block_m") * rng.uniform(0.6, 1.2, n)]).astype(np.float32)
    wide = rng.uniform(*preset.arterial_m, n).astype(np.float32)
    rural = np.isin(kind, [KINDS.index(name) for name in ("fields", "open", "wood", "village", "quarry", "water")])
    arterial = np.where(rural, np.minimum(wide, rng.uniform(4, 9, n)), wide).astype(np.float32)
    half = CoarseField(cv2.GaussianBlur(np.maximum(arterial[labels], arterial[beyond]) / 2, (0, 0), 2.0))
    return Layout(
        cell_m=cell_m,
        seed=seed.astype(np.float32),
        kind=kind,
        cos=np.cos(angle).astype(np.float32),
        sin=np.sin(angle).astype(np.float32),
        block=block,
        street=draw("street_m"),
        bend=np.array([spec.bend_m * rng.uniform(0.3, 1.0) for spec in specs], np.float32),
        arterial=arterial,
        trees_per_ha=draw("trees_per_ha"),
        warp_x=warp[0],
        warp_y=warp[1],
        edge=edge,
        junction=junction,
        half=half,
        labels=labels,
        beyond=beyond,
        roundabouts=_roundabouts(junction, half, rng),
        key=int(rng.integers(2**31)),
    )


def _roundabouts(junction: CoarseField, half: CoarseField, rng: np.random.Generator) -> np.ndarray:
    """Cells (x, y) of some of the places where wide roads meet."""
    depth = junction.nodes
    lowest = (depth == cv2.erode(depth, np.ones((9, 9), np.uint8))) & (depth < 5.0) & (half.nodes > 5.0)
    lowest[:3], lowest[-3:], lowest[:, :3], lowest[:, -3:] = False, False, False, False
    rows, columns = np.nonzero(lowest)
    kept = rng.random(len(rows)) < 0.2
    return (np.column_stack([columns, rows])[kept] + 0.5) * STEP


def _seeds(shape: tuple[int, int], spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Jittered grid of district centres (x, y) that reaches past the ground on every side."""
    rows = np.arange(-1, shape[0] / spacing + 2)
    columns = np.arange(-1, shape[1] / spacing + 2)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    return (grid + rng.uniform(-0.42, 0.42, grid.shape) + rng.uniform(0, 1, 2)) * spacing


def _borders(
    nodes: tuple[int, int], seed: np.ndarray, warp: list[CoarseField], cell_m: float
) -> tuple[np.ndarray, np.ndarray, CoarseField, CoarseField]:
    """Voronoi label of every node, the label across its nearest bisector, the distances to it and to the next, m.

    The warp bends the borders of districts.
    """
    y, x = np.meshgrid(*((np.arange(n) + 0.5) * STEP - 0.5 for n in nodes), indexing="ij")
    points = np.stack([x + warp[0].nodes, y + warp[1].nodes], axis=-1)
    distance, index = cKDTree(seed).query(points, k=4)
    first = seed[index[..., :1]]
    apart = np.linalg.norm(seed[index[..., 1:]] - first, axis=-1)
    edges = (distance[..., 1:] ** 2 - distance[..., :1] ** 2) / (2 * apart) * cell_m
    nearest = edges.argmin(axis=-1)[..., None]
    beyond = np.take_along_axis(index, nearest + 1, axis=-1)[..., 0]
    edges = np.sort(edges, axis=-1).astype(np.float32)
    return (
        index[..., 0].astype(np.int32),
        beyond.astype(np.int32),
        CoarseField(edges[..., 0]),
        CoarseField(edges[..., 1]),
    )
