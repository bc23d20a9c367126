"""Unit features at 8 px for the search: a frozen trunk's maps, and a small head that corrects them for each modality.

The head starts as nothing: its features begin as the trunk's coarsest map, which knows no sensor and loses none. It has
few weights and never sees an image, only what the trunk makes of it, so that it learns how the modalities differ and
not what the training images look like.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.proposers.coarse.settings import CoarseConfig
from solution.proposers.encoder.frozen import FrozenMaps, frozen_channels, frozen_trunk
from solution.proposers.encoder.trunk_weights import load_weights

_SCALE = 20.0  # by which mean correlations, in [-1, 1], become logits before any training
_INPUT_SCALE = 0.5  # of the standardised maps that the head reads


class CoarseHead(nn.Module):
    """A correction of the frozen trunk's maps for each modality; it may hold the trunk, but never works with it."""

    def __init__(self, config: CoarseConfig) -> None:
        super().__init__()
        self.config = config
        channels = frozen_channels(config.trunk)
        self.coarsest = channels[-1]
        self.optical = self._layers(sum(channels), config.hidden)
        self.sar = self._layers(sum(channels), config.hidden)
        self.sharpness = nn.Parameter(torch.full((len(config.windows_blocks),), math.log(_SCALE)))
        self.trunk = frozen_trunk(config.trunk).requires_grad_(False) if config.holds_trunk else None

    def start(self, weights: Path) -> None:
        """Put a file of weights into the trunk that is held. Raises `InputError` where it does not fit."""
        load_weights(self.trunk, self.config.trunk, weights)

    def frozen(self) -> FrozenMaps:
        """The maps that it corrects. Raises `InputError` where the trunk is not held and its package is missing."""
        return FrozenMaps(self.config.trunk, self.trunk)

    def _layers(self, maps: int, hidden: int) -> nn.Sequential:
        layers = nn.Sequential(
            nn.Conv2d(maps, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, self.coarsest, 3, padding=1)
        )
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(layers[-1].bias)
        return layers

    def features(self, maps: Tensor, layers: nn.Module) -> Tensor:
        """(B, maps, h, w) -> (B, coarsest, h, w) unit features, by the layers of a modality."""
        return F.normalize(maps[:, -self.coarsest :] + layers(maps * _INPUT_SCALE), dim=1)


class CoarseFeatures:
    """The frozen trunk and a head, as makers of features."""

    def __init__(self, frozen: FrozenMaps, head: CoarseHead) -> None:
        self.frozen, self.head = frozen, head

    def optical(self, image: Tensor, valid: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], validity (B, H, W) -> (B, C, H / 8, W / 8) unit features; H, W multiples of 16."""
        return self.head.features(self.frozen.optical(image, valid), self.head.optical)

    def sar(self, image: Tensor, valid: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1], validity (B, H, W) -> (B, C, H / 8, W / 8) unit features; H, W multiples of 16."""
        return self.head.features(self.frozen.sar(image, valid), self.head.sar)
