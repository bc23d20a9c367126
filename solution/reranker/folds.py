"""Rerankers of all teams: the reranker of a team learns from what the other teams proposed for
scenes that they had never seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from solution.core import artefact
from solution.core.code import code_digest
from solution.core.errors import InputError
from solution.core.writing import atomic_path, write_text
from solution.data.finding import discover
from solution.data.scene import ScenePair, without_labels
from solution.field import candidates, fitting
from solution.proposers.every import LEARNED
from solution.reranker.features import candidate_features
from solution.reranker.model import FILE, Labelled, Reranker, RerankerConfig, TooFewRowsError, rank, train
from solution.reranker.report import evaluate, line, save_figure
from solution.reranker.worth import REPORT
from solution.scoring import score
from solution.scoring.submission import map_name
from solution.surface.ground import Ground
from solution.teams.out_of_fold import CANDIDATES, LABEL_RADIUS_PX
from solution.teams.team import BASE, Team, aoi_teams, fold_teams

FIGURE = "reranker.png"


def train_folds(
    pairs: Sequence[ScenePair],
    split: pd.DataFrame,
    folds: Path,
    extra: Sequence[tuple[ScenePair, pd.DataFrame]] = (),
    config: RerankerConfig | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, dict]:
    """Train a reranker for every team and one for the base models, and judge each on the
    scenes that its team holds out.

    The reranker of team k learns from ``folds/j/candidates.parquet`` of the fold teams j, without the
    scenes that k holds out. It is judged on the table that team k itself proposed.
    ``folds/TEAM/reranker.txt`` (with a JSON beside it), ``folds/reranker.json`` and ``folds/reranker.png``
    are written; features are kept below ``folds/.work``. A team for which there are too few labels has no reranker,
    which keeps nothing else from being made: predictions use one only where they are asked to.

    Args:
        pairs: the labelled scenes (others are passed over).
        extra: simulated scenes and their labelled tables, from which all rerankers learn.
        say: gets one line per team.

    Returns:
        Team name -> report, as `evaluate`, or ``rows`` = 0 and ``missing``, why it has no reranker; that of the base models
        saw all scenes and has no report.

    Raises:
        InputError: a missing or unlabelled table.
    """
    labelled = {pair.name: pair for pair in pairs if pair.tiepoints_csv is not None}
    missing = sorted(set(labelled) - set(split["scene"]))
    if missing:
        raise InputError(
            f"scene {missing[0]}: is not in the split; make it anew with: python -m solution split DATA_DIR"
        )
    tables = _LabelledTables(labelled, folds)
    of_fold_teams = [scene for team in fold_teams(split) for scene in tables.of_team(team)]
    # Simulated scenes are not the labelled scenes whose names they may bear.
    shared = [
        replace(tables.labelled(pair, table), scene=f"{pair.optical.parent.name}/{pair.name}") for pair, table in extra
    ]
    reports = {}
    for team in [*fold_teams(split), *aoi_teams(split)]:
        seen = [scene for scene in of_fold_teams if scene.scene not in team.held_out]
        try:
            reranker = _trained([*seen, *shared], team.number, folds / team.name, config)
        except TooFewRowsError as error:
            reports[team.name] = {"rows": 0, "missing": str(error)}
            say(_without(error))
            continue
        reports[team.name] = evaluate(reranker, tables.of_team(team))
        say(f"reranker {team.name}: {line(reports[team.name])}")
    try:
        base = _trained([*of_fold_teams, *shared], -1, folds / BASE, config)
        say(f"reranker {BASE}: trained on {', '.join(base.manifest.trained_on)}")
    except TooFewRowsError as error:
        say(_without(error))
    write_text(folds / REPORT, json.dumps(reports, indent=1) + "\n")
    save_figure(folds / FIGURE, reports)
    return reports


def predicted_tables(data: Path, maps: Path) -> list[tuple[ScenePair, pd.DataFrame]]:
    """Labelled scenes of a folder, and the candidates that a prediction left beside their maps.

    Only those of the first team, since every scene counts once.

    Raises:
        InputError: no such scene.
    """
    found = []
    for pair in (pair for pair in discover(data) if pair.tiepoints_csv is not None):
        path = Path(maps) / f"{Path(map_name(pair.name)).stem}.candidates.parquet"
        if path.is_file():
            table = candidates.read(path)
            table = (
                table[table["fold"] == table["fold"].min()].reset_index(drop=True).assign(quality=np.nan, outlier="")
            )
            found.append((pair, candidates.label(table, pair.tiepoints(), LABEL_RADIUS_PX)))
    if not found:
        raise InputError(
            f"{maps}: holds no candidates of a labelled scene of {data}; make them with: python -m solution predict {data} --all --out {maps}"
        )
    return found


def map_errors(
    pairs: Sequence[ScenePair], split: pd.DataFrame, folds: Path, say: Callable[[str], None] = print
) -> dict[str, dict[str, dict[str, float]]]:
    """What the rerankers are worth in the end: mean error of the out-of-fold map, px, by team, by
    scene and by what the fit goes by; nothing for teams without one.

    ``confidence``: the proposers' own; ``reranker``: without what the team's reranker gives less than even odds;
    ``oracle``: without what is known to be wrong.
    """
    found = {}
    for team in (team for team in fold_teams(split) if (folds / team.name / FILE).is_file()):
        table, reranker = candidates.read(folds / team.name / CANDIDATES), Reranker.load(folds / team.name / FILE)
        for pair in (pair for pair in pairs if pair.name in team.held_out and pair.tiepoints_csv is not None):
            rows = table[table["scene"] == pair.name].reset_index(drop=True)
            wrong = rows["error_px"] > reranker.config.tau_px
            ground = Ground.of(without_labels(pair))
            judged = rank(without_labels(pair), rows, reranker, held_out=True, ground=ground)
            ways = {"confidence": rows, "reranker": judged, "oracle": rows[~wrong]}
            errors = {way: _map_error(pair, chosen, ground) for way, chosen in ways.items()}
            found.setdefault(team.name, {})[pair.name] = errors
            say(f"{pair.name}: map error " + ", ".join(f"{way} {error:.3f}" for way, error in errors.items()) + " px")
    return found


def _map_error(pair: ScenePair, table: pd.DataFrame, ground: Ground) -> float:
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    field = fitting.quiet_fit(table, pair.shape, pair.gsd_m, ground.moves(table))
    return float(score.distances_px(field.shift_at(truth.xy), truth).mean())


def _trained(scenes: Sequence[Labelled], number: int, folder: Path, config: RerankerConfig | None) -> Reranker:
    """Train and keep one; where that cannot be, none from before is left to be taken for it."""
    try:
        reranker = train(scenes, number, config)
    except TooFewRowsError:
        Reranker.remove(folder / FILE)
        raise
    reranker.save(folder / FILE)
    return reranker


def _without(error: TooFewRowsError) -> str:
    return f"WARNING: {error}; until then --rerank refuses its team"


class _LabelledTables:
    """Labelled out-of-fold candidates with their features, which are computed once and kept."""

    def __init__(self, pairs: dict[str, ScenePair], folds: Path) -> None:
        self._pairs, self._folds = pairs, folds
        self._tables: dict[str, list[Labelled]] = {}

    def of_team(self, team: Team) -> list[Labelled]:
        """The scenes that a team holds out."""
        if team.name not in self._tables:
            path = self._folds / team.name / CANDIDATES
            table, pairs = candidates.read(path), [self._pairs[name] for name in team.held_out if name in self._pairs]
            parts = [(pair, table[table["scene"] == pair.name].reset_index(drop=True)) for pair in pairs]
            for pair, part in parts:
                if part["error_px"].isna().all():
                    raise InputError(
                        f"{path}: has no labelled candidate of scene {pair.name}; make it anew with the propose stage"
                    )
            self._tables[team.name] = [self.labelled(pair, part) for pair, part in parts]
        return self._tables[team.name]

    def labelled(self, pair: ScenePair, table: pd.DataFrame) -> Labelled:
        """One scene's labelled rows of learned sources; only they need features, while all rows of these
        sources are their neighbours."""
        table = table[table["source"].isin(LEARNED)].reset_index(drop=True)
        facts = [code_digest(candidate_features), pair.fingerprint(), _digest(table)]
        kept = self._folds / artefact.WORK / f"features_{pair.name}_{artefact.digest(facts)}.parquet"
        if kept.is_file():
            features = pq.read_table(kept).to_pandas()
        else:
            features = candidate_features(pair, table, table["error_px"].notna().to_numpy())
            with atomic_path(kept) as temporary:
                pq.write_table(pa.Table.from_pandas(features, preserve_index=False), temporary)
        return Labelled.of(table, features, pair.tiepoints(), pair.shape)


def _digest(table: pd.DataFrame) -> str:
    return hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()
