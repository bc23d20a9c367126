"""Decoys: the SAR image, mirrored, read as if it lay where the true one does. Nothing in it can match the optical image."""

from __future__ import annotations

from functools import partial

import numpy as np

from solution.core.geometry import Window
from solution.data.raster import output_grid
from solution.data.scene import ScenePair
from solution.field.shiftfield import Fit
from solution.proposers.flow.gathering import Reader


def mirrored(
    axis: int, pair: ScenePair, window: Window, factor: int, field: Fit | None
) -> tuple[np.ndarray, np.ndarray]:
    """`warped.read_sar` of a SAR image mirrored about the optical image's middle, in x (0) or in y (1); without a field."""
    if field is not None:
        raise ValueError("a decoy is read where geocoding says")
    xy = output_grid(window, factor)
    xy[..., axis] = pair.shape[1 - axis] - 1 - xy[..., axis]
    return pair.sample_sar(xy + pair.centre_offset_px, factor)


DECOYS: tuple[Reader, ...] = (partial(mirrored, 0), partial(mirrored, 1))
