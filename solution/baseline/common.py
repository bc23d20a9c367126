"""The common grid: both images at the coarser GSD, on one extent that is zero where an image ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from solution.baseline.settings import BaselineConfig
from solution.core.geometry import Window
from solution.data.scene import ScenePair
from solution.samples.images import TrainingImage, byte_values, take, to_bytes

_BLOCK = 256  # side of the blocks that are read at once, grid px
_KEPT_BLOCKS = 256  # 67 MB: more than two rows of blocks across the widest scene


@dataclass(frozen=True)
class CommonGrid:
    """Pixel (i, j) of the grid covers a square of `spacing_px` optical px a side; (0, 0)
    begins where the optical image does.

    Attributes:
        spacing_px: optical px a grid px; 1 or more.
    """

    spacing_px: float

    @classmethod
    def of(cls, sar_pixel_px: float, config: BaselineConfig) -> CommonGrid:
        """Pixels of the coarser of both images, times the setting's factor; the SAR pixel has a size
        of `sar_pixel_px` optical px."""
        return cls(max(1.0, sar_pixel_px) * config.factor)

    def from_optical(self, xy: np.ndarray) -> np.ndarray:
        """Positions (..., 2) of the optical array grid, integers being pixel centres, -> grid px, float64."""
        return (np.asarray(xy, np.float64) + 0.5) / self.spacing_px - 0.5

    def to_optical(self, ij: np.ndarray) -> np.ndarray:
        """The inverse of `from_optical`."""
        return (np.asarray(ij, np.float64) + 0.5) * self.spacing_px - 0.5

    def nearest(self, xy: np.ndarray) -> np.ndarray:
        """The grid px (..., 2), int64, nearest to positions of the optical array grid."""
        return np.rint(self.from_optical(xy)).astype(np.int64)

    def positions(self, window: Window) -> np.ndarray:
        """(h, w, 2) positions, in the optical array grid, of a window's grid px."""
        x, y = np.arange(window.x, window.stop[0]), np.arange(window.y, window.stop[1])
        return self.to_optical(np.stack(np.meshgrid(x, y), axis=-1))


def around(centre: np.ndarray, size: int) -> Window:
    """The crop of `size` px that has the grid px `centre` (x, y) at its pixel (size // 2, size // 2)."""
    x, y = (int(value) - size // 2 for value in centre)
    return Window(x, y, size, size)


class HeldScene:
    """A training scene on the common grid, in memory."""

    def __init__(self, image: TrainingImage, config: BaselineConfig) -> None:
        self.grid = CommonGrid.of(image.sar_pixel_px, config)
        height, width = (max(1, round(size / self.grid.spacing_px)) for size in image.shape)
        positions = self.grid.positions(Window(0, 0, width, height))
        optical, optical_valid = take(image.optical, positions, self.grid.spacing_px, np.zeros(4))
        sar, sar_valid = take(image.sar, positions, self.grid.spacing_px, np.zeros(4))
        self._pixels = _joined(np.moveaxis(optical, -1, 0), optical_valid, sar[None], sar_valid)

    def crop(self, window: Window) -> np.ndarray:
        """(4, h, w) float32 in [0, 1]: three optical channels and the SAR one, 0 where there is no data."""
        out = np.zeros((4, window.height, window.width), np.uint8)
        _paste(out, window, self._pixels, (0, 0))
        return byte_values(out)


class ScenePixels:
    """A pair on the common grid, read from its files in blocks.

    Only the last blocks are kept, so that memory does not grow with the scene.
    """

    def __init__(self, pair: ScenePair, config: BaselineConfig) -> None:
        self._pair, self.grid = pair, CommonGrid.of(pair.sar_pixel_px, config)
        self._block = lru_cache(_KEPT_BLOCKS)(self._read)

    def crop(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Pixels as of `HeldScene.crop`, and (h, w) bool, where both images carry data."""
        out = np.zeros((4, window.height, window.width), np.uint8)
        for row in range(window.y // _BLOCK, (window.stop[1] - 1) // _BLOCK + 1):
            for column in range(window.x // _BLOCK, (window.stop[0] - 1) // _BLOCK + 1):
                _paste(out, window, self._block(column, row), (column * _BLOCK, row * _BLOCK))
        return byte_values(out), (out[0] > 0) & (out[3] > 0)

    def _read(self, column: int, row: int) -> np.ndarray:
        positions = self.grid.positions(Window(column * _BLOCK, row * _BLOCK, _BLOCK, _BLOCK))
        optical = self._pair.sample_optical(positions, self.grid.spacing_px)
        return _joined(*optical, *self._pair.sample_sar(positions, self.grid.spacing_px))


def _joined(optical: np.ndarray, optical_valid: np.ndarray, sar: np.ndarray, sar_valid: np.ndarray) -> np.ndarray:
    """(3, h, w) and (1, h, w) in [0, 1], with their validity (h, w) -> (4, h, w) bytes in [1, 255], 0 for no data."""
    return np.concatenate([to_bytes(optical, optical_valid), to_bytes(sar, sar_valid)])


def _paste(out: np.ndarray, window: Window, pixels: np.ndarray, origin: tuple[int, int]) -> None:
    """Copy into `out` (C, h, w), which shows a window, what of it lies in `pixels` (C, H, W), whose
    first pixel is `origin` (x, y)."""
    spans = []
    for start, size, first, length in (
        (window.y, window.height, origin[1], pixels.shape[1]),
        (window.x, window.width, origin[0], pixels.shape[2]),
    ):
        begin, end = max(start, first), min(start + size, first + length)
        if begin >= end:
            return
        spans.append((slice(begin - start, end - start), slice(begin - first, end - first)))
    (to_y, from_y), (to_x, from_x) = spans
    out[:, to_y, to_x] = pixels[:, from_y, from_x]
