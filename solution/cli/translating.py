"""SAR2Optical: the verbs below ``translate``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from solution.cli.shared import (
    FOLDS,
    IMAGE_MEMORY_GB,
    Accumulate,
    Device,
    DeviceCount,
    Exclude,
    ImageMemory,
    InitOrChance,
    JsonFile,
    ReplaceWeights,
    Shards,
    Smoke,
    Steps,
    console,
    examples,
    progress_bars,
    say,
    shared_images,
    training_means,
)
from solution.core.errors import InputError

if TYPE_CHECKING:
    from solution.core.artefact import Manifest
    from solution.proposers.warped import Translate

app = typer.Typer(no_args_is_help=True, help="SAR2Optical: paint SAR images as optical ones would look.")
TRANSLATOR = FOLDS / "base" / "translator.safetensors"
TRANSLATOR_SHOWN = "folds/base/translator.safetensors beside the package"
Translator = Annotated[Path, typer.Option(show_default=TRANSLATOR_SHOWN, help="The translator.")]


@app.command(
    "split",
    epilog=examples(
        "translate split pairs --out split.csv",
        "translate split pairs --train 0.8 --val 0.1 --test 0.1 --seed 1",
    ),
)
def translate_split(
    folder: Path = typer.Argument(
        ..., metavar="PAIRS_DIR", help="Registered image pairs, in any layout that the README names."
    ),
    out: Path = typer.Option(Path("split.csv"), help="The split: id,class,part."),
    train: float = typer.Option(0.875, min=0, help="Share, or number, of the pairs to train on."),
    val: float = typer.Option(0.0625, min=0, help="Of those to watch the training on."),
    test: float = typer.Option(0.0625, min=0, help="Of those to judge the result on."),
    seed: int = typer.Option(0, min=0, help="The same names and seed give the same split."),
    whole_scenes: bool = typer.Option(
        False, "--whole-scenes", help="Keep the patches *_pN of one SEN1-2 scene together: they overlap."
    ),
    replace: bool = typer.Option(False, "--replace", help="Overwrite another split."),
) -> None:
    """Deal the pairs of a folder out to training, validation and test, evenly over its classes."""
    from solution.core.outputs import check_outputs
    from solution.data import registered

    check_outputs([out], [])
    table = registered.deal_parts(registered.find_pairs(folder), (train, val, test), seed, whole_scenes)
    written = registered.write_parts(table, out, replace)
    parts = table["part"].value_counts()
    counts = ", ".join(f"{parts.get(part, 0):,} {part}" for part in registered.PARTS)
    classes = sorted(set(table["class"]) - {""})
    say(f"{out}: {'made' if written else 'up to date'}, {counts}{f' over {len(classes)} classes' if classes else ''}")


@app.command(
    "train",
    epilog=examples(
        "translate train pairs --split split.csv",
        "translate train pairs more_pairs --out translator.safetensors --device cuda",
    ),
)
def translate_train(
    folders: list[Path] = typer.Argument(..., metavar="PAIRS_DIR...", help="Folders of registered image pairs."),
    split: list[Path] = typer.Option(
        [], help="Split of the first folder; given again, of the second, ... Folders without are trained on whole."
    ),
    simulated: list[Path] = typer.Option([], help="Folder of simulated scenes to train on too; may be given again."),
    exclude: Exclude = [],
    out: Path = typer.Option(TRANSLATOR, show_default=TRANSLATOR_SHOWN, help="The weights."),
    init: InitOrChance = None,
    device: Device = "auto",
    devices: DeviceCount = None,
    accumulate: Accumulate = 1,
    shards: Shards = None,
    memory: ImageMemory = IMAGE_MEMORY_GB,
    steps: Steps = None,
    smoke: Smoke = False,
    replace: ReplaceWeights = False,
) -> None:
    """Train the translator on the training part of image pairs; a killed run goes on."""
    from solution.core.artefact import WORK
    from solution.core.outputs import check_outputs
    from solution.data.registered import parted
    from solution.training import run, stages
    from solution.training.observers import observers

    check_outputs([out], [init, *split])
    parts = parted(folders, split, exclude)
    on, store = training_means(out.parent / WORK, device, devices, accumulate, shards, memory)
    sources = store.registered(parts["train"]) + shared_images(store, simulated, [], [])
    config = stages.chosen_config(stages.TRANSLATOR, steps, smoke, fine_tune=False)
    watched = store.registered(parts["val"])
    look = observers(stages.TRANSLATOR, -1, out, say)
    work = out.parent / WORK
    say(run.train_stage(stages.TRANSLATOR, sources, config, out, -1, 0, work, init, on, replace, watched, look))


@app.command(
    "evaluate",
    epilog=examples(
        "translate evaluate pairs --split split.csv",
        "translate evaluate pairs --picture rows.png --json scores.json",
    ),
)
def translate_evaluate(
    folder: Path = typer.Argument(..., metavar="PAIRS_DIR", help="Registered image pairs."),
    split: Path | None = typer.Option(
        None, help="The split that the weights were trained with; default: judge every pair."
    ),
    part: str = typer.Option("test", help="Part of the split: train, val or test."),
    weights: Translator = TRANSLATOR,
    device: Device = "auto",
    json_file: JsonFile = None,
    picture: Path | None = typer.Option(None, help="PNG of a few of the pairs: SAR, translated, optical."),
) -> None:
    """PSNR and SSIM on held-out pairs, by class, beside two trivial baselines taken from the training part (without a
    split: from the pairs themselves)."""
    from solution.core.outputs import PICTURES, check_outputs, check_suffix
    from solution.core.progress import step_progress
    from solution.core.writing import write_text
    from solution.data import registered
    from solution.products import translation_report
    from solution.proposers.translator.training import write_grid

    check_suffix(picture, PICTURES, "a picture")
    check_outputs([json_file, picture], [split, weights])
    found = registered.find_pairs(folder)
    judged = registered.part_of(found, split, part) if split else found
    if not judged:
        raise InputError(f"{split}: its part {part} is empty; judge another part, or make a split with more pairs")
    reference = registered.part_of(found, split, "train") if split else found
    paint, manifest = _translator(weights, device)
    if split is None or part != "train":
        translation_report.guard_unseen(judged, manifest, weights)
    terminal = Console(stderr=True)
    with step_progress(terminal, "baselines", len(reference)) as step:
        baselines = translation_report.Baselines.of(reference, step)
    with step_progress(terminal, "pairs", len(judged)) as step:
        results = translation_report.evaluate(judged, baselines, paint, step)
    means = translation_report.summary(results)
    if json_file is not None:
        write_text(
            json_file, translation_report.as_json(means, results, folder=folder.name, part=part if split else None)
        )
    if picture is not None:
        write_grid(picture, translation_report.picture_rows(judged, paint))
    console.print(translation_report.as_table(means, f"{folder.name}, {part if split else 'all pairs'}"))


@app.command(
    "run",
    epilog=examples(
        "translate run sar.tif painted.tif",
        "translate run patches painted --device cuda",
    ),
)
def translate_run(
    sar: Path = typer.Argument(..., help="SAR GeoTIFF of one band, a grey PNG, or a folder of those PNGs."),
    out: Path = typer.Argument(..., help="GeoTIFF, PNG, or folder, like the input."),
    weights: Translator = TRANSLATOR,
    device: Device = "auto",
) -> None:
    """Paint a SAR image as an optical one: whole scenes in blended tiles, CRS and transform kept; uint8 RGB, 0 = no
    data."""
    from solution.products import sar2optical

    paint, _ = _translator(weights, device)
    with progress_bars() as progress:
        count = sar2optical.run(sar, out, paint, progress, say)
    say(f"{out}: {count} picture(s) written")


def _translator(weights: Path, device: str) -> tuple[Translate, Manifest]:
    """A translator as a function of SAR tile and validity, and its manifest."""
    from solution.core import devices
    from solution.proposers.translator.network import translate as paint_tile
    from solution.training import stages

    net, manifest = stages.load_stage(stages.TRANSLATOR, weights)
    return partial(paint_tile, net.to(devices.torch_device(device))), manifest
