"""Torch as a runtime with something changed, to see what that is worth: nothing of it is offered to users."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from solution.proposers.families import Family
from solution.proposers.runtimes.graphs import KINDS, OPTICAL, SAR, torch_features, traced

Make = Callable[[Tensor, Tensor], Tensor]
"""Image and validity -> unit features, as `runtime.Features`."""


class Changed(nn.Module):
    """Features that torch computes in another way. A module, so that it can take the place of an encoder."""

    def __init__(self, optical: Make, sar: Make) -> None:
        super().__init__()
        self.optical, self.sar = optical, sar


class TorchVariant:
    """A runtime.

    Args:
        change: the function of one modality -> another one that gives nearly the same.
        layout: that all weights are brought into.
    """

    def __init__(self, change: Callable[[Make], Make], layout: torch.memory_format = torch.preserve_format) -> None:
        self._change, self._layout = change, layout

    def features(self, family: Family, weights: Sequence[Path]) -> Changed:
        """As `runtime.Runtime`."""
        parts = traced(torch_features(family, weights))
        for module in parts.values():
            module.to(memory_format=self._layout)
        kind, sar = KINDS[family.name], self._change(parts[SAR])
        return Changed(self._change(parts[OPTICAL]), lambda image, valid: sar(kind.seen_sar(image), valid))


def channels_last(make: Make) -> Make:
    """Weights and images channels last, and not only the trunk's weights."""
    return lambda image, valid: make(image.contiguous(memory_format=torch.channels_last), valid)


def bfloat16(make: Make) -> Make:
    """Convolutions in bfloat16, which AMX and AVX-512 multiply faster; features come back in float32."""

    def halved(image: Tensor, valid: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            found = make(image, valid)
        return nn.functional.normalize(found.float(), dim=1)

    return halved


def compiled(make: Make) -> Make:
    """Through torch.compile, for images of any size."""
    return torch.compile(make, dynamic=True)


def no_compiler() -> str:
    """What is missing for `compiled`; empty where nothing is."""
    return "" if shutil.which("g++") or shutil.which("c++") else "torch.compile needs a C++ compiler, and there is none"
