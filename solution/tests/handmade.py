"""A flow regressor that needs no training, for tests of what stands around the network."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.config import CELL_PX, FlowConfig
from solution.flow import FlowNet

CONFIG = replace(FlowConfig(), windows_blocks=(1, 3))
_PEAK = 12.0  # logit of a perfect match: low enough to leave the neighbouring cells the weight that places it between cells


class GradientDirections(nn.Module):
    """Unit features that see the direction of the brightness gradient but not its sign, which differs between the fixture's two images."""

    def forward(self, optical: Tensor, sar: Tensor, optical_valid: Tensor, sar_valid: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(self._features(image.mean(dim=1, keepdim=True)) for image in (optical, sar))

    @staticmethod
    def _features(grey: Tensor) -> Tensor:
        cells = F.avg_pool2d(grey, CELL_PX)
        padded = F.pad(cells, (1, 1, 1, 1), mode="replicate")
        x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
        y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
        return F.normalize(torch.cat([x.square() - y.square(), 2 * x * y], dim=1), dim=1)


def handmade_net(config: FlowConfig = CONFIG) -> FlowNet:
    """`FlowNet` with the real correlation and head, and features made by hand."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = FlowNet(config).eval()
    net.encoder = GradientDirections()
    nn.init.constant_(net.head.mix, _PEAK / len(config.windows_blocks))
    return net
