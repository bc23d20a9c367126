"""Surface classes (sea, ice, land): the verbs below ``surface``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solution.cli.shared import FOLDS, Device, JsonFile, ReplaceWeights, console, examples, progress_bars, say

if TYPE_CHECKING:
    from solution.surface.evaluation import Result
    from solution.surface.patchset import PatchSet

app = typer.Typer(
    no_args_is_help=True, help="Sea, ice and land in Sentinel-1 extra-wide-swath scenes, by patch classification."
)
WEIGHTS = FOLDS / "surface.safetensors"
WEIGHTS_SHOWN = "folds/surface.safetensors beside the package"

Patches = Annotated[
    Path,
    typer.Argument(
        metavar="PATCHES", help="Folder or zip with images/ID.png and meta.csv (image_id x_position y_position label)."
    ),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the patches. Default: 24.")]
Classifier = Annotated[Path, typer.Option(show_default=WEIGHTS_SHOWN, help="The classifier.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="Seconds instead of minutes; the result is worthless.")]


@app.command(
    "simulate",
    epilog=examples(
        "surface simulate scenes",
        "surface simulate scenes --scenes 2 --size 800 800",
    ),
)
def surface_simulate(
    out: Path = typer.Argument(..., metavar="OUT", help="New folder for the scenes and the polygons of their classes."),
    scenes: int = typer.Option(8, min=1, help="How many."),
    size: tuple[int, int] = typer.Option((1000, 1000), metavar="H W", help="Size in px of 40 m."),
    seed: int = typer.Option(0, min=0, help="Of the first scene; the others count on from it."),
) -> None:
    """Simulate extra-wide-swath scenes (HH, HV) with exact polygons of sea, ice and land."""
    from solution.core.errors import InputError
    from solution.core.outputs import check_folder
    from solution.surface import simulate

    check_folder(out)
    if min(size) < simulate.SMALLEST:
        raise InputError(f"--size {size[0]} {size[1]}: the smallest scene is {simulate.SMALLEST} px a side")
    with progress_bars() as progress:
        names = simulate.simulate(out, scenes, size, seed, progress)
    say(f"{out}: {len(names)} scene(s), {names[0]} to {names[-1]}")


@app.command(
    "sample",
    epilog=examples(
        "surface sample images shapefiles patches",
        "surface sample images shapefiles patches --bands 1 --per-class 2000",
    ),
)
def surface_sample(
    images: Path = typer.Argument(
        ..., metavar="IMAGES", help="GeoTIFF, or a folder of them: HH; HH and HV; or HH, HV and their ratio."
    ),
    shapefiles: Path = typer.Argument(
        ...,
        metavar="SHAPEFILES",
        help="Shapefile, or a folder of them; an image takes the one of its own name, or else all.",
    ),
    out: Path = typer.Argument(..., metavar="OUT", help="New folder for images/ID.png and meta.csv."),
    stride: int = typer.Option(64, min=1, help="Step of consecutive patches, px."),
    per_class: int | None = typer.Option(
        None, min=1, help="Random places instead of consecutive ones: at most so many of each class from each image."
    ),
    attempts: int = typer.Option(
        100_000, min=1, help="Random places that are tried in an image before a class is left with fewer."
    ),
    seed: int = typer.Option(0, min=0, help="Of the random places."),
    bands: int | None = typer.Option(
        None, min=1, max=3, help="Only so many bands, the first ones: 1 is HH alone, as registration sees it."
    ),
    attribute: str | None = typer.Option(
        None, help="Column with the class. Default: poly_type, class or label, whichever is there."
    ),
    ignore: list[str] = typer.Option([], help="Value of the class to leave out, for example N; may be given again."),
) -> None:
    """Cut 64 x 64 px patches from images and label each by the polygon under its middle."""
    from solution.core.outputs import check_folder
    from solution.surface import sampler
    from solution.surface.polygons import find_shapefiles
    from solution.surface.scenes import find_images

    check_folder(out)
    sampling = sampler.Sampling(
        stride, per_class, attempts, seed, bands=bands, attribute=attribute, ignore=tuple(ignore)
    )
    with progress_bars() as progress:
        counts = sampler.sample(find_images(images), find_shapefiles(shapefiles), out, sampling, progress)
    say(
        f"{out}: {sum(counts.values()):,} patches, {', '.join(f'{letter} {count:,}' for letter, count in counts.items())}"
    )


@app.command(
    "train",
    epilog=examples(
        "surface train patches",
        "surface train patches.zip --epochs 12 --out surface.safetensors",
    ),
)
def surface_train(
    patches: Patches,
    epochs: Epochs = None,
    batch_size: int | None = typer.Option(None, min=2, help="Patches a step. Default: 64."),
    run: Path = typer.Option(
        Path("runs/surface"), help="Folder for checkpoints, logs and the confusion matrix; a killed run goes on there."
    ),
    save_interval: int = typer.Option(1, min=1, help="Epochs between checkpoints."),
    out: Path = typer.Option(WEIGHTS, show_default=WEIGHTS_SHOWN, help="The weights."),
    seed: int = typer.Option(0, min=0, help="Of the held-out part, the first weights and the augmentation."),
    device: Device = "auto",
    smoke: Smoke = False,
    replace: ReplaceWeights = False,
) -> None:
    """Train the classifier; a fifth of the scenes (or of the blocks of 500 consecutive ids) is held out, and judged in
    the end."""
    from solution.core.outputs import check_outputs
    from solution.surface import training
    from solution.surface.network import SurfaceConfig

    picture = run / "confusion.png"
    check_outputs([out, picture], [patches])
    config = SurfaceConfig().smoke() if smoke else SurfaceConfig()
    chosen = {"epochs": epochs, "batch_size": batch_size, "save_interval": save_interval}
    config = dataclasses.replace(config, **{name: value for name, value in chosen.items() if value is not None})
    found = _read(patches)
    done, split = training.train(found, config, out, run, seed, device, replace)
    say(f"{out}: {'written' if done else 'is up to date, skipped'}")
    result = _judge(found.part(split.validation), out, patches, device, f"{found.name}, held-out part")
    result.draw(picture, f"{found.name}, held-out part")
    say(f"{picture}: written")


@app.command(
    "evaluate",
    epilog=examples(
        "surface evaluate patches",
        "surface evaluate patches --picture confusion.png",
    ),
)
def surface_evaluate(
    patches: Patches,
    weights: Classifier = WEIGHTS,
    device: Device = "auto",
    json_file: JsonFile = None,
    picture: Path | None = typer.Option(None, help="PNG of the confusion matrix."),
) -> None:
    """Accuracy, F1 by class, macro F1 and confusion matrix of the classifier on labelled patches."""
    from solution.core.outputs import PICTURES, check_outputs, check_suffix
    from solution.core.writing import write_text

    check_suffix(picture, PICTURES, "a picture")
    check_outputs([json_file, picture], [patches, weights])
    found = _read(patches)
    result = _judge(found, weights, patches, device, found.name)
    if json_file is not None:
        write_text(json_file, json.dumps(result.facts(), indent=1) + "\n")
    if picture is not None:
        result.draw(picture, found.name)


@app.command(
    "compare",
    epilog=examples(
        "surface compare patches",
        "surface compare patches --folds 3 --epochs 8",
    ),
)
def surface_compare(
    patches: Patches,
    folds: int = typer.Option(
        5, min=2, help="Parts of the cross-validation; scenes, or blocks of 500 consecutive ids, stay whole."
    ),
    epochs: Epochs = None,
    run: Path = typer.Option(Path("runs/surface-compare"), help="Folder for logs."),
    seed: int = typer.Option(0, min=0, help="Of the folds and the trainings."),
    device: Device = "auto",
    smoke: Smoke = False,
    json_file: JsonFile = None,
) -> None:
    """Blocked cross-validation of the network, a random forest on patch statistics, and the commonest class, all
    trained on the same parts."""
    from solution.core.outputs import check_folder, check_outputs
    from solution.core.writing import write_text
    from solution.surface import comparison
    from solution.surface.network import SurfaceConfig

    check_outputs([json_file], [patches])
    check_folder(run)
    found = _read(patches)
    config = SurfaceConfig().smoke() if smoke else SurfaceConfig()
    config = config if epochs is None else dataclasses.replace(config, epochs=epochs)
    results = comparison.compare(found, config, folds, run, seed, device, say)
    for method, result in results.items():
        say(f"{method}: {result.line()}")
    console.print(results["network"].table(f"{found.name}, network"))
    console.print(comparison.table(results, f"{found.name}, {folds} folds"))
    if json_file is not None:
        write_text(
            json_file, json.dumps({method: result.facts() for method, result in results.items()}, indent=1) + "\n"
        )


@app.command(
    "segment",
    epilog=examples(
        "surface segment scene.tif classes.tif",
        "surface segment hh.tif classes.tif --bands 1 --stride 16",
    ),
)
def surface_segment(
    image: Path = typer.Argument(..., help="SAR GeoTIFF: HH; HH and HV; or HH, HV and their ratio."),
    out: Path = typer.Argument(
        ..., metavar="OUT.tif", help="The class map; OUT.probabilities.tif and OUT.png are written beside it."
    ),
    stride: int = typer.Option(32, min=1, help="Side of the cells that get a class each, px."),
    weights: Classifier = WEIGHTS,
    bands: int | None = typer.Option(
        None, min=1, max=3, help="Only so many bands, the first ones, for weights that were trained so."
    ),
    device: Device = "auto",
) -> None:
    """Segment a whole scene into sea, ice and land; CRS and transform kept, 0 = no data."""
    from solution.core import devices
    from solution.data.fill import remarks_on
    from solution.surface import segment
    from solution.surface.network import load_classifier

    net, _ = load_classifier(weights, devices.torch_device(device))
    with progress_bars() as progress:
        shares = segment.segment(image, out, net, stride, progress, bands)
    for line in remarks_on(image):
        say(line)
    say(f"{out}: {', '.join(f'{name} {share:.1%}' for name, share in shares.items())}")


def _read(patches: Path) -> PatchSet:
    """Labelled patches of a folder or a zip."""
    from solution.surface.patchset import read_patches

    with progress_bars() as progress:
        return read_patches(patches, progress)


def _judge(found: PatchSet, weights: Path, place: Path, device: str, title: str) -> Result:
    """Classify the patches of `place`, print how good that was under a title, and return it."""
    from solution.core import devices
    from solution.surface.evaluation import Result
    from solution.surface.network import check_channels, load_classifier, probabilities

    net, _ = load_classifier(weights, devices.torch_device(device))
    check_channels(net, found.pixels.shape[1], place)
    result = Result.of(found.labels, probabilities(net, found.pixels).argmax(axis=1))
    console.print(result.table(title))
    say(result.line())
    return result
