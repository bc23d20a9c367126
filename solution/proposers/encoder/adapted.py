"""Any network as a trunk: its own normalisation, its own padding, and its maps at the strides that are asked for.

Maps are told by their strides alone. A network without one of 4 px (those that begin with patches of 16 px, say) gives
the nearest that it has, interpolated; where several layers have the same stride, finer maps come from earlier ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.core.errors import InputError

COARSEST_PX = 16
"""The stride that a network's finest map may have; beyond it a map says too little about the place."""

INPUT_PX = 16
"""Heights and widths of the images that trunks are called with are multiples of it."""


@dataclass(frozen=True)
class Plan:
    """How a network is made a trunk.

    Attributes:
        layers: which of its layers give maps, by their place among all that can, ascending; None = all that it gives.
        order: for every stride that is asked for, the finest first, which of those maps.
        reductions: strides of those maps, px, one for every entry of `order`.
        channels: of those maps, one for every entry of `order`.
        multiple: of which heights and widths must be.
        mean, std: of the images that it knows, by band, in [0, 1].
        options: arguments that it must be built with.
        channels_last: whether its maps are (B, H, W, C).
    """

    layers: tuple[int, ...] | None
    order: tuple[int, ...]
    reductions: tuple[int, ...]
    channels: tuple[int, ...]
    multiple: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    options: tuple[tuple[str, object], ...] = ()
    channels_last: bool = False

    def is_plain(self, strides: Sequence[int]) -> bool:
        """Whether the network already is such a trunk, fed with values in [-1, 1]."""
        return (
            self.order == tuple(range(len(strides)))
            and self.reductions == tuple(strides)
            and INPUT_PX % self.multiple == 0
            and set(self.mean) == set(self.std) == {0.5}
            and not self.channels_last
        )


def chosen_layers(reductions: Sequence[int], strides: Sequence[int], name: str) -> list[int]:
    """For every stride the layer that serves it best: the nearest stride, the finer one of two that are as near.

    Args:
        reductions: strides of all layers, in the order in which they work.
        strides: what is asked for, the finest first.
        name: for the message.

    Raises:
        InputError: even the finest layer is too coarse.
    """
    if not reductions or min(reductions) > COARSEST_PX:
        finest = min(reductions, default=0)
        raise InputError(
            f"trunk {name}: its finest map has a stride of {finest} px; choose one with {COARSEST_PX} px or less"
        )
    served = [min(reductions, key=lambda have, want=want: (abs(math.log2(have / want)), have)) for want in strides]
    layers = []
    for index, reduction in enumerate(served):
        alike = [layer for layer, have in enumerate(reductions) if have == reduction]
        rank, sharers = served[:index].count(reduction), served.count(reduction)
        layers.append(alike[max(0, math.ceil((rank + 1) * len(alike) / sharers) - 1)])
    return layers


class AdaptedTrunk(nn.Module):
    """A network behind its plan; called with (B, 3, H, W) in [-1, 1], it gives a list of maps, one for each stride.

    Args:
        net: gives a list of maps, (B, C, h, w) or channels last.
        strides: of the maps to give, px, the finest first; H and W are multiples of them.
    """

    def __init__(self, net: nn.Module, plan: Plan, strides: Sequence[int]) -> None:
        super().__init__()
        self.net, self.plan, self.strides = net, plan, tuple(strides)
        mean, std = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (plan.mean, plan.std))
        # ((x + 1) / 2 - mean) / std in one step; no part of the weights
        self.register_buffer("scale", 0.5 / std, persistent=False)
        self.register_buffer("offset", (0.5 - mean) / std, persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> maps (B, C, H / stride, W / stride)."""
        height, width = image.shape[-2:]
        multiple = self.plan.multiple
        image = F.pad(image * self.scale + self.offset, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        maps = self.net(image)
        return [
            self._at(maps[place], reduction, stride)[..., : height // stride, : width // stride]
            for place, reduction, stride in zip(self.plan.order, self.plan.reductions, self.strides, strict=True)
        ]

    def _at(self, found: Tensor, reduction: int, stride: int) -> Tensor:
        """A map of one stride at another: cell centre onto cell centre."""
        found = found.permute(0, 3, 1, 2) if self.plan.channels_last else found
        if reduction == stride:
            return found
        cells = max(1, stride // reduction)
        means = F.avg_pool2d(found, cells, ceil_mode=True) if cells > 1 else found
        scale = cells * reduction / stride
        return F.interpolate(
            means, scale_factor=scale, mode="bilinear", align_corners=False, recompute_scale_factor=False
        )
