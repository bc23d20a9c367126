"""The two keypoint networks: U-Nets with an encoder for each modality and one decoder."""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.baseline.settings import BaselineConfig

NETWORKS = ("optical_to_sar", "sar_to_optical")
"""The point a crop is centred on -> the point that is looked for."""


class HeatmapNet(nn.Module):
    """Both crops in, one heatmap out.

    What the encoders give at each stride is concatenated on its way to the decoder.
    """

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        widths = {"stem_width": config.stem_width, "channels": config.channels}
        self.optical, self.sar = (
            timm.create_model(config.trunk, features_only=True, pretrained=False, in_chans=bands, **widths)
            for bands in (3, 1)
        )
        given = [2 * channels for channels in self.optical.feature_info.channels()]  # at strides 2, 4, 8, 16 and 32
        inputs = [given[-1], *config.decoder_channels[:-1]]
        self.decoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(below + skip, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
            )
            for below, skip, out in zip(inputs, reversed(given[:-1]), config.decoder_channels, strict=True)
        )
        self.heat = nn.Conv2d(config.decoder_channels[-1], 1, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 4, S, S) in [0, 1], three optical channels and the SAR one, S a multiple of 32 ->
        heatmaps (B, S, S) in [0, 1]."""
        levels = [
            torch.cat(pair, dim=1) for pair in zip(self.optical(crops[:, :3]), self.sar(crops[:, 3:]), strict=True)
        ]
        features = levels.pop()
        for layer in self.decoder:
            skip = levels.pop()
            features = layer(torch.cat([F.interpolate(features, size=skip.shape[-2:]), skip], dim=1))
        heat = F.interpolate(self.heat(features), size=crops.shape[-2:], mode="bilinear", align_corners=False)
        return heat[:, 0].sigmoid()


class BaselineNets(nn.ModuleDict):
    """The pair of networks, by the names of `NETWORKS`; they share nothing."""

    def __init__(self, config: BaselineConfig) -> None:
        # Channels last halves the time of a step on a CPU.
        super().__init__({name: HeatmapNet(config).to(memory_format=torch.channels_last) for name in NETWORKS})
