"""The SpaceNet 9 paper's baseline: the verbs below ``baseline``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from solution.cli.shared import (
    FOLDS,
    IMAGE_MEMORY_GB,
    Accumulate,
    Device,
    DeviceCount,
    Folds,
    ImageMemory,
    JsonFile,
    Labelled,
    Replace,
    Shards,
    Smoke,
    SplitAndTeams,
    TeamFolders,
    TrainingDevice,
    examples,
    progress_bars,
    say,
    shared_images,
    training_means,
    unopened_and_split,
)
from solution.core.errors import InputError

app = typer.Typer(no_args_is_help=True, help="The SpaceNet 9 paper's baseline: two keypoint U-Nets and one affine.")
Judges = Annotated[
    list[str],
    typer.Option(
        help="Only this team; may be given again. Default: the one that holds the scene out, or else all folds' teams."
    ),
]


@app.command(
    "train",
    epilog=examples(
        "baseline train data/train --simulated scenes",
        "baseline train data/train --team 0 --setting small",
    ),
)
def baseline_train(
    folder: Labelled,
    simulated: list[Path] = typer.Option(
        [],
        help="Folder of simulated scenes, from which the base model learns that every team starts from; may be given again.",
    ),
    folds: Folds = FOLDS,
    team: list[str] = typer.Option([], help="Only this one, of base and the folds; may be given again. Default: all."),
    setting: str = typer.Option("auto", help="paper, small, or auto: the paper's on a GPU, the small one on a CPU."),
    epochs: int | None = typer.Option(
        None,
        help="Of the base model, and of teams that start from chance, instead of the setting's; teams that start from the base take half of them.",
    ),
    device: TrainingDevice = "auto",
    devices: DeviceCount = None,
    accumulate: Accumulate = 1,
    shards: Shards = None,
    memory: ImageMemory = IMAGE_MEMORY_GB,
    smoke: Smoke = False,
    replace: Replace = False,
) -> None:
    """Train both networks: the base model on simulated scenes, then each fold's team on the labelled scenes that it may
    see, from the base on.

    What is finished is skipped, a killed run goes on.
    """
    from solution.baseline import settings, teams
    from solution.core.artefact import WORK
    from solution.core.outputs import check_folder

    check_folder(folds)
    config = settings.chosen(setting, device, epochs, smoke)
    on, store = training_means(folds / WORK, device, devices, accumulate, shards, memory)
    scenes, split = unopened_and_split(folder, folds)
    wanted = teams.chosen(team, split)
    if teams.BASE in wanted and (simulated or team):
        if not simulated:
            raise InputError(
                "--team base: learns from simulated scenes alone; add --simulated DIR, made with: python -m solution simulate DIR"
            )
        teams.train_base(shared_images(store, simulated, [], []), config, folds, on, replace, say)
    names = [name for name in wanted if name != teams.BASE]
    teams.train_folds(scenes, split, names, config, folds, on, replace, say, store)


@app.command(
    "predict",
    epilog=examples(
        "baseline predict optical.tif sar.tif offsets.tif",
        "baseline predict data/train --out runs/baseline",
    ),
)
def baseline_predict(
    inputs: list[Path] = typer.Argument(..., metavar="DATA_DIR | OPTICAL SAR OUT.tif"),
    folds: TeamFolders = FOLDS,
    out: Path = typer.Option(Path("runs/baseline"), help="Where the maps of DATA_DIR go."),
    team: Judges = [],
    device: Device = "auto",
) -> None:
    """Write offset maps of one pair or of all pairs of a folder, with the keypoints beside them; the labelled ones of a
    folder are scored."""
    from solution.baseline import registration, teams
    from solution.data.finding import discover
    from solution.data.scene import open_pair
    from solution.scoring import score, score_tables
    from solution.scoring.submission import map_name

    if len(inputs) not in (1, 3):
        raise InputError("baseline predict: takes DATA_DIR, or OPTICAL SAR OUT.tif")
    jobs = (
        [(open_pair(*inputs[:2]), inputs[2])]
        if len(inputs) == 3
        else [(pair, out / map_name(pair.name)) for pair in discover(inputs[0])]
    )
    for pair, path in jobs:  # all of them before the first is worked on
        registration.check(pair, path)
    judges = [teams.judges(pair, folds, team) for pair, _ in jobs]
    with progress_bars() as progress:
        for (pair, path), folders in zip(jobs, judges, strict=True):
            say(registration.predict_pair(pair, path, folders, device, progress))
    labelled = [pair for pair, _ in jobs if pair.tiepoints_csv is not None]
    if labelled:
        scores = score.score_pairs(labelled, out)
        score_tables.show(score_tables.folder_table(scores), scores)


@app.command(
    "report",
    epilog=examples(
        "baseline report data/train",
        "baseline report data/train --json report.json",
    ),
)
def baseline_report(
    folder: Labelled,
    folds: SplitAndTeams = FOLDS,
    team: Judges = [],
    device: Device = "auto",
    json_file: JsonFile = None,
) -> None:
    """Print what the paper reports: keypoint distances, inliers, and the map's error beside zero shift and the affine
    fitted to the labels."""
    from solution.baseline import report, teams
    from solution.benchmark.scenes import labelled
    from solution.core.outputs import check_outputs
    from solution.core.writing import write_text
    from solution.scoring import score_tables

    check_outputs([json_file], [])
    jobs = [(pair, teams.judges(pair, folds, team)) for pair in labelled([folder])]
    with progress_bars() as progress:
        reports = [report.report(pair, folders, device, progress) for pair, folders in jobs]
    if json_file is not None:
        write_text(json_file, report.as_json(reports))
    for table in report.tables(reports):
        score_tables.show(table, [])


@app.command(
    "picture",
    epilog=examples(
        "baseline picture data/train heatmaps.png",
        "baseline picture data/train heatmaps.jpg --scene 02_train_01 --count 5",
    ),
)
def baseline_picture(
    folder: Labelled,
    out: Path = typer.Argument(..., help="PNG or JPEG."),
    scene: str | None = typer.Option(
        None, help="Name of the scene, as in 02_train_01. Default: the first labelled one."
    ),
    count: int = typer.Option(3, min=1, help="Tie-points to show."),
    folds: SplitAndTeams = FOLDS,
    team: str | None = typer.Option(
        None, help="Default: the one that holds the scene out, or else the first one that never saw it."
    ),
    device: Device = "auto",
) -> None:
    """Draw crops around a few tie-points with the reference and the predicted heatmap."""
    from solution.baseline import picture, teams
    from solution.benchmark.scenes import labelled
    from solution.core.outputs import PICTURES, check_outputs, check_suffix

    check_suffix(out, PICTURES, "a picture")
    check_outputs([out], [])
    pairs = [pair for pair in labelled([folder]) if scene in (None, pair.name)]
    if not pairs:
        raise InputError(f"--scene {scene}: is no labelled scene of {folder}")
    picture.draw(pairs[0], teams.judges(pairs[0], folds, [team] if team else [])[0], device, out, count)
    say(f"{out}: written")
