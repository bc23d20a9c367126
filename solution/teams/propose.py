"""All that a team proposes for a scene: flow around the scene's joint field, around the field of that the matches on SAR
and on translated SAR, and around the field of all these gradients.

Which proposers there are, and in which order they work, is said in `solution.proposers.every`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from solution.core.artefact import file_hash
from solution.core.errors import InputError
from solution.core.progress import Progress
from solution.data.scene import ScenePair
from solution.field import candidates, fitting
from solution.field.fitting import Fit
from solution.proposers import every
from solution.proposers.families import COARSE, FAMILIES, FLOW, FLOW_HEAD, Family, load_family
from solution.proposers.proposer import Context, Proposer
from solution.proposers.warped import finest_level
from solution.teams.voice import Voice

if TYPE_CHECKING:
    from solution.field.contrast import Contrast
    from solution.proposers.flow.search import Search
    from solution.proposers.flow.settings import FineConfig
    from solution.proposers.runtimes.runtime import Features, Runtime


COARSEST = 8
"""The coarsest level that may be asked for as the finest one."""


@dataclass(frozen=True)
class Proposing:
    """How teams propose.

    Attributes:
        sources: names of the proposers that shall work; none = those that work by default and that a team has the
            weights for.
        finest: finest level; None chooses by the scene's size.
        proposers: those there are, with their settings, in the order in which they work; the first is learned and looks
            for itself.
    """

    sources: tuple[str, ...] = ()
    finest: int | None = None
    proposers: tuple[Proposer, ...] = field(default_factory=lambda: every.PROPOSERS)

    def __post_init__(self) -> None:
        if self.finest is not None and not 1 <= self.finest <= COARSEST:
            raise InputError(f"finest level {self.finest}: is none of 1 (every pixel) to {COARSEST}")
        names = [proposer.name for proposer in self.proposers]
        unknown = [source for source in self.sources if source not in names]
        if unknown:
            raise InputError(f"--source {unknown[0]}: is none of {', '.join(names)}")
        if self.sources and not any(proposer.learned for proposer in self._wanted()):
            raise InputError(
                f"--source {self.sources[0]}: looks around what others found; add --source flow or --source match"
            )

    def of_voice(self, voice: Voice) -> list[str]:
        """The sources that a voice shall propose from, in order."""
        return [proposer.name for proposer in self.at_work(voice)]

    def at_work(self, voice: Voice) -> list[Proposer]:
        """The proposers that shall work for a voice, in order: those asked for, or those that work by default and that it
        has the weights for."""
        if self.sources:
            return self._wanted()
        found = [proposer for proposer in self._wanted() if voice.has(proposer.needs)]
        # Without a learned one, the first, whose weights are then missed by name.
        return found if any(proposer.learned for proposer in found) else [self.proposers[0]]

    def _wanted(self) -> list[Proposer]:
        """Those asked for, or those that work by default."""
        if self.sources:
            return [proposer for proposer in self.proposers if proposer.name in self.sources]
        return [proposer for proposer in self.proposers if proposer.by_default]

    def families(self) -> list[str]:
        """Names of the families of networks that may be needed."""
        return _needed(self._wanted())

    def weights(self, voice: Voice) -> list[Path]:
        """The files that a voice's proposers need, and what their maps are judged by, the coarse features."""
        families = dict.fromkeys([*_needed(self.at_work(voice)), COARSE.name])
        return [path for family in families for path in voice.weights(family)]

    def facts(self, voice: Voice) -> list:
        """All that a voice's proposals depend on, besides the scene."""
        files = {
            f"{path.parent.name}/{path.name}": file_hash(path) if path.is_file() else "missing"
            for path in self.weights(voice)
        }
        return [files, self.finest, [(proposer.name, asdict(proposer.settings)) for proposer in self.at_work(voice)]]


def _needed(proposers: Iterable[Proposer]) -> list[str]:
    """Names of the families of networks that proposers need, each once."""
    return list(dict.fromkeys(family for proposer in proposers for family in proposer.needs))


Through = Callable[[str, Callable[[], pd.DataFrame]], pd.DataFrame]
"""A source and what makes its table -> the table."""


def _made(source: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    return make()


class Networks:
    """What teams predict with, on one device; loaded when it is needed, and kept. Raises `InputError` for missing or
    foreign weights."""

    def __init__(self, device: torch.device, runtime: Runtime | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            runtime: computes the features; None = torch, on the device.
        """
        self.device = device
        self._runtime = runtime
        self._voices: dict[tuple[Voice, str], torch.nn.Module] = {}
        self._frozen: dict[tuple[str, Voice | None], torch.nn.Module] = {}
        self._coarse: dict[Voice, Features] = {}

    def of(self, voice: Voice, family: str) -> torch.nn.Module:
        """A voice's network of a family, by that family's name; ready to predict and nothing else."""
        if (voice, family) not in self._voices:
            self._voices[voice, family] = self._loaded(FAMILIES[family], voice.weights(family)).to(self.device)
        return self._voices[voice, family]

    def coarse(self, voice: Voice) -> Features:
        """A voice's coarse features."""
        if voice not in self._coarse:
            self._coarse[voice] = self._coarse_features(voice)
        return self._coarse[voice]

    def _loaded(self, kind: Family, weights: Sequence[Path]) -> torch.nn.Module:
        if self._runtime is not None and kind is FLOW:
            net = load_family(FLOW_HEAD, weights)
            net.encoder = self._runtime.features(FLOW, weights)
            return net
        net = load_family(kind, weights)
        if kind.prepare is not None:
            kind.prepare(net)
        return net

    def _coarse_features(self, voice: Voice) -> Features:
        if self._runtime is not None:
            return self._runtime.features(COARSE, voice.weights(COARSE.name))
        from solution.proposers.coarse.network import CoarseFeatures

        head = self.of(voice, COARSE.name)
        trunk = (head.config.trunk, voice if head.config.holds_trunk else None)
        if trunk not in self._frozen:
            self._frozen[trunk] = head.frozen().to(self.device)
        return CoarseFeatures(self._frozen[trunk], head)


class ProposingVoice:
    """A voice at work."""

    def __init__(
        self,
        voice: Voice,
        config: Proposing,
        networks: Networks,
        progress: Progress | None = None,
        field: Callable[[ScenePair], Fit] | None = None,
    ) -> None:
        """One voice.

        Args:
            field: gives the joint field of a scene; None = the voice finds its own.
        """
        self._voice, self._config, self._networks, self._progress = voice, config, networks, progress
        self._field = field or JointField((voice,), config, networks, progress)

    def propose(self, pair: ScenePair, through: Through = _made) -> pd.DataFrame:
        """Candidates of all the voice's sources for one scene.

        Args:
            through: every source's table goes through it, in order; it may keep tables, or have kept some.

        Raises:
            InputError: missing or foreign weights.
        """
        tables: dict[str, pd.DataFrame] = {}
        leading = cache(lambda: _field(pair, tables.get(self._config.proposers[0].name)))

        def all_before() -> Fit | None:
            return _field(pair, candidates.concat(tables.values()))

        for proposer in self._config.at_work(self._voice):
            around = leading if proposer.learned else all_before
            tables[proposer.name] = through(proposer.name, partial(self._one, proposer, pair, around))
        return candidates.concat(tables.values())

    def _one(self, proposer: Proposer, pair: ScenePair, around: Callable[[], Fit | None]) -> pd.DataFrame:
        config = self._config
        family = _needed([proposer, *config.at_work(self._voice)])[0]
        fold, load = self._voice.fold(family), partial(self._networks.of, self._voice)
        field, device = partial(self._field, pair), self._networks.device
        return proposer.propose(Context(pair, fold, device, load, field, around, config.finest, self._progress))


class JointField:
    """The joint field of a scene by the evidence of some voices; found once, when it is first asked for. And what they
    see of the error of any other field."""

    def __init__(
        self, voices: Sequence[Voice], config: Proposing, networks: Networks, progress: Progress | None = None
    ) -> None:
        self._voices, self._config, self._networks, self._progress = tuple(voices), config, networks, progress
        self._searches: dict[str, Search] = {}

    def __call__(self, pair: ScenePair) -> Fit:
        """Raises `InputError` for missing or foreign weights."""
        return self._of(pair).field

    def contrast(self, pair: ScenePair) -> Contrast:
        """What any map of the scene can be judged by. Raises `InputError` for missing or foreign weights."""
        return self._of(pair).contrast

    def detailed(self, pair: ScenePair, fit: Fit) -> Fit:
        """A fit with the detail that the flow of those voices sees from which flow is wanted.

        Raises:
            InputError: missing or foreign weights.
        """
        from solution.proposers.flow.detail import detailed

        nets = [
            self._networks.of(voice, FLOW.name) for voice in self._voices if FLOW.name in self._config.of_voice(voice)
        ]
        finest = finest_level(pair.shape, self._config.finest)
        return detailed(fit, pair, nets, self._settings.detail, finest, self._progress, self._networks.device)

    @property
    def _settings(self) -> FineConfig:
        return next(proposer.settings for proposer in self._config.proposers if proposer.name == FLOW.name)

    def _of(self, pair: ScenePair) -> Search:
        from solution.proposers.flow.search import Search

        if pair.name not in self._searches:
            coarse = [self._networks.coarse(voice) for voice in self._voices]
            finest, search = finest_level(pair.shape, self._config.finest), self._settings.search
            self._searches[pair.name] = Search(pair, coarse, search, finest, self._progress, self._networks.device)
        return self._searches[pair.name]


def _field(pair: ScenePair, table: pd.DataFrame | None) -> Fit | None:
    """The field of candidates; None where they say nothing, so that the matcher starts from geocoding."""
    if table is None or table.empty:
        return None
    field = fitting.quiet_fit(table, pair.shape, pair.gsd_m)
    return field if field.kind != "zero" else None
