"""What a training run will do, told before it begins: teams, stages, what each may see, and the disk it needs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from solution.data.scene import ScenePair
from solution.proposers.families import FAMILIES
from solution.teams.team import Team, aoi_teams, fold_teams
from solution.training.stage import Config
from solution.training.stopping import ONE_IN, count_apart

_SCENE_BYTES = 8  # a pixel of a simulated scene, all its files together, measured
_TABLE_BYTES = 0.2  # a pixel of a labelled scene, for every team that proposes for it, measured
_WEIGHT_BYTES, _CHECKPOINT_BYTES = 2, 4 * 5  # a weight: kept in half precision; current, average, best, two moments
_MB = 1e6


@dataclass(frozen=True)
class StagePlan:
    """One model family.

    Attributes:
        name: of the family.
        config: its settings.
        start: what every team starts from, for people.
    """

    name: str
    config: Config
    start: str

    @property
    def weights(self) -> int:
        """How many numbers its network has."""
        return sum(value.numel() for value in FAMILIES[self.name].build(self.config).state_dict().values())


@dataclass(frozen=True)
class Plan:
    """A whole training run.

    Attributes:
        pairs: the scenes; those without tie-points do not count.
        split: which team holds which scene out.
        simulated: number of simulated scenes that every team may see, and their (h, w).
        stages: in their order.
    """

    pairs: Sequence[ScenePair]
    split: pd.DataFrame
    simulated: tuple[int, tuple[int, int]]
    stages: Sequence[StagePlan]

    @property
    def teams(self) -> list[Team]:
        """Everyone that is trained."""
        return [*fold_teams(self.split), *aoi_teams(self.split)]

    @property
    def labelled(self) -> list[ScenePair]:
        """The scenes that count."""
        return [pair for pair in self.pairs if pair.tiepoints_csv is not None]

    def seen_by(self, team: Team) -> list[str]:
        """Names of the labelled scenes that a team may see."""
        return sorted(pair.name for pair in self.labelled if pair.name not in team.held_out)

    def bytes(self) -> dict[str, float]:
        """What takes room on the disk, and how much, about."""
        count, (height, width) = self.simulated
        weights = [stage.weights for stage in self.stages]
        judged = sum(_px(pair) for pair in self.labelled for team in self.teams if pair.name in team.held_out)
        return {
            "simulated scenes": _SCENE_BYTES * count * height * width,
            "checkpoints, one team's at a time": _CHECKPOINT_BYTES * max(weights, default=0),
            "weights": _WEIGHT_BYTES * len(self.teams) * sum(weights),
            "tables of candidates": _TABLE_BYTES * judged,
        }

    def lines(self, free: int) -> list[str]:
        """All of it for people; `free` is the room on the disk in bytes."""
        count, (height, width) = self.simulated
        most = max(len(self.seen_by(team)) for team in self.teams)
        apart = {"labelled": count_apart(most), "simulated": count_apart(count)}
        watched = " and ".join(f"{number} {kind} scenes" for kind, number in apart.items() if number)
        needs = self.bytes()
        return [
            f"{len(self.teams)} teams on {len(self.labelled)} labelled scenes; each may also see {count} simulated scenes"
            f" of {height} x {width} px",
            *(
                f"  team {team.name}: never sees {', '.join(team.held_out)}; may see {', '.join(self.seen_by(team)) or 'no labelled scene'}"
                for team in self.teams
            ),
            *(
                f"  {stage.name}: {stage.config.steps} steps a team at most, of {stage.config.batch_size} tiles, from {stage.start}"
                for stage in self.stages
            ),
            f"  development error: on {watched}, which a team keeps apart from its training; it ends early where that no longer falls"
            if watched
            else f"  development error: none, for no kind of scene has {ONE_IN} or more, so that no team ends early",
            f"  disk: {', '.join(f'{size / _MB:,.0f} MB {what}' for what, size in needs.items())};"
            f" {free / _MB:,.0f} MB are free",
            "  time: measured on the first steps of every team, and told then",
        ]


def _px(pair: ScenePair) -> int:
    height, width = pair.shape
    return height * width


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder that need not be there yet."""
    there = next(place for place in [folder.resolve(), *folder.resolve().parents] if place.exists())
    return shutil.disk_usage(there).free
