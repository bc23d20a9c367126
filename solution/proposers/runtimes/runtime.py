"""What a runtime is: it makes features of weights, and whoever uses them need not know which one did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from solution.proposers.families import Family


class Features(Protocol):
    """Unit features of either image.

    Both take an image (1, bands, H, W) in [0, 1] and its validity (1, H, W), 0 or 1, H and W multiples of 16, and give
    (1, C, H / stride, W / stride).
    """

    optical: Callable[[Tensor, Tensor], Tensor]
    sar: Callable[[Tensor, Tensor], Tensor]


class Runtime(Protocol):
    """Whatever makes `Features`."""

    def features(self, family: Family, weights: Sequence[Path]) -> Features:
        """Those of a family's network, flow or coarse, with the mean of the weights of some files.

        Raises:
            InputError: missing or foreign weights.
        """
