"""Both ends of tie-points, in every way that programs want them: pixels of each image, and places on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solution.core import geometry
from solution.data.frame import crs_of, indices, is_placed_by_points, positions, reproject_points
from solution.data.opening import open_raster
from solution.data.places import CENTRE
from solution.data.scene import ScenePair

_EDGE_PX = 1e-3
"""That rounding may take: an end this near the border of its image counts as outside."""


@dataclass(frozen=True)
class Ends:
    """Where tie-points lie; all arrays are (N, 2) float64.

    Attributes:
        optical, sar: indices (x, y), in the SAR image those of its file.
        optical_at: places of the optical pixels' centres, in the optical CRS.
        sar_at: places of the SAR pixels' centres as that image is geocoded, in its own CRS.
        sar_on_map: the same in the optical CRS.
        inside: (N,) bool, whether both ends lie on pixels of their images.
        sar_on_grid: whether the SAR image has a grid, and not only ground control points.
    """

    optical: np.ndarray
    sar: np.ndarray
    optical_at: np.ndarray
    sar_at: np.ndarray
    sar_on_map: np.ndarray
    inside: np.ndarray
    sar_on_grid: bool

    @classmethod
    def of(cls, pair: ScenePair, xy: np.ndarray, shift: np.ndarray) -> Ends:
        """Those of optical indices (N, 2) and index shifts (N, 2) in optical px; the inverse of
        `ScenePair.tiepoints_of`."""
        optical_at = geometry.apply(pair.transform, xy + CENTRE)
        with open_raster(pair.sar) as dataset:
            crs, shape, on_grid = crs_of(dataset), dataset.shape, not is_placed_by_points(dataset)
            sar = indices(dataset, reproject_points(geometry.apply(pair.transform, xy + shift), pair.crs, crs))
            inside = _on_pixels(xy, pair.shape) & _on_pixels(sar, shape)
            sar_at = np.full(sar.shape, np.nan)
            sar_at[inside] = positions(dataset, sar[inside] + CENTRE)
        sar_on_map = np.full(sar.shape, np.nan)
        sar_on_map[inside] = reproject_points(sar_at[inside], crs, pair.crs)
        return cls(xy, sar, optical_at, sar_at, sar_on_map, inside, on_grid)

    def rows(self, chosen: np.ndarray) -> Ends:
        """Some of them, by index or mask."""
        arrays = (self.optical, self.sar, self.optical_at, self.sar_at, self.sar_on_map, self.inside)
        return Ends(*(array[chosen] for array in arrays), self.sar_on_grid)


def _on_pixels(index: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(N,) bool, whether indices (N, 2) lie in an image of shape (height, width); NaN does not."""
    px = index + CENTRE
    return ((px > _EDGE_PX) & (px < np.array(shape[::-1]) - _EDGE_PX)).all(axis=1)
