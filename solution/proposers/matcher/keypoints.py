"""Descriptors of a tile, keypoints, matches, and how descriptors are read at places."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Dense:
    """What DISK says of every cell of a batch of images.

    Attributes:
        descriptor: (B, D, h, w), unit length.
        heat: (B, h, w) logit of being worth a keypoint.
        usable: (B, h, w) bool, away from nodata.
    """

    descriptor: Tensor
    heat: Tensor
    usable: Tensor

    def part(self, items: slice) -> Dense:
        """Some images of the batch."""
        return Dense(self.descriptor[items], self.heat[items], self.usable[items])


@dataclass
class Keypoints:
    """A fixed number K of keypoints an image, one a grid square.

    Attributes:
        cell: (B, K, 2) int64 (x, y).
        xy: (B, K, 2) px, pixel centres at integers.
        descriptor: (B, K, L D), of the lattice around it; products are mean similarities.
        usable: (B, K) bool; others only fill up.
    """

    cell: Tensor
    xy: Tensor
    descriptor: Tensor
    usable: Tensor


@dataclass
class Matches:
    """Refined matches of one image pair.

    Attributes:
        first, second: (N, 2) px in the optical and in the other image; the second is sub-pixel.
        score: (N,) in [0, 1].
        sigma: (N,) px, spread of the refined position.
        cycle: (N,) px, forward-backward error.
    """

    first: Tensor
    second: Tensor
    score: Tensor
    sigma: Tensor
    cycle: Tensor


def square_offsets(radius: int, device: torch.device) -> Tensor:
    """((2 radius + 1)^2, 2) offsets (x, y), row by row."""
    axis = torch.arange(-radius, radius + 1, device=device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)


def lattice_offsets(patch: int, step: int, device: torch.device) -> Tensor:
    """(patch^2, 2) offsets (x, y) of a lattice around zero."""
    return step * square_offsets(patch // 2, device)


def rows_at(dense: Dense, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Descriptors (B, ..., D) at cells (B, ..., 2), zero outside the image and in nodata, and whether one is there."""
    height, width = dense.heat.shape[-2:]
    inside = (cell >= 0).all(dim=-1) & (cell[..., 0] < width) & (cell[..., 1] < height)
    index = cell[..., 1].clamp(0, height - 1) * width + cell[..., 0].clamp(0, width - 1)
    image = torch.arange(len(cell), device=cell.device).reshape(-1, *[1] * (index.ndim - 1))
    index = index + image * height * width
    known = inside & dense.usable.flatten()[index]
    rows = dense.descriptor.permute(0, 2, 3, 1).reshape(-1, dense.descriptor.shape[1])
    # Whole rows are copied, which a gather along the channels would do one number at a time.
    return rows.index_select(0, index.flatten()).reshape(*index.shape, rows.shape[1]) * known[..., None], known


def pick(field: Tensor, cell: Tensor) -> Tensor:
    """(B, C, h, w) at cells (B, K, 2) -> (B, K, C)."""
    index = cell[..., 1] * field.shape[-1] + cell[..., 0]
    return field.flatten(2).gather(2, index[:, None].expand(-1, field.shape[1], -1)).transpose(1, 2)
