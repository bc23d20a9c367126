"""The methods of the benchmark: each gets a `Task` and returns index shifts at its positions.

Heavy libraries are imported by the method that needs them, so that the seconds and the memory of a cell are the
method's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from solution.baseline import UNTRAINED
from solution.benchmark import peers
from solution.core.code import code_digest
from solution.core.geometry import affine_of_shifts
from solution.data.scene import ScenePair
from solution.proposers.every import LEARNED
from solution.scoring.score import Reference, predicted_shift

if TYPE_CHECKING:
    from solution.products.settings import Settings

REQUIREMENTS = "requirements-benchmark.txt"
_MEASURING = ("benchmark.methods", "benchmark.cell")


@dataclass(frozen=True)
class Task:
    """What a method gets.

    Attributes:
        pair: the scene, without its labels.
        truth: the scored pixels; the shifts in it are NaN, but for a method that is meant to see the labels.
        folds: folder of the teams.
        teams: names of those that may judge the scene.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        work: an empty folder that is removed afterwards.
    """

    pair: ScenePair
    truth: Reference
    folds: Path
    teams: tuple[str, ...]
    device: str
    work: Path

    @property
    def xy(self) -> np.ndarray:
        """(N, 2) optical index of the scored pixels, float64."""
        return self.truth.xy

    def settings(self) -> Settings:
        """How the teams predict."""
        from solution.products.settings import Settings

        return Settings(self.folds, self.device, teams=self.teams)


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        run: task -> index shifts (N, 2) in optical px at `Task.xy`.
        starts: modules of this package that decide what the method gives, with all that they import: a change in one of
            them makes its cells stale.
        package: distribution that it needs beyond the product's own.
        sees_labels: whether the truth's shifts are shown to it.
        teams: folder of the teams -> the weights that each brings, by its name; None for a method that takes none.
        untrained: what to do where there are none.
    """

    run: Callable[[Task], np.ndarray]
    starts: tuple[str, ...] = ()
    package: str | None = None
    sees_labels: bool = False
    teams: Callable[[Path], dict[str, list[Path]]] | None = None
    untrained: str = ""

    def code(self) -> str:
        """Digest of this file, of the measuring process, and of all that the score and `starts` reach: rather too much
        than too little."""
        return code_digest("scoring.score", *self.starts, alone=_MEASURING)

    def package_version(self) -> str | None:
        """Version of `package`; None where it is not installed, or none is needed."""
        try:
            return version(self.package) if self.package else None
        except PackageNotFoundError:
            return None

    def missing(self) -> str:
        """What to do before it can be run; empty where it can be."""
        return (
            f"not installed: pip install -r {REQUIREMENTS}" if self.package and self.package_version() is None else ""
        )


def _zero(task: Task) -> np.ndarray:
    return np.zeros_like(task.xy)


def _affine(task: Task) -> np.ndarray:
    return affine_of_shifts(task.xy, task.truth.shift)


def _source(source: str, task: Task) -> pd.DataFrame:
    """What the teams propose from one source; the matcher looks around the flow field, as it does in the pipeline."""
    from solution.core.devices import torch_device
    from solution.field import candidates
    from solution.teams.propose import Networks, Proposing, ProposingVoice

    settings, tables = task.settings(), []
    networks = Networks(torch_device(settings.device))
    config = Proposing(sources=tuple(dict.fromkeys(("flow", source))))
    for voice in settings.voices:
        table = ProposingVoice(voice, config, networks).propose(task.pair)
        tables.append(table[table["source"] == source])
    return candidates.concat(tables)


PROPOSERS: dict[str, Callable[[Task], pd.DataFrame]] = {source: partial(_source, source) for source in LEARNED}
"""A source of `every.LEARNED` -> what it alone proposes for a scene."""


def _alone(proposer: Callable[[Task], pd.DataFrame], task: Task) -> np.ndarray:
    """The field that is fitted to one proposer's candidates, as in the pipeline."""
    from solution.field import fitting
    from solution.surface.ground import Ground

    table = proposer(task)
    fit, _ = fitting.fit(table, task.pair.shape, task.pair.gsd_m, moving=Ground.of(task.pair).moves(table))
    return fit.shift_at(task.xy)


def _pipeline(task: Task) -> np.ndarray:
    """What `predict` writes, read as the scorer reads it."""
    from solution.products.predict import predict_pair

    out = task.work / "map.tif"
    predict_pair(task.pair, out, task.settings())
    return predicted_shift(out, task.truth)


def _baseline(task: Task) -> np.ndarray:
    """The affine of the challenge paper's baseline."""
    from solution.baseline.registration import register

    folders = [task.folds / name for name in task.teams]
    return register(task.pair, folders, task.device)[0].shift_at(task.xy)


def pipeline_teams(folds: Path) -> dict[str, list[Path]]:
    """Raises `InputError` where there is no team."""
    from solution.products.settings import Settings
    from solution.teams.propose import Proposing
    from solution.teams.voice import each

    return {voice.name: Proposing().weights(voice) for voice in each(Settings(folds).folders())}


def _baseline_teams(folds: Path) -> dict[str, list[Path]]:
    from solution.baseline import teams

    return teams.found(folds)


def by_peer(register: peers.Register, largest_px: int, task: Task) -> np.ndarray:
    """Give a peer the finest level whose longer side has no more than `largest_px`. It sees the apparent shift; the map
    holds that of indices."""
    level = peers.read_level(task.pair, -(-max(task.pair.shape) // largest_px))
    return register(level, task.xy) - task.pair.centre_offset_px


def _template(task: Task) -> np.ndarray:
    from solution.benchmark import template

    return template.register(task.pair, task.xy)


_PROPOSED = ("teams.propose", "field.fitting", "field.candidates", "surface.ground")
_PEERS = ("benchmark.peers",)

METHODS: dict[str, Method] = {
    "zero": Method(_zero),
    "affine": Method(_affine, ("core.geometry",), sees_labels=True),
    **{
        source: Method(partial(_alone, proposer), _PROPOSED, teams=pipeline_teams)
        for source, proposer in PROPOSERS.items()
    },
    "pipeline": Method(_pipeline, ("products.predict",), teams=pipeline_teams),
    "baseline": Method(_baseline, ("baseline.registration",), teams=_baseline_teams, untrained=UNTRAINED),
    "template": Method(_template, ("benchmark.template",)),
    # Beyond these sizes the first needs minutes and the second, direct convolutions in numpy, the better part of an
    # hour.
    "simpleitk": Method(partial(by_peer, peers.simpleitk, 2000), _PEERS, package="SimpleITK"),
    "gefolki": Method(partial(by_peer, peers.gefolki, 1024), _PEERS, package="gefolki"),
}
"""Name of a row -> its method, in the order of the table."""
