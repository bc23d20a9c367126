"""Simulated scenes with exact truth, and how like real ones they are."""

from __future__ import annotations

from pathlib import Path

import typer

from solution.cli.shared import examples, say

app = typer.Typer()


@app.command(
    epilog=examples(
        "simulate scenes --scenes 4 --size 1600 1600",
        "simulate scenes --preset mountain --seed 7",
    ),
)
def simulate(
    output: Path = typer.Argument(
        ..., metavar="OUT", help="Folder for the scenes, in the challenge's layout, with their truth maps."
    ),
    scenes: int = typer.Option(1, min=1, help="How many."),
    size: tuple[int, int] = typer.Option((2048, 2048), metavar="H W", help="Optical size in px."),
    seed: int = typer.Option(0, min=0, help="Everything follows from it."),
    preset: str = typer.Option(
        "mixed",
        help="Landscape and sensors: gaziantep, city, suburb, village, farmland, mountain, coarse, coast, longwave, or mixed.",
    ),
    click_noise: float = typer.Option(4.0, min=0.0, metavar="PX", help="Root mean square error of the tie-points."),
    sar_dtype: str = typer.Option("uint8", help="uint8, uint16 or float32."),
) -> None:
    """Simulate labelled scenes: oblique optical image, side-looking SAR image, tie-points and exact truth."""
    from solution.simulate import scene_writer

    for name, scene_seed in scene_writer.plan(scenes, seed):
        written = scene_writer.ensure_scene(output, name, size, scene_seed, preset, click_noise, sar_dtype)
        say(f"{output}: scene {name}, seed {scene_seed}{'' if written else ', is there already'}")


@app.command(
    "simulate-statistics",
    epilog=examples(
        "simulate-statistics scenes",
        "simulate-statistics scenes --tiepoints data/train",
    ),
)
def simulate_statistics(
    folder: Path = typer.Argument(..., metavar="DIR", help="Simulated scenes."),
    tiepoints: Path | None = typer.Option(
        None, help="Real scenes, or real tie-point CSVs with geotransforms.json, to print beside them."
    ),
) -> None:
    """Print what the tie-points say about the displacement, simulated and real side by side."""
    from solution.simulate import statistics

    groups = [("simulated", statistics.of_folder(folder))]
    if tiepoints is not None:
        groups.append(("real", statistics.of_folder(tiepoints)))
    say(statistics.as_text(groups))
