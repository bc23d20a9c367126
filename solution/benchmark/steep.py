"""Steep scenes with known truth: the SAR images of labelled scenes, warped once more along one direction.

Terrain moves SAR ground along one direction, by an amount that changes with height. So does this: a smooth random field
along a random direction is added to what a scene has already, and its tie-points move along.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from solution.core.outputs import check_outputs
from solution.core.writing import atomic_path, together, write_text
from solution.data import naming
from solution.data.opening import open_raster
from solution.data.raster_writing import new_raster
from solution.data.scene import ScenePair
from solution.data.tiepoints import TIEPOINT_COLUMNS, read_tiepoint_csv

GRADIENTS = (0.02, 0.04, 0.06, 0.08)
"""Steepest slope of the added fields, px of shift per px of SAR."""
_MOST_PX = 45.0  # of an added shift, so that it comes to 90 px or so with what the scenes have
_SMOOTH_PX = 200.0  # standard deviation of the filter that makes noise a field
_COARSE_PX = 16  # grid on which the noise is filtered
_ROUNDS = 30  # of the fixed point, which gains a factor of the gradient each


@dataclass(frozen=True)
class Steepness:
    """A field to add.

    Attributes:
        gradient: its steepest slope.
        seed: of the noise and the direction.
    """

    gradient: float
    seed: int


def added_field(shape: tuple[int, int], steepness: Steepness) -> np.ndarray:
    """(2, rows, columns) float32, x before y: where the warped SAR image shows what the given one has there less this,
    px of SAR."""
    rng = np.random.default_rng(steepness.seed)
    coarse = [-(-size // _COARSE_PX) + 1 for size in shape]
    noise = cv2.GaussianBlur(rng.standard_normal(coarse).astype(np.float32), (0, 0), _SMOOTH_PX / _COARSE_PX)
    height = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    height -= height.mean()
    slope = float(np.hypot(*np.gradient(height)).max())
    height *= min(steepness.gradient / slope, _MOST_PX / float(np.abs(height).max()))
    angle = rng.uniform(0, np.pi)
    return np.stack([height * np.cos(angle), height * np.sin(angle)]).astype(np.float32)


def moved_points(xy: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Where points (N, 2) of the given SAR image lie in the warped one: the p for which p - field(p) is the point."""
    place = xy.astype(np.float64)
    for _ in range(_ROUNDS):
        at = [np.ascontiguousarray(axis, dtype=np.float32) for axis in place.T]
        shift = [cv2.remap(part, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0] for part in field]
        place = xy + np.stack(shift, axis=-1)
    return place


def write(pair: ScenePair, folder: Path, steepness: Steepness) -> int:
    """Write a scene of the same name, steeper, into a folder -> how many of its tie-points are still inside.

    Raises:
        InputError: unreadable SAR image or tie-points, or the disk refuses the scene.
    """
    kinds = {"sar": "tif", "optical": "tif", "tiepoints": "csv"}
    outputs = [folder / naming.file_name(pair.name, kind, suffix) for kind, suffix in kinds.items()]
    check_outputs(outputs, pair.files(), pair.sar.stat().st_size + pair.optical.stat().st_size)
    with open_raster(pair.sar) as dataset:
        profile, sar = dataset.profile, dataset.read(1)
    field = added_field(sar.shape, steepness)
    x, y = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in sar.shape[::-1]))
    warped = cv2.remap(sar, x - field[0], y - field[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    table = read_tiepoint_csv(pair.tiepoints_csv)
    place = np.rint(moved_points(table[["sar_col", "sar_row"]].to_numpy(), field)).astype(int)
    inside = ((place >= 0) & (place < sar.shape[::-1])).all(axis=1)
    table[["sar_col", "sar_row"]] = place
    with together():
        with new_raster(outputs[0], **profile) as target:
            target.write(warped, 1)
        with atomic_path(outputs[1], needs=pair.optical.stat().st_size) as path:
            shutil.copyfile(pair.optical, path)
        write_text(outputs[2], table[inside][list(TIEPOINT_COLUMNS)].to_csv(index=False))
    return int(inside.sum())
