"""Training a model family for every team, and what a team may see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from solution.core import artefact
from solution.core.devices import Devices
from solution.core.errors import InputError
from solution.data.finding import SceneFiles
from solution.data.scene import ScenePair
from solution.samples.sources import labels_beside
from solution.samples.store import ImageStore, SomeImage
from solution.teams.team import Team, aoi_teams, fold_teams
from solution.training.observers import observers
from solution.training.run import train_stage
from solution.training.stage import Config, Stage


def train_teams(
    stage_of: Callable[[Path], Stage],
    scenes: Sequence[SceneFiles | ScenePair],
    split: pd.DataFrame,
    folds: Path,
    config: Config,
    extra: Callable[[], Sequence[SomeImage]],
    init: Path | None,
    device: str | Devices,
    replace: bool,
    say: Callable[[str], None],
    only: Sequence[str] = (),
    store: ImageStore | None = None,
) -> None:
    """Train one model family for every team.

    Args:
        stage_of: what to train, by the team's folder.
        scenes: those that are labelled are learned from.
        extra: gives the images that every team may see (simulated scenes, registered pairs).
        init: weights to start from, or None.
        say: gets one line per team.
        only: names of the teams to train; none = all.
        store: hands out the labelled scenes; None = one of its own.
    """
    chosen = [*fold_teams(split), *aoi_teams(split)]
    names = [team.name for team in chosen]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise InputError(f"--team {unknown[0]}: is none of {', '.join(names)}")
    labelled = {scene.name: scene for scene in scenes if labels_beside(scene) is not None}
    missing = sorted(set(labelled) - set(split["scene"]))
    if missing:
        raise InputError(
            f"scene {missing[0]}: is not in the split; make it anew with: python -m solution split DATA_DIR"
        )
    shared = list(extra())
    store = store or ImageStore(folds / artefact.WORK)
    loaded = dict(zip(labelled, store.scenes(list(labelled.values())), strict=True))
    for team in (team for team in chosen if team.name in only or not only):
        images = [image for name, image in loaded.items() if name not in team.held_out] + shared
        stage = stage_of(folds / team.name)
        _guard_seen(team, stage, init)
        out = folds / team.name / stage.file
        look = observers(stage, team.number, out, say)
        work = folds / artefact.WORK
        say(train_stage(stage, images, config, out, team.number, 0, work, init, device, replace, callbacks=look))


def _guard_seen(team: Team, stage: Stage, init: Path | None) -> None:
    """Refuse to begin with anything that saw a scene which the team holds out."""
    seen = set(stage.seen) | (set(artefact.read_manifest(init).trained_on) if init else set())
    told = sorted(seen & set(team.held_out))
    if told:
        raise InputError(
            f"{init or team.name}: was trained on scene {told[0]}, which team {team.name} holds out; start from other weights"
        )
