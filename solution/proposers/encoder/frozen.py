"""What the trunk sees without any training on SAR: its maps at strides 8 and 16, coarse and robust.

Features that were never taught anything about a sensor do not lose those that they have not seen. They are standardised
per image, which takes away most of what tells the modalities apart, and are read at 8 px.
"""

from __future__ import annotations

import copy

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.proposers.encoder.cells import faded
from solution.proposers.encoder.folding import fold
from solution.proposers.encoder.trunk import bare_trunk, centred, map_channels
from solution.proposers.encoder.trunk_weights import load_weights

FROZEN_PX = 8
"""Side of a cell of the frozen maps, px of the level."""

FROZEN_STRIDES = (8, 16)
"""Of the maps, px of the level."""

_MOST_DEVIATIONS = 3.0
_DESPECKLE_PX = 5


def frozen_channels(trunk: str) -> list[int]:
    """Channels of the maps of a trunk, by its name; those of the coarsest come last."""
    return map_channels(trunk, FROZEN_STRIDES)


def frozen_trunk(trunk: str) -> nn.Module:
    """A trunk, by its name, as `FrozenMaps` reads it, without weights."""
    return bare_trunk(trunk, FROZEN_STRIDES)


class FrozenMaps(nn.Module):
    """The maps of a trunk that stays as it is.

    Args:
        trunk: its name.
        loaded: a `frozen_trunk` with weights, of which a copy is made; None = the ImageNet weights of its package.

    Raises:
        InputError: there is no such package, or it is not installed.
    """

    def __init__(self, trunk: str, loaded: nn.Module | None = None) -> None:
        super().__init__()
        self.trunk = frozen_trunk(trunk) if loaded is None else copy.deepcopy(loaded)
        if loaded is None:
            load_weights(self.trunk, trunk)
        self.requires_grad_(False).eval()
        fold(self.trunk)

    def optical(self, image: Tensor, valid: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], validity (B, H, W) -> (B, C, H / 8, W / 8) maps; H, W multiples of 16."""
        weight = image.new_tensor([0.299, 0.587, 0.114])[:, None, None]
        return self._maps((image * weight).sum(dim=1, keepdim=True), valid)

    def sar(self, image: Tensor, valid: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1], validity (B, H, W) -> (B, C, H / 8, W / 8) maps; H, W multiples of 16."""
        return self.sar_despeckled(despeckled(image), valid)

    def sar_despeckled(self, image: Tensor, valid: Tensor) -> Tensor:
        """As `sar`, of what `despeckled` made of the image."""
        return self._maps(image, valid)

    def _maps(self, grey: Tensor, valid: Tensor) -> Tensor:
        size = (grey.shape[-2] // FROZEN_PX, grey.shape[-1] // FROZEN_PX)
        image = centred(faded(grey, valid)).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        found = [_standardised(each, valid) for each in self.trunk(image)]
        return torch.cat(
            [F.interpolate(each, size=size, mode="bilinear", align_corners=False) for each in found], dim=1
        )


def _standardised(found: Tensor, valid: Tensor) -> Tensor:
    """(B, C, h, w) -> the same, every channel in standard deviations of the image's valid ground, outliers cut."""
    weight = F.avg_pool2d(valid[:, None], valid.shape[-1] // found.shape[-1])
    count = weight.sum(dim=(2, 3), keepdim=True).clamp_min(1.0)
    mean = (found * weight).sum(dim=(2, 3), keepdim=True) / count
    deviation = ((found - mean).square() * weight).sum(dim=(2, 3), keepdim=True).div(count).sqrt()
    return ((found - mean) / (deviation + 1e-3)).clamp(-_MOST_DEVIATIONS, _MOST_DEVIATIONS)


def despeckled(sar: Tensor) -> Tensor:
    """(B, 1, H, W) -> medians over 5 x 5 px."""
    images = [cv2.medianBlur(image[0], _DESPECKLE_PX) for image in sar.cpu().numpy()]
    return torch.from_numpy(np.stack(images)[:, None]).to(sar.device)
