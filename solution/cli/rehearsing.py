"""A rehearsal of the contest."""

from __future__ import annotations

from pathlib import Path

import typer

from solution.cli.shared import examples, say

app = typer.Typer()


@app.command(
    epilog=examples(
        "rehearse runs/rehearsal --scale small",
        "rehearse runs/rehearsal_full --steps 20 --model coarse --model flow",
    ),
)
def rehearse(
    folder: Path = typer.Argument(
        ..., metavar="DIR", help="Gets scenes, teams, submissions and results; a killed rehearsal goes on there."
    ),
    scale: str = typer.Option("full", help="Size of the scenes: full as the contest's, half their sides, or small."),
    steps: int | None = typer.Option(
        None,
        min=1,
        help="Optimisation steps of every training run. Default: the configured ones; with --scale small, 1.",
    ),
    model: list[str] = typer.Option(
        [], help="Train only this model: coarse, flow, translator or matcher; may be given again. Default: all."
    ),
    only: list[str] = typer.Option(
        [], help="Only this stage: scenes, train, public or private; may be given again. Default: all."
    ),
) -> None:
    """Rehearse the contest: simulate its scenes, run train.sh and test.sh as it would, check the submissions, score them;
    one table says what each stage took and scored.

    Needs the project's folder, and leaves its folds/ and runs/ alone. Ends with code 1 where something took longer than the
    contest allows, or a submission would be refused.
    """
    from solution.benchmark.rehearsal import rehearse as rehearsals

    stages = rehearsals.chosen(only)
    found = rehearsals.rehearse(rehearsals.planned(folder, scale, steps, model), stages, say)

    from solution.benchmark.rehearsal import table
    from solution.scoring import score_tables

    score_tables.show(table.printed(found), [])
    for line in table.words(found):
        say(line)
    say(f"written to {folder / rehearsals.RESULT} and {folder / rehearsals.TABLE}")
    if found.exceeded() or found.refused:
        raise typer.Exit(1)
