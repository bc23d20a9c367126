"""The feature networks as modules of two inputs and one output, which can be written as graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from solution.proposers.coarse.network import CoarseFeatures
from solution.proposers.encoder.cells import STRIDE_PX
from solution.proposers.encoder.frozen import FROZEN_PX, despeckled
from solution.proposers.families import COARSE, FLOW, Family, load_family
from solution.proposers.runtimes.runtime import Features

OPTICAL, SAR = "optical", "sar"
BANDS = {OPTICAL: 3, SAR: 1}
"""Modality -> channels of its image."""
MULTIPLE_PX = 16
"""Height and width of an image are multiples of this."""


@dataclass(frozen=True)
class Kind:
    """How a family's features are written.

    Attributes:
        family: whose network makes them.
        stride_px: side of a cell that has one feature vector, px of the image.
        before_sar: what is done to a SAR image (1, 1, H, W) before the graph sees it, for a graph cannot; None = nothing.
        told: of that, for people.
    """

    family: Family
    stride_px: int
    before_sar: Callable[[Tensor], Tensor] | None = None
    told: str = ""

    def seen_sar(self, image: Tensor) -> Tensor:
        """A SAR image as the graph is to see it."""
        return image if self.before_sar is None else self.before_sar(image)


KINDS = {
    FLOW.name: Kind(FLOW, STRIDE_PX),
    COARSE.name: Kind(COARSE, FROZEN_PX, despeckled, "the median of every pixel's 5 x 5 px, borders repeated"),
}
"""Name of a family that makes features -> how they are written."""


class Traced(nn.Module):
    """One modality's features as the forward function of a module that holds all weights."""

    def __init__(self, make: Callable[[Tensor, Tensor], Tensor], holders: Sequence[nn.Module]) -> None:
        super().__init__()
        self._make, self._holders = make, nn.ModuleList(holders)

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """As `runtime.Features`."""
        return self._make(image, valid)


def torch_features(family: Family, weights: Sequence[Path]) -> Features:
    """A family's features as torch computes them on the CPU. Raises `InputError` for missing or foreign weights."""
    net = load_family(family, weights)
    if family is FLOW:
        net.prepare()
        return net.encoder
    return CoarseFeatures(net.frozen(), net)


def traced(features: Features) -> dict[str, Traced]:
    """Modality -> the module that is written; its SAR image has gone through `Kind.before_sar`."""
    if not isinstance(features, CoarseFeatures):
        return {OPTICAL: Traced(features.optical, [features]), SAR: Traced(features.sar, [features])}
    frozen, head = features.frozen, features.head

    def sar(image: Tensor, valid: Tensor) -> Tensor:
        return head.features(frozen.sar_despeckled(image, valid), head.sar)

    return {OPTICAL: Traced(features.optical, [frozen, head]), SAR: Traced(sar, [frozen, head])}


def example(modality: str) -> tuple[Tensor, Tensor]:
    """An image and its validity, of a size that no axis shares with another."""
    height, width = 10 * MULTIPLE_PX, 12 * MULTIPLE_PX
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, BANDS[modality], height, width, generator=generator), torch.ones(1, height, width)
