"""What a data folder holds, as a user would want to see it before training: one row per pair, good or bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from solution.core import geometry
from solution.core.errors import InputError
from solution.core.geometry import Matrix
from solution.data.finding import SceneFiles, find_scenes
from solution.data.metres import pixel_size_m
from solution.data.opening import open_raster
from solution.data.scene import ScenePair
from solution.scoring import score

_WIDEST = 10_000


@dataclass
class SceneReport:
    """One row.

    Texts are empty and numbers None where there is nothing to say, or where a problem kept it from being known.

    Attributes:
        optical, sar: size, bands, dtype and GSD of each raster.
        crs, sar_crs: of the optical and of the SAR image.
        points: number of tie-points.
        mean_shift_px: mean (dx, dy) of the tie-points in optical px.
        zero_shift_px: the raw score of doing nothing.
        valid: share of the optical image where both images carry data.
        problem: the first thing that is wrong, as a sentence; empty where all is well.
    """

    scene: str
    aoi: str
    optical: str = ""
    sar: str = ""
    crs: str = ""
    sar_crs: str = ""
    points: int | None = None
    mean_shift_px: tuple[float, float] | None = None
    zero_shift_px: float | None = None
    valid: float | None = None
    problem: str = ""


def take_inventory(folder: Path, pixels: bool = True) -> Iterator[SceneReport]:
    """Look at every pair of a folder, one after the other.

    Args:
        folder: as in `finding.find_scenes`.
        pixels: also read both images whole, which finds truncated and empty ones.

    Raises:
        InputError: no folder, or no SN9 name in it. What is wrong with one pair is told in its report.
    """
    for files in find_scenes(folder):
        yield inspect(files, pixels)


def inspect(files: SceneFiles, pixels: bool = True) -> SceneReport:
    """All that can be found out about one pair."""
    report = SceneReport(files.name, files.aoi)
    for kind, path in (("optical", files.optical), ("sar", files.sar)):
        if path is not None:
            _attempt(report, lambda path=path, kind=kind: _header(path, kind, report))
    pair = _attempt(report, files.open)
    if pair is not None:
        _attempt(report, (lambda: _pixels(pair, report)) if pixels else pair.check_overlap)
        _attempt(report, lambda: _labels(pair, report))
    return report


def table(reports: list[SceneReport], frame: box.Box | None = None) -> Table:
    """The reports as a table; a problem takes the status cell of its row."""
    out = Table(box=frame, pad_edge=False)
    for heading in ("scene", "AOI"):
        out.add_column(heading, no_wrap=True)
    for heading in ("optical", "SAR", "CRS"):
        out.add_column(heading)
    for heading in ("tie-points", "mean shift, px", "zero shift, px", "valid"):
        out.add_column(heading, justify="right")
    out.add_column("status", overflow="fold")
    for report in reports:
        out.add_row(*map(Text, _cells(report)))
    return out


def show(reports: list[SceneReport]) -> None:
    """Print the table: folded into a terminal's width, or with one line per pair into a pipe."""
    console = Console()
    if console.is_terminal:
        console.print(table(reports, box.SIMPLE_HEAD))
    else:
        wide = Console(width=_WIDEST)
        with wide.capture() as captured:
            wide.print(table(reports))
        print("\n".join(line.rstrip() for line in captured.get().splitlines()))
    bad = sum(bool(report.problem) for report in reports)
    labelled = sum(report.points is not None for report in reports)
    print(f"{len(reports)} pairs, {labelled} with tie-points" + (f", {bad} with a problem" if bad else ""))


def _attempt(report: SceneReport, step: Callable[[], ScenePair | None]) -> ScenePair | None:
    """Run one step; what is wrong goes into the report, unless something came before it."""
    try:
        return step()
    except InputError as error:
        report.problem = report.problem or str(error)
        return None


def _header(path: Path, kind: str, report: SceneReport) -> None:
    """Size, dtype, GSD and CRS of one raster; the pair's own checks find the faults."""
    with open_raster(path) as dataset:
        matrix = geometry.matrix_from_gdal(dataset.transform.to_gdal())
        bands = f"{dataset.count} x " if dataset.count > 1 else ""
        setattr(
            report, kind, f"{dataset.width} x {dataset.height}, {bands}{dataset.dtypes[0]}, {_gsd(matrix, dataset)}"
        )
        setattr(report, "crs" if kind == "optical" else "sar_crs", _crs_name(dataset.crs))


def _labels(pair: ScenePair, report: SceneReport) -> None:
    if pair.tiepoints_csv is None:
        return
    points = pair.tiepoints()
    report.points = len(points)
    report.mean_shift_px = (float(points.dx.mean()), float(points.dy.mean()))
    report.zero_shift_px = float(score.zero_shift_errors_px(pair.tiepoints_csv, pair.optical, pair.sar).mean())


def _pixels(pair: ScenePair, report: SceneReport) -> None:
    pair.check()
    report.valid = pair.valid_share()


def _cells(report: SceneReport) -> list[str]:
    shift = "" if report.mean_shift_px is None else "{:+.1f}, {:+.1f}".format(*report.mean_shift_px)
    return [
        report.scene,
        report.aoi,
        report.optical,
        report.sar,
        " differs from SAR ".join(filter(None, dict.fromkeys([report.crs, report.sar_crs]))),
        "" if report.points is None else str(report.points),
        shift,
        "" if report.zero_shift_px is None else f"{report.zero_shift_px:.2f}",
        "" if report.valid is None else f"{report.valid:.1%}",
        report.problem or ("ok" if report.points is not None else "ok, no labels"),
    ]


def _gsd(matrix: Matrix, dataset: rasterio.io.DatasetReader) -> str:
    """Pixel size; both axes where they differ in the digits shown."""
    degrees = getattr(dataset.crs, "is_geographic", False)
    size = np.hypot(*matrix[:2, :2]) if degrees else pixel_size_m(matrix, dataset.crs, dataset.shape)
    unit = "deg" if degrees else "m"
    x, y = (f"{value:.4g}" for value in size)
    return f"{x} {unit}" if x == y else f"{x} x {y} {unit}"


def _crs_name(crs: object) -> str:
    """``EPSG:32637``, or the name that the CRS gives itself."""
    if crs is None:
        return "none"
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt().split('"')[1]
