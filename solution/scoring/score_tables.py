"""Scores for people (tables) and machines (JSON)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from solution.scoring.score import WITHIN_PX, PairScore, leaderboard

_WIDEST = 1000  # columns of text, far more than any table here
_PAIR_ROWS = {
    "mean error, px": "mean_px",
    "mean error, m": "mean_m",
    "median, px": "median_px",
    "90th percentile, px": "p90_px",
}
_AVERAGED = ("mean_px", "mean_m", "median_px", "p90_px", *(f"within_{limit}px" for limit in WITHIN_PX))


def folder_mean(scores: Sequence[PairScore]) -> PairScore:
    """The mean over scenes, with the leaderboard score of the mean raw score.

    It has no `found` part where any scene has none.
    """
    complete = all(score.found is not None for score in scores)
    found = _mean([score.found for score in scores]) if complete else None
    problem = "" if complete else "not every scene has a score"
    return PairScore("mean", found, _mean([score.zero_shift for score in scores]), problem)


def pair_table(score: PairScore) -> Table:
    """One pair: a column for the map, one for zero shift."""
    table = Table(box=box.SIMPLE)
    table.add_column("measure", no_wrap=True)
    table.add_column("map", justify="right", no_wrap=True)
    table.add_column("zero shift", justify="right", no_wrap=True)
    columns = (score.found, score.zero_shift)
    table.add_row("scored tie-points", *(_cell(column, "points", "d") for column in columns))
    for title, key in _PAIR_ROWS.items():
        table.add_row(title, *(_cell(column, key, ".3f") for column in columns))
    for limit in WITHIN_PX:
        table.add_row(f"within {limit} px", *(_cell(column, f"within_{limit}px", ".1%") for column in columns))
    table.add_row("raw score", str(score.raw), _cell(score.zero_shift, "mean_px", ""))
    table.add_row("leaderboard score", *(_cell(column, "leaderboard", "") for column in columns))
    return table


def folder_table(scores: Sequence[PairScore]) -> Table:
    """One row per scene and one for the mean; shares in per cent."""
    table = Table(
        box=box.SIMPLE, pad_edge=False, caption="<=N: share of the tie-points within N px, %", caption_justify="left"
    )
    table.add_column("scene", no_wrap=True)
    shares = [f"<={limit}" for limit in WITHIN_PX]
    for title in ("points", "mean px", "mean m", "median", "p90", *shares, "score", "zero px", "zero score"):
        table.add_column(title, justify="right", no_wrap=True)
    for score in scores:
        table.add_row(*_row(score))
    table.add_section()
    table.add_row(*_row(folder_mean(scores)), style="bold")
    return table


def show(table: Table, scores: Sequence[PairScore], console: Console | None = None) -> None:
    """Print a table at its full width, also into a pipe or a narrow terminal, and every problem below it; on stdout, or
    on a console of its own."""
    console = console or Console()
    console.width = max(console.width, console.measure(table, options=console.options.update(width=_WIDEST)).maximum)
    console.print(table)
    for score in scores:
        if score.problem:
            console.print(f"no score for {score.scene}: {score.problem}", markup=False, highlight=False, soft_wrap=True)


def to_json(scores: Sequence[PairScore]) -> str:
    """Every number of every scene and of the mean; what is not finite becomes null, since JSON has no NaN."""
    entries = {score.scene: _entry(score) for score in scores}
    content = {"scenes": entries, "mean": _entry(folder_mean(scores))}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _mean(summaries: Sequence[dict]) -> dict:
    """Counts are summed, the rest is averaged over scenes, and the score is that of the mean."""
    mean = {key: sum(item[key] for item in summaries) for key in ("points", "nan_points")}
    mean |= {key: float(np.mean([item[key] for item in summaries])) for key in _AVERAGED}
    return mean | {"leaderboard": leaderboard(mean["mean_px"])}


def _cell(values: dict | None, key: str, spec: str) -> str:
    return "-" if values is None else format(values[key], spec)


def _row(score: PairScore) -> list[str]:
    found, zero = score.found, score.zero_shift
    errors = [_cell(found, key, ".2f") for key in ("mean_px", "mean_m", "median_px", "p90_px")]
    shares = ["-" if found is None else f"{100 * found[f'within_{limit}px']:.1f}" for limit in WITHIN_PX]
    totals = [_cell(found, "leaderboard", ".2f"), _cell(zero, "mean_px", ".2f"), _cell(zero, "leaderboard", ".2f")]
    return [score.scene, _cell(zero, "points", "d"), *errors, *shares, *totals]


def _entry(score: PairScore) -> dict:
    found = None if score.found is None else _finite(score.found)
    return {"map": found, "zero_shift": _finite(score.zero_shift), "problem": score.problem or None}


def _finite(values: dict) -> dict:
    return {key: value if math.isfinite(value) else None for key, value in values.items()}
