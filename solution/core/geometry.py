"""Affine algebra, tie-points to shifts, one matrix that warps image and points, and the tile grid (numpy only, no I/O).

Matrices are 3 x 3 float64 and act on index coordinates (x, y) unless a name says ``centres``. See the package's
convention page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

Matrix = np.ndarray


@dataclass(frozen=True)
class Window:
    """A rectangle of optical pixels; it may reach past the image.

    Attributes:
        x, y: index of the first column and row.
        width, height: size in px.
    """

    x: int
    y: int
    width: int
    height: int

    @property
    def stop(self) -> tuple[int, int]:
        """(x, y) one past the last index."""
        return self.x + self.width, self.y + self.height

    def holds(self, xy: np.ndarray) -> np.ndarray:
        """(N,) bool: which positions (N, 2) lie on its pixels, whose centres are whole numbers."""
        return ((xy >= np.array([self.x, self.y]) - 0.5) & (xy < np.array(self.stop) - 0.5)).all(axis=1)


def matrix_from_gdal(transform: tuple[float, ...]) -> Matrix:
    """GDAL order ``(x0, dx/dcol, dx/drow, y0, dy/dcol, dy/drow)`` to a 3 x 3 matrix that maps an index to geographic
    metres or degrees."""
    x0, a, b, y0, d, e = transform[:6]
    return np.array([[a, b, x0], [d, e, y0], [0.0, 0.0, 1.0]], dtype=np.float64)


def apply(matrix: Matrix, points: np.ndarray) -> np.ndarray:
    """Apply a 3 x 3 affine to points (..., 2); float64 out."""
    points = np.asarray(points, dtype=np.float64)
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def centres(matrix: Matrix) -> Matrix:
    """The same mapping for array coordinates whose integers are pixel centres: ``p' = A (p + 1/2) - 1/2``."""
    half = np.eye(3)
    half[:2, 2] = 0.5
    back = np.eye(3)
    back[:2, 2] = -0.5
    return back @ matrix @ half


def shifts_from_positions(optical_xy: np.ndarray, sar_geo: np.ndarray, optical_matrix: Matrix) -> np.ndarray:
    """Unrounded shifts (N, 2) in optical px.

    Args:
        optical_xy: (N, 2) optical indices.
        sar_geo: (N, 2) geographic positions of the SAR indices, in the optical CRS.
        optical_matrix: index -> geographic position of the optical image. Rotation terms are ignored, as the
            challenge's scorer does (SN9 rasters have none): only its scale divides the difference.
    """
    optical_geo = apply(optical_matrix, optical_xy)
    scale = np.array([optical_matrix[0, 0], optical_matrix[1, 1]])
    return (np.asarray(sar_geo, dtype=np.float64) - optical_geo) / scale


def similarity(angle_deg: float, scale: float, flip: bool, centre: tuple[float, float]) -> Matrix:
    """Rotation (clockwise on screen, since y points down), scale and optional left-right flip about `centre` (x, y)."""
    angle = np.deg2rad(angle_deg)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[c, -s], [s, c]])
    if flip:
        linear = linear @ np.diag([-1.0, 1.0])
    centre_xy = np.asarray(centre, dtype=np.float64)
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = centre_xy - linear @ centre_xy
    return matrix


def fit_affine(source: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None) -> Matrix:
    """Weighted least-squares affine from source (N, 2) to target (N, 2).

    Falls back to a translation with fewer than three points or collinear ones, and to the identity with none.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    weight = np.ones(len(source)) if weight is None else np.asarray(weight, np.float64)
    matrix = np.eye(3)
    if len(source) == 0 or weight.sum() <= 0:
        return matrix
    centre = np.average(source, axis=0, weights=weight)
    spread = max(float(np.abs(source - centre).max()), 1.0)
    design = np.column_stack([(source - centre) / spread, np.ones(len(source))])
    root = np.sqrt(weight)[:, None]
    singular = np.linalg.svd(design * root, compute_uv=False)
    if len(source) < 3 or singular[-1] < 1e-6 * singular[0]:
        matrix[:2, 2] = np.average(target - source, axis=0, weights=weight)
        return matrix
    coefficients, *_ = np.linalg.lstsq(design * root, target * root, rcond=None)
    matrix[:2, :2] = coefficients[:2].T / spread
    matrix[:2, 2] = coefficients[2] - matrix[:2, :2] @ centre
    return matrix


def affine_of_shifts(xy: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """(N, 2) shifts of the least-squares affine through shifts (N, 2) at points (N, 2): the best that one transform can
    do."""
    return apply(fit_affine(xy, xy + shift), xy) - xy


def tile_grid(shape: tuple[int, int], tile: int, overlap: int = 0) -> Iterator[Window]:
    """Windows of `tile` px that cover an image of `shape` (h, w); neighbours share `overlap` px, and the last ones
    reach past the border."""
    step = tile - overlap
    if step <= 0:
        raise ValueError(f"overlap {overlap} must be smaller than the tile {tile}")
    height, width = shape
    for y in range(0, max(height - overlap, 1), step):
        for x in range(0, max(width - overlap, 1), step):
            yield Window(x, y, tile, tile)


def spacing(xy: np.ndarray) -> float:
    """Typical distance of candidates (N, 2), px: the median distance to the fourth nearest, which is the step of a
    regular grid."""
    if len(xy) < 2:
        return 1.0
    distance, _ = cKDTree(xy).query(xy, k=min(5, len(xy)))
    return max(float(np.median(distance[:, -1])), 1e-6)


def lattice(origin: tuple[float, float], step: tuple[float, float], shape: tuple[int, int]) -> np.ndarray:
    """(rows, columns, 2) positions of a regular lattice's nodes.

    Args:
        origin, step: (x, y) of the first node, and distance of neighbouring ones.
        shape: (rows, columns).
    """
    axes = (start + each * np.arange(count) for start, each, count in zip(origin, step, shape[::-1], strict=True))
    return np.stack(np.meshgrid(*axes), axis=-1)
