"""Oriented gradients as features, beside those of networks.

They know neither modality nor sensor, only how edges run, and err elsewhere than networks do, so that both together are
better than either.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from solution.proposers.encoder.cells import STRIDE_PX
from solution.proposers.gradient.oriented import oriented


def gradients(image: Tensor, valid: Tensor) -> Tensor:
    """Image (B, bands, H, W) and validity (B, H, W) -> (B, 8, H / 4, W / 4) unit features, 0 where all is flat."""
    channels = [
        oriented(bands.mean(axis=0), there)
        for bands, there in zip(image.cpu().numpy(), valid.cpu().numpy(), strict=True)
    ]
    cells = F.avg_pool2d(torch.from_numpy(np.stack(channels)).to(image.device), STRIDE_PX)
    return F.normalize(cells, dim=1)
