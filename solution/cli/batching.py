"""Offset maps of many pairs."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from solution.cli.shared import FOLDS, Device, Runtime, Source, TeamFolders, examples, progress_bars, say
from solution.proposers.runtimes.every import DEFAULT as RUNTIME

app = typer.Typer()


@app.command(
    epilog=examples(
        "batch pairs.csv --out results",
        "batch data/publictest --out results --workers 2 --report",
    ),
)
def batch(
    pairs: Path = typer.Argument(
        ...,
        metavar="PAIRS",
        help="CSV or parquet with the columns optical,sar[,name], a folder of SN9-named pairs, or a STAC ItemCollection.",
    ),
    out: Path = typer.Option(..., help="Folder of the maps, the table and the index page."),
    workers: int | None = typer.Option(
        None, min=1, help="Processes, a pair each. Default: as many as processors and memory allow; 1 on a GPU."
    ),
    memory: float | None = typer.Option(
        None, min=2, help="GB a worker may hold; beyond that its pair is tried again. Default: an equal share."
    ),
    scheduler: str = typer.Option(
        "", metavar="tcp://HOST:PORT", help="Work on this Dask cluster, which sees the same files. Default: here."
    ),
    folds: TeamFolders = FOLDS,
    device: Device = "auto",
    runtime: Runtime = RUNTIME,
    finest: int | None = typer.Option(
        None, min=1, max=8, help="Finest level: 1 every pixel, 2 or 4 faster. Default: by the scene's size."
    ),
    source: Source = [],
    warped_sar: bool = typer.Option(
        False, "--warped-sar", help="Also write the SAR images moved onto the optical grids."
    ),
    uncertainty: bool = typer.Option(False, "--uncertainty", help="Also write the 68 % radii of the maps' errors, px."),
    report: bool = typer.Option(False, "--report", help="Also write a report page beside each map."),
    keep_water: bool = typer.Option(
        False, "--keep-water", help="Smooth dark ground of the SAR image is not water: let candidates there count."
    ),
    stac: bool = typer.Option(True, "--stac/--no-stac", help="A STAC Item beside each map."),
) -> None:
    """Predict many pairs side by side: a map each, and one table and one page of what came of all.

    A pair that fails stops no other; a killed run goes on when it is started again. Ends with the code of the worst pair:
    1 an error, or a worker was lost; 2 bad input; 3 a map failed; 4 a map is weak; 0 all are ok.
    """
    from solution.batch import run as batches
    from solution.products.settings import Settings
    from solution.teams.propose import Proposing

    settings = Settings(
        folds=folds,
        device=device,
        warped_sar=warped_sar,
        uncertainty=uncertainty,
        keep_water=keep_water,
        proposing=Proposing(tuple(source), finest),
        report=report,
        stac=stac,
        runtime=runtime,
    )
    with progress_bars() as progress:
        code = batches.run(pairs, out, settings, batches.Asked(workers, memory, scheduler), progress, say)
    if code:
        print("WARNING: not all pairs are ok, see the column verdict", file=sys.stderr)
        raise typer.Exit(code)
