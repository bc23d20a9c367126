"""All that a team proposes for a scene: flow first, around its field the matches on SAR and on translated SAR, and around the field of all these gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path

import pandas as pd
import torch

from solution.core.artefact import Manifest, file_hash
from solution.core.errors import InputError
from solution.core.progress import Progress
from solution.data.scene import ScenePair
from solution.field import candidates, fitting
from solution.field.fitting import Fit
from solution.proposers.flow.pyramid import PyramidConfig, propose_flow
from solution.proposers.gradient.windows import GradientConfig, propose_gradient
from solution.proposers.matcher.matching import MatchingConfig, propose_match
from solution.proposers.translator.network import translate
from solution.training.stage import Stage
from solution.training.stages import FLOW, MATCHER, TRANSLATOR, load_stage

_NEEDS = {"flow": (FLOW,), "match": (MATCHER,), "match_translated": (MATCHER, TRANSLATOR), "gradient": ()}


@dataclass(frozen=True)
class Proposing:
    """How teams propose.

    Attributes:
        sources: which ones, of `candidates.SOURCES`; none = all that a team has the weights for.
        finest: finest level; None chooses by the scene's size.
        pyramid: of the flow regressor.
        matching: of the matcher.
        template: of the gradients.
    """

    sources: tuple[str, ...] = ()
    finest: int | None = None
    pyramid: PyramidConfig = field(default_factory=PyramidConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    template: GradientConfig = field(default_factory=GradientConfig)

    def __post_init__(self) -> None:
        unknown = [source for source in self.sources if source not in _NEEDS]
        if unknown:
            raise InputError(f"--source {unknown[0]}: is none of {', '.join(_NEEDS)}")
        if self.sources and not set(self.sources) & set(candidates.LEARNED):
            raise InputError("--source gradient: looks around what others found; add --source flow or --source match")

    def of_team(self, team: Path) -> list[str]:
        """The sources that a team shall propose from, flow first: the others look around its field."""
        if self.sources:
            return [source for source in _NEEDS if source in self.sources]
        found = [source for source, stages in _NEEDS.items() if all((team / stage.file).is_file() for stage in stages)]
        return found if set(found) & set(candidates.LEARNED) else ["flow"]  # whose weights are then missed by name

    def weights(self, team: Path) -> list[Path]:
        """The files in a team's folder that its sources need."""
        files = dict.fromkeys(stage.file for source in self.of_team(team) for stage in _NEEDS[source])
        return [team / name for name in files]

    def facts(self, team: Path) -> list:
        """All that a team's proposals depend on, besides the scene."""
        files = {path.name: file_hash(path) if path.is_file() else "missing" for path in self.weights(team)}
        return [self.of_team(team), files, self.finest, asdict(self.pyramid), asdict(self.matching), asdict(self.template)]


Through = Callable[[str, Callable[[], pd.DataFrame]], pd.DataFrame]
"""A source and what makes its table -> the table."""


def _made(source: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    return make()


class Proposer:
    """One team at work. Networks are loaded when they are needed, and kept."""

    def __init__(self, team: Path, config: Proposing, device: torch.device, progress: Progress | None = None) -> None:
        self._team, self._config, self._device, self._progress = team, config, device, progress
        self._loaded: dict[str, tuple[torch.nn.Module, Manifest]] = {}

    def propose(self, pair: ScenePair, through: Through = _made) -> pd.DataFrame:
        """Candidates of all the team's sources for one scene.

        Args:
            through: every source's table goes through it, in order; it may keep tables, or have kept some.

        Raises:
            InputError: missing or foreign weights.
        """
        tables: dict[str, pd.DataFrame] = {}
        flow = cache(lambda: _field(pair, tables.get("flow")))
        every = cache(lambda: _field(pair, candidates.concat(tables.values())))
        for source in self._config.of_team(self._team):
            tables[source] = through(source, partial(self._one, pair, source, every if source == "gradient" else flow))
        return candidates.concat(tables.values())

    def _one(self, pair: ScenePair, source: str, around: Callable[[], Fit | None]) -> pd.DataFrame:
        config, progress = self._config, self._progress
        if source == "flow":
            net, manifest = self._load(FLOW)
            return propose_flow(pair, net, manifest.fold, config.pyramid, config.finest, progress)
        if source == "gradient":
            _, manifest = self._load(FLOW if "flow" in config.of_team(self._team) else MATCHER)
            return propose_gradient(pair, manifest.fold, config.template, around, self._device, config.finest, progress)
        net, manifest = self._load(MATCHER)
        paint = partial(translate, self._load(TRANSLATOR)[0]) if source == "match_translated" else None
        return propose_match(pair, net, manifest.fold, config.matching, around(), paint, config.finest, progress)

    def _load(self, stage: Stage) -> tuple[torch.nn.Module, Manifest]:
        if stage.name not in self._loaded:
            net, manifest = load_stage(stage, self._team / stage.file)
            self._loaded[stage.name] = net.to(self._device), manifest
        return self._loaded[stage.name]


def _field(pair: ScenePair, table: pd.DataFrame | None) -> Fit | None:
    """The field of candidates; None where they say nothing, so that the matcher starts from geocoding."""
    if table is None or table.empty:
        return None
    field = fitting.quiet_fit(table, pair.shape, pair.gsd_m)
    return field if field.kind != "zero" else None
