"""Fewer tie-points, spread evenly: many programs take no more than some hundreds."""

from __future__ import annotations

import numpy as np

_MOST_ACROSS = 4096
"""Cells along the longer side."""


def evenly(xy: np.ndarray, rank: np.ndarray, most: int) -> np.ndarray:
    """Rows, ascending, of at most `most` points: the best one of every square cell, of the smallest cells that give so
    few.

    Args:
        xy: (N, 2) places.
        rank: (N,) the higher, the better; equal ones are ranked by how near they lie to the middle of their cell.
    """
    if len(xy) <= most:
        return np.arange(len(xy))
    origin, extent = xy.min(axis=0), max(float(np.ptp(xy, axis=0).max()), 1e-9)
    fewest, many = 1, _MOST_ACROSS
    while many - fewest > 1:
        across = (fewest + many) // 2
        fewest, many = (across, many) if _occupied(xy, origin, extent / across) <= most else (fewest, across)
    return _best(xy, rank, origin, extent / fewest)


def _cells(xy: np.ndarray, origin: np.ndarray, side: float) -> np.ndarray:
    """(N, 2) of each point; those on the far border belong to the last one."""
    count = round(float(np.ptp(xy, axis=0).max()) / side)
    return np.minimum(((xy - origin) // side).astype(np.int64), max(count - 1, 0))


def _occupied(xy: np.ndarray, origin: np.ndarray, side: float) -> int:
    column, row = _cells(xy, origin, side).T
    return len(np.unique(column * (_MOST_ACROSS + 1) + row))


def _best(xy: np.ndarray, rank: np.ndarray, origin: np.ndarray, side: float) -> np.ndarray:
    cells = _cells(xy, origin, side)
    off = np.hypot(*(xy - origin - (cells + 0.5) * side).T)
    order = np.lexsort((off, -rank, cells[:, 1], cells[:, 0]))
    first = np.ones(len(xy), bool)
    first[1:] = (np.diff(cells[order], axis=0) != 0).any(axis=1)
    return np.sort(order[first])
