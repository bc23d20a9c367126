"""Figures over the scene: the offset field, the radius of its error, and where matches support it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from scipy.spatial import cKDTree

from solution.core.geometry import Window
from solution.field.verdict import REACH
from solution.products.page.canvas import DIVERGING, ORANGE, SEQUENTIAL, coloured, on_scene
from solution.products.page.encoding import drawing

_ARROWS = 22  # along the longer side
_CELLS = 40  # along the longer side, in which matches are counted
_MOST_MARKS = 1500  # of matches that were set aside
_BULK = (2, 98)  # per cent, that the colours span


def _figure(title: str, uri: str, alt: str) -> dict:
    return {"title": title, "uri": uri, "alt": alt}


def arrows(frame: Window, shift: np.ndarray, behind: np.ndarray | None) -> dict:
    """The field as arrows, coloured by length.

    Args:
        frame: of the scene.
        shift: (2, h, w) px, decimated.
        behind: (h', w') grey picture of the scene; None = none.
    """
    step = max(shift.shape[1:]) // _ARROWS + 1
    rows, columns = (np.arange(min(step, size) // 2, size, step) for size in shift.shape[1:])
    dx, dy = shift[:, rows[:, None], columns[None]]
    x, y = (columns + 0.5) * frame.width / shift.shape[2], (rows + 0.5) * frame.height / shift.shape[1]
    length = np.hypot(dx, dy)
    typical = float(np.median(length))
    with on_scene(frame) as (figure, axes):
        if behind is not None:
            axes.imshow(behind, cmap="gray", alpha=0.35, extent=(0, frame.width, frame.height, 0), vmin=0, vmax=255)
        # The longest arrow spans about two steps
        longest = max(float(length.max()), 1e-6)
        scale = longest / (2 * max(frame.width, frame.height) / _ARROWS)
        drawn = axes.quiver(
            x, y, dx, dy, length, angles="xy", scale_units="xy", scale=scale, width=0.004, cmap=SEQUENTIAL
        )
        figure.colorbar(drawn, ax=axes, label="length of the shift, px", shrink=0.85)
        times = 1 / scale
        axes.set_title(f"Arrows are drawn {times:.1f} times as long as the shift")
        uri = drawing(figure)
    towards = _direction(float(np.median(dx)), float(np.median(dy)))
    return _figure(
        "Offset field, as arrows",
        uri,
        f"Arrows over the scene; the median shift is {typical:.1f} px long, to the {towards}.",
    )


def component(frame: Window, values: np.ndarray, name: str, positive: str) -> dict:
    """One of dx and dy (h, w), px, as colour around its median."""
    middle = float(np.median(values))
    spread = max(float(np.abs(np.percentile(values - middle, _BULK)).max()), 1e-3)
    with on_scene(frame) as (figure, axes):
        label = f"{name} less its median, px"
        coloured(figure, axes, frame, values - middle, label, cmap=DIVERGING, vmin=-spread, vmax=spread)
        axes.set_title(f"Median {middle:+.1f} px ({positive} is positive)")
        uri = drawing(figure)
    return _figure(
        f"Offset field: {name}",
        uri,
        f"{name} over the scene: median {middle:+.1f} px, and from {values.min():.1f} to {values.max():.1f} px.",
    )


def radius(frame: Window, values: np.ndarray) -> dict:
    """The 68 % radius of the map's error (h, w), px."""
    with on_scene(frame) as (figure, axes):
        coloured(figure, axes, frame, values, "68 % radius, px", cmap=SEQUENTIAL)
        uri = drawing(figure)
    low, middle, high = (float(value) for value in np.percentile(values, (0, 50, 100)))
    return _figure(
        "How far off the map may be",
        uri,
        f"68 % radius of the error over the scene: {low:.1f} to {high:.1f} px, median {middle:.1f} px.",
    )


def support(frame: Window, table: pd.DataFrame) -> dict:
    """How many kept matches lie where, and which ground has none within reach."""
    kept = (table["outlier"] == "").to_numpy()
    xy = table[["x", "y"]].to_numpy()
    side = max(frame.width, frame.height) / _CELLS
    edges = [np.linspace(0, size, max(1, round(size / side)) + 1) for size in (frame.height, frame.width)]
    count = np.histogram2d(xy[kept, 1], xy[kept, 0], bins=edges)[0]
    middles = np.stack(np.meshgrid(*((edge[1:] + edge[:-1]) / 2 for edge in reversed(edges))), axis=-1)
    reach = REACH * max(frame.width, frame.height)
    far = _distance(xy[kept], middles) > reach
    aside = xy[~kept & np.isfinite(xy).all(axis=1)]
    aside = aside[:: max(1, -(-len(aside) // _MOST_MARKS))]
    with on_scene(frame) as (figure, axes):
        shown = np.ma.masked_equal(count, 0)
        coloured(
            figure, axes, frame, shown, "kept matches in a cell", cmap=SEQUENTIAL, norm=LogNorm(1, max(count.max(), 2))
        )
        if far.any():
            axes.contourf(*np.moveaxis(middles, -1, 0), far, levels=[0.5, 1.5], colors="none", hatches=["////"])
        axes.plot(*aside.T, "x", color=ORANGE, markersize=2.5, markeredgewidth=0.7)
        axes.set_title(f"x: set aside;  white: no match;  hatched: none within {reach:.0f} px")
        uri = drawing(figure)
    return _figure(
        "Where matches support the map",
        uri,
        f"{kept.sum():,} kept matches in cells of {side:.0f} px; {far.mean():.0%} of the scene has none within {reach:.0f} px.",
    )


def _distance(xy: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(rows, columns) px from places (rows, columns, 2) to the nearest of xy (N, 2); infinite where N is 0."""
    return cKDTree(xy).query(places)[0] if len(xy) else np.full(places.shape[:2], np.inf)


def _direction(dx: float, dy: float) -> str:
    """For people: right, lower right, ..."""
    across = "right" if dx > 0 else "left"
    along = "lower" if dy > 0 else "upper"
    if abs(dx) > 2 * abs(dy):
        return across
    return {"lower": "bottom", "upper": "top"}[along] if abs(dy) > 2 * abs(dx) else f"{along} {across}"
