"""TensorFlow's padding, which the networks that timm took over from there want, without a padded copy of the image.

With a stride of 2 it is one px wider at the right and at the bottom than at the left and at the top. A convolution pads all
sides alike: so it pads more, by one stride at the left, and its first row and column of outputs are left out. A copy with
such a border takes longer than the convolution.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F


class SamePadded(nn.Module):
    """What a `timm.layers.Conv2dSame` gives.

    Args:
        convolution: the one whose place it takes.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride), rounded up."""
        own = self.convolution
        sides = zip(image.shape[-2:], own.kernel_size, own.stride, own.dilation, strict=True)
        (above, top), (before, left) = (_padding(*side) for side in sides)
        found = F.conv2d(image, own.weight, own.bias, own.stride, (above, before), own.dilation, own.groups)
        return found[..., top:, left:]


def _padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Along one axis: how far to pad at both ends, and how many of the first outputs to leave out."""
    wanted = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    before, uneven = divmod(wanted, 2)
    return before + uneven * stride, uneven
