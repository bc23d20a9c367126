"""Verbs about what lies on disk: fetch the challenge's data, look at a folder, say which fold holds which scene out."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from solution.cli.shared import Labelled, console, examples, say

app = typer.Typer()


@app.command(
    epilog=examples(
        "download data",
        "download data --base-url https://example.org/mirror",
    ),
)
def download(
    folder: Path = typer.Argument(..., metavar="DIR", help="Where the archives and their folders go."),
    base_url: str | None = typer.Option(None, help="Another place that serves the same archives."),
) -> None:
    """Fetch the official SpaceNet 9 archives: resumes, verifies, unpacks, skips what is done."""
    from solution.data import download as downloads

    downloads.fetch_all(folder, base_url or downloads.BASE_URL, downloads.ARCHIVES, console)
    say(f"next: python -m solution data {folder}")


@app.command(
    epilog=examples(
        "data data/train",
        "data data/train --no-pixels",
    ),
)
def data(
    folder: Path = typer.Argument(
        ..., metavar="DATA_DIR", help="Holds AA_optical_NAME.tif, AA_sar_NAME.tif, AA_tiepoints_NAME.csv."
    ),
    pixels: bool = typer.Option(
        True, "--pixels/--no-pixels", help="Read every image whole, which finds truncated and empty ones."
    ),
) -> None:
    """Show what a folder holds: sizes, GSD, CRS, tie-points, shifts. Ends with code 2 where a pair has a problem."""
    from rich.progress import track

    from solution.scoring import inventory

    progress = Console(stderr=True)
    found = inventory.take_inventory(folder, pixels)
    reports = list(track(found, "reading", console=progress, transient=True, disable=not progress.is_terminal))
    inventory.show(reports)
    if any(report.problem for report in reports):
        raise typer.Exit(2)


@app.command(
    epilog=examples(
        "split data/train",
        "split my_pairs --teams 3 --output my_folds/split.csv",
    ),
)
def split(
    folder: Labelled,
    output: Path | None = typer.Option(None, help="Default: folds/split.csv beside the package."),
    teams: int | None = typer.Option(
        None, min=2, metavar="N", help="Folds, and so teams, of a new split at most; default: 5."
    ),
) -> None:
    """Say which fold holds which scene out: the present split where it names every labelled scene, and else a new
    one."""
    from solution.core.outputs import check_outputs
    from solution.data import folds as splits
    from solution.data.finding import discover

    path = output or splits.FOLDS / splits.SPLIT
    check_outputs([path], [])
    table, new = splits.split_for(discover(folder), path, teams)
    if new:
        splits.write_split(table, path)
    say(f"{path}: {'made' if new else 'kept'}, {table['fold'].nunique()} folds")
    for fold, scenes in table.groupby("fold")["scene"]:
        say(f"fold {fold} holds out {', '.join(scenes)}")
