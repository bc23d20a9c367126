"""How matching networks are optimised."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from solution.samples.settings import TileConfig


def adamw_one_cycle(parameters: Iterable[torch.nn.Parameter] | list[dict], config: TileConfig) -> dict:
    """AdamW; linear warm-up, then a cosine to zero; in the form that Lightning's `configure_optimizers` returns.

    Args:
        parameters: or groups of them, as torch takes those, which may have a learning rate of their own.
    """
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    steps, warmup = config.steps, config.warmup_steps

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, factor), "interval": "step"},
    }
