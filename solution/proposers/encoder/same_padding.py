"""TensorFlow's padding, which the networks that timm took over from there want, without a padded copy of the image.

With a stride of 2 it is one px wider at the right and at the bottom than at the left and at the top. A convolution pads all
sides alike: so it pads more, by one stride at the left, and its first row and column of outputs are left out. A copy with
such a border takes longer than the convolution.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F


class SamePadded(nn.Conv2d):
    """What a `timm.layers.Conv2dSame` gives.

    Args:
        other: the one whose place it takes; the weights are the same ones.
    """

    def __init__(self, other: nn.Conv2d) -> None:
        sizes = other.in_channels, other.out_channels, other.kernel_size, other.stride
        super().__init__(*sizes, dilation=other.dilation, groups=other.groups, device="meta")  # where nothing is drawn
        self.weight, self.bias = other.weight, other.bias

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride), rounded up."""
        size = map(int, image.shape[-2:])  # tensors while a graph is traced, which holds for all even sizes
        sides = zip(size, self.kernel_size, self.stride, self.dilation, strict=True)
        (above, top), (before, left) = (_padding(*side) for side in sides)
        found = F.conv2d(image, self.weight, self.bias, self.stride, (above, before), self.dilation, self.groups)
        return found[..., top:, left:]


def _padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Along one axis: how far to pad at both ends, and how many of the first outputs to leave out."""
    wanted = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    before, uneven = divmod(wanted, 2)
    return before + uneven * stride, uneven
