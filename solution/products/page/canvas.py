"""What the page's figures share: sizes, colours, axes in optical px."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from solution.core.geometry import Window

SEQUENTIAL, DIVERGING = "cividis", "PuOr"
"""Colour maps that the colour-blind read too; so are the colours of the lines below (Okabe and Ito's)."""
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
_WIDTH_IN, _LONGEST_IN, _LEAST_IN = 4.9, 6.5, 2.4
_STYLE = {"font.size": 10.5, "axes.titlesize": 10.5, "axes.spines.top": False, "axes.spines.right": False}


@contextmanager
def plain(height_in: float = 3.4) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in))
        yield figure, figure.subplots()


@contextmanager
def on_scene(frame: Window) -> Iterator[tuple[Figure, Axes]]:
    """A figure whose axes are the scene's, in optical px, y down."""
    height = np.clip((_WIDTH_IN - 1.2) * frame.height / frame.width + 0.6, _LEAST_IN, _LONGEST_IN)
    with plain(float(height)) as (figure, axes):
        axes.set(xlim=(0, frame.width), ylim=(frame.height, 0), aspect="equal", xlabel="x, px", ylabel="y, px")
        yield figure, axes


def coloured(figure: Figure, axes: Axes, frame: Window, values: np.ndarray, label: str, **how: object) -> None:
    """(h, w) values over the whole scene, with a colour bar."""
    shown = axes.imshow(values, extent=(0, frame.width, frame.height, 0), interpolation="nearest", **how)
    figure.colorbar(shown, ax=axes, label=label, shrink=0.85)


def described(title: str, note: str, uri: str, alt: str) -> dict:
    """A finished figure as the template shows it: a title and a note above, and what it shows for those who do not see
    it."""
    return {"title": title, "note": note, "uri": uri, "alt": alt}
