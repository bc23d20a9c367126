"""What training tiles are cut from: both images of a place on the optical grid, in memory, and their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from solution.core import geometry
from solution.core.artefact import digest, file_facts
from solution.core.geometry import Window
from solution.data import naming
from solution.data.raster import output_grid
from solution.data.registered import ImagePair, find_pairs
from solution.data.scene import ScenePair
from solution.samples.truth import RegisteredField, TiePointField, TruthMapField

_PYRAMID_LEVELS = 4
_STRIP_PX = 1024


@dataclass(frozen=True)
class TrainingImage:
    """Both images of a place on the optical grid, as uint8 pyramids in memory; 0 stands for nodata.

    Attributes:
        name: scene, or image folder.
        kind: ``labelled`` (a real scene with tie-points), ``simulated``, or ``registered`` (a pair that needs no
            labels).
        optical: levels (h, w, 3), each half of the one before.
        sar: levels (h, w).
        field: the truth.
        anchors: (N, 2) places to centre tiles on (tie-points), or none.
        sar_pixel_px: side of a pixel of the SAR raster that `sar` was resampled from, optical px.
        data: digest of all files that it was read from; empty for images that were made in memory.
    """

    name: str
    kind: str
    optical: tuple[np.ndarray, ...]
    sar: tuple[np.ndarray, ...]
    field: TiePointField | TruthMapField | RegisteredField
    anchors: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    sar_pixel_px: float = 1.0
    data: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the full resolution."""
        return self.sar[0].shape


def scene_image(pair: ScenePair, simulated_in: str = "") -> TrainingImage:
    """Read a labelled scene, or one simulated in a folder, into memory. A file ``AA_truth_NAME.tif`` beside the optical
    image, as the simulator writes, replaces the tie-points as truth."""
    height, width = pair.shape
    optical, sar = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    for window in geometry.tile_grid(pair.shape, _STRIP_PX):
        clipped = Window(window.x, window.y, min(window.width, width - window.x), min(window.height, height - window.y))
        grid = output_grid(clipped, 1)
        rows, columns = slice(clipped.y, clipped.stop[1]), slice(clipped.x, clipped.stop[0])
        values, valid = pair.sample_optical(grid, 1)
        optical[rows, columns] = np.moveaxis(to_bytes(values, valid), 0, -1)
        values, valid = pair.sample_sar(grid, 1)
        sar[rows, columns] = to_bytes(values, valid)[0]
    tiepoints = pair.tiepoints()
    truth = naming.beside(pair.optical, "truth")
    labels = truth if truth.is_file() else pair.tiepoints_csv
    if labels == truth:
        shift_field = TruthMapField(truth, pair.centre_offset_px)
    else:
        shift_field = TiePointField(tiepoints.xy, tiepoints.shift + pair.centre_offset_px)
    # The folder goes into the name, lest a simulated scene be taken for a real one of the same name.
    name = f"{simulated_in}/{pair.name}" if simulated_in else pair.name
    kind = "simulated" if simulated_in else "labelled"
    data = digest([pair.fingerprint(), file_facts(pair.tiepoints_csv), file_facts(labels)])
    return TrainingImage(name, kind, pyramid(optical), pyramid(sar), shift_field, tiepoints.xy, pair.sar_pixel_px, data)


def registered_images(folder: Path, exclude: Sequence[str] = ()) -> list[TrainingImage]:
    """The registered image pairs below a folder, in any layout of `registered.find_pairs`, in memory.

    Args:
        exclude: file stems to leave out (ground that a scene held out elsewhere shows too).

    Raises:
        InputError: as `registered.find_pairs` and `registered.ImagePair.read`.
    """
    return [registered_image(pair) for pair in find_pairs(folder, exclude)]


def registered_image(pair: ImagePair) -> TrainingImage:
    """Read a registered pair into memory. Raises `InputError` as `registered.ImagePair.read`."""
    sar, optical = (pyramid(np.maximum(image, 1)) for image in pair.read())
    data = digest([file_facts(path) for path in (pair.sar, pair.optical)])
    return TrainingImage(pair.name, "registered", optical, sar, RegisteredField(1.0), data=data)


def to_bytes(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[0, 1] -> 1..255, and 0 where there is no data."""
    return ((1.5 + 254.0 * values) * valid).astype(np.uint8)


def byte_values(image: np.ndarray) -> np.ndarray:
    """The inverse of `to_bytes`: 1..255, and 0 too, -> [0, 1], float32."""
    return np.clip((image.astype(np.float32) - 1.0) / 254.0, 0.0, 1.0)


def pyramid(image: np.ndarray) -> tuple[np.ndarray, ...]:
    levels = [np.ascontiguousarray(image)]
    while len(levels) < _PYRAMID_LEVELS and min(levels[-1].shape[:2]) >= 2:
        height, width = (size // 2 * 2 for size in levels[-1].shape[:2])
        last = levels[-1][:height, :width]
        half = cv2.resize(last, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        empty = (last if last.ndim == 2 else last[..., 0]).reshape(height // 2, 2, width // 2, 2).min(axis=(1, 3)) == 0
        half[empty] = 0
        levels.append(half)
    return tuple(levels)


def take(
    levels: tuple[np.ndarray, ...], xy: np.ndarray, spacing_px: float, trim_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values in [0, 1] and validity at array positions (h, w, 2) of the full resolution, from the level that fits.

    Args:
        levels: uint8 pyramid of a `TrainingImage`.
        trim_px: what lies within these of the left, top, right and bottom border counts as nodata, px of the full
            resolution.
    """
    level = int(np.clip(np.floor(np.log2(spacing_px) + 0.3), 0, len(levels) - 1))
    position = ((xy + 0.5) / 2**level - 0.5).astype(np.float32)
    image = levels[level]
    sampled = cv2.remap(
        image, position[..., 0], position[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    mask = (image if image.ndim == 2 else image[..., 0]) > 0
    valid = cv2.remap(
        mask.astype(np.uint8),
        position[..., 0],
        position[..., 1],
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    last = np.array(levels[0].shape[1::-1]) - 1
    valid = (valid * ((xy >= trim_px[:2]) & (xy <= last - trim_px[2:])).all(axis=-1)).astype(np.float32)
    values = byte_values(sampled)
    return values * (valid if values.ndim == 2 else valid[..., None]), valid
