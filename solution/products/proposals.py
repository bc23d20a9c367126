"""What the teams propose for one scene; finished parts are kept, so that a killed run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from solution.core.devices import torch_device
from solution.core.progress import Progress
from solution.core.stopwatch import Stopwatch
from solution.data.scene import ScenePair
from solution.field import candidates
from solution.field.contrast import Contrast
from solution.field.shiftfield import Fit
from solution.products.settings import Settings
from solution.proposers.runtimes.every import runtime
from solution.reranker.model import Reranker, rank
from solution.surface.ground import Ground
from solution.teams.propose import JointField, Networks, ProposingVoice
from solution.teams.voice import Voice

RUNTIMES = "runtimes"
"""Name of the folder, in a folder of unfinished work, that keeps what runtimes other than torch run."""


def networks_of(settings: Settings, work: Path) -> Networks:
    """What a prediction takes, not loaded yet.

    Args:
        work: folder that lies beside the map and outlives the run.

    Raises:
        InputError: the device or the runtime is not there.
    """
    device = torch_device(settings.device)
    return Networks(device, runtime(settings.runtime, device, work / RUNTIMES))


@dataclass(frozen=True)
class Proposals:
    """The teams' candidates for one scene, source by source; what an earlier run left in `work` is kept.

    Attributes:
        ground: what the SAR image shows.
        work: folder of finished parts.
        networks: what other scenes were predicted with in this process; None = loaded for this one alone.
    """

    pair: ScenePair
    ground: Ground
    settings: Settings
    work: Path
    watch: Stopwatch
    progress: Progress | None
    say: Callable[[str], None]
    networks: Networks | None = None

    def of_voice(self, voice: Voice, judge: Reranker | None) -> pd.DataFrame:
        """A voice's candidates, judged by its reranker if there is one."""
        at_work = ProposingVoice(voice, self.settings.proposing, self._networks, self.progress, self._field)
        table = at_work.propose(self.pair, partial(self._kept, voice.name))
        if judge is None or table.empty:
            return table
        return self._kept(voice.name, "rerank", lambda: rank(self.pair, table, judge, ground=self.ground))

    def detailed(self, fit: Fit) -> Fit:
        """A fit of the candidates, with the detail that the flow's features see."""
        with self.watch.part("detail"):
            return self._field.detailed(self.pair, fit)

    def contrast(self) -> Contrast:
        """What any map of the scene can be judged by, whatever sources made it."""
        with self.watch.part("evidence"):
            return self._field.contrast(self.pair)

    @cached_property
    def _field(self) -> JointField:
        """All voices find one field together."""
        return JointField(self.settings.voices, self.settings.proposing, self._networks, self.progress)

    @cached_property
    def _networks(self) -> Networks:
        return self.networks or networks_of(self.settings, self.work.parent)

    def _kept(self, voice: str, source: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        part = self.work / f"{source}_{voice}.parquet"
        with self.watch.part(source):
            if part.is_file():
                self.say(f"{self.pair.name}: team {voice} proposed ({source}) before the run was stopped, kept")
            else:
                candidates.write(part, make())
            return candidates.read(part)
