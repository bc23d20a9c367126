"""Cross attention that only looks at what is near."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FAR = -1e4  # logit of what is out of the question: finite, so that an empty row has gradients


def cross_attention(block: nn.Module, x: Tensor, y: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """LightGlue's cross attention (bidirectional, shared queries and keys) with kornia's weights; points without a
    partner get no message.

    kornia takes one mask for both directions, in which a point without a partner must see everyone, lest its attention
    be empty, and is then seen by everyone too. Here each direction has its own.

    Args:
        block: kornia's ``CrossBlock``.
        x, y: (B, M, D) and (B, N, D).
        near: (B, M, N), True where two points may be partners.
    """
    query_x, query_y, value_x, value_y = (
        projected.unflatten(-1, (block.heads, -1)).transpose(1, 2)
        for projected in (block.to_qk(x), block.to_qk(y), block.to_v(x), block.to_v(y))
    )
    messages = (_message(query_x, query_y, value_y, near), _message(query_y, query_x, value_x, near.transpose(1, 2)))
    return tuple(
        points + block.ffn(torch.cat([points, block.to_out(message)], dim=-1))
        for points, message in zip((x, y), messages, strict=True)
    )


def _message(query: Tensor, key: Tensor, value: Tensor, near: Tensor) -> Tensor:
    """(B, M, D): what each of M points hears of the N points near it; nothing where there are none."""
    anyone = near.any(dim=2, keepdim=True)
    heard = F.scaled_dot_product_attention(query, key, value, attn_mask=(near | ~anyone)[:, None])
    return heard.transpose(1, 2).flatten(-2) * anyone
