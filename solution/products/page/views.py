"""What the swipe shows: optical, SAR as geocoded, and SAR through the map, on one grid; read strip by strip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from solution.core.geometry import Window
from solution.data.scene import ScenePair
from solution.products.page.encoding import photo
from solution.products.page.sources import Sources
from solution.products.reading import read_map

LONGEST_PX = 1600
"""Longer side of the picture of the whole scene."""
DETAIL_PX = 640
"""Side of a part at full resolution."""
_DETAILS = ((0.5, 0.5), (0.2, 0.25), (0.8, 0.75))  # middles, as shares of the scene's width and height
_STRIP_PX = 384  # rows of the optical image that are read at a time
OVERVIEW_BYTES, DETAIL_BYTES = 600_000, 110_000
"""That a layer of the whole scene, and of a part, takes at most."""


@dataclass(frozen=True)
class Grid:
    """A part of the optical image and the size in which it is shown.

    Attributes:
        window: optical px.
        shape: (height, width) of the picture.
    """

    window: Window
    shape: tuple[int, int]

    @classmethod
    def within(cls, window: Window, longest_px: int) -> Grid:
        """A window at full resolution, or so that its longer side takes `longest_px`."""
        share = min(1.0, longest_px / max(window.width, window.height))
        return cls(window, tuple(max(1, round(side * share)) for side in (window.height, window.width)))

    @property
    def spacing(self) -> tuple[float, float]:
        """(x, y) optical px from one pixel of the picture to the next."""
        return self.window.width / self.shape[1], self.window.height / self.shape[0]

    def strips(self) -> Iterator[slice]:
        """Rows of the picture that are read together."""
        rows = max(1, int(_STRIP_PX / self.spacing[1]))
        return (slice(top, min(top + rows, self.shape[0])) for top in range(0, self.shape[0], rows))

    def xy(self, rows: slice) -> np.ndarray:
        """(h, w, 2) positions of a strip in the optical array grid."""
        x = self.window.x + (np.arange(self.shape[1]) + 0.5) * self.spacing[0] - 0.5
        y = self.window.y + (np.arange(rows.start, rows.stop) + 0.5) * self.spacing[1] - 0.5
        return np.stack(np.meshgrid(x, y), axis=-1)


@dataclass(frozen=True)
class Pictures:
    """Three pictures of one grid, uint8.

    Attributes:
        grid: of all of them.
        optical: (h, w, 3).
        before: (h, w) SAR where its geocoding puts it.
        after: (h, w) SAR through the map.
    """

    grid: Grid
    optical: np.ndarray
    before: np.ndarray
    after: np.ndarray


def scene_and_details(sources: Sources) -> list[tuple[str, Pictures]]:
    """The whole scene, and, where that is shown smaller than it is, parts of it at full resolution, by their titles."""
    frame = sources.frame()
    whole = Grid.within(frame, LONGEST_PX)
    shown = [("Whole scene", pictures(sources, whole))]
    if max(whole.spacing) > 1:
        windows = dict.fromkeys(_detail(frame, *middle) for middle in _DETAILS)
        shown += [
            (
                f"Detail {number}: from x {window.x}, y {window.y}",
                pictures(sources, Grid(window, (window.height, window.width))),
            )
            for number, window in enumerate(windows, 1)
        ]
    return shown


def pictures(sources: Sources, grid: Grid) -> Pictures:
    """Read one grid. Raises `InputError` where an image or the map breaks."""
    pair, shift = sources.pair, read_map(sources.map, sources.pair, grid.window, grid.shape).data
    optical = np.empty((*grid.shape, 3), np.uint8)
    before, after = np.empty(grid.shape, np.uint8), np.empty(grid.shape, np.uint8)
    for rows in grid.strips():
        xy = grid.xy(rows)
        seen = xy + pair.centre_offset_px
        optical[rows] = _as_bytes(np.moveaxis(pair.sample_optical(xy, min(grid.spacing))[0], 0, -1))
        before[rows] = _sar(pair, seen, grid)
        after[rows] = _sar(pair, seen + np.moveaxis(shift[:, rows], 0, -1), grid)
    return Pictures(grid, optical, before, after)


def encoded(title: str, shown: Pictures) -> dict:
    """What the template shows of a view."""
    most = OVERVIEW_BYTES if max(shown.grid.shape) > DETAIL_PX else DETAIL_BYTES
    layers = {"optical": shown.optical, "before": shown.before, "after": shown.after}
    height, width = shown.grid.shape
    return {
        "title": title,
        "width": width,
        "height": height,
        "layers": {name: photo(pixels, most) for name, pixels in layers.items()},
    }


def _sar(pair: ScenePair, xy: np.ndarray, grid: Grid) -> np.ndarray:
    return _as_bytes(pair.sample_sar(xy, min(grid.spacing))[0][0])


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values).astype(np.uint8)


def _detail(frame: Window, x: float, y: float) -> Window:
    width, height = min(DETAIL_PX, frame.width), min(DETAIL_PX, frame.height)
    left = int(np.clip(x * frame.width - width / 2, 0, frame.width - width))
    top = int(np.clip(y * frame.height - height / 2, 0, frame.height - height))
    return Window(left, top, width, height)
