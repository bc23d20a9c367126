"""Teams: who holds which scenes out.

A team is named by its folder below ``folds/``: ``0``, ``1``, ... hold one fold of the split out; ``aoi_02`` holds a
whole AOI out and serves the leave-one-AOI-out score alone, where no fold's team already does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from solution.core import artefact
from solution.core.errors import InputError
from solution.data.folds import SPLIT, read_split
from solution.data.scene import ScenePair

BASE = Path("base")
SCORES = "score.json"
"""File name of the out-of-fold scores in a folder of teams."""
_AOI_TEAM = 1000  # fold number, in manifests and tables, of a team that holds out an AOI: this plus the AOI


@dataclass(frozen=True)
class Team:
    """A team's name (its folder), its number in tables, and the scenes that it must not see."""

    name: str
    number: int
    held_out: tuple[str, ...]


def fold_teams(split: pd.DataFrame) -> list[Team]:
    """A team per fold of the split."""
    return [Team(str(fold), int(fold), tuple(rows["scene"])) for fold, rows in split.groupby("fold")]


def aoi_teams(split: pd.DataFrame) -> list[Team]:
    """A team per AOI whose scenes are spread over several folds; none where a single AOI is all there is."""
    teams = []
    for aoi, rows in split.groupby("aoi"):
        if rows["fold"].nunique() > 1 and len(rows) < len(split):
            teams.append(Team(f"aoi_{aoi}", _AOI_TEAM + int(aoi), tuple(rows["scene"])))
    return teams


def team_of(scene: str, split: pd.DataFrame, by_aoi: bool) -> Team | None:
    """The team that may judge a scene under a protocol; None where leave-one-AOI-out has none."""
    row = split.loc[split["scene"] == scene]
    if row.empty:
        raise InputError(f"scene {scene}: is not in the split; make it anew with: python -m solution split DATA_DIR")
    fold = next(team for team in fold_teams(split) if scene in team.held_out)
    if not by_aoi:
        return fold
    neighbours = set(split.loc[split["aoi"] == row["aoi"].iloc[0], "scene"])
    if neighbours <= set(fold.held_out):
        return fold
    return next((team for team in aoi_teams(split) if scene in team.held_out), None)


def folder_of(name: str, folds: Path) -> Path:
    """A team's folder below the teams' one. Raises `InputError` for a name that would lead elsewhere."""
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name:
        raise InputError(
            f"--team {name}: is no name of a folder below {folds}; pass 0, 1, ..., and the folder that holds it with --folds"
        )
    if not (folds / name).is_dir():
        there = sorted(path.name for path in folds.glob("*") if path.is_dir() and not path.name.startswith("."))
        raise InputError(f"--team {name}: is none of {', '.join(there) or 'the teams'} in {folds}")
    return folds / name


def held_out_by_split(scene: str, folds: Path) -> str | None:
    """Name of the team that holds a scene out by the split of the teams' folder; None where the split does not name it,
    or there is none."""
    if not (folds / SPLIT).is_file():
        return None
    split = read_split(folds / SPLIT)
    return team_of(scene, split, by_aoi=False).name if scene in set(split["scene"]) else None


def unseen_by(pair: ScenePair, folds: Path, weights: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """Names of the teams that may judge a scene: for one that the split names the team that holds it out, for any other
    all; in either case without those whose weights list the scene.

    Args:
        weights: a team's name -> the files that it brings.
    """
    held_out_by = held_out_by_split(pair.name, folds)
    names = tuple(name for name in weights if held_out_by in (None, name))
    known_as = {pair.name, f"{pair.optical.parent.name}/{pair.name}"}  # simulated scenes carry their folder's name
    return tuple(
        name
        for name in names
        if not any(known_as & set(artefact.read_manifest(path).trained_on) for path in weights[name])
    )
