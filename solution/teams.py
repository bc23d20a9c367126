"""Teams: the models of a fold, what they may see, their out-of-fold candidates, and the score of those.

A team is named by its folder below ``folds/``: ``0``, ``1``, ... hold one fold of the split out; ``aoi_02`` holds a whole AOI out and serves
the leave-one-AOI-out score alone, where no fold's team already does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from solution import artefact, candidates, offsets, score
from solution.errors import InputError
from solution.geometry import affine_of_shifts
from solution.progress import Progress
from solution.propose import Proposer, Proposing
from solution.scene import ScenePair, without_labels
from solution.split import read_split
from solution.surface.ground import Ground
from solution.tiles import Source, scene_source
from solution.train import Config, Stage, torch_device, train_stage

BASE = Path("base")
LABEL_RADIUS_PX = 16.0  # a candidate this near to a tie-point is judged by it
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


def held_out_by_split(scene: str, folds: Path) -> str | None:
    """Name of the team that holds a scene out by the split of the teams' folder; None where the split does not name it, or there is none."""
    if not (folds / "split.csv").is_file():
        return None
    split = read_split(folds / "split.csv")
    return team_of(scene, split, by_aoi=False).name if scene in set(split["scene"]) else None


def unseen_by(pair: ScenePair, folds: Path, weights: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """Names of the teams that may judge a scene: for one that the split names the team that holds it out, for any other all; in either case without those
    whose weights list the scene.

    Args:
        weights: a team's name -> the files that it brings.
    """
    held_out_by = held_out_by_split(pair.name, folds)
    names = tuple(name for name in weights if held_out_by in (None, name))
    known_as = {pair.name, f"{pair.optical.parent.name}/{pair.name}"}  # simulated scenes carry their folder's name
    return tuple(name for name in names if not any(known_as & set(artefact.read_manifest(path).trained_on) for path in weights[name]))


def train_teams(
    stage_of: Callable[[Path], Stage],
    pairs: Sequence[ScenePair],
    split: pd.DataFrame,
    folds: Path,
    config: Config,
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
        _guard_seen(team, stage, init)
        out = folds / team.name / stage.file
        say(train_stage(stage, sources, config, out, team.number, 0, folds / ".work", init, device, replace))


def _guard_seen(team: Team, stage: Stage, init: Path | None) -> None:
    """Refuse to begin with anything that saw a scene which the team holds out."""
    seen = set(stage.seen) | (set(artefact.read_manifest(init).trained_on) if init else set())
    told = sorted(seen & set(team.held_out))
    if told:
        raise InputError(f"{init or team.name}: was trained on scene {told[0]}, which team {team.name} holds out; start from other weights")


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
        stamp, key = folds / ".work" / f"{team.name}.done", _propose_key(folder, scenes, config)
        if out.is_file() and stamp.is_file() and stamp.read_text() == key:
            say(f"propose {team.name}: {out} is up to date, skipped")
            continue
        proposer, tables = Proposer(folder, config, torch_device(device), progress), []
        for pair in scenes:
            for manifest in manifests:
                manifest.guard_held_out(pair.name)
            table = proposer.propose(without_labels(pair))
            tables.append(candidates.label(table, pair.tiepoints(), LABEL_RADIUS_PX))
        stamp.unlink(missing_ok=True)  # it speaks of the table that is now replaced
        candidates.write(out, candidates.concat(tables))
        artefact.write_text(stamp, key)
        say(f"propose {team.name}: {sum(map(len, tables))} candidates for {', '.join(pair.name for pair in scenes)}")


def _propose_key(team: Path, scenes: Sequence[ScenePair], config: Proposing) -> str:
    """Short hash of all that a team's table depends on."""
    facts = [config.facts(team), [pair.fingerprint() for pair in scenes]]
    return artefact.digest(facts)


def score_folds(pairs: Sequence[ScenePair], split: pd.DataFrame, folds: Path) -> dict:
    """Out-of-fold scores under both protocols, from the candidate tables alone; also written to ``score.json``.

    Returns:
        {protocol: {scene: {zero_shift_px, affine_on_labels_px, pipeline_px, flow_px, ..., sources: {...}}, "mean": {...}}}.
    """
    result = {}
    for protocol, by_aoi in (("leave_one_scene_out", False), ("leave_one_aoi_out", True)):
        rows = {}
        for pair in sorted(pairs, key=lambda p: p.name):
            team = team_of(pair.name, split, by_aoi) if pair.tiepoints_csv is not None else None
            if team is not None:
                rows[pair.name] = {"team": team.name, **_score_scene(pair, folds / team.name / CANDIDATES)}
        if rows:
            keys = [key for key in next(iter(rows.values())) if key.endswith("_px") and all(key in row for row in rows.values())]
            mean = {key: round(float(np.mean([row[key] for row in rows.values()])), 4) for key in keys}
            result[protocol] = {**rows, "mean": {**mean, "leaderboard": round(score.leaderboard(mean["pipeline_px"]), 3)}}
    if not result:
        raise InputError(f"{folds / SCORES}: there is no labelled scene to score; pass a folder that holds AA_tiepoints_NAME.csv")
    artefact.write_text(folds / SCORES, json.dumps(result, indent=1) + "\n")
    return result


def _score_scene(pair: ScenePair, table_path: Path) -> dict:
    """The map that a table gives, read at the tie-points as the scorer reads it, beside zero shift and the best affine on the labels."""
    table = candidates.read(table_path)
    table = table[table["scene"] == pair.name].reset_index(drop=True)
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    where, shift = truth.xy, truth.shift
    moving = Ground.of(pair).moves(table)
    field = offsets.quiet_fit(table, pair.shape, pair.gsd_m, moving)
    maps = {"zero_shift": np.zeros_like(shift), "affine_on_labels": affine_of_shifts(where, shift), "pipeline": field.shift_at(where)}
    found = [source for source in candidates.SOURCES if (table["source"] == source).any()]
    for source in found:
        rows = (table["source"] == source).to_numpy()
        maps[source] = offsets.quiet_fit(table[rows], pair.shape, pair.gsd_m, moving[rows]).shift_at(where)
    means = {f"{name}_px": round(float(score.distances_px(value, truth).mean()), 4) for name, value in maps.items()}
    own = score.distances_px(maps["pipeline"], truth)
    more = {"pipeline_median_px": round(float(np.median(own)), 4), "pipeline_p90_px": round(float(np.percentile(own, 90)), 4)}
    facts = {source: _source_facts(table[table["source"] == source]) for source in found}
    return {"tiepoints": len(shift), "candidates": len(table), "fit": field.kind, **means, **more, "sources": facts}


def _source_facts(rows: pd.DataFrame) -> dict:
    """How many candidates a source has, and how many of those near a tie-point are within 3 px of the truth."""
    error = rows["error_px"].dropna()
    return {"candidates": len(rows), "within_3px": round(float((error <= 3).mean()), 4) if len(error) else None}


def show_scores(result: dict, console: Console) -> None:
    """Per protocol a table of errors in px, and one of the sources: map error alone, candidates, share of them within 3 px."""
    for protocol, rows in result.items():
        title = protocol.replace("_", " ")
        names = ["team", "tiepoints", "zero_shift_px", "affine_on_labels_px", "pipeline_px", "pipeline_median_px", "pipeline_p90_px"]
        headings = [name.removesuffix("_px").replace("_", " ") for name in names]
        cells = {scene: [_cell(row.get(name, "")) for name in names] for scene, row in rows.items()}
        console.print(_table(f"{title} (mean error, px)", headings, cells))
        scenes = {scene: row for scene, row in rows.items() if "sources" in row}
        of_sources = {
            f"{scene} {source}": [_cell(row[f"{source}_px"]), str(facts["candidates"]), _cell(facts["within_3px"])]
            for scene, row in scenes.items()
            for source, facts in row["sources"].items()
        }
        console.print(_table(f"{title}: each source alone", ["mean error, px", "candidates", "share within 3 px"], of_sources))
        console.print(f"leaderboard score {rows['mean']['leaderboard']:.2f}", highlight=False)


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "" if value is None else str(value)


def _table(title: str, headings: list[str], rows: dict[str, list[str]]) -> Table:
    table = Table(title=title, box=box.SIMPLE, pad_edge=False, padding=0)
    table.add_column("scene", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", min_width=max(map(len, heading.split())))  # a heading may wrap, its words may not
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table
