"""From the SAR image's pixels to the optical grid, through an offset map on disk: places, and whole rasters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from solution.core import geometry
from solution.core.geometry import Window
from solution.core.outputs import RASTERS, check_outputs, check_suffix
from solution.data.frame import crs_of, positions, reproject_points
from solution.data.opening import open_raster
from solution.data.scene import ScenePair, open_pair
from solution.field.warped_sar import check_resampling, write_warped_sar
from solution.products.windows import WindowedRaster, inside

_MOST_STEPS = 100
_CLOSE_PX = 0.02  # that the last step of a search may be long


@dataclass(frozen=True)
class _Field:
    """A map on disk, as what is written of a fit asks for it."""

    shift: WindowedRaster

    def block(self, window: Window) -> np.ndarray:
        """(2, height, width) float32 shifts at every index of a window."""
        return np.moveaxis(self.shift[window.y : window.stop[1], window.x : window.stop[0]], -1, 0)


def move(
    pair: ScenePair, shift: WindowedRaster, raster: Path, out: Path, resampling: str, tags: Mapping[str, str]
) -> Path:
    """Write a raster that lies as the SAR image of a pair does on the optical grid, moved by the map -> `out`.

    Args:
        resampling: one of `warped_sar.RESAMPLINGS`.
        tags: of the file.

    Raises:
        InputError: a raster of more than one band, or elsewhere; no such resampling; a place that cannot be written to.
    """
    check_resampling(resampling)
    check_suffix(out, RASTERS, "the moved raster")
    # What is seen shifted by half a SAR pixel is the SAR image; the raster's own pixels may have another size
    moved = replace(open_pair(pair.optical, raster), centre_offset_px=pair.centre_offset_px)
    moved.check_overlap()
    check_outputs([out], [*moved.files(), *pair.files(), shift.path])
    write_warped_sar(out, _Field(shift), moved, resampling, tags)
    return out


def places_of_sar(pair: ScenePair, shift: WindowedRaster, xy: np.ndarray) -> np.ndarray:
    """(N, 2) positions in the optical array grid of the ground that positions (N, 2) in that of the SAR file show.

    The map leads the other way: a place is sought whose shift leads to the SAR position. NaN where none is found, which is
    beyond the optical image, and where the map folds.
    """
    with open_raster(pair.sar) as sar:
        geo = reproject_points(positions(sar, xy + 0.5), crs_of(sar), pair.crs)
    seen = geometry.apply(np.linalg.inv(pair.transform), geo) - 0.5 - pair.centre_offset_px
    out = np.full(xy.shape, np.nan)
    known = np.isfinite(seen).all(axis=1)
    place, step = _sought(shift, seen[known])
    found = inside(place, shift.shape) & (step < _CLOSE_PX)
    out[known] = np.where(found[:, None], place, np.nan)
    return out


def _sought(shift: WindowedRaster, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) places and (N,) lengths of the last steps to them, px."""
    place, step = seen, np.zeros(len(seen))
    for _ in range(_MOST_STEPS):
        new = seen - shift.at(*place.T)
        step, place = np.hypot(*(new - place).T), new
        if not (step >= _CLOSE_PX).any():
            break
    return place, step
