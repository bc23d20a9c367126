"""The baseline's teams: a base model that saw simulated scenes alone, and one for each fold, which
never saw the fold's scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from solution.baseline import UNTRAINED
from solution.baseline.settings import BaselineConfig
from solution.baseline.training import BASELINE
from solution.core import artefact
from solution.core.devices import Devices
from solution.core.errors import InputError
from solution.data.finding import SceneFiles
from solution.data.scene import ScenePair
from solution.samples.images import TrainingImage
from solution.samples.store import ImageStore
from solution.teams import team, training
from solution.training.run import train_stage
from solution.training.stages import config_of

BASE = str(team.BASE)


def chosen(names: Sequence[str], split: pd.DataFrame) -> list[str]:
    """The teams of these names, base first; all without any. Raises `InputError` for an unknown one."""
    known = [BASE, *(one.name for one in team.fold_teams(split))]
    for name in names:
        if name not in known:
            raise InputError(f"--team {name}: is none of {', '.join(known)}")
    return [name for name in known if name in names or not names]


def train_base(
    images: Sequence[TrainingImage],
    config: BaselineConfig,
    folds: Path,
    device: str | Devices,
    replace: bool,
    say: Callable[[str], None],
) -> None:
    """Train the base model on simulated scenes; arguments as in `training.train_teams`."""
    say(
        train_stage(
            BASELINE, images, config, weights(folds / BASE), -1, 0, folds / artefact.WORK, None, device, replace
        )
    )


def train_folds(
    scenes: Sequence[SceneFiles | ScenePair],
    split: pd.DataFrame,
    names: Sequence[str],
    config: BaselineConfig,
    folds: Path,
    device: str | Devices,
    replace: bool,
    say: Callable[[str], None],
    store: ImageStore | None = None,
) -> None:
    """Train the folds' teams of these names on labelled scenes; from the base model on, where
    there is one of the same size."""
    start = weights(folds / BASE)
    if start.is_file() and _sizes(config_of(artefact.read_manifest(start), BASELINE)) == _sizes(config):
        config = config.fine_tuned()
    else:
        start = None
    if names:
        training.train_teams(
            lambda _: BASELINE, scenes, split, folds, config, list, start, device, replace, say, names, store
        )


def found(folds: Path) -> dict[str, list[Path]]:
    """The folds' teams that have weights, by name."""
    return {path.parent.name: [path] for path in sorted(folds.glob(f"[0-9]*/{BASELINE.file}"))}


def judges(pair: ScenePair, folds: Path, names: Sequence[str] = ()) -> list[Path]:
    """Folders of the teams that register a pair: those of these names, or without any all that may judge it.

    Raises:
        InputError: there is none, or every one saw the scene.
    """
    if names:
        return [team.folder_of(name, folds) for name in names]
    trained = found(folds)
    if not trained:
        raise InputError(f"{folds}: {UNTRAINED}")
    unseen = team.unseen_by(pair, folds, trained)
    if not unseen:
        raise InputError(
            f"scene {pair.name}: every team that could judge it was trained on it, or the one that holds it out has no {BASELINE.file}"
        )
    return [folds / name for name in unseen]


def weights(team: Path) -> Path:
    """The weights in a team's folder."""
    return team / BASELINE.file


def _sizes(config: BaselineConfig) -> list:
    return [getattr(config, name) for name in config.SIZES]
