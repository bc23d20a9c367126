"""What matching networks are made of: a modality's own first layers, and the shared trunk behind them.

Oriented gradient magnitudes are fed in beside the pixels, because they survive a contrast inversion (CFOG, Ye et al.
2019), and everything fades out before the border of the data, whose edge says nothing about the ground.
"""

from __future__ import annotations

import math

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.proposers.encoder.cells import fade
from solution.samples.settings import CELL_PX

ORIENTATIONS = 6


def gradient_bank() -> Tensor:
    """(2, 1, 7, 7) x and y derivatives of a Gaussian of 1 px, each of unit absolute sum."""
    axis = torch.arange(-3, 4, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    gauss = torch.exp(-(x**2 + y**2) / 2)
    return torch.stack([slope * gauss / (slope * gauss).abs().sum() for slope in (x, y)])[:, None].float()


def steering() -> Tensor:
    """(6, 2, 1, 1) from x and y derivatives to 6 directions over half a turn (steerable filters)."""
    angle = math.pi * torch.arange(ORIENTATIONS) / ORIENTATIONS
    return torch.stack([angle.cos(), angle.sin()], dim=1)[:, :, None, None]


class Stem(nn.Module):
    """A modality's own first layers: pixels, normalised intensity and oriented gradients in, half resolution out."""

    def __init__(self, image_channels: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("bank", gradient_bank(), persistent=False)
        self.register_buffer("steering", steering(), persistent=False)
        inputs = CELL_PX**2 * (image_channels + 1) + 2 * ORIENTATIONS
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """(B, image_channels, H, W) in [0, 1] and (B, H, W) -> (B, channels, H / 2, W / 2)."""
        with torch.no_grad():
            inputs = self._inputs(image, valid[:, None])
        return self.layers(inputs)

    def _inputs(self, image: Tensor, valid: Tensor) -> Tensor:
        # The borders of both images' data are strong edges that say nothing about the ground: everything fades out
        # before it reaches them.
        near = fade(valid)
        mean = (image * valid).mean(dim=(2, 3), keepdim=True) / valid.mean(dim=(2, 3), keepdim=True).clamp_min(1e-3)
        image = mean + (image - mean) * valid
        grey = image.mean(dim=1, keepdim=True)
        share = _local_mean(valid).clamp_min(1e-3)
        centred = (grey - _local_mean(grey * valid) / share) * valid
        contrast = near * centred / ((_local_mean(centred.square()) / share).sqrt() + 0.05)
        fine = F.avg_pool2d(self._gradients(grey) * near, CELL_PX)
        gradients = torch.cat([fine, self._gradients(F.avg_pool2d(grey, CELL_PX)) * F.avg_pool2d(near, CELL_PX)], dim=1)
        level = _local_mean(gradients.mean(dim=1, keepdim=True), step=2) / F.avg_pool2d(
            _local_mean(near), CELL_PX
        ).clamp_min(0.05)
        pixels = F.pixel_unshuffle(torch.cat([mean + (image - mean) * near, contrast], dim=1), CELL_PX)
        return torch.cat([pixels, 0.5 * gradients / (level + 0.01)], dim=1)

    def _gradients(self, grey: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 6, H, W) absolute slopes."""
        slopes = F.conv2d(F.pad(grey, (3, 3, 3, 3), mode="replicate"), self.bank)
        return F.conv2d(slopes, self.steering).abs()


def _local_mean(image: Tensor, step: int = 4) -> Tensor:
    """Mean over about 9 * step px, computed at 1 / step of the resolution."""
    coarse = F.avg_pool2d(F.avg_pool2d(image, step), 9, 1, 4, count_include_pad=False)
    return F.interpolate(coarse, size=image.shape[-2:], mode="bilinear", align_corners=False)


class Features(nn.Module):
    """A timm trunk behind the stems, and a feature pyramid back to half resolution."""

    def __init__(self, trunk: str, width: int, channels: int) -> None:
        super().__init__()
        self.trunk = timm.create_model(
            trunk, pretrained=False, features_only=True, out_indices=(0, 1, 2), in_chans=width
        )
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in [width, *self.trunk.feature_info.channels()])
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.project = nn.Conv2d(width, channels, 1)

    def features(self, stem: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, channels, h, w); h and w multiples of 16."""
        maps = [stem, *self.trunk(stem)]
        top = self.laterals[-1](maps[-1])
        for lateral, level in zip(reversed(self.laterals[:-1]), reversed(maps[:-1]), strict=True):
            top = F.interpolate(top, size=level.shape[-2:], mode="bilinear", align_corners=False) + lateral(level)
        return self.project(self.smooth(top))

    def forward(self, stem: Tensor) -> Tensor:
        """What `features` gives, for those who call the module."""
        return self.features(stem)
