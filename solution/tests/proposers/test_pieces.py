"""Pieces of a large lattice: they cover it, and no seam shows where they meet."""

from __future__ import annotations

import numpy as np
import pytest

from solution.core.geometry import Window
from solution.proposers.flow.pieces import _spans, piecewise


@pytest.mark.parametrize("count", [1, 5, 31, 32, 33, 128, 140, 160, 161, 300, 813])
def test_pieces_cover_every_node_and_none_is_mostly_overlap(count):
    spans = _spans(count, 128, 16)
    covered = np.zeros(count, int)
    for first, number in spans:
        covered[first : first + number] += 1
    assert covered.min() == 1 and covered.max() <= 2 and spans[-1][0] + spans[-1][1] == count
    assert len(spans) == 1 or min(number for _, number in spans) > 2 * 16


@pytest.mark.parametrize(("side", "overlap"), [(8, 2), (8, 0), (100, 16)])
def test_answers_come_back_at_their_own_nodes(side, overlap):
    place = np.stack(np.meshgrid(np.arange(29.0), np.arange(21.0)), axis=-1)
    told = []

    def answer(piece, part):
        told.append(part)
        return place[piece.y : piece.stop[1], piece.x : piece.stop[0]]

    np.testing.assert_allclose(piecewise(Window(0, 0, 29, 21), side, overlap, answer), place)
    assert told[0] == ("" if side == 100 else f", part 1 of {len(told)}")


def test_pieces_that_disagree_meet_without_a_step():
    found = piecewise(Window(0, 0, 48, 4), 16, 8, lambda piece, part: np.full((piece.height, piece.width, 2), piece.x))
    along = found[0, :, 0]
    assert along[0] == 0 and along[-1] == 8 and 0 < np.diff(along).max() < 1
