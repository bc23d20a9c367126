"""Levels that are decoded from the images whenever a part of them is needed: no disk is taken, at the price of time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solution.core.geometry import Window
from solution.data.registered import ImagePair
from solution.data.scene import ScenePair, open_pair
from solution.samples.cache import Cache
from solution.samples.facts import read_overviews
from solution.samples.images import READ_PX, pyramid, read_optical, read_sar, registered_levels
from solution.samples.levels import part

OPTICAL, SAR = "optical", "sar"


@dataclass(frozen=True)
class SceneLevels:
    """One of the two images of a scene, as `levels.Levels`; its rasters are open while a block is read, and no longer.

    A level is kept in blocks, each of which shows what one block of `READ_PX` of the full resolution does: those of
    coarse levels are small, so that many of them are held.

    Attributes:
        image: `OPTICAL` or `SAR`.
        shapes: (h, w) of every level.
        optical, sar, facts: the files of the scene, see `facts`.
        cache: of this process.
    """

    image: str
    shapes: tuple[tuple[int, int], ...]
    optical: Path
    sar: Path
    facts: Path
    cache: Cache

    def part(self, level: int, window: Window) -> np.ndarray:
        """uint8 (h, w) or (h, w, 3) of a window inside a level. Raises `InputError` as `ScenePair.sample_optical`."""
        side = READ_PX >> level
        rows = []
        for row in range(window.y // side, (window.stop[1] - 1) // side + 1):
            blocks = []
            for column in range(window.x // side, (window.stop[0] - 1) // side + 1):
                block = self._block(level, column, row)
                top, left = max(window.y - row * side, 0), max(window.x - column * side, 0)
                blocks.append(block[top : window.stop[1] - row * side, left : window.stop[0] - column * side])
            rows.append(np.concatenate(blocks, axis=1))
        return np.concatenate(rows)

    def _block(self, level: int, column: int, row: int) -> np.ndarray:
        key = (self.facts, self.image, level, column, row)
        return self.cache.get(key, lambda: self._decoded(level, column, row), lambda block: block.nbytes)

    def _decoded(self, level: int, column: int, row: int) -> np.ndarray:
        (height, width), x, y = self.shapes[0], column * READ_PX, row * READ_PX
        window = Window(x, y, min(READ_PX, width - x), min(READ_PX, height - y))
        read = read_optical if self.image == OPTICAL else read_sar
        return pyramid(read(self._pair(), window))[level].copy()  # not a view, which would keep all levels

    def _pair(self) -> ScenePair:
        return self.cache.get(("pair", self.facts), self._opened, _overview_bytes)

    def _opened(self) -> ScenePair:
        pair = open_pair(self.optical, self.sar)
        vars(pair).update(read_overviews(self.facts))  # which it would read the whole images for
        return pair


def _overview_bytes(pair: ScenePair) -> int:
    return pair.optical_overview.valid.nbytes + pair.sar_overview.valid.nbytes


@dataclass(frozen=True)
class PairLevels:
    """One of the two images of a registered pair, as `levels.Levels`; it is decoded as a whole.

    Attributes:
        image: `OPTICAL` or `SAR`.
        shapes: (h, w) of every level.
        pair: its files.
        cache: of this process.
    """

    image: str
    shapes: tuple[tuple[int, int], ...]
    pair: ImagePair
    cache: Cache

    def part(self, level: int, window: Window) -> np.ndarray:
        """uint8 (h, w) or (h, w, 3) of a window inside a level. Raises `InputError` as `ImagePair.read`."""
        both = self.cache.get((self.pair.sar, self.pair.optical), lambda: registered_levels(self.pair), _level_bytes)
        return part(both[0 if self.image == OPTICAL else 1], level, window)


def _level_bytes(both: tuple[tuple[np.ndarray, ...], ...]) -> int:
    return sum(level.nbytes for levels in both for level in levels)
