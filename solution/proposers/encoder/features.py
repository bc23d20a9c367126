"""What both images are turned into: unit feature vectors, one for every cell of 4 px, by one pretrained trunk.

The SAR image enters through a small adapter that sees it at three sizes of local means (speckle is noise at one size and
texture at another). A pyramid takes the trunk's maps of 16, 8 and 4 px together (FPN, Lin et al. 2017).
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.proposers.encoder.cells import STRIDE_PX, faded
from solution.proposers.encoder.folding import fold
from solution.proposers.encoder.sliding import square_means
from solution.proposers.encoder.trunk import bare_trunk, centred, map_channels
from solution.proposers.encoder.trunk_weights import load_weights

_STRIDES = (4, 8, 16)
_MEANS_PX = (3, 7, 15)  # sides of the local means that the adapter sees
_ADAPTER_CHANNELS = 16


class SarAdapter(nn.Module):
    """From one SAR channel to the three that the trunk reads: itself, and what is learned of its local means."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1 + len(_MEANS_PX), _ADAPTER_CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(_ADAPTER_CHANNELS, 3, 3, padding=1),
        )
        # Begins as the image itself, so that the trunk starts from what it knows.
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, sar: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 3, H, W)."""
        means = [square_means(sar, side) for side in _MEANS_PX]
        return sar.expand(-1, 3, -1, -1) + self.layers(torch.cat([sar, *means], dim=1))


class Encoder(nn.Module):
    """Trunk, adapter, and the pyramid back to cells.

    Args:
        trunk: name of the network, see `trunk`.
        width: channels of the pyramid.
        channels: length of a feature vector.
    """

    def __init__(self, trunk: str, width: int, channels: int) -> None:
        super().__init__()
        self.name = trunk
        self.trunk = bare_trunk(trunk, _STRIDES)
        self.adapter = SarAdapter()
        self.laterals = nn.ModuleList(nn.Conv2d(count, width, 1) for count in map_channels(trunk, _STRIDES))
        self.project = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, channels, 1)
        )
        self.train()  # Lightning leaves modules in the mode in which they were made

    def start(self, weights: Path | None = None) -> None:
        """Begin with the trunk's weights, of a file or its package. Raises `InputError` where they are missing."""
        load_weights(self.trunk, self.name, weights)

    def fold(self) -> None:
        """Make it fast, in evaluation mode; it can be neither trained nor saved any more."""
        fold(self.trunk)
        for part in (self.adapter, self.laterals, self.project):
            part.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Encoder:
        """The trunk keeps its batch statistics: those of a few tiles are worse than those of ImageNet."""
        super().train(mode)
        for module in self.trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def optical(self, image: Tensor, valid: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] and validity (B, H, W) -> (B, C, H / 4, W / 4) unit features; H, W multiples of 16."""
        return self._features(centred(faded(image, valid)))

    def sar(self, image: Tensor, valid: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1] and validity (B, H, W) -> (B, C, H / 4, W / 4) unit features; H, W multiples of 16."""
        return self._features(self.adapter(centred(faded(image, valid))))

    def _features(self, image: Tensor) -> Tensor:
        size = (image.shape[-2] // STRIDE_PX, image.shape[-1] // STRIDE_PX)
        maps = self.trunk(image)
        levels = (lateral(level) for lateral, level in zip(self.laterals, maps, strict=True))
        # One after another: a sum over a stack of them takes as long as the rest of the pyramid
        enlarged = (F.interpolate(level, size=size, mode="bilinear", align_corners=False) for level in levels)
        return F.normalize(self.project(reduce(torch.add, enlarged)), dim=1)
