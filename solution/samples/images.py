"""What training tiles are cut from: both images of a place on the optical grid, in memory, and their truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from solution.samples.levels import Levels, halved, level_shapes, part, shapes_of
from solution.samples.truth import RegisteredField, TiePointField, TruthMapField

READ_PX = 1024
"""Side of the blocks that scenes are read in; the last bits of what is resampled depend on it."""
_MARGIN_PX = 2  # around what bilinear samples need


@dataclass(frozen=True)
class TrainingImage:
    """Both images of a place on the optical grid, as uint8 pyramids in memory; 0 stands for nodata.

    `stored.StoredImage` has the same attributes, and its pixels on disk.

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
    optical, sar = np.zeros((*pair.shape, 3), np.uint8), np.zeros(pair.shape, np.uint8)
    for window in read_windows(pair.shape):
        rows, columns = slice(window.y, window.stop[1]), slice(window.x, window.stop[0])
        optical[rows, columns], sar[rows, columns] = read_optical(pair, window), read_sar(pair, window)
    return TrainingImage(
        scene_name(pair.name, simulated_in),
        scene_kind(simulated_in),
        pyramid(optical),
        pyramid(sar),
        scene_field(pair),
        pair.tiepoints().xy,
        pair.sar_pixel_px,
        scene_data(pair),
    )


def read_windows(shape: tuple[int, int]) -> Iterator[Window]:
    """The windows that a scene of a shape (h, w) is read in."""
    height, width = shape
    for window in geometry.tile_grid(shape, READ_PX):
        yield Window(window.x, window.y, min(READ_PX, width - window.x), min(READ_PX, height - window.y))


def read_optical(pair: ScenePair, window: Window) -> np.ndarray:
    """(h, w, 3) bytes, as `to_bytes`, of one of the `read_windows`."""
    values, valid = pair.sample_optical(output_grid(window, 1), 1)
    return np.moveaxis(to_bytes(values, valid), 0, -1)


def read_sar(pair: ScenePair, window: Window) -> np.ndarray:
    """(h, w) bytes, as `to_bytes`, of one of the `read_windows`."""
    values, valid = pair.sample_sar(output_grid(window, 1), 1)
    return to_bytes(values, valid)[0]


def scene_name(name: str, simulated_in: str) -> str:
    """The folder goes into the name, lest a simulated scene be taken for a real one of the same name."""
    return f"{simulated_in}/{name}" if simulated_in else name


def scene_kind(simulated_in: str) -> str:
    """``simulated`` where a folder is named, or else ``labelled``."""
    return "simulated" if simulated_in else "labelled"


def labels_of(pair: ScenePair) -> Path:
    """The file that the truth of a scene is read from: the simulator's map where there is one, or else the tie-points."""
    truth = naming.beside(pair.optical, "truth")
    return truth if truth.is_file() else pair.tiepoints_csv


def scene_field(pair: ScenePair) -> TiePointField | TruthMapField:
    """The truth of a labelled scene."""
    labels = labels_of(pair)
    if labels != pair.tiepoints_csv:
        return TruthMapField.of_file(labels, pair.centre_offset_px)
    tiepoints = pair.tiepoints()
    return TiePointField(tiepoints.xy, tiepoints.shift + pair.centre_offset_px)


def scene_data(pair: ScenePair) -> str:
    """Digest of all files that a labelled scene is read from."""
    return digest([pair.fingerprint(), file_facts(pair.tiepoints_csv), file_facts(labels_of(pair))])


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
    optical, sar = registered_levels(pair)
    return TrainingImage(pair.name, "registered", optical, sar, registered_field(), data=registered_data(pair))


def registered_levels(pair: ImagePair) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The pyramids of a registered pair, optical and SAR. Raises `InputError` as `registered.ImagePair.read`."""
    sar, optical = (pyramid(np.maximum(image, 1)) for image in pair.read())
    return optical, sar


def registered_field() -> RegisteredField:
    """The truth of any registered pair."""
    return RegisteredField(1.0)


def registered_data(pair: ImagePair) -> str:
    """Digest of both files of a registered pair."""
    return digest([file_facts(path) for path in (pair.sar, pair.optical)])


def to_bytes(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[0, 1] -> 1..255, and 0 where there is no data."""
    return ((1.5 + 254.0 * values) * valid).astype(np.uint8)


def byte_values(image: np.ndarray) -> np.ndarray:
    """The inverse of `to_bytes`: 1..255, and 0 too, -> [0, 1], float32."""
    return np.clip((image.astype(np.float32) - 1.0) / 254.0, 0.0, 1.0)


def pyramid(image: np.ndarray) -> tuple[np.ndarray, ...]:
    """An image (h, w) or (h, w, 3) and its halves."""
    levels = [np.ascontiguousarray(image)]
    for _ in level_shapes(image.shape[:2])[1:]:
        levels.append(halved(levels[-1]))
    return tuple(levels)


def take(
    levels: tuple[np.ndarray, ...] | Levels, xy: np.ndarray, spacing_px: float, trim_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values in [0, 1] and validity at array positions (h, w, 2) of the full resolution, from the level that fits.

    Only the part of the level that the positions lie in is read.

    Args:
        levels: of a `TrainingImage`.
        trim_px: what lies within these of the left, top, right and bottom border counts as nodata, px of the full
            resolution.
    """
    shapes = shapes_of(levels)
    level = int(np.clip(np.floor(np.log2(spacing_px) + 0.3), 0, len(shapes) - 1))
    position = ((xy + 0.5) / 2**level - 0.5).astype(np.float32)
    window = _around(position, shapes[level])
    image = part(levels, level, window)
    position -= np.array([window.x, window.y], np.float32)  # exact: the part lies at whole px, and not beyond them
    sampled = _remapped(image, position, cv2.INTER_LINEAR)
    mask = (image if image.ndim == 2 else image[..., 0]) > 0
    valid = _remapped(mask.astype(np.uint8), position, cv2.INTER_NEAREST)
    last = np.array(shapes[0][::-1]) - 1
    valid = (valid * ((xy >= trim_px[:2]) & (xy <= last - trim_px[2:])).all(axis=-1)).astype(np.float32)
    values = byte_values(sampled)
    return values * (valid if values.ndim == 2 else valid[..., None]), valid


def _around(position: np.ndarray, shape: tuple[int, int]) -> Window:
    """The part of a level of a shape (h, w) that samples at positions (h, w, 2) need; one px where they are all outside.

    It begins at even px: OpenCV rounds a half to the nearest even number, which must be the same px with it and without.
    """
    spans = []
    for axis, size in ((0, shape[1]), (1, shape[0])):
        first = int(np.clip(np.floor(position[..., axis].min()) - _MARGIN_PX, 0, size - 1)) // 2 * 2
        last = int(np.clip(np.ceil(position[..., axis].max()) + _MARGIN_PX, first, size - 1))
        spans.append((first, last - first + 1))
    (x, width), (y, height) = spans
    return Window(x, y, width, height)


def _remapped(image: np.ndarray, position: np.ndarray, interpolation: int) -> np.ndarray:
    x, y = position[..., 0], position[..., 1]
    return cv2.remap(image, x, y, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
