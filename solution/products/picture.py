"""One picture of a result: optical, SAR before and after as a chequerboard with the
optical image, and the offset map."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.outputs import PICTURES, check_outputs, check_suffix
from solution.core.writing import atomic_path
from solution.data.scene import ScenePair
from solution.products.reading import read_map

_LONGEST_PX = 700  # longest side of a panel
_LEAST_PX = 16  # shortest side of a window
_SQUARES = 6  # of the chequerboard, along the longer side
_ARROWS = 16  # along the longer side


def draw(pair: ScenePair, map_path: Path, out: Path, window: Window | None = None) -> None:
    """Write a PNG or JPEG.

    Args:
        map_path: an offset map of the pair.
        window: part of the optical image; default: all of it.

    Raises:
        InputError: a map of another grid, or one that is not finite; a window outside the image; a file that cannot be
            written.
    """
    check_suffix(out, PICTURES, "a picture")
    check_outputs([out], [*pair.files(), map_path])
    height, width = pair.shape
    window = window or Window(0, 0, width, height)
    if (
        window.x < 0
        or window.y < 0
        or window.stop[0] > width
        or window.stop[1] > height
        or min(window.width, window.height) < _LEAST_PX
    ):
        raise InputError(
            f"{pair.optical}: the window {window.x} {window.y} {window.width} {window.height} is not inside its {width} x {height} px"
        )
    factor = math.ceil(max(window.width, window.height) / _LONGEST_PX)
    window = Window(window.x, window.y, window.width // factor * factor, window.height // factor * factor)
    shift = read_map(map_path, pair, window, (window.height // factor, window.width // factor))
    optical = np.moveaxis(pair.read(window, factor).optical, 0, -1)
    before = pair.read(window, factor, np.broadcast_to(pair.centre_offset_px[:, None, None], shift.shape)).sar[0]
    after = pair.read(window, factor, shift + pair.centre_offset_px[:, None, None]).sar[0]
    with atomic_path(out) as temporary:
        _figure(pair.name, optical, before, after, shift, factor).savefig(temporary, dpi=110)


def chequerboard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squares of (h, w, 3) `first` and (h, w) `second` in turn."""
    side = max(first.shape[:2]) / _SQUARES
    rows, columns = np.indices(first.shape[:2])
    use_first = (rows // side + columns // side) % 2 == 0
    return np.where(use_first[..., None], first, second[..., None])


def _figure(
    name: str, optical: np.ndarray, before: np.ndarray, after: np.ndarray, shift: np.ndarray, factor: int
) -> Figure:
    aspect = optical.shape[0] / optical.shape[1]
    figure = Figure(figsize=(16, 16 / 4 * aspect + 0.6), layout="constrained")
    panels = figure.subplots(1, 4)
    images = (optical, chequerboard(optical, before), chequerboard(optical, after), np.hypot(*shift))
    titles = (
        f"{name}: optical",
        "SAR as geocoded, in every other square",
        "SAR through the offset map",
        "offset map: length, px, and direction",
    )
    for panel, image, title in zip(panels, images, titles, strict=True):
        shown = panel.imshow(image, cmap="viridis")
        panel.set_title(title, fontsize=10)
        panel.axis("off")
    figure.colorbar(shown, ax=panels[3], shrink=0.8)
    step = max(1, max(shift.shape[1:]) // _ARROWS)
    rows, columns = np.mgrid[step // 2 : shift.shape[1] : step, step // 2 : shift.shape[2] : step]
    dx, dy = shift[:, rows, columns] / factor
    panels[3].quiver(columns, rows, dx, dy, color="white", angles="xy")
    return figure
