"""Verbs that train models and say what they may start from."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from solution.cli.shared import (
    FOLDS,
    FOLDS_SHOWN,
    IMAGE_MEMORY_GB,
    Accumulate,
    DeviceCount,
    Exclude,
    Folds,
    From,
    ImageMemory,
    Init,
    InitOrChance,
    InitWeights,
    Labelled,
    Pairs,
    Replace,
    Shards,
    Simulated,
    Smoke,
    Steps,
    Team,
    TrainingDevice,
    Trunk,
    TrunkWeights,
    console,
    examples,
    say,
    scenes_and_split,
    shared_images,
    training_means,
    unopened_and_split,
)
from solution.core.errors import InputError

if TYPE_CHECKING:
    from solution.training.stage import Stage

app = typer.Typer()


@app.command(
    "train-base",
    epilog=examples(
        "train-base --pairs pairs --simulated scenes",
        "train-base --stage coarse --simulated scenes --trunk tf_efficientnet_lite1 --device cuda",
    ),
)
def train_base(
    stage: str = typer.Option(
        "flow", help="What to train: coarse, flow or matcher. The translator has verbs of its own."
    ),
    pairs: Pairs = [],
    simulated: Simulated = [],
    exclude: Exclude = [],
    folds: Path = typer.Option(FOLDS, show_default=FOLDS_SHOWN, help="The artefact goes into base/ below it."),
    init: InitOrChance = None,
    init_weights: InitWeights = None,
    trunk: Trunk = None,
    trunk_weights: TrunkWeights = None,
    translator: Path | None = typer.Option(
        None, help="Matcher: translator through which a part of the SAR tiles goes."
    ),
    device: TrainingDevice = "auto",
    devices: DeviceCount = None,
    accumulate: Accumulate = 1,
    shards: Shards = None,
    memory: ImageMemory = IMAGE_MEMORY_GB,
    steps: Steps = None,
    smoke: Smoke = False,
    replace: Replace = False,
) -> None:
    """Train the model that every fold starts from, on registered pairs and simulated scenes only: it sees no labelled
    scene."""
    from solution.core.artefact import WORK
    from solution.core.outputs import check_folder
    from solution.teams.team import BASE
    from solution.training import run, stages
    from solution.training.observers import observers

    check_folder(folds)
    _one_start(init, init_weights)
    chosen = _matching_stage(stage, translator, init_weights)
    config = stages.chosen_config(chosen, steps, smoke, fine_tune=False)
    if init_weights is not None:
        config, init = config.official(), _published(init_weights, folds)
    elif init is not None:
        config = stages.sized_like(config, chosen, init)
    chosen, config = stages.with_trunk(chosen, config, trunk, trunk_weights, init)
    on, store = training_means(folds / WORK, device, devices, accumulate, shards, memory)
    sources, out = shared_images(store, simulated, pairs, exclude), folds / BASE / chosen.file
    look = observers(chosen, -1, out, say)
    say(run.train_stage(chosen, sources, config, out, -1, 0, folds / WORK, init, on, replace, callbacks=look))


def _matching_stage(stage: str, translator: Path | None, init_weights: Path | None) -> Stage:
    """The stage of a name, with the translator that helps it. Raises `InputError` for options of another stage."""
    from solution.training import stages

    if stage not in ("coarse", "flow", "matcher"):
        raise InputError(
            f"--stage {stage}: is none of coarse, flow, matcher; the translator is trained with: python -m solution translate train"
        )
    if stage == "matcher":
        return stages.matcher_with(translator)
    if translator or init_weights:
        raise InputError("--translator and --init-weights belong to the matcher; add --stage matcher")
    return stages.COARSE if stage == "coarse" else stages.FLOW


def _one_start(init: Path | None, init_weights: Path | None) -> None:
    if init and init_weights:
        raise InputError("--init and --init-weights: both say where to start from; pass one of them")


def _published(folder: Path, folds: Path) -> Path:
    """Write the published weights of a folder as an artefact below `folds` -> its path."""
    from solution.core.artefact import WORK
    from solution.proposers.matcher import published

    out = folds / WORK / "published.safetensors"
    say(published.convert(folder, out))
    return out


def _add_training(family: str, what: str) -> None:
    """Add the verb that trains a family of networks for every team, from its base where there is one."""

    @app.command(
        f"train-{family}",
        help=f"Train {what} of every team; finished teams are skipped, a killed run goes on.",
        epilog=examples(
            f"train-{family} data/train --simulated scenes", f"train-{family} my_pairs --from folds --folds my_folds"
        ),
    )
    def train(
        folder: Labelled,
        simulated: Simulated = [],
        pairs: Pairs = [],
        exclude: Exclude = [],
        folds: Folds = FOLDS,
        init: Init = None,
        start_from: From = None,
        trunk: Trunk = None,
        trunk_weights: TrunkWeights = None,
        team: Team = [],
        device: TrainingDevice = "auto",
        devices: DeviceCount = None,
        accumulate: Accumulate = 1,
        shards: Shards = None,
        memory: ImageMemory = IMAGE_MEMORY_GB,
        steps: Steps = None,
        smoke: Smoke = False,
        replace: Replace = False,
    ) -> None:
        from solution.core.artefact import WORK
        from solution.core.outputs import check_folder
        from solution.teams import starting, training
        from solution.training import stages

        check_folder(folds)
        if init and start_from:
            raise InputError("--init and --from: both say where to start from; pass one of them")
        stage = {"coarse": stages.COARSE, "flow": stages.FLOW}[family]
        scenes = unopened_and_split(folder, folds)
        if start_from is not None:
            start = starting.start_from(start_from, family, set(scenes[1]["scene"]), folds, replace, say)
            config = stages.chosen_config(stage, steps, smoke, True, adapt=True)
        else:
            start = init or _base(stage, folds, smoke)
            config = stages.chosen_config(stage, steps, smoke, fine_tune=start is not None)
        stage, config = stages.with_trunk(stage, config, trunk, trunk_weights, start)
        on, store = training_means(folds / WORK, device, devices, accumulate, shards, memory)
        shared = partial(shared_images, store, simulated, pairs, exclude)
        training.train_teams(lambda _: stage, *scenes, folds, config, shared, start, on, replace, say, team, store)


_add_training("coarse", "the coarse features")
_add_training("flow", "the flow regressor")


def _base(stage: Stage, folds: Path, smoke: bool) -> Path | None:
    """The stage's base model below `folds`, where there is one and the run is meant."""
    from solution.teams.team import BASE

    path = folds / BASE / stage.file
    return path if path.is_file() and not smoke else None


@app.command(
    "train-matcher",
    epilog=examples(
        "train-matcher data/train --simulated scenes",
        "train-matcher data/train --init-weights published --steps 60",
    ),
)
def train_matcher(
    folder: Labelled,
    simulated: Simulated = [],
    pairs: Pairs = [],
    exclude: Exclude = [],
    folds: Folds = FOLDS,
    init: Init = None,
    init_weights: InitWeights = None,
    team: Team = [],
    device: TrainingDevice = "auto",
    devices: DeviceCount = None,
    accumulate: Accumulate = 1,
    shards: Shards = None,
    memory: ImageMemory = IMAGE_MEMORY_GB,
    steps: Steps = None,
    smoke: Smoke = False,
    replace: Replace = False,
) -> None:
    """Train the matcher of every team; a part of its tiles goes through the team's translator, where there is one."""
    from solution.core import artefact
    from solution.core.outputs import check_folder
    from solution.teams import training
    from solution.training import stages

    def stage_of(team: Path) -> Stage:
        translator = team / stages.TRANSLATOR.file
        return stages.matcher_with(translator if translator.is_file() else None)

    check_folder(folds)
    _one_start(init, init_weights)
    start = init or (None if init_weights else _base(stages.MATCHER, folds, smoke))
    own = start is not None and artefact.read_manifest(start).stage == stages.MATCHER.name
    config = stages.chosen_config(stages.MATCHER, steps, smoke, fine_tune=own)
    if init_weights is not None:
        config, start = config.official(), _published(init_weights, folds)
    elif own:
        config = stages.sized_like(config, stages.MATCHER, start)
    on, store = training_means(folds / artefact.WORK, device, devices, accumulate, shards, memory)
    shared = partial(shared_images, store, simulated, pairs, exclude)
    scenes = unopened_and_split(folder, folds)
    training.train_teams(stage_of, *scenes, folds, config, shared, start, on, replace, say, team, store)


@app.command(
    epilog=examples(
        "weights",
        "weights published",
    ),
)
def weights(
    folder: Path | None = typer.Argument(None, metavar="[DIR]", help="Folder to look for them in."),
) -> None:
    """List the published weights that the matcher can start from, with their licences, and check those of a folder."""
    from solution.proposers.matcher import published

    found = published.states(folder) if folder else {}
    console.print(published.overview(found))
    for file in published.FILES:
        say(f"{file.name}: {file.url}")
        say(f"  sha256 {file.sha256}")
    if folder is not None:
        published.require(found, folder)


@app.command(
    "train-translator",
    epilog=examples(
        "train-translator data/train --steps 50",
        "train-translator data/train --pairs pairs --split split.csv",
    ),
)
def train_translator(
    folder: Labelled,
    simulated: Simulated = [],
    pairs: Pairs = [],
    split: list[Path] = typer.Option(
        [], help="Split of the first --pairs folder, ..., as in translate train: only its training part is seen."
    ),
    exclude: Exclude = [],
    folds: Folds = FOLDS,
    init: Init = None,
    team: Team = [],
    device: TrainingDevice = "auto",
    devices: DeviceCount = None,
    accumulate: Accumulate = 1,
    shards: Shards = None,
    memory: ImageMemory = IMAGE_MEMORY_GB,
    steps: Steps = None,
    smoke: Smoke = False,
    replace: Replace = False,
) -> None:
    """Train the translator of every team on scene tiles in register; finished teams are skipped, a killed run goes
    on."""
    from solution.core.artefact import WORK
    from solution.core.outputs import check_folder
    from solution.data.registered import parted
    from solution.teams import training
    from solution.training import stages

    def shared() -> list:
        return store.registered(parted(pairs, split, exclude)["train"]) + shared_images(store, simulated, [], [])

    check_folder(folds)
    on, store = training_means(folds / WORK, device, devices, accumulate, shards, memory)
    start = init or _base(stages.TRANSLATOR, folds, smoke)
    config = stages.chosen_config(stages.TRANSLATOR, steps, smoke, fine_tune=start is not None)
    training.train_teams(
        lambda _: stages.TRANSLATOR,
        *unopened_and_split(folder, folds),
        folds,
        config,
        shared,
        start,
        on,
        replace,
        say,
        team,
        store,
    )


@app.command(
    "train-reranker",
    epilog=examples(
        "train-reranker data/train",
        "train-reranker data/train --predicted scenes maps",
    ),
)
def train_reranker(
    folder: Labelled,
    folds: Folds = FOLDS,
    predicted: tuple[Path, Path] | None = typer.Option(
        None,
        metavar="DATA_DIR MAPS_DIR",
        help="Also learn from labelled scenes that no team saw, and what predict left about them in MAPS_DIR.",
    ),
) -> None:
    """Train the rerankers on the candidates that propose left, judge each on the scenes its team never saw, and say
    what they are worth to the map."""
    from solution.core.outputs import check_folder
    from solution.reranker import worth
    from solution.reranker.folds import FIGURE, map_errors, predicted_tables, train_folds

    check_folder(folds)
    pairs, split = scenes_and_split(folder, folds)
    extra = predicted_tables(*predicted) if predicted else []
    train_folds(pairs, split, folds, extra, say=say)
    errors = map_errors(pairs, split, folds, say)
    worth.note(folds, errors)
    say(f"written to {folds / worth.REPORT} and {folds / FIGURE}")
    harm = worth.harm(errors)
    if harm:
        say(f"WARNING: {folds}: has {harm}; --rerank refuses them")
