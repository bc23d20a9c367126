"""Who looks on while a run trains, and changes nothing: they are given to a run, not imported by it, so that weights do
not count as stale when a picture changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.callbacks import Callback

from solution.training.curves import Curves
from solution.training.pace import Pace
from solution.training.stage import Stage


def observers(stage: Stage, fold: int, weights: Path, say: Callable[[str], None]) -> list[Callback]:
    """Those of a run: one says how long it takes, and one draws its curves beside its weights, where it is watched."""
    name = f"{stage.name} fold {fold}"
    curves = [Curves(weights, stage.watched, name)] if stage.watched else []
    return [Pace(name, say), *curves]
