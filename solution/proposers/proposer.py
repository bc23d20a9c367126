"""What a proposer is: one object that says what it is called, what it needs, and how it proposes.

To add a proposer, write its object in a folder of its own and add it to `solution.proposers.every.PROPOSERS`. The
objects are made of settings and names alone, and import what does the work when it is asked for: whoever only wants to
know their names need not load torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import pandas as pd

from solution.core.progress import Progress
from solution.data.scene import ScenePair
from solution.field.shiftfield import Fit

if TYPE_CHECKING:
    import torch

Settings = TypeVar("Settings")
"""A frozen dataclass: how a proposer works."""


@dataclass(frozen=True)
class Context:
    """What a proposer gets.

    Attributes:
        pair: the scene.
        fold: number of the team that proposes; goes into the table.
        device: that does the work.
        load: name of a family in `Proposer.needs` -> the team's network, in evaluation mode and on `device`. Raises
            `InputError` for missing or foreign weights.
        field: gives the scene's joint field, which is found when it is first asked for.
        around: gives the field to look around, which is fitted when it is asked for; None = geocoding alone is known.
        finest: level to end on, 1 = every optical pixel; None chooses by the scene's size.
        progress: called with (what, done, total).
    """

    pair: ScenePair
    fold: int
    device: torch.device
    load: Callable[[str], torch.nn.Module]
    field: Callable[[], Fit]
    around: Callable[[], Fit | None]
    finest: int | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Proposer(Generic[Settings]):
    """Who says where the ground of an optical pixel lies in the SAR image.

    Attributes:
        name: the source in the candidates table, and what users ask for; a plain lower-case identifier.
        needs: names of the families whose weights it takes, keys of `solution.proposers.families.FAMILIES`.
        settings: how it works; any prediction depends on them.
        how: makes the candidates from the context and the settings.
        by_default: whether it works without being asked for.
        learned: whether teams are trained for it. One that is not only looks around the field of all others, and cannot
            propose alone.
    """

    name: str
    needs: tuple[str, ...]
    settings: Settings
    how: Callable[[Context, Settings], pd.DataFrame]
    by_default: bool = True
    learned: bool = True

    def propose(self, context: Context) -> pd.DataFrame:
        """Candidates for the scene of the context, none of them on masked ground.

        Raises:
            InputError: missing or foreign weights.
        """
        table = self.how(context, self.settings)
        masked = context.pair.masked(table[["x", "y"]].to_numpy(), table[["dx", "dy"]].to_numpy())
        return table[~masked].reset_index(drop=True) if masked.any() else table
