"""Networks that need no training, for tests of what stands around them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.proposers.encoder.cells import STRIDE_PX
from solution.proposers.encoder.frozen import FROZEN_PX
from solution.proposers.every import PROPOSERS
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.proposer import FLOW
from solution.proposers.flow.settings import FineConfig, FlowConfig, SearchConfig
from solution.proposers.matcher.network import MatcherNet
from solution.proposers.matcher.settings import MatcherConfig
from solution.proposers.proposer import Proposer
from solution.samples.settings import CELL_PX

CONFIG = replace(FlowConfig(), windows_blocks=(1, 3))
QUICK_FLOW = replace(FLOW, settings=FineConfig(margin_px=32, search=SearchConfig(reach_px=16.0)))
"""The flow proposer with a search that is enough for the small shifts of the fixtures."""
MATCHER_CONFIG = replace(MatcherConfig(), glue_layers=1, patch=1)
# Logit of a perfect match: low enough to leave the neighbouring cells the weight that places it between cells
_PEAK = 12.0
_SIGMA_CELLS = 0.05  # that the handmade network claims: untrained, it would claim anything


def proposers_with(*changed: Proposer) -> tuple[Proposer, ...]:
    """All proposers, these in the place of those of the same name."""
    by_name = {proposer.name: proposer for proposer in changed}
    return tuple(by_name.get(proposer.name, proposer) for proposer in PROPOSERS)


class GradientDirections(nn.Module):
    """Unit features that see the direction of the brightness gradient but not its sign, which differs between the
    fixture's two images; in cells of any size."""

    def __init__(self, cell_px: int = STRIDE_PX) -> None:
        super().__init__()
        self.cell_px = cell_px

    def optical(self, image: Tensor, valid: Tensor) -> Tensor:
        return self.features(image.mean(dim=1, keepdim=True), self.cell_px)

    sar = optical

    def fold(self) -> None:
        """Nothing to fold."""

    @staticmethod
    def features(grey: Tensor, cell_px: int) -> Tensor:
        cells = F.avg_pool2d(grey, cell_px)
        padded = F.pad(cells, (1, 1, 1, 1), mode="replicate")
        x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
        y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
        return F.normalize(torch.cat([x.square() - y.square(), 2 * x * y], dim=1), dim=1)


def coarse_features(_networks: object, _voice: object) -> GradientDirections:
    """In the place of `Networks.coarse`, whose features know the world but not the fixtures' noise."""
    return GradientDirections(FROZEN_PX)


def handmade_net(config: FlowConfig = CONFIG) -> FlowNet:
    """`FlowNet` with the real correlation and head, and features made by hand."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = FlowNet(config).eval()
    net.encoder = GradientDirections()
    nn.init.constant_(net.head.mix, _PEAK / len(config.windows_blocks))
    nn.init.zeros_(net.head.spread[-1].weight)
    nn.init.constant_(net.head.spread[-1].bias, math.log(_SIGMA_CELLS))
    return net


class _GradientPatches(nn.Module):
    """Dense descriptors without training: the patch of gradient directions around every cell."""

    SIDE = 9

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> heat (B, 1, h, w) and descriptors (B, 2 SIDE^2, h, w)."""
        direction = GradientDirections.features(image.mean(dim=1, keepdim=True), CELL_PX)
        patches = F.unfold(direction, self.SIDE, padding=self.SIDE // 2)
        return direction[:, :1], patches.unflatten(2, direction.shape[-2:])


def handmade_matcher(
    config: MatcherConfig = MATCHER_CONFIG, channels: int = 2 * _GradientPatches.SIDE**2
) -> MatcherNet:
    """`MatcherNet` with its real keypoints, assignment and refinement, but descriptors made by hand (`channels` long),
    on which alone the assignment relies."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MatcherNet(config).eval()
    patches = _GradientPatches()
    for name in net.stems:
        net.stems[name] = _Untouched()
    net.disk.heatmap_and_dense_descriptors = patches.forward
    net.glue.input_proj = nn.Linear(channels * config.patch**2, config.glue_dim)
    for head in net.glue.log_assignment:
        nn.init.zeros_(head.final_proj.weight)
        nn.init.zeros_(head.final_proj.bias)
        nn.init.zeros_(head.matchability.weight)
        nn.init.constant_(head.matchability.bias, 6.0)
    nn.init.constant_(net.raw_weight, 40.0)
    nn.init.constant_(net.log_scale, math.log(40.0))
    return net


class _Untouched(nn.Module):
    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        return image
