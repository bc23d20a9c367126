"""Candidates of the labelled scenes by teams that never saw them, and what these candidates score."""

from __future__ import annotations

from pathlib import Path

import typer

from solution.cli.shared import (
    FOLDS,
    FOLDS_SHOWN,
    Device,
    Labelled,
    Source,
    SplitAndTeams,
    console,
    examples,
    progress_bars,
    say,
    scenes_and_split,
)

app = typer.Typer()


@app.command(
    epilog=examples(
        "propose data/train",
        "propose data/train --finest 4 --source flow",
    ),
)
def propose(
    folder: Labelled,
    folds: SplitAndTeams = FOLDS,
    device: Device = "auto",
    finest: int | None = typer.Option(
        None, min=1, max=8, help="Finest level: 1 every pixel, 2, 4 or 8 faster. Default: by the scene's size."
    ),
    source: Source = [],
) -> None:
    """Every team proposes candidates for the scenes that it never saw."""
    from solution.core.outputs import check_folder
    from solution.teams import out_of_fold
    from solution.teams.propose import Proposing

    check_folder(folds)
    proposing = Proposing(tuple(source), finest)
    with progress_bars() as progress:
        out_of_fold.propose_out_of_fold(*scenes_and_split(folder, folds), folds, proposing, device, progress, say)


@app.command(
    "score-folds",
    epilog=examples(
        "score-folds data/train",
        "score-folds data/train --folds my_folds",
    ),
)
def score_folds(
    folder: Labelled,
    folds: Path = typer.Option(
        FOLDS, show_default=FOLDS_SHOWN, help="Where split.csv and the candidates are; score.json is written there."
    ),
) -> None:
    """Out-of-fold scores, leave one scene out and leave one AOI out, from the candidate tables."""
    from solution.core.outputs import check_outputs
    from solution.teams import fold_scores

    check_outputs([folds / fold_scores.SCORES], [])
    result = fold_scores.score_folds(*scenes_and_split(folder, folds), folds)
    fold_scores.show_scores(result, console)
    say(f"written to {folds / fold_scores.SCORES}")
