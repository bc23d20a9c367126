"""Sums and means over squares, against torch's own pooling, which adds every pixel of every square."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from solution.proposers.encoder.cells import eroded, fade
from solution.proposers.encoder.sliding import square_means, square_sums


@pytest.mark.parametrize("side", [1, 3, 7, 9, 15, 17, 33])
def test_squares_are_summed_whatever_their_side(side):
    values = torch.rand(2, 3, 41, 29, generator=torch.Generator().manual_seed(side))
    pooled = F.avg_pool2d(values, side, 1, side // 2)
    torch.testing.assert_close(square_sums(values, side), pooled * side**2)
    inside = F.avg_pool2d(values, side, 1, side // 2, count_include_pad=False)
    torch.testing.assert_close(square_means(values, side), inside)


def test_means_can_be_learned_through():
    values = torch.rand(1, 1, 9, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda tensor: square_means(tensor, 5), values)


def test_the_fade_is_nothing_near_invalid_ground_and_whole_far_from_it():
    valid = torch.ones(1, 1, 60, 70)
    valid[0, 0, 30, 20] = 0
    gone = torch.nonzero(eroded(valid)[0, 0] == 0)
    assert gone.min(dim=0).values.tolist() == [22, 12] and gone.max(dim=0).values.tolist() == [38, 28]
    found = fade(valid)[0, 0]
    assert found[30, 20] == 0 and found[30, 28] > 0 and found[30, 36] < 1 and found[30, 37] == 1
    assert (found[:, 37:] == 1).all() and (found[:14] == 1).all(), "the tile's border takes nothing away"
