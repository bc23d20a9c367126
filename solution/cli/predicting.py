"""Offset maps of pairs without labels."""

from __future__ import annotations

from pathlib import Path

import typer

from solution.cli.shared import (
    ADVANCED,
    FOLDS,
    Device,
    JsonLines,
    Layout,
    Quiet,
    Runtime,
    SarResampling,
    Source,
    Speech,
    TeamFolders,
    Tiepoints,
    end_with,
    examples,
    print_json,
    say,
)
from solution.proposers.runtimes.every import DEFAULT as RUNTIME

app = typer.Typer()


@app.command(
    epilog=examples(
        "predict optical.tif sar.tif offsets.tif --warped-sar",
        "predict data/publictest --out submission --json",
    ),
)
def predict(
    inputs: list[Path] = typer.Argument(
        None, metavar="DATA_DIR | OPTICAL SAR OUTPUT", help="Nothing: the embedded default."
    ),
    out: Path = typer.Option(Path("submission"), help="Where the maps of DATA_DIR, or of the embedded default, go."),
    warped_sar: bool = typer.Option(
        False, "--warped-sar", help="Also write the SAR image moved onto the optical grid."
    ),
    uncertainty: bool = typer.Option(False, "--uncertainty", help="Also write the 68 % radius of the map's error, px."),
    every: bool = typer.Option(False, "--all", help="With DATA_DIR: the labelled scenes too."),
    report: bool = typer.Option(False, "--report", help="Also write the report page, one HTML file to look at."),
    tiepoints: Tiepoints = [],
    json_lines: JsonLines = False,
    quiet: Quiet = False,
    folds: TeamFolders = FOLDS,
    team: list[str] = typer.Option(
        [], help="Only this team; may be given again. Default: all.", rich_help_panel=ADVANCED
    ),
    device: Device = "auto",
    runtime: Runtime = RUNTIME,
    finest: int | None = typer.Option(
        None,
        min=1,
        max=8,
        help="Finest level: 1 every pixel, 2 or 4 faster. Default: by the scene's size.",
        rich_help_panel=ADVANCED,
    ),
    source: Source = [],
    stac: bool = typer.Option(
        False, "--stac", help="Also write a STAC Item of the map, OFFSETS.stac.json.", rich_help_panel=ADVANCED
    ),
    gcps: bool = typer.Option(
        False,
        "--gcps",
        help="Also write a VRT of the SAR image with GCPs, which gdalwarp -tps moves without us.",
        rich_help_panel=ADVANCED,
    ),
    resampling: SarResampling = "bilinear",
    layout: Layout = None,
    rerank: bool = typer.Option(
        False,
        "--rerank",
        help="Set aside what the team's reranker doubts; takes about as long as flow.",
        rich_help_panel=ADVANCED,
    ),
    surface_model: Path | None = typer.Option(
        None,
        help="Surface classifier of one band (surface train): what it takes for water or ice does not count either.",
        rich_help_panel=ADVANCED,
    ),
    keep_water: bool = typer.Option(
        False,
        "--keep-water",
        help="Smooth dark ground of the SAR image is not water: let candidates there count.",
        rich_help_panel=ADVANCED,
    ),
) -> None:
    """Write offset maps: of one pair, of every test pair of a folder, or of the embedded default.

    Ends with code 4 where a map is weak, and with 3 where one failed; the report beside it says why.

    With --json a pair gives its report, and the other forms a list of reports.
    """
    from solution.field import verdict
    from solution.products import predict as prediction
    from solution.products.settings import Settings
    from solution.teams.propose import Proposing

    proposing = Proposing(tuple(source), finest)
    settings = Settings(
        folds,
        device,
        tuple(team),
        warped_sar,
        uncertainty,
        rerank,
        surface_model,
        keep_water,
        proposing,
        report=report,
        stac=stac,
        gcps=gcps,
        layout=layout,
        resampling=resampling,
        tiepoints=tuple(tiepoints),
        runtime=runtime,
    )
    speech = Speech.of(json_lines, quiet)
    with speech.progress_bars() as progress:
        found = prediction.run(inputs or [], out, settings, every, progress, speech.say, speech.show)
    if json_lines:
        reports = [one.report() for one in found]
        print_json(reports[0] if len(inputs or []) == 3 else reports)
    end_with(verdict.worst(one.verdict for one in found))


@app.command(
    epilog=examples(
        "report offsets.tif",
        "report offsets.tif --optical moved/optical.tif --sar moved/sar.tif",
    ),
)
def report(
    offset_map: Path = typer.Argument(..., metavar="OFFSETS", help="The offset map of a finished prediction."),
    optical: Path | None = typer.Option(None, help="Where the optical image lies now, if it was moved."),
    sar: Path | None = typer.Option(None, help="Where the SAR image lies now, if it was moved."),
) -> None:
    """Write the report page of a prediction: OFFSETS.html, one file to look at, print or send."""
    from solution.products.reporting import write_report

    say(f"{write_report(offset_map, optical, sar)}: written")
