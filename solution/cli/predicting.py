"""Offset maps of pairs without labels."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from solution.cli.shared import FOLDS, Device, Source, TeamFolders, progress_bars, say

app = typer.Typer()


@app.command()
def predict(
    inputs: list[Path] = typer.Argument(
        None, metavar="[DATA_DIR | OPTICAL SAR OUTPUT]", help="Nothing: the embedded default."
    ),
    folds: TeamFolders = FOLDS,
    out: Path = typer.Option(Path("submission"), help="Where the maps of DATA_DIR, or of the embedded default, go."),
    team: list[str] = typer.Option([], help="Only this team; may be given again. Default: all."),
    device: Device = "auto",
    finest: int | None = typer.Option(
        None, min=1, max=8, help="Finest level: 1 every pixel, 2 or 4 faster. Default: by the scene's size."
    ),
    source: Source = [],
    warped_sar: bool = typer.Option(
        False, "--warped-sar", help="Also write the SAR image moved onto the optical grid."
    ),
    uncertainty: bool = typer.Option(False, "--uncertainty", help="Also write the 68 % radius of the map's error, px."),
    rerank: bool = typer.Option(
        False, "--rerank", help="Set aside what the team's reranker doubts; takes about as long as flow."
    ),
    surface_model: Path | None = typer.Option(
        None,
        help="Surface classifier of one band (surface train): what it takes for water or ice does not count either.",
    ),
    keep_water: bool = typer.Option(
        False, "--keep-water", help="Smooth dark ground of the SAR image is not water: let candidates there count."
    ),
    stac: bool = typer.Option(False, "--stac", help="Also write a STAC Item of the map, OFFSETS.stac.json."),
    every: bool = typer.Option(False, "--all", help="With DATA_DIR: the labelled scenes too."),
) -> None:
    """Write offset maps: of one pair, of every test pair of a folder, or of the embedded default.

    Ends with code 4 where a map is weak, and with 3 where one failed; the report beside it says why.
    """
    from solution.field import verdict
    from solution.products import predict as prediction
    from solution.products.settings import Settings
    from solution.teams.propose import Proposing

    proposing = Proposing(tuple(source), finest)
    settings = Settings(
        folds, device, tuple(team), warped_sar, uncertainty, rerank, surface_model, keep_water, proposing, stac
    )
    with progress_bars() as progress:
        word = verdict.worst(prediction.run(inputs or [], out, settings, every, progress, say))
    if word != "ok":
        print(f"WARNING: {verdict.WARNINGS[word]}", file=sys.stderr)
        raise typer.Exit(verdict.EXIT_CODES[word])
