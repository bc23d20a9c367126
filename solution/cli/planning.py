"""What a training run will do, before it begins."""

from __future__ import annotations

import typer

from solution.cli.shared import FOLDS, Folds, From, Labelled, Smoke, Steps, examples, say, scenes_and_split

app = typer.Typer()


@app.command(
    "train-plan",
    epilog=examples(
        "train-plan data/train --scenes 32 --size 1600 1600",
        "train-plan my_pairs --folds my_folds --from folds --stage coarse --stage flow",
    ),
)
def train_plan(
    folder: Labelled,
    folds: Folds = FOLDS,
    scenes: int = typer.Option(0, min=0, help="Simulated scenes that every team may see."),
    size: tuple[int, int] = typer.Option((1600, 1600), metavar="H W", help="Their optical size in px."),
    stage: list[str] = typer.Option(
        [], help="Only this model family; may be given again. Default: all, and with --from coarse and flow."
    ),
    start_from: From = None,
    steps: Steps = None,
    smoke: Smoke = False,
) -> None:
    """Say what a training run would do: teams, stages, the scenes that each may see, steps, and the disk it needs.
    Nothing is written."""
    from solution.core.errors import InputError
    from solution.core.outputs import check_folder
    from solution.teams.plan import Plan, StagePlan, free_bytes
    from solution.teams.team import BASE
    from solution.training import stages

    of_all = (stages.COARSE, stages.FLOW, *(() if start_from else (stages.TRANSLATOR, stages.MATCHER)))
    known = {one.name: one for one in of_all}
    planned = []
    for name in stage or known:
        if name not in known:
            raise InputError(f"--stage {name}: is none of {', '.join(known)}")
        base = folds / BASE / known[name].file
        based = base.is_file() and not smoke
        start = f"the teams of {start_from}" if start_from else str(base) if based else "what its trunk knows"
        config = stages.chosen_config(known[name], steps, smoke, based, adapt=start_from is not None)
        planned.append(StagePlan(name, config, start))
    plan = Plan(*scenes_and_split(folder, folds), (scenes, size), planned)
    for line in plan.lines(free_bytes(folds)):
        say(line)
    check_folder(folds, round(sum(plan.bytes().values())))
