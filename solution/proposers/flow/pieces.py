"""Large lattices piece by piece: evidence of all displacements at all nodes of a large scene does not fit into memory.

Pieces overlap, and where they do, their answers are averaged with weights that fall towards their borders, so that no seam
shows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solution.core.geometry import Window


def piecewise(nodes: Window, side: int, overlap: int, answer: Callable[[Window, str], np.ndarray]) -> np.ndarray:
    """(rows, columns, 2) answers at all nodes.

    Args:
        nodes: all of them; they begin at (0, 0).
        side, overlap: of the pieces, nodes; a piece is `side` long and as much as `overlap` longer at either end.
        answer: (rows, columns, 2) at the nodes of a piece; it is also told which part this is, in words.
    """
    total, weights = np.zeros((nodes.height, nodes.width, 2)), np.zeros((nodes.height, nodes.width, 1))
    found = _pieces(nodes, side, overlap)
    for number, piece in enumerate(found, 1):
        place = (slice(piece.y, piece.stop[1]), slice(piece.x, piece.stop[0]))
        weight = _weight(piece, overlap)
        total[place] += weight * answer(piece, f", part {number} of {len(found)}" if len(found) > 1 else "")
        weights[place] += weight
    return total / weights


def _pieces(nodes: Window, side: int, overlap: int) -> list[Window]:
    """Overlapping windows of nodes that cover all of them."""
    spans = [_spans(count, side, overlap) for count in (nodes.height, nodes.width)]
    return [Window(x, y, width, height) for y, height in spans[0] for x, width in spans[1]]


def _spans(count: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """(first, number) of overlapping pieces of `count` nodes; none is so short that it is mostly overlap."""
    starts = range(0, max(count - 2 * overlap, 1), side)
    stops = [*(start + side + overlap for start in starts[:-1]), count]
    firsts = [max(start - overlap, 0) for start in starts]
    return [(first, stop - first) for first, stop in zip(firsts, stops, strict=True)]


def _weight(piece: Window, overlap: int) -> np.ndarray:
    """(rows, columns, 1) falling towards the borders."""
    ramp = max(2 * overlap, 1)
    along = [
        np.minimum(np.arange(size) + 0.5, np.arange(size)[::-1] + 0.5).clip(max=ramp)
        for size in (piece.height, piece.width)
    ]
    return (along[0][:, None] * along[1])[..., None]
