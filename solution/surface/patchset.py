"""Labelled patches on disk: a folder, or a zip of it, with ``images/ID.png`` and a ``meta.csv``.

``meta.csv`` has one line for each patch, ``image_id x_position y_position label``, separated by spaces;
these names may stand in its first line. Where ``scenes.csv`` (``first_id,image``) is beside it, it says
which ids come from which image.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pandas as pd

from solution.core import artefact
from solution.core.archives import BROKEN, safe_members
from solution.core.errors import InputError
from solution.core.pictures import write_picture
from solution.core.progress import Progress, counted
from solution.surface import LETTERS, PATCH_PX

META = "meta.csv"
SCENES = "scenes.csv"
COLUMNS = ("image_id", "x_position", "y_position", "label")
BLOCK_IDS = 500  # consecutive ids that are one group where scenes are unknown


@dataclass(frozen=True)
class PatchSet:
    """Patches in memory.

    Attributes:
        name: of the folder or zip, for messages and manifests.
        pixels: (N, channels, 64, 64) uint8, channels 1 or 3.
        labels: (N,) int64, 0 to 2.
        ids: (N,) int64, ascending.
        groups: (N,) int64; patches of different groups show different ground: one group a scene, or else a block
            of `BLOCK_IDS` consecutive ids.
    """

    name: str
    pixels: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """Short hash of all that the patches hold."""
        columns = (self.pixels, self.labels, self.ids, self.groups)
        return artefact.digest(
            [(column.shape, hashlib.sha256(np.ascontiguousarray(column)).hexdigest()) for column in columns]
        )

    def part(self, chosen: np.ndarray) -> PatchSet:
        """The patches of an index or mask."""
        return PatchSet(self.name, self.pixels[chosen], self.labels[chosen], self.ids[chosen], self.groups[chosen])


def read_patches(place: Path, progress: Progress | None = None) -> PatchSet:
    """ReadFile all patches of a folder or zip.

    Raises:
        InputError: no such place, truncated or unsafe zip, a ``meta.csv`` of other columns or with unknown labels, or a picture
            that is missing, broken or of another size than the first one.
    """
    with _opened(Path(place)) as read:
        table = _read_meta(read, place)
        pixels = np.stack(
            [
                _picture(read, place, number)
                for _, number in counted(table["image_id"].tolist(), f"reading {Path(place).name}", progress)
            ]
        )
        groups = _groups(read, place, table["image_id"].to_numpy())
    return PatchSet(
        Path(place).name,
        pixels,
        table["label"].map(LETTERS.index).to_numpy(np.int64),
        table["image_id"].to_numpy(np.int64),
        groups,
    )


class PatchWriter:
    """Writes patches one by one as `read_patches` reads them, ids counting from 0."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "images").mkdir(parents=True)
        self._rows: list[str] = []
        self._scenes: list[str] = ["first_id,image"]

    def begin_scene(self, image: str) -> None:
        """Say that all patches that follow come from this image."""
        self._scenes.append(f"{len(self._rows)},{image}")

    def add(self, pixels: np.ndarray, x: int, y: int, label: int) -> None:
        """One patch (channels, 64, 64) uint8 at column x and row y."""
        picture = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
        number = len(self._rows)
        write_picture(self._folder / "images" / f"{number}.png", picture)
        self._rows.append(f"{number} {x} {y} {LETTERS[label]}")

    def finish(self) -> int:
        """Write both tables; returns the number of patches."""
        (self._folder / META).write_text("".join(f"{row}\n" for row in self._rows))
        (self._folder / SCENES).write_text("".join(f"{row}\n" for row in self._scenes))
        return len(self._rows)


ReadFile = Callable[[str], bytes | None]
"""A file's bytes by its name below the folder; None where it is missing."""


@contextmanager
def _opened(place: Path) -> Iterator[ReadFile]:
    if place.is_dir():
        yield lambda name: (place / name).read_bytes() if (place / name).is_file() else None
        return
    if not place.is_file():
        raise InputError(f"{place}: no such folder or zip of patches; check the path")
    try:
        with zipfile.ZipFile(place) as archive:
            yield _zip_reader(archive, place)
    except BROKEN as error:
        raise InputError(f"{place}: is a truncated or broken zip ({error}); copy or download it again") from error


def _zip_reader(archive: zipfile.ZipFile, place: Path) -> ReadFile:
    """The folder in a zip that holds ``meta.csv`` is its root."""
    names = {member.filename for member in safe_members(archive, place)}
    tables = sorted((name for name in names if PurePosixPath(name).name == META), key=len)
    root = tables[0][: -len(META)] if tables else ""

    def read(name: str) -> bytes | None:
        return archive.read(root + name) if root + name in names else None

    return read


def _read_meta(read: ReadFile, place: Path) -> pd.DataFrame:
    raw = read(META)
    if raw is None:
        raise InputError(f"{place}: holds no {META}; a folder of patches has {META} and images/ID.png")
    expected = f"needs lines of {' '.join(COLUMNS)}, separated by spaces"
    try:
        rows = [line.split() for line in raw.decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: {META} is no text; it {expected}") from error
    if rows and tuple(rows[0]) == COLUMNS:
        rows = rows[1:]
    if not rows:
        raise InputError(f"{place}: {META} is empty; it {expected}")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(COLUMNS) or not all(value.lstrip("-").isdigit() for value in row[:3]):
            raise InputError(f"{place}: {META}, patch {number}, is {' '.join(row)[:60]!r}; it {expected}")
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[:3], np.int64))
    unknown = sorted(set(table["label"]) - set(LETTERS))
    if unknown:
        raise InputError(
            f"{place}: {META} has the labels {', '.join(unknown[:12])}; known are W (water), I (ice) and L (land)"
        )
    twice = table["image_id"].duplicated()
    if twice.any():
        raise InputError(f"{place}: {META} names image {table['image_id'][twice].iloc[0]} twice; keep one line of it")
    return table.sort_values("image_id", ignore_index=True)


def _picture(read: ReadFile, place: Path, number: int) -> np.ndarray:
    raw = read(f"images/{number}.png")
    if raw is None:
        raise InputError(f"{place}: images/{number}.png is missing; copy it, or remove its line from {META}")
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED) if raw else None
    if picture is None:
        raise InputError(f"{place}: images/{number}.png is no readable picture; copy it again")
    channels = np.atleast_3d(picture)[..., ::-1]
    if channels.shape[:2] != (PATCH_PX, PATCH_PX) or channels.shape[2] not in (1, 3) or channels.dtype != np.uint8:
        raise InputError(
            f"{place}: images/{number}.png has shape {picture.shape} and type {picture.dtype}; patches are {PATCH_PX} x {PATCH_PX} px, 8 bit, grey or RGB"
        )
    return np.moveaxis(channels, -1, 0)


def _groups(read: ReadFile, place: Path, ids: np.ndarray) -> np.ndarray:
    raw = read(SCENES)
    if raw is None:
        return ids // BLOCK_IDS
    try:
        first = pd.read_csv(io.BytesIO(raw))["first_id"].to_numpy(np.int64)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{place}: {SCENES} is not readable; it needs the columns first_id,image, or remove it"
        ) from error
    return np.searchsorted(np.unique(first), ids, side="right")
