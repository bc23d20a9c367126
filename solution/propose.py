"""All that a team proposes for a scene: flow first, and around its field the matches on SAR and on translated SAR."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from solution import candidates, offsets
from solution.artefact import Manifest
from solution.config import MatchingConfig, PyramidConfig
from solution.errors import InputError
from solution.matching import propose_match
from solution.offsets import Fit
from solution.pyramid import Progress, propose_flow
from solution.scene import ScenePair
from solution.train import FLOW, MATCHER, TRANSLATOR, Stage, load_stage
from solution.translator import translate

_NEEDS = {"flow": (FLOW,), "match": (MATCHER,), "match_translated": (MATCHER, TRANSLATOR)}


@dataclass(frozen=True)
class Proposing:
    """How teams propose.

    Attributes:
        sources: which ones, of `candidates.SOURCES`; none = all that a team has the weights for.
        finest: finest level; None chooses by the scene's size.
        pyramid: of the flow regressor.
        matching: of the matcher.
    """

    sources: tuple[str, ...] = ()
    finest: int | None = None
    pyramid: PyramidConfig = field(default_factory=PyramidConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)

    def __post_init__(self) -> None:
        unknown = [source for source in self.sources if source not in _NEEDS]
        if unknown:
            raise InputError(f"--source {unknown[0]}: is none of {', '.join(_NEEDS)}")

    def of_team(self, team: Path) -> list[str]:
        """The sources that a team shall propose from, flow first: the others look around its field."""
        if self.sources:
            return [source for source in _NEEDS if source in self.sources]
        found = [source for source, stages in _NEEDS.items() if all((team / stage.file).is_file() for stage in stages)]
        return found or ["flow"]  # whose weights are then missed by name

    def weights(self, team: Path) -> list[Path]:
        """The files in a team's folder that its sources need."""
        files = dict.fromkeys(stage.file for source in self.of_team(team) for stage in _NEEDS[source])
        return [team / name for name in files]

    def facts(self, team: Path) -> list:
        """All that a team's proposals depend on, besides the scene."""
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing" for path in self.weights(team)}
        return [self.of_team(team), files, self.finest, asdict(self.pyramid), asdict(self.matching)]


class Proposer:
    """One team at work on one scene. Networks are loaded when they are needed, and kept."""

    def __init__(self, team: Path, pair: ScenePair, config: Proposing, device: torch.device, progress: Progress | None = None) -> None:
        self._team, self._pair, self._config, self._device, self._progress = team, pair, config, device, progress
        self._loaded: dict[str, tuple[torch.nn.Module, Manifest]] = {}
        self._field: Fit | None = None

    def propose(self, source: str, flow: pd.DataFrame | None) -> pd.DataFrame:
        """Candidates of one source.

        Args:
            flow: this team's flow candidates, around which the matcher looks; None = geocoding alone.

        Raises:
            InputError: missing or foreign weights.
        """
        pair, config, progress = self._pair, self._config, self._progress
        if source == "flow":
            net, manifest = self._load(FLOW)
            return propose_flow(pair, net, manifest.fold, config.pyramid, config.finest, progress)
        net, manifest = self._load(MATCHER)
        paint = partial(translate, self._load(TRANSLATOR)[0]) if source == "match_translated" else None
        return propose_match(pair, net, manifest.fold, config.matching, self._around(flow), paint, config.finest, progress)

    def _load(self, stage: Stage) -> tuple[torch.nn.Module, Manifest]:
        if stage.name not in self._loaded:
            net, manifest = load_stage(stage, self._team / stage.file)
            self._loaded[stage.name] = net.to(self._device), manifest
        return self._loaded[stage.name]

    def _around(self, flow: pd.DataFrame | None) -> Fit | None:
        """The field of the flow candidates; None where they say nothing, so that the matcher starts from geocoding."""
        if flow is None or flow.empty:
            return None
        if self._field is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # no map is written from it
                self._field = offsets.fit(flow, self._pair.shape)[0]
        return self._field if self._field.kind != "zero" else None


def propose_all(team: Path, pair: ScenePair, config: Proposing, device: torch.device, progress: Progress | None = None) -> pd.DataFrame:
    """Candidates of all sources of a team for one scene."""
    proposer, tables = Proposer(team, pair, config, device, progress), {}
    for source in config.of_team(team):
        tables[source] = proposer.propose(source, tables.get("flow"))
    return candidates.concat(tables.values())
