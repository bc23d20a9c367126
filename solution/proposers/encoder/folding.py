"""A trunk made ready for prediction: batch normalisation folded into the convolutions before it, channels last.

It saves a pass over memory for every convolution, which is what depthwise networks spend their time with on a CPU.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(trunk: nn.Module) -> None:
    """Fold every batch normalisation that follows a convolution within the same module, in place.

    Args:
        trunk: in evaluation mode, which it never leaves again.
    """
    from timm.layers import BatchNormAct2d  # not above: see `trunk.bare_trunk`

    # timm's EfficientNets name their layers in the order in which they work.
    for parent in list(trunk.modules()):
        before: tuple[str, nn.Conv2d] | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNormAct2d) and before is not None:
                setattr(parent, before[0], fuse_conv_bn_eval(before[1], child))
                setattr(parent, name, nn.Sequential(child.drop, child.act))
            before = (name, child) if isinstance(child, nn.Conv2d) else None
    trunk.to(memory_format=torch.channels_last)
