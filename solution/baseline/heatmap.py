"""Heatmaps: a Gaussian at a keypoint, the loss that learns it, and the keypoint read back from it."""

from __future__ import annotations

import torch
from torch import Tensor

_REACH_SIGMAS = 3.0  # beyond, a heatmap is exactly zero


def gaussian(xy: Tensor, size: int, sigma_px: float) -> Tensor:
    """Heatmaps with the value 1 at a keypoint, and 0 further than three standard deviations from it.

    Args:
        xy: (B, 2) keypoints in px of the crop, integers being pixel centres.
        size: side of the crop.
        sigma_px: standard deviation.

    Returns:
        (B, size, size) float32.
    """
    axis = torch.arange(size, dtype=torch.float32, device=xy.device)
    x, y = axis[None, None, :] - xy[:, 0, None, None], axis[None, :, None] - xy[:, 1, None, None]
    squared = (x.square() + y.square()) / sigma_px**2
    return torch.where(squared <= _REACH_SIGMAS**2, torch.exp(-squared / 2), 0.0)


def balanced_mse(predicted: Tensor, heatmap: Tensor) -> Tensor:
    """Mean squared error (scalar) in which the keypoint's pixels together count as much as all the zeros.

    Args:
        predicted, heatmap: (B, H, W); a pixel belongs to the keypoint where the heatmap is not zero.
    """
    error = (predicted - heatmap).square()
    keypoint = (heatmap > 0).to(error.dtype)
    of_keypoint = (error * keypoint).sum() / keypoint.sum().clamp_min(1.0)
    of_zeros = (error * (1 - keypoint)).sum() / (1 - keypoint).sum().clamp_min(1.0)
    return (of_keypoint + of_zeros) / 2


def peak(heatmap: Tensor) -> tuple[Tensor, Tensor]:
    """Place (B, 2) (x, y), int64, and value (B,) of the largest pixel of heatmaps (B, H, W); of equal
    ones the first, row by row."""
    value, index = heatmap.flatten(1).max(dim=1)
    width = heatmap.shape[-1]
    return torch.stack([index % width, index // width], dim=1), value
