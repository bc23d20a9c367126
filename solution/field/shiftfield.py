"""Shift fields: values at the nodes of a square lattice, affine on each triangle between them.

On a square lattice the Delaunay triangulation is known: every cell is cut along its anti-diagonal, so the
piecewise-affine map has a closed form and 170 million pixels take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solution.core import geometry
from solution.core.geometry import Window

_TELLING = 6  # rows whose residuals say something
_PER_CENT = 68  # of the true places lie within `Fit.sigma`
_BEYOND_SHARE, _BEYOND_PX = (
    0.25,
    5.0,
)  # how far a fit may leave what the candidates span: a share of that, and the gate of a good fit
_PIECE = 2**14  # positions that are looked up at once: what is made of more leaves the processor's cache
QUANTUM = 512.0
"""Shifts are stored in 1/512 px: far below any error, and it halves the file."""


@dataclass(frozen=True)
class Fit:
    """A fitted shift field: values at the nodes of a square lattice, affine on each triangle between them.

    Attributes:
        kind: ``field``, ``affine``, ``shift`` or ``zero``.
        nodes: (2, rows, columns) float64 shift at the nodes, optical px.
        origin: (x, y) of node [0, 0].
        step: (x, y) distance of neighbouring nodes, px.
        inliers: rows that the fit kept.
        residual_px: median distance of held-out kept rows to the field (of kept rows to the transform for the simpler
            kinds); NaN without any row.
        gsd_m: optical pixel size, where known.
        sigma: (rows, columns) radius at the same nodes, in px, within which the true place lies with a probability of
            68 %; None = not estimated.
    """

    kind: str
    nodes: np.ndarray
    origin: tuple[float, float]
    step: tuple[float, float]
    inliers: int
    residual_px: float
    gsd_m: float | None = None
    sigma: np.ndarray | None = None

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """Shifts (N, 2) at optical positions (N, 2); beyond the lattice the border's value repeats."""
        return self._at(self.nodes, xy).T

    def crossings(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(rows, columns, 2) float32 shifts where columns at x (columns,) cross rows at y (rows,), as `shift_at` gives them;
        in a tenth of its time."""
        return np.moveaxis(self._crossings(self.nodes, x, y), 0, -1)

    def sigma_at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) 68 % radii in px at optical positions (N, 2)."""
        return self._at(self.sigma[None], xy)[0]

    def block(self, window: Window) -> np.ndarray:
        """(2, height, width) float32 shifts at every index of a window."""
        return self._block(self.nodes, window)

    def sigma_block(self, window: Window) -> np.ndarray:
        """(height, width) float32 68 % radii in px at every index of a window."""
        return self._block(self.sigma[None], window)[0]

    def _at(self, layers: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """(C, rows, columns) node values -> (C, N)."""
        xy = np.asarray(xy, np.float64)
        out = np.empty((len(layers), len(xy)))
        for start in range(0, len(xy), _PIECE):
            place = slice(start, start + _PIECE)
            column, u = cell(xy[place, 0], self.origin[0], self.step[0], layers.shape[2])
            row, v = cell(xy[place, 1], self.origin[1], self.step[1], layers.shape[1])
            corner = [layers[:, row + j, column + i] for j, i in ((0, 0), (0, 1), (1, 0), (1, 1))]
            out[:, place] = np.einsum("kn,kcn->cn", corner_weights(u, v), np.stack(corner))
        return out

    def _block(self, layers: np.ndarray, window: Window) -> np.ndarray:
        """(C, rows, columns) node values -> (C, height, width) float32."""
        x, y = (np.arange(start, start + size) for start, size in ((window.x, window.width), (window.y, window.height)))
        return np.rint(self._crossings(layers, x, y) * QUANTUM) / np.float32(QUANTUM)

    def _crossings(self, layers: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(C, rows, columns) node values -> (C, len(y), len(x)) float32, affine on every triangle."""
        if 1 in layers.shape[1:]:  # a single row or column repeats
            layers = np.pad(layers, ((0, 0), *((0, int(count == 1)) for count in layers.shape[1:])), mode="edge")
        column, u = cell(x, self.origin[0], self.step[0], layers.shape[2])
        row, v = cell(y, self.origin[1], self.step[1], layers.shape[1])
        u, v = u.astype(np.float32), v.astype(np.float32)
        out = np.empty((len(layers), len(y), len(x)), dtype=np.float32)
        for band, nodes in enumerate(layers.astype(np.float32)):
            for cell_row in np.unique(row):
                rows = np.flatnonzero(row == cell_row)
                top, bottom = nodes[cell_row], nodes[cell_row + 1]
                along_x = (top[column + 1] - top[column]) * u + top[column]
                along_y = (bottom - top)[column]
                twist = (bottom[1:] - bottom[:-1] - top[1:] + top[:-1])[column]
                beyond = np.maximum(u + v[rows, None] - 1, 0)
                out[band, rows] = along_x + v[rows, None] * along_y + twist * beyond
        return out

    def summary(self) -> str:
        """One line for people."""
        metres = f" ({self.residual_px * self.gsd_m:.2f} m)" if self.gsd_m else ""
        residual = f", held-out residual {self.residual_px:.2f} px{metres}" if np.isfinite(self.residual_px) else ""
        return f"fit: {self.kind} from {self.inliers} candidates{residual}"


def from_affine(kind: str, matrix: geometry.Matrix, xy: np.ndarray, shift: np.ndarray, shape: tuple[int, int]) -> Fit:
    """A transform as a lattice of 2 x 2 nodes at the image's corners, which represents it exactly.

    Args:
        kind: of the fit.
        matrix: from optical positions to shifted ones.
        xy, shift: (N, 2) positions and shifts of the candidates it was fitted to, optical px; N may be 0.
        shape: (height, width) of the optical image.
    """
    size = np.maximum(np.array(shape[::-1], dtype=np.float64) - 1, 1)
    corners = np.stack(np.meshgrid([0, size[0]], [0, size[1]]), axis=-1)
    values = geometry.apply(matrix, corners) - corners
    residual = np.hypot(*(geometry.apply(matrix, xy) - xy - shift).T)
    nodes = within_limits(np.moveaxis(values, -1, 0), shift)
    typical = float(np.median(residual)) if len(xy) else np.nan
    # Without held-out rows the residuals are all that is known of the error, and a few rows say nothing.
    sigma = np.full((2, 2), float(np.percentile(residual, _PER_CENT))) if len(xy) >= _TELLING else None
    return Fit(kind, nodes, (0.0, 0.0), (size[0], size[1]), len(xy), typical, sigma=sigma)


def within_limits(nodes: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The nodes' shifts, clipped: extrapolation stays near what the candidates span.

    Args:
        nodes: (2, rows, columns) shift at the nodes, optical px.
        shift: (N, 2) shifts of the candidates, optical px; none of them set no limit.
    """
    if len(shift) == 0:
        return nodes
    low, high = shift.min(axis=0), shift.max(axis=0)
    margin = _BEYOND_SHARE * (high - low) + _BEYOND_PX
    return np.clip(nodes, (low - margin)[:, None, None], (high + margin)[:, None, None])


def cell(position: np.ndarray, origin: float, step: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the lattice cell along one axis, and the place in it, [0, 1].

    Positions beyond the lattice are moved to its border.
    """
    place = np.clip((position - origin) / step, 0.0, count - 1)
    index = np.minimum(place.astype(np.int64), count - 2)
    return index, place - index


def corner_weights(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(4, N) barycentric weights in a cell cut along its anti-diagonal: left top, right top, left bottom, right
    bottom."""
    beyond = np.maximum(u + v - 1, 0)
    return np.stack([1 - u - v + beyond, u - beyond, v - beyond, beyond])
