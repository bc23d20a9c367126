"""Shards: the decoded levels of a pair in one file on disk, in blocks, so that a tile of any level reads a few of them.

A shard is the bytes of the optical levels, then those of the SAR levels, and nothing else; its layout follows from the
shape of the image. A level is cut into blocks of `BLOCK_PX`, row by row, and a block is stored row by row; those at the
right and lower border end where the image does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from solution.core.errors import InputError
from solution.core.geometry import Window, tile_grid
from solution.core.writing import atomic_path
from solution.samples.levels import doubled, halved, level_shapes

BLOCK_PX = 256
_OPTICAL_CHANNELS = 3
_HALVED_PX = 4 * BLOCK_PX  # side of what is halved at once, px of the smaller level

Blocks = Iterable[tuple[Window, np.ndarray, np.ndarray]]
"""Windows that cover an image and begin at multiples of `BLOCK_PX`, with their optical (h, w, 3) and SAR (h, w) bytes."""


@dataclass(frozen=True)
class ShardLevels:
    """One of the two images in a shard, as `levels.Levels`. The file is open while a part is read, and no longer.

    Attributes:
        path: the shard.
        shape: (h, w) of the full resolution.
        channels: 3, or 1 for an image (h, w).
        start: byte at which its full resolution begins.
    """

    path: Path
    shape: tuple[int, int]
    channels: int
    start: int

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(h, w) of every level."""
        return level_shapes(self.shape)

    @property
    def size(self) -> int:
        """Bytes of all levels."""
        return self.channels * sum(math.prod(shape) for shape in self.shapes)

    def part(self, level: int, window: Window) -> np.ndarray:
        """uint8 (h, w) or (h, w, 3) of a window inside a level.

        Raises:
            InputError: the shard is gone, or was cut off.
        """
        out = np.empty((window.height, window.width, self.channels), np.uint8)
        try:
            with self.path.open("rb", buffering=0) as file:
                for block, offset in self._blocks(level, window):
                    file.seek(offset)
                    pixels = np.fromfile(file, np.uint8, block.width * block.height * self.channels)
                    there, here = _overlap(block, window)
                    out[there] = pixels.reshape(block.height, block.width, self.channels)[here]
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path}: cannot be read any more ({error}); give the same command again, which makes it anew"
            ) from error
        return out if self.channels > 1 else out[..., 0]

    def put(self, file: BinaryIO, level: int, window: Window, pixels: np.ndarray) -> None:
        """Write a window that begins at multiples of `BLOCK_PX`, and ends at such or with the level."""
        for block, offset in self._blocks(level, window):
            _, here = _overlap(window, block)
            file.seek(offset)
            file.write(np.ascontiguousarray(pixels[here]).tobytes())

    def _blocks(self, level: int, window: Window) -> Iterator[tuple[Window, int]]:
        """The blocks of a level that a window touches, and where each begins in the file."""
        height, width = self.shapes[level]
        level_start = self.start + self.channels * sum(math.prod(shape) for shape in self.shapes[:level])
        for y in range(window.y // BLOCK_PX * BLOCK_PX, window.stop[1], BLOCK_PX):
            rows = min(BLOCK_PX, height - y)
            for x in range(window.x // BLOCK_PX * BLOCK_PX, window.stop[0], BLOCK_PX):
                block = Window(x, y, min(BLOCK_PX, width - x), rows)
                yield block, level_start + self.channels * (y * width + x * rows)


def _overlap(block: Window, window: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where what two windows share lies in the second one, and where in the first."""
    slices = []
    for first, last, (from_window, from_block) in (
        (max(block.y, window.y), min(block.stop[1], window.stop[1]), (window.y, block.y)),
        (max(block.x, window.x), min(block.stop[0], window.stop[0]), (window.x, block.x)),
    ):
        slices.append((slice(first - from_window, last - from_window), slice(first - from_block, last - from_block)))
    (rows_there, rows_here), (columns_there, columns_here) = slices
    return (rows_there, columns_there), (rows_here, columns_here)


def shard_levels(path: Path, shape: tuple[int, int]) -> tuple[ShardLevels, ShardLevels]:
    """The optical and the SAR image of a shard; opens no file."""
    optical = ShardLevels(path, shape, _OPTICAL_CHANNELS, 0)
    return optical, ShardLevels(path, shape, 1, optical.size)


def shard_bytes(shape: tuple[int, int]) -> int:
    """Size of the shard of an image of a shape (h, w); as many bytes as its levels take in memory."""
    return sum(levels.size for levels in shard_levels(Path(), shape))


def is_whole(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a shard of that shape is there."""
    try:
        return path.stat().st_size == shard_bytes(shape)
    except OSError:
        return False


def write_shard(path: Path, shape: tuple[int, int], blocks: Blocks) -> None:
    """Write a shard, whole or not at all, with no more in memory than a few blocks.

    Raises:
        InputError: the disk refuses it.
    """
    with atomic_path(path, shard_bytes(shape)) as temporary:
        images = shard_levels(temporary, shape)
        with temporary.open("wb") as file:
            for window, *both in blocks:
                for image, pixels in zip(images, both, strict=True):
                    image.put(file, 0, window, pixels)
            for level in range(1, len(images[0].shapes)):
                file.flush()  # the level before is read back
                for window in _clipped_grid(images[0].shapes[level]):
                    for image in images:
                        image.put(file, level, window, halved(image.part(level - 1, doubled(window))))


def _clipped_grid(shape: tuple[int, int]) -> Iterator[Window]:
    """Windows of `_HALVED_PX` that cover a level, and end where it does."""
    height, width = shape
    for window in tile_grid(shape, _HALVED_PX):
        yield Window(window.x, window.y, min(_HALVED_PX, width - window.x), min(_HALVED_PX, height - window.y))
