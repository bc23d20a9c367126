"""The levels of an image, each half of the one before, wherever their pixels are: in memory, or read when they are
needed."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from solution.core.geometry import Window

_MOST_LEVELS = 4


class Levels(Protocol):
    """An image whose pixels are read when they are needed.

    Attributes:
        shapes: (h, w) of every level, the full resolution first.
    """

    shapes: tuple[tuple[int, int], ...]

    def part(self, level: int, window: Window) -> np.ndarray:
        """uint8 (h, w) or (h, w, 3) of a window inside a level."""


def level_shapes(shape: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """(h, w) of all levels of an image of a shape (h, w)."""
    shapes = [(int(shape[0]), int(shape[1]))]
    while len(shapes) < _MOST_LEVELS and min(shapes[-1]) >= 2:
        shapes.append((shapes[-1][0] // 2, shapes[-1][1] // 2))
    return tuple(shapes)


def halved(image: np.ndarray) -> np.ndarray:
    """Half of an image (h, w) or (h, w, 3), without an odd last row and column; nodata (0) where any of the four px is."""
    height, width = (size // 2 * 2 for size in image.shape[:2])
    image = image[:height, :width]
    half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    grey = image if image.ndim == 2 else image[..., 0]
    half[grey.reshape(height // 2, 2, width // 2, 2).min(axis=(1, 3)) == 0] = 0
    return half


def doubled(window: Window) -> Window:
    """What a window of a level shows, on the level before."""
    return Window(2 * window.x, 2 * window.y, 2 * window.width, 2 * window.height)


def shapes_of(levels: tuple[np.ndarray, ...] | Levels) -> tuple[tuple[int, int], ...]:
    """(h, w) of every level."""
    return tuple(level.shape[:2] for level in levels) if isinstance(levels, tuple) else levels.shapes


def part(levels: tuple[np.ndarray, ...] | Levels, level: int, window: Window) -> np.ndarray:
    """uint8 (h, w) or (h, w, 3) of a window inside a level."""
    if isinstance(levels, tuple):
        return levels[level][window.y : window.stop[1], window.x : window.stop[0]]
    return levels.part(level, window)
