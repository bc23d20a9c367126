"""Lines of sight over a height field: shadow horizons and what an oblique view shows, by shifting whole arrays."""

from __future__ import annotations

import numpy as np

_FINE_STEPS = 8  # cells that are looked at one by one, before steps are doubled


def shift_slices(shape: tuple[int, int], dx: int, dy: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices (target, source) with target[y, x] <-> source[y + dy, x + dx], cut to the array."""
    height, width = shape
    target = (slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx)))
    source = (slice(max(0, dy), height - max(0, -dy)), slice(max(0, dx), width - max(0, -dx)))
    return target, source


def horizon(surface: np.ndarray, towards: tuple[float, float], drop_per_cell: float, reach: int) -> np.ndarray:
    """Height of the shadow's ceiling above every cell: a point below it does not see the source.

    Args:
        surface: (h, w) float32 heights in metres.
        towards: unit vector to the source (x right, y down).
        drop_per_cell: how far a ray from the source sinks per cell, m: cell * tan(elevation).
        reach: longest shadow in cells.

    Returns:
        (h, w) float32: max over distances d >= 1 of surface(p + d * towards) - d * drop; the first eight steps one by
        one, then by doubling (the maximum over 2n steps is that over n steps, here and n steps on).
    """
    ceiling = np.full(surface.shape, -np.inf, np.float32)
    for step in range(1, min(_FINE_STEPS, reach) + 1):
        _raise(ceiling, surface, step, towards, drop_per_cell)
    steps = _FINE_STEPS
    while steps < reach:
        _raise(ceiling, ceiling.copy(), steps, towards, drop_per_cell)
        steps *= 2
    return ceiling


def _raise(ceiling: np.ndarray, source: np.ndarray, steps: int, towards: tuple[float, float], drop: float) -> None:
    dx, dy = round(steps * towards[0]), round(steps * towards[1])
    if abs(dx) >= source.shape[1] or abs(dy) >= source.shape[0]:
        return
    to, of = shift_slices(source.shape, dx, dy)
    np.maximum(ceiling[to], source[of] - np.float32(steps * drop), out=ceiling[to])


def oblique_hits(height: np.ndarray, lean: tuple[float, float], rise_per_cell: float, levels: int) -> np.ndarray:
    """How many cells the line of sight runs back from every image cell until it meets the height field.

    Args:
        height: (h, w) float32, metres above ground.
        lean: unit vector to which tops are displaced.
        rise_per_cell: metres of height per cell of displacement.
        levels: number of cells to look at, highest / rise_per_cell.

    Returns:
        (h, w) int16 k: image cell p shows the surface at p - round(k * lean), at height k * rise_per_cell or more.
    """
    hits = np.zeros(height.shape, np.int16)
    for level in range(1, levels + 1):
        to, of = shift_slices(height.shape, -round(level * lean[0]), -round(level * lean[1]))
        np.copyto(hits[to], np.int16(level), where=height[of] >= np.float32(level * rise_per_cell))
    return hits
