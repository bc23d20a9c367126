"""The feature networks for other programs."""

from __future__ import annotations

from pathlib import Path

import typer

from solution.cli.shared import examples, say

app = typer.Typer()


@app.command(
    "export-onnx",
    epilog=examples(
        "export-onnx folds/0 folds/1 folds/2 --out graphs",
        "export-onnx folds/aoi_02 --out graphs",
    ),
)
def export_onnx(
    teams: list[Path] = typer.Argument(
        ...,
        metavar="TEAM ...",
        help="Folder of a team's weights; the weights of several are averaged, as predict does.",
    ),
    out: Path = typer.Option(..., help="Gets flow_optical.onnx, flow_sar.onnx, coarse_optical.onnx, coarse_sar.onnx."),
) -> None:
    """Write the feature networks as ONNX graphs, which give unit features of an optical and a SAR image of any size, and
    flow.json and coarse.json, which say what they are."""
    from solution.core.outputs import check_folder
    from solution.teams.graphs import export

    check_folder(out)
    for path in export(teams, out):
        say(f"{path}: written")
