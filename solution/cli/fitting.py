"""Verbs that work on tie-points alone."""

from __future__ import annotations

import contextlib
from pathlib import Path

import typer

from solution.cli.shared import Tiepoints, end_with, say

app = typer.Typer()


@app.command()
def fit(
    table: Path = typer.Argument(
        ...,
        metavar="CANDIDATES",
        help="Parquet or text with at least x,y,dx,dy (optical px), SN9 tie-points, QGIS points, or what export writes.",
    ),
    optical: Path = typer.Option(..., help="Optical image."),
    sar: Path = typer.Option(..., help="SAR image."),
    out: Path = typer.Option(..., help="The offset map, a GeoTIFF."),
    uncertainty: Path | None = typer.Option(None, help="GeoTIFF of the 68 % radius of the map's error, px."),
    warped_sar: Path | None = typer.Option(None, help="Also write the SAR image on the optical grid."),
    tiepoints: Tiepoints = [],
    dem: Path | None = typer.Option(
        None, help="Terrain heights, one band, any CRS: used where held-out tie-points are better for it."
    ),
) -> None:
    """Fit the offset map to tie-points of your own, from any tool; wrong ones are found and set aside.

    Ends with code 4 where the map is weak and 3 where the fit failed.
    """
    from solution.core.outputs import RASTERS, check_outputs, check_suffix
    from solution.core.writing import together
    from solution.data.fill import remarks_on
    from solution.data.scene import open_pair
    from solution.field import fitting, offset_map, terrain, verdict
    from solution.field.imported import read_given
    from solution.products.outputs import Outputs, say_stale
    from solution.products.tiepoints import files as exports

    beside = Outputs.of(out, False, False, tiepoints)
    check_suffix(uncertainty, RASTERS, "the uncertainty")
    check_suffix(warped_sar, RASTERS, "the moved SAR image")
    pair = open_pair(optical, sar)
    read = [*pair.files(), table, dem]
    needs = offset_map.bytes_on_disk(pair, uncertainty is not None, warped_sar is not None)
    check_outputs([out, uncertainty, warped_sar, *beside.tiepoints], read, needs)
    pair.check()
    for line in [*pair.remarks(), *remarks_on(*filter(None, [dem]))]:
        say(line)
    points = read_given(table, pair)
    with contextlib.ExitStack() as stack:
        if dem is None:
            result, judged = fitting.fit(points, pair.shape, pair.gsd_m)
        else:
            relief = stack.enter_context(terrain.open_relief(dem, pair))
            result, judged = terrain.fit_with_relief(points, pair, relief, dem)
            if not isinstance(result, terrain.ReliefFit):
                say(f"{dem}: does not help these tie-points, left out")
        files = stack.enter_context(together())
        offset_map.write_map(out, result, pair)
        older = [*beside.beside(), beside.report, beside.sigma]
        if uncertainty is not None and result.sigma is not None:
            offset_map.write_uncertainty(uncertainty, result, pair)
        elif uncertainty is not None:
            say(f"{uncertainty}: not written, for nothing is known of the errors of a fit of kind {result.kind}")
            older.append(uncertainty)
        if warped_sar is not None:
            offset_map.write_warped_sar(warped_sar, result, pair)
        if beside.tiepoints:
            exports.write(beside.tiepoints, judged, pair, say=say)
        say_stale(files, [path for path in older if path not in read], say)
        found = verdict.judge(result, judged, pair.shape, masked=pair.masked)
    aside = int((judged["outlier"] != "").sum())
    say(f"{out}: {result.summary()}, {aside} of {len(judged)} tie-points set aside")
    end_with(found)


@app.command("fit-benchmark")
def fit_benchmark(
    folder: Path = typer.Argument(
        ...,
        metavar="TIEPOINTS_DIR",
        help="Labelled scenes, or tie-point CSVs beside a geotransforms.json (x0, dx, y0, dy of both images).",
    ),
) -> None:
    """Compare transformations on held-out tie-points, clean, noisy and with wrong ones among them (10-fold
    cross-validation)."""
    from solution.benchmark import transforms
    from solution.scoring import score_tables
    from solution.simulate.statistics import tiepoint_sets

    for shown in transforms.tables(transforms.run(tiepoint_sets(folder), say)):
        score_tables.show(shown, [])
