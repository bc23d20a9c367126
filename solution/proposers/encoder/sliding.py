"""Sums over a square around every pixel, by doubling: a sum over 17 px takes five additions along each axis, not 289."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def square_sums(values: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> the same, sums over squares of `side` px, an odd number; what lies beyond the border adds nothing."""
    return _sums_along(_sums_along(values, side, 3), side, 2)


def square_means(values: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> the same, means over what lies inside of squares of `side` px, an odd number."""
    row, column = values[:1, :1, :1], values[:1, :1, :, :1]
    inside = [_sums_along(line.new_ones(()).expand_as(line), side, axis) for line, axis in ((row, 3), (column, 2))]
    return square_sums(values, side) / (inside[0] * inside[1])


def _sums_along(values: Tensor, side: int, axis: int) -> Tensor:
    """Sums over `side` neighbours along an axis, put together from those over 1, 2, 4, ... of them."""
    size, before = values.shape[axis], side // 2
    run = F.pad(values, (before, before) if axis == 3 else (0, 0, before, before))
    total, covered = None, 0
    for length in (1 << bit for bit in range(side.bit_length())):
        if length > 1:
            half = length // 2
            longer = run.shape[axis] - half
            run = run.narrow(axis, 0, longer) + run.narrow(axis, half, longer)
        if side & length:
            part = run.narrow(axis, covered, size)
            total = part if total is None else total + part
            covered += length
    return total
