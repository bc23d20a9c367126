"""Verbs that work on tie-points alone."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import typer

from solution.cli.shared import (
    JsonLines,
    Layout,
    Quiet,
    SarResampling,
    Speech,
    Tiepoints,
    end_with,
    examples,
    print_json,
    say,
)

app = typer.Typer()


@app.command(
    epilog=examples(
        "fit points.csv --optical optical.tif --sar sar.tif --out offsets.tif",
        "fit clicked.points --optical optical.tif --sar sar.tif --out offsets.tif --dem dem.tif",
    ),
)
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
    gcps: Path | None = typer.Option(
        None, help="Also write a VRT of the SAR image with GCPs, which gdalwarp -tps moves without us."
    ),
    tiepoints: Tiepoints = [],
    resampling: SarResampling = "bilinear",
    layout: Layout = "cog",
    dem: Path | None = typer.Option(
        None, help="Terrain heights, one band, any CRS: used where held-out tie-points are better for it."
    ),
    json_lines: JsonLines = False,
    quiet: Quiet = False,
) -> None:
    """Fit the offset map to tie-points of your own, from any tool; wrong ones are found and set aside.

    Ends with code 4 where the map is weak and 3 where the fit failed.
    """
    from solution.core.outputs import RASTERS, check_outputs, check_suffix
    from solution.core.writing import together
    from solution.data.fill import remarks_on
    from solution.data.scene import open_pair
    from solution.field import fitting, rasters, terrain, verdict
    from solution.field import gcps as points_of
    from solution.field.imported import read_given
    from solution.field.warped_sar import check_resampling
    from solution.products.outputs import Outputs, say_stale
    from solution.products.predict import told
    from solution.products.tiepoints import files as exports

    say = Speech.of(json_lines, quiet).say
    rasters.check_layout(layout)
    check_resampling(resampling)
    beside = Outputs.of(
        out, warped_sar is not None, uncertainty is not None, tiepoints, layout=layout, resampling=resampling
    )
    check_suffix(uncertainty, RASTERS, "the uncertainty")
    check_suffix(warped_sar, RASTERS, "the moved SAR image")
    pair = open_pair(optical, sar)
    points_of.check(gcps, pair)
    read = [*pair.files(), table, dem]
    check_outputs([out, uncertainty, warped_sar, gcps, *beside.tiepoints], read, beside.needs(pair))
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
        found = verdict.judge(result, judged, pair.shape, masked=pair.masked)
        files = stack.enter_context(together())
        named = {"warped_sar": warped_sar, "sigma": uncertainty, "gcps": gcps}
        asked = replace(beside, wants_gcps=gcps is not None, **{name: path for name, path in named.items() if path})
        tags = rasters.tags_of({"inputs": pair.inputs(), "gsd_m": round(pair.gsd_m, 4), **found.facts()})
        written = asked.write_rasters(result, pair, tags, say)
        older = [*beside.beside(), beside.report, beside.sigma]
        if uncertainty is not None and "uncertainty" not in written:
            say(f"{uncertainty}: not written, for nothing is known of the errors of a fit of kind {result.kind}")
            older.append(uncertainty)
        if beside.tiepoints:
            exports.write(beside.tiepoints, judged, pair, say=say)
        say_stale(files, [path for path in older if path not in read], say)
    aside = int((judged["outlier"] != "").sum())
    say(f"{out}: {result.summary()}, {aside} of {len(judged)} tie-points set aside")
    say(found.line())
    if json_lines:
        print_json(told(result, found, judged))
    end_with(found.word)


@app.command(
    "fit-benchmark",
    epilog=examples(
        "fit-benchmark data/train",
        "fit-benchmark tiepoints",
    ),
)
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
