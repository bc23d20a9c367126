"""Feature cells: squares of 4 px of the level, one feature vector each; and what is to be seen near ground without data."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from solution.proposers.encoder.sliding import square_means, square_sums

STRIDE_PX = 4
"""Side of a feature cell, in px of the level."""

_BORDER_PX = 8


def faded(image: Tensor, valid: Tensor) -> Tensor:
    """The image (B, C, H, W) fading into its mean towards ground without data, whose edge says nothing about the ground.

    Args:
        valid: (B, H, W), 0 or 1; the border of the tile itself does not count.
    """
    valid = valid[:, None]
    share = valid.mean(dim=(2, 3), keepdim=True).clamp_min(1e-3)
    mean = (image * valid).mean(dim=(2, 3), keepdim=True) / share
    return mean + (image - mean) * fade(valid)


def cell_valid(valid: Tensor) -> Tensor:
    """(B, H, W) px -> (B, 1, H / 4, W / 4) cells, 1 where all px within 8 px are valid."""
    return -F.max_pool2d(-eroded(valid[:, None]), STRIDE_PX)


def whole_cells(valid: Tensor, cell_px: int) -> Tensor:
    """(B, H, W) px -> (B, 1, H / cell_px, W / cell_px) cells, 1 where all their px are valid."""
    return -F.max_pool2d(-valid[:, None], cell_px)


def fade(valid: Tensor) -> Tensor:
    """(B, 1, H, W) 0 or 1 -> 0 within 8 px of invalid ground, rising to 1 at 16 px; a tile's border does not count."""
    return square_means(eroded(valid), 2 * _BORDER_PX + 1)


def eroded(valid: Tensor) -> Tensor:
    """(B, 1, H, W), 1 where all is valid within 8 px."""
    return (square_sums(1 - valid, 2 * _BORDER_PX + 1) == 0).to(valid.dtype)
