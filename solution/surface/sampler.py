"""Patches cut from scenes whose surface polygons are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.progress import Progress, counted
from solution.core.writing import atomic_folder
from solution.surface import LETTERS, PATCH_PX
from solution.surface.patchset import PatchWriter
from solution.surface.polygons import UNLABELLED, classes_at, read_polygons
from solution.surface.scenes import SurfaceScene, open_scene

_STRIP_ROWS = 512  # of an image, that are read at once
_DRAW = 4096  # random positions that are drawn at once
_LEAST_VALID = 0.9  # share of a patch's pixels that must carry data


@dataclass(frozen=True)
class Sampling:
    """Which patches are cut.

    Attributes:
        stride_px: step from one patch to the next where they are consecutive.
        per_class: at most so many random patches of each class from each image; None = consecutive ones, all that are
            labelled.
        attempts: random positions that are tried in an image before a class is left with fewer.
        seed: of random positions.
        bands: only so many bands of each image, the first ones; None = all.
        attribute, ignore: which column of the shapefiles holds the class, and which values are left out, as in
            `polygons.read_polygons`.
    """

    stride_px: int = PATCH_PX
    per_class: int | None = None
    attempts: int = 100_000
    seed: int = 0
    bands: int | None = None
    attribute: str | None = None
    ignore: tuple[str, ...] = ()


def sample(
    images: Sequence[Path], shapefiles: Sequence[Path], out: Path, sampling: Sampling, progress: Progress | None = None
) -> dict[str, int]:
    """Cut patches and write them; whole or not at all.

    Args:
        shapefiles: an image takes the one of its own name where there is one, and all of them otherwise.

    Returns:
        letter -> number of patches.

    Raises:
        InputError: as `open_scene` and `read_polygons`; images of different channels; no
            polygon on an image; nothing to cut.
    """
    by_name = {path.stem.lower(): path for path in shapefiles}
    counts = dict.fromkeys(LETTERS, 0)
    channels: dict[int, Path] = {}
    with atomic_folder(out) as folder:
        writer = PatchWriter(folder)
        for number, image in counted(images, "scenes", progress):
            own = by_name.get(image.stem.lower())
            with open_scene(image, sampling.bands) as scene:
                channels.setdefault(scene.channels, image)
                _check_channels(channels)
                table = _polygons_on(scene, [own] if own else shapefiles, sampling)
                writer.begin_scene(image.name)
                for pixels, x, y, label in _patches(scene, table, sampling, number):
                    writer.add(pixels, x, y, label)
                    counts[LETTERS[label]] += 1
        if not writer.finish():
            raise InputError(
                f"{images[0]}: no patch of {PATCH_PX} px with data lies on a polygon; check images and shapefiles, or pass a smaller --stride"
            )
    return counts


def label_of(polygons: geopandas.GeoDataFrame, scene: SurfaceScene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N,) class of patches at positions (column x, row y): that of the polygon under the centre of
    their middle pixel; -1 = none."""
    middle = PATCH_PX // 2 + 0.5
    east, north = scene.transform @ (np.asarray(x, float) + middle, np.asarray(y, float) + middle)
    return classes_at(polygons, east, north)


def _check_channels(channels: dict[int, Path]) -> None:
    if len(channels) > 1:
        (one, first), (other, second) = channels.items()
        raise InputError(
            f"{second}: is seen in {other} channel(s) and {first} in {one}; sample images of one kind at a time, or --bands 1 of all"
        )


def _polygons_on(scene: SurfaceScene, shapefiles: Sequence[Path], sampling: Sampling) -> geopandas.GeoDataFrame:
    """The polygons that touch the image, in its CRS."""
    height, width = scene.shape
    corners = [scene.transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))]
    (west, east), (south, north) = ((min(axis), max(axis)) for axis in zip(*corners, strict=True))
    found = []
    for path in shapefiles:
        table = read_polygons(path, sampling.attribute, sampling.ignore).to_crs(scene.crs)
        found.append(table.cx[west:east, south:north])
    kept = (
        found[0]
        if len(found) == 1
        else geopandas.GeoDataFrame(geopandas.pd.concat(found, ignore_index=True), crs=scene.crs)
    )
    if kept.empty:
        names = ", ".join(path.name for path in shapefiles[:4]) + (", ..." if len(shapefiles) > 4 else "")
        raise InputError(
            f"{scene.path}: no polygon of {names} lies on it; check that they show the same place, and their CRS"
        )
    return kept


def _patches(
    scene: SurfaceScene, polygons: geopandas.GeoDataFrame, sampling: Sampling, number: int
) -> Iterator[tuple[np.ndarray, int, int, int]]:
    """Pixels, column, row and class of every patch that is cut from a scene, in the order of rows."""
    height, width = scene.shape
    if min(height, width) < PATCH_PX:
        raise InputError(
            f"{scene.path}: is {width} x {height} px, smaller than a patch of {PATCH_PX} px; choose a larger image"
        )
    if sampling.per_class is None:
        yield from _consecutive(scene, polygons, sampling)
    else:
        yield from _random(scene, polygons, sampling, np.random.default_rng([sampling.seed, number]))


def _consecutive(scene: SurfaceScene, polygons: geopandas.GeoDataFrame, sampling: Sampling) -> Iterator:
    height, width = scene.shape
    x = np.arange(0, width - PATCH_PX + 1, sampling.stride_px)
    rows = np.arange(0, height - PATCH_PX + 1, sampling.stride_px)
    for top in range(0, height, _STRIP_ROWS):
        y = rows[(rows >= top) & (rows < top + _STRIP_ROWS)]
        if not len(y):
            continue
        x_all, y_all = (grid.ravel() for grid in np.meshgrid(x, y))
        labels = label_of(polygons, scene, x_all, y_all)
        strip = Window(0, int(y[0]), width, int(y[-1] - y[0]) + PATCH_PX)
        pixels, valid = scene.read(strip)
        for column, row, label in zip(x_all, y_all, labels, strict=True):
            part = np.s_[row - strip.y : row - strip.y + PATCH_PX, column : column + PATCH_PX]
            if label != UNLABELLED and valid[part].mean() >= _LEAST_VALID:
                yield pixels[:, *part], int(column), int(row), int(label)


def _random(
    scene: SurfaceScene, polygons: geopandas.GeoDataFrame, sampling: Sampling, rng: np.random.Generator
) -> Iterator:
    """Positions are drawn until every class is full or the attempts are used up; a full
    class lets its further draws go."""
    height, width = scene.shape
    counts = [0] * len(LETTERS)
    for first in range(0, sampling.attempts, _DRAW):
        drawn = min(_DRAW, sampling.attempts - first)
        x, y = rng.integers(0, width - PATCH_PX + 1, drawn), rng.integers(0, height - PATCH_PX + 1, drawn)
        for column, row, label in zip(x, y, label_of(polygons, scene, x, y), strict=True):
            if label == UNLABELLED or counts[label] >= sampling.per_class:
                continue
            pixels, valid = scene.read(Window(int(column), int(row), PATCH_PX, PATCH_PX))
            if valid.mean() >= _LEAST_VALID:
                counts[label] += 1
                yield pixels, int(column), int(row), int(label)
        if min(counts) >= sampling.per_class:
            return
