"""Where a displacement truly is, as a distribution that a network can be taught."""

from __future__ import annotations

import torch
from torch import Tensor

_LABEL_DOUBT = 0.5  # share of the truth's own standard deviation that widens the soft target


def soft_target(truth: Tensor, doubt: Tensor, span: int, sigma: float) -> Tensor:
    """(B, h, w, span * span) Gaussian around true displacements (B, h, w, 2) of standard deviation `doubt` (B, h, w).

    Args:
        span: displacements along each axis, from -(span // 2).
        sigma: least standard deviation. All but `span` in cells.
    """
    spread = (sigma**2 + (_LABEL_DOUBT * doubt) ** 2)[..., None]
    axis = torch.arange(span, device=truth.device) - span // 2
    near_x = torch.exp(-((axis - truth[..., :1]) ** 2) / (2 * spread))
    near_y = torch.exp(-((axis - truth[..., 1:]) ** 2) / (2 * spread))
    target = (near_y[..., :, None] * near_x[..., None, :]).flatten(3)
    return target / target.sum(dim=-1, keepdim=True).clamp_min(1e-12)
