"""Figures over the scene: the offset field, the radius of its error, and where matches support it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from solution.core.geometry import Window
from solution.field.settings import SUPPORT_REACH
from solution.products.page.canvas import DIVERGING, SEQUENTIAL, coloured, described, on_scene
from solution.products.page.encoding import drawing

_ARROWS = 22  # along the longer side
_CELLS = 24  # along the longer side, in which matches are counted
_LEAST_PX = 0.1  # longest shift that is not drawn larger still
_BULK = (2, 98)  # per cent, that the colours span


def arrows(frame: Window, shift: np.ndarray, behind: np.ndarray | None) -> dict:
    """The field as arrows, coloured by length.

    Args:
        frame: of the scene.
        shift: (2, h, w) px, decimated; masked where there is no ground.
        behind: (h', w') grey picture of the scene; None = none.
    """
    step = max(shift.shape[1:]) // _ARROWS + 1
    rows, columns = (np.arange(min(step, size) // 2, size, step) for size in shift.shape[1:])
    dx, dy = shift[:, rows[:, None], columns[None]]
    x, y = (columns + 0.5) * frame.width / shift.shape[2], (rows + 0.5) * frame.height / shift.shape[1]
    length = np.hypot(dx, dy)
    typical = float(np.median(_on_ground(length)))
    with on_scene(frame) as (figure, axes):
        if behind is not None:
            axes.imshow(behind, cmap="gray", alpha=0.35, extent=(0, frame.width, frame.height, 0), vmin=0, vmax=255)
        # The longest arrow spans about two steps
        longest = float(_on_ground(length).max())
        scale = max(longest, _LEAST_PX) / (2 * max(frame.width, frame.height) / _ARROWS)
        drawn = axes.quiver(
            x, y, dx, dy, length, angles="xy", scale_units="xy", scale=scale, width=0.004, cmap=SEQUENTIAL
        )
        figure.colorbar(drawn, ax=axes, label="length of the shift, px", shrink=0.85)
        uri = drawing(figure)
    towards = _direction(*(float(np.median(_on_ground(part))) for part in (dx, dy)))
    return described(
        "Offset field, as arrows",
        f"Arrows are drawn {1 / scale:.1f} times as long as the shift." if longest else "There is no shift anywhere.",
        uri,
        f"Arrows over the scene; the median shift is {typical:.1f} px long, to the {towards}.",
    )


def component(frame: Window, values: np.ndarray, name: str, positive: str) -> dict:
    """One of dx and dy (h, w), px, as colour around its median."""
    ground = _on_ground(values)
    middle = float(np.median(ground))
    spread = max(float(np.abs(np.percentile(ground - middle, _BULK)).max()), 1e-3)
    with on_scene(frame) as (figure, axes):
        label = f"{name} less its median, px"
        coloured(figure, axes, frame, values - middle, label, cmap=DIVERGING, vmin=-spread, vmax=spread)
        uri = drawing(figure)
    return described(
        f"Offset field: {name}",
        f"Around its median of {middle:+.1f} px; {positive} is positive.",
        uri,
        f"{name} over the scene: median {middle:+.1f} px, and from {ground.min():.1f} to {ground.max():.1f} px.",
    )


def radius(frame: Window, values: np.ndarray) -> dict:
    """The 68 % radius of the map's error (h, w), px."""
    with on_scene(frame) as (figure, axes):
        coloured(figure, axes, frame, values, "68 % radius, px", cmap=SEQUENTIAL)
        uri = drawing(figure)
    low, middle, high = (float(value) for value in np.percentile(_on_ground(values), (0, 50, 100)))
    return described(
        "How far off the map may be",
        "The radius within which the true place lies for two of three places.",
        uri,
        f"68 % radius of the error over the scene: {low:.1f} to {high:.1f} px, median {middle:.1f} px.",
    )


def support(frame: Window, table: pd.DataFrame, told: float | None) -> dict:
    """Which share of the proposed matches was kept where, and which ground has none within reach."""
    kept, xy = (table["outlier"] == "").to_numpy(), table[["x", "y"]].to_numpy()
    side = max(frame.width, frame.height) / _CELLS
    edges = [np.linspace(0, size, max(2, round(size / side)) + 1) for size in (frame.height, frame.width)]
    proposed, agreeing = (np.histogram2d(some[:, 1], some[:, 0], bins=edges)[0] for some in (xy, xy[kept]))
    share = np.where(proposed > 0, agreeing / np.maximum(proposed, 1), np.nan)
    middles = np.stack(np.meshgrid(*((edge[1:] + edge[:-1]) / 2 for edge in reversed(edges))), axis=-1)
    reach = SUPPORT_REACH * max(frame.width, frame.height)
    far = _distance(xy[kept], middles) > reach
    with on_scene(frame) as (figure, axes):
        coloured(figure, axes, frame, share, "share of the matches that is kept", cmap=SEQUENTIAL, vmin=0, vmax=1)
        if far.any():
            axes.contourf(*np.moveaxis(middles, -1, 0), far, levels=[0.5, 1.5], colors="none", hatches=["////"])
        uri = drawing(figure)
    return described(
        "Where matches were kept",
        f"White: no match was proposed. Hatched: none was kept within {reach:.0f} px, and the map is only spanned. Matches that "
        f"agree are no proof{_of_images(told)}.",
        uri,
        f"Share of the matches that is kept, in cells of {side:.0f} px: {kept.sum():,} of {len(table):,} in all. "
        f"{far.mean():.0%} of the scene has no kept match within {reach:.0f} px.",
    )


def _on_ground(values: np.ndarray) -> np.ndarray:
    """(N,) those that are not masked; where all are, all."""
    seen = np.ma.compressed(values)
    return seen if len(seen) else np.ma.getdata(values).ravel()


def _of_images(told: float | None) -> str:
    """What the report's support says beyond the matches."""
    return "" if told is None else f": where the images are asked as well, {told:.0%} of the map is supported"


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
