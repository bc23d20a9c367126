"""Tie-points for other programs."""

from __future__ import annotations

from pathlib import Path

import typer

from solution.cli.shared import examples, say

app = typer.Typer()


@app.command(
    epilog=examples(
        "export offsets.tif --as geojson",
        "export offsets.tif --as points.csv --most 500",
    ),
)
def export(
    given: Path = typer.Argument(
        ..., metavar="MAP | CANDIDATES", help="Offset map, candidates table, or tie-points of any form that fit reads."
    ),
    wanted: list[str] = typer.Option(
        ...,
        "--as",
        metavar="FILE | FORMAT",
        help="Name that ends in .gpkg, .geojson, .csv (SN9), .points (QGIS), .pts (ENVI) or .gcp (GDAL), or a format"
        " alone, whose file then lies beside the input; may be given again.",
    ),
    optical: Path | None = typer.Option(None, help="Optical image; default: the one that the report beside it names."),
    sar: Path | None = typer.Option(None, help="SAR image; default: the one that the report beside it names."),
    most: int | None = typer.Option(None, min=1, help="At most so many, spread evenly. Default: all; off a map 400."),
    every: bool = typer.Option(
        False, "--every", help="Those that the fit set aside too, in formats without room for the reason."
    ),
    from_map: bool = typer.Option(
        False, "--from-map", help="Read tie-points off the map, though the candidates lie beside it."
    ),
) -> None:
    """Write tie-points for other programs: of a map the candidates that led to it, or points read off the map."""
    from solution.core.errors import InputError
    from solution.core.outputs import check_outputs
    from solution.core.writing import together
    from solution.products.tiepoints import files
    from solution.products.tiepoints.given import Given

    source = Given.of(given)
    paths = files.named(wanted, source.stem)
    if from_map and not source.is_map:
        raise InputError(f"{given}: is no map; leave --from-map out")
    pair = source.pair(optical, sar)
    check_outputs(paths, [given, source.report, *pair.files()])
    points = source.points(pair, from_map, most, say)
    with together():
        if not files.write(paths, points, pair, files.Choice(every, most), say):
            raise InputError(
                f"{given}: none of its {len(points)} tie-points lies in both images; name its own with --optical and --sar"
            )
