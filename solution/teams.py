"""Teams: the models of a fold, what they may see, their out-of-fold candidates, and the score of those.

A team is named by its folder below ``folds/``: ``0``, ``1``, ... hold one fold of the split out; ``aoi_02`` holds a whole AOI out and serves
the leave-one-AOI-out score alone, where no fold's team already does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from solution import artefact, candidates, offsets, score
from solution.config import TileConfig
from solution.errors import InputError
from solution.geometry import affine_of_shifts
from solution.propose import Proposing, propose_all
from solution.pyramid import Progress
from solution.scene import ScenePair, without_labels
from solution.tiles import Source, scene_source
from solution.train import Stage, torch_device, train_stage

BASE = Path("base")
FLOW = "flow.safetensors"
CANDIDATES = "candidates.parquet"
SCORES = "score.json"
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


def train_teams(
    stage_of: Callable[[Path], Stage],
    pairs: Sequence[ScenePair],
    split: pd.DataFrame,
    folds: Path,
    config: TileConfig,
    extra: Callable[[], Sequence[Source]],
    init: Path | None,
    device: str,
    replace: bool,
    say: Callable[[str], None],
    only: Sequence[str] = (),
) -> None:
    """Train one model family for every team.

    Args:
        stage_of: what to train, by the team's folder.
        pairs: the labelled scenes.
        extra: gives the sources that every team may see (simulated scenes, registered pairs).
        init: weights to start from, or None.
        say: gets one line per team.
        only: names of the teams to train; none = all.
    """
    chosen = [*fold_teams(split), *aoi_teams(split)]
    names = [team.name for team in chosen]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise InputError(f"--team {unknown[0]}: is none of {', '.join(names)}")
    labelled = {pair.name: pair for pair in pairs if pair.tiepoints_csv is not None}
    missing = sorted(set(labelled) - set(split["scene"]))
    if missing:
        raise InputError(f"scene {missing[0]}: is not in the split; make it anew with: python -m solution split DATA_DIR")
    shared = list(extra())
    loaded = {name: scene_source(pair) for name, pair in labelled.items()}
    for team in (team for team in chosen if team.name in only or not only):
        sources = [source for name, source in loaded.items() if name not in team.held_out] + shared
        stage = stage_of(folds / team.name)
        out = folds / team.name / stage.file
        say(train_stage(stage, sources, config, out, team.number, 0, folds / ".work", init, device, replace))


def propose_out_of_fold(
    pairs: Sequence[ScenePair],
    split: pd.DataFrame,
    folds: Path,
    config: Proposing,
    device: str,
    progress: Progress | None,
    say: Callable[[str], None],
) -> None:
    """Every team proposes for the scenes that it never saw; one table per team, with errors where there are labels."""
    for team in [*fold_teams(split), *aoi_teams(split)]:
        scenes = [pair for pair in pairs if pair.name in team.held_out]
        folder = folds / team.name
        if not scenes:
            continue
        manifests = [artefact.read_manifest(path) for path in config.weights(folder)]
        out = folder / CANDIDATES
        stamp = folds / ".work" / f"{team.name}_{_propose_key(folder, scenes, config)}.done"
        if out.is_file() and stamp.is_file():
            say(f"propose {team.name}: {out} is up to date, skipped")
            continue
        tables = []
        for pair in scenes:
            for manifest in manifests:
                manifest.guard_held_out(pair.name)
            table = propose_all(folder, without_labels(pair), config, torch_device(device), progress)
            tables.append(candidates.label(table, pair.tiepoints(), 16.0))
        candidates.write(out, candidates.concat(tables))
        artefact.write_text(stamp, "")
        say(f"propose {team.name}: {sum(map(len, tables))} candidates for {', '.join(pair.name for pair in scenes)}")


def _propose_key(team: Path, scenes: Sequence[ScenePair], config: Proposing) -> str:
    """Short hash of all that a team's table depends on."""
    facts = [config.facts(team), [pair.fingerprint() for pair in scenes]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def score_folds(pairs: Sequence[ScenePair], split: pd.DataFrame, folds: Path) -> dict:
    """Out-of-fold scores under both protocols, from the candidate tables alone; also written to ``score.json``.

    Returns:
        {protocol: {scene: {zero_shift_px, affine_on_labels_px, flow_px, ...}, "mean": {...}}}.
    """
    result = {}
    for protocol, by_aoi in (("leave_one_scene_out", False), ("leave_one_aoi_out", True)):
        rows = {}
        for pair in sorted(pairs, key=lambda p: p.name):
            team = team_of(pair.name, split, by_aoi) if pair.tiepoints_csv is not None else None
            if team is not None:
                rows[pair.name] = {"team": team.name, **_score_scene(pair, folds / team.name / CANDIDATES)}
        if rows:
            keys = [key for key in next(iter(rows.values())) if key.endswith("_px")]
            mean = {key: round(float(np.mean([row[key] for row in rows.values()])), 4) for key in keys}
            result[protocol] = {**rows, "mean": {**mean, "leaderboard": round(score.leaderboard(mean["flow_px"]), 3)}}
    if not result:
        raise InputError(f"{folds / SCORES}: there is no labelled scene to score; pass a folder that holds AA_tiepoints_NAME.csv")
    artefact.write_text(folds / SCORES, json.dumps(result, indent=1) + "\n")
    return result


def _score_scene(pair: ScenePair, table_path: Path) -> dict:
    """The map that a table gives, read at the tie-points as the scorer reads it, beside zero shift and the best affine on the labels."""
    table = candidates.read(table_path)
    table = table[table["scene"] == pair.name]
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    where = np.column_stack([truth.cols, truth.rows]).astype(np.float64)
    shift = np.column_stack([truth.dx, truth.dy])
    field, _ = offsets.fit(table, pair.shape, pair.gsd_m)
    errors = {"zero_shift": np.zeros_like(shift), "affine_on_labels": affine_of_shifts(where, shift), "flow": field.shift_at(where)}
    means = {f"{name}_px": round(float(np.mean(np.hypot(*(value - shift).T))), 4) for name, value in errors.items()}
    flow = np.hypot(*(errors["flow"] - shift).T)
    more = {"flow_median_px": round(float(np.median(flow)), 4), "flow_p90_px": round(float(np.percentile(flow, 90)), 4)}
    return {"tiepoints": len(shift), "candidates": len(table), "fit": field.kind, **means, **more}


def show_scores(result: dict, console: Console) -> None:
    """One table per protocol: errors in px, scenes in rows."""
    for protocol, rows in result.items():
        table = Table(title=protocol.replace("_", " ") + " (mean error, px)", box=box.SIMPLE, pad_edge=False, padding=0)
        names = ("team", "tiepoints", "zero_shift_px", "affine_on_labels_px", "flow_px", "flow_median_px", "flow_p90_px")
        table.add_column("scene", no_wrap=True)
        for name in names:
            title = name.removesuffix("_px").replace("_", " ")
            table.add_column(title, justify="right", min_width=max(map(len, title.split())))  # a heading may wrap, its words may not
        for scene, row in rows.items():
            cells = (row.get(name, "") for name in names)
            table.add_row(scene, *(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells))
        console.print(table)
        console.print(f"leaderboard score {rows['mean']['leaderboard']:.2f}", highlight=False)
