"""Chips of single matches: the optical image around one, and the SAR image where the match and the map put it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from solution.core.geometry import Window
from solution.data.scene import ScenePair
from solution.field.held_out import HeldOut
from solution.field.settings import WINDOW_PX
from solution.products.page.encoding import photo
from solution.products.page.sources import Sources
from solution.products.reading import read_map

SHOWN = 12
"""Best ones, and worst ones."""
SIDE_PX = 96
"""Side of a chip, optical px."""
BYTES = 12_000
"""That the three chips of a match take at most."""


@dataclass(frozen=True)
class Chosen:
    """Rows of the table that are shown, and their residuals.

    Attributes:
        rows: (N,) numbers of the table's rows.
        length: (N,) px, held out.
    """

    rows: np.ndarray
    length: np.ndarray


def best_and_worst(table: pd.DataFrame, held: HeldOut) -> tuple[Chosen, Chosen]:
    """The matches of the smallest and of the largest residual, at most one of each kind from a window of the matching,
    and none in both."""
    xy = table[["x", "y"]].to_numpy()[held.rows]
    _, window = np.unique(np.floor(xy / WINDOW_PX), axis=0, return_inverse=True)
    order = np.argsort(held.length, kind="stable")
    count = min(SHOWN, len(order) // 2)
    best, worst = (
        _spread_out(way, window)[:count] for way in (order[: len(order) // 2], order[::-1][: len(order) // 2])
    )
    return tuple(Chosen(held.rows[chosen], held.length[chosen]) for chosen in (best, worst))


def _spread_out(order: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The first of each window, in the given order."""
    _, first = np.unique(window[order], return_index=True)
    return order[np.sort(first)]


def encoded(sources: Sources, table: pd.DataFrame, chosen: Chosen) -> list[dict]:
    """What the template shows of the chosen matches."""
    return [_chip(sources, table.iloc[row], length) for row, length in zip(chosen.rows, chosen.length, strict=True)]


def _chip(sources: Sources, match: pd.Series, length: float) -> dict:
    x, y, own = float(match["x"]), float(match["y"]), match[["dx", "dy"]].to_numpy(np.float64)
    mapped = _map_at(sources, x, y)
    strip = triptych(sources.pair, x, y, own, mapped)
    return {
        "picture": photo(strip, BYTES),
        "length": round(float(length), 2),
        "x": round(x),
        "y": round(y),
        "source": match["source"],
        "confidence": round(float(match["confidence"]), 2),
        "alt": (
            f"Around x {x:.0f}, y {y:.0f}: optical; SAR where the match puts it ({own[0]:+.1f}, {own[1]:+.1f} px); "
            f"SAR where the map puts it ({mapped[0]:+.1f}, {mapped[1]:+.1f} px)"
        ),
    }


def triptych(pair: ScenePair, x: float, y: float, own: np.ndarray, mapped: np.ndarray) -> np.ndarray:
    """(SIDE_PX, 3 SIDE_PX, 3) uint8: optical, SAR at the shift of the match, SAR at the shift of the map."""
    window = Window(round(x) - SIDE_PX // 2, round(y) - SIDE_PX // 2, SIDE_PX, SIDE_PX)
    shape = (2, SIDE_PX, SIDE_PX)
    parts = []
    for shift in (own, mapped):
        seen = np.broadcast_to((shift + pair.centre_offset_px)[:, None, None], shape)
        shown = pair.read(window, 1, seen)
        parts.append(np.repeat(shown.sar, 3, axis=0))
    return np.rint(255 * np.moveaxis(np.concatenate([shown.optical, *parts], axis=2), 0, -1)).astype(np.uint8)


def _map_at(sources: Sources, x: float, y: float) -> np.ndarray:
    """(2,) what the map says at the nearest pixel."""
    return read_map(sources.map, sources.pair, Window(round(x), round(y), 1, 1), (1, 1)).data[:, 0, 0]
