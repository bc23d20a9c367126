"""Candidates of every team for the scenes that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from solution.core import artefact
from solution.core.code import code_digest
from solution.core.devices import torch_device
from solution.core.progress import Progress
from solution.data.scene import ScenePair, without_labels
from solution.field import candidates
from solution.teams import stamps
from solution.teams.propose import Networks, Proposing, ProposingVoice
from solution.teams.team import aoi_teams, fold_teams
from solution.teams.voice import Voice

LABEL_RADIUS_PX = 16.0  # a candidate this near to a tie-point is judged by it
CANDIDATES = "candidates.parquet"


def propose_out_of_fold(
    pairs: Sequence[ScenePair],
    split: pd.DataFrame,
    folds: Path,
    config: Proposing,
    device: str,
    progress: Progress | None,
    say: Callable[[str], None],
) -> None:
    """Every team proposes for the scenes that it never saw; one table per team, with errors where there are labels.

    Raises:
        InputError: weights of any of these teams are missing or damaged, before anything is proposed; or they saw a scene.
    """
    jobs = [
        (team, Voice((folds / team.name,)), scenes)
        for team in [*fold_teams(split), *aoi_teams(split)]
        if (scenes := [pair for pair in pairs if pair.name in team.held_out])
    ]
    seen = [[artefact.read_manifest(path) for path in config.weights(voice)] for _, voice, _ in jobs]
    for (team, voice, scenes), manifests in zip(jobs, seen, strict=True):
        out = folds / team.name / CANDIDATES
        made_from = {
            "code": proposing_code(),
            "scenes": {pair.name: stamps.scene_facts(pair) for pair in scenes},
            "proposing": config.facts(voice),
        }
        if stamps.is_current(folds, team.name, made_from, out):
            say(f"propose {team.name}: {out} is up to date, skipped")
            continue
        at_work, tables = ProposingVoice(voice, config, Networks(torch_device(device)), progress), []
        for pair in scenes:
            for manifest in manifests:
                manifest.guard_held_out(pair.name)
            table = at_work.propose(without_labels(pair))
            tables.append(candidates.label(table, pair.tiepoints(), LABEL_RADIUS_PX))
        stamps.forget(folds, team.name)
        candidates.write(out, candidates.concat(tables))
        stamps.note(folds, team.name, made_from, out)
        say(f"propose {team.name}: {sum(map(len, tables))} candidates for {', '.join(pair.name for pair in scenes)}")


def proposing_code() -> str:
    """Digest of the code that makes the tables."""
    return code_digest(propose_out_of_fold)
