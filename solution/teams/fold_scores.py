"""Out-of-fold scores, by scene, source and protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from solution.core.errors import InputError
from solution.core.geometry import affine_of_shifts
from solution.core.writing import write_text
from solution.data.scene import ScenePair
from solution.field import candidates, fitting
from solution.proposers.every import NAMES
from solution.scoring import score
from solution.surface.ground import Ground
from solution.teams import stamps
from solution.teams.out_of_fold import CANDIDATES, proposing_code
from solution.teams.team import SCORES as SCORES
from solution.teams.team import Team, team_of

_PROTOCOLS = {"leave_one_scene_out": False, "leave_one_aoi_out": True}
"""Name -> whether the whole AOI of a scene is unseen."""


def score_folds(pairs: Sequence[ScenePair], split: pd.DataFrame, folds: Path) -> dict:
    """Out-of-fold scores under both protocols, from the candidate tables alone; also written to ``score.json``.

    Returns:
        {protocol: {scene: {zero_shift_px, affine_on_labels_px, pipeline_px, flow_px, ..., sources: {...}}, "mean":
        {...}}}. A row whose table no longer agrees with the code or with the scene's files says so under ``stale``.
    """
    plans = {protocol: _teams(pairs, split, by_aoi) for protocol, by_aoi in _PROTOCOLS.items()}
    for name in sorted({team.name for plan in plans.values() for _, team in plan}):
        candidates.check_file(folds / name / CANDIDATES)  # before minutes are spent on the others
    result, scored = {}, {}
    for protocol, plan in plans.items():
        rows = {}
        for pair, team in plan:
            if (pair.name, team.name) not in scored:
                scored[pair.name, team.name] = _score_scene(pair, team, folds)
            rows[pair.name] = scored[pair.name, team.name]
        if rows:
            keys = [
                key
                for key in next(iter(rows.values()))
                if key.endswith("_px") and all(key in row for row in rows.values())
            ]
            mean = {key: round(float(np.mean([row[key] for row in rows.values()])), 4) for key in keys}
            result[protocol] = {
                **rows,
                "mean": {**mean, "leaderboard": round(score.leaderboard(mean["pipeline_px"]), 3)},
            }
    if not result:
        raise InputError(
            f"{folds / SCORES}: there is no labelled scene to score; pass a folder that holds AA_tiepoints_NAME.csv"
        )
    write_text(folds / SCORES, json.dumps(result, indent=1) + "\n")
    return result


def _teams(pairs: Sequence[ScenePair], split: pd.DataFrame, by_aoi: bool) -> list[tuple[ScenePair, Team]]:
    """The labelled scenes, by name, and the team that never saw each; without those of which there is none."""
    labelled = sorted((pair for pair in pairs if pair.tiepoints_csv is not None), key=lambda pair: pair.name)
    found = [(pair, team_of(pair.name, split, by_aoi)) for pair in labelled]
    return [(pair, team) for pair, team in found if team is not None]


def _score_scene(pair: ScenePair, team: Team, folds: Path) -> dict:
    """The map that a team's table gives, read at the tie-points as the scorer reads it, beside zero shift and the best
    affine on the labels."""
    table_path = folds / team.name / CANDIDATES
    stale = stamps.why_stale(folds, team.name, proposing_code(), [pair], table_path)
    told = {"team": team.name, **({"stale": stale} if stale else {})}
    table = candidates.read(table_path)
    table = table[table["scene"] == pair.name].reset_index(drop=True)
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    where, shift = truth.xy, truth.shift
    moving = Ground.of(pair).moves(table)
    field = fitting.quiet_fit(table, pair.shape, pair.gsd_m, moving)
    maps = {
        "zero_shift": np.zeros_like(shift),
        "affine_on_labels": affine_of_shifts(where, shift),
        "pipeline": field.shift_at(where),
    }
    found = [source for source in NAMES if (table["source"] == source).any()]
    for source in found:
        rows = (table["source"] == source).to_numpy()
        alone = field if rows.all() else fitting.quiet_fit(table[rows], pair.shape, pair.gsd_m, moving[rows])
        maps[source] = alone.shift_at(where)
    means = {f"{name}_px": round(float(score.distances_px(value, truth).mean()), 4) for name, value in maps.items()}
    own = score.distances_px(maps["pipeline"], truth)
    more = {
        "pipeline_median_px": round(float(np.median(own)), 4),
        "pipeline_p90_px": round(float(np.percentile(own, 90)), 4),
    }
    facts = {source: _source_facts(table[table["source"] == source]) for source in found}
    told |= {"tiepoints": len(shift), "candidates": len(table), "fit": field.kind}
    return {**told, **means, **more, "sources": facts}


def _source_facts(rows: pd.DataFrame) -> dict:
    """How many candidates a source has, and how many of those near a tie-point are within 3 px of the truth."""
    error = rows["error_px"].dropna()
    return {"candidates": len(rows), "within_3px": round(float((error <= 3).mean()), 4) if len(error) else None}


def show_scores(result: dict, console: Console) -> None:
    """Per protocol a table of errors in px, and one of the sources: map error alone, candidates, share of them within 3
    px."""
    for protocol, rows in result.items():
        title = protocol.replace("_", " ")
        names = [
            "team",
            "tiepoints",
            "zero_shift_px",
            "affine_on_labels_px",
            "pipeline_px",
            "pipeline_median_px",
            "pipeline_p90_px",
        ]
        headings = [name.removesuffix("_px").replace("_", " ") for name in names]
        cells = {scene: [_cell(row.get(name, "")) for name in names] for scene, row in rows.items()}
        console.print(_table(f"{title} (mean error, px)", headings, cells))
        scenes = {scene: row for scene, row in rows.items() if "sources" in row}
        of_sources = {
            f"{scene} {source}": [_cell(row[f"{source}_px"]), str(facts["candidates"]), _cell(facts["within_3px"])]
            for scene, row in scenes.items()
            for source, facts in row["sources"].items()
        }
        console.print(
            _table(f"{title}: each source alone", ["mean error, px", "candidates", "share within 3 px"], of_sources)
        )
        console.print(f"leaderboard score {rows['mean']['leaderboard']:.2f}", highlight=False)
        for scene, row in rows.items():
            if row.get("stale"):
                told = f"{scene}: the candidates of team {row['team']} are STALE, {row['stale']}; propose again"
                console.print(told, highlight=False, markup=False, soft_wrap=True)


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "" if value is None else str(value)


def _table(title: str, headings: list[str], rows: dict[str, list[str]]) -> Table:
    table = Table(title=title, box=box.SIMPLE, pad_edge=False, padding=0)
    table.add_column("scene", no_wrap=True)
    for heading in headings:
        table.add_column(
            heading, justify="right", min_width=max(map(len, heading.split()))
        )  # a heading may wrap, its words may not
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table
