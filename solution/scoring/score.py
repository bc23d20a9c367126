"""The challenge's score, restated to the last digit.

It reads only files: a tie-point CSV, two image headers, and the map at the tie-points.

The official tool's habits that change digits, all kept here: a position is ``origin + index * resolution`` (rotation
terms unused); SAR positions go to the optical CRS before they are compared; the reference shift is rounded to whole
pixels (``rint``, halves to even); of several tie-points on one optical pixel the last row of the CSV counts, once;
points are averaged in row-major order; the map's own georeferencing changes no digit.

In one thing this is stricter: a map that says of itself that it lies on another grid gets no score.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from solution.core.errors import InputError
from solution.core.geometry import Matrix, matrix_from_gdal
from solution.core.refusals import refusal
from solution.data.finding import discover
from solution.data.frame import read_header, reproject_points
from solution.data.metres import pixel_size_m
from solution.data.offsets import why_no_map
from solution.data.opening import open_raster
from solution.data.qgis import POINT_COLUMNS
from solution.data.scene import ScenePair
from solution.data.tables import read_table
from solution.data.tiepoints import TIEPOINT_COLUMNS, tiepoints_between
from solution.scoring.submission import MAP_PREFIXES, map_name

WITHIN_PX = (1, 3, 5, 10, 25)
NO_SCORE = -1


class RejectedMapError(InputError):
    """This map gets no score (raw -1): it is none of the optical image."""


@dataclass(frozen=True)
class Reference:
    """What a map is held against: each labelled optical pixel once, in row-major order.

    Attributes:
        rows, cols: (N,) int64, optical index.
        dx, dy: (N,) float64, whole optical px.
        shape: (height, width) of the optical image.
        pixel_m: width of an optical pixel in metres on the ground: the official tool multiplies px by the x resolution.
        frame: optical index -> geographic position, 3 x 3.
        crs: in which that is.
    """

    rows: np.ndarray
    cols: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    shape: tuple[int, int]
    pixel_m: float
    frame: Matrix = field(default_factory=lambda: np.eye(3), repr=False)
    crs: object = field(default=None, repr=False)

    @property
    def xy(self) -> np.ndarray:
        """(N, 2) optical index, float64."""
        return np.column_stack([self.cols, self.rows]).astype(np.float64)

    @property
    def shift(self) -> np.ndarray:
        """(N, 2) true shifts, whole optical px."""
        return np.column_stack([self.dx, self.dy])


@dataclass(frozen=True)
class PairScore:
    """The verdict on one map.

    Attributes:
        scene: its name.
        found: `summary` of the map's errors; None where the map is missing or rejected.
        zero_shift: `summary` of the errors of a map of zeros.
        problem: why there is no finite score, as a sentence; empty where there is one.
    """

    scene: str
    found: dict | None
    zero_shift: dict
    problem: str = ""

    @property
    def raw(self) -> float:
        """The number that the official tool appends to its score file: mean error in px, or -1."""
        return NO_SCORE if self.found is None else self.found["mean_px"]


def reference(tiepoints_csv: Path, optical: Path, sar: Path) -> Reference:
    """Whole-pixel reference shifts of a pair. Tie-points with fractions are looked up at the nearest optical pixel.

    Raises:
        InputError: unreadable image or CSV, an image that lies nowhere, tie-point outside either image.
    """
    given = read_table(tiepoints_csv)
    table = tiepoints_between(given, optical, sar)
    if table is None:
        raise given.lacks(TIEPOINT_COLUMNS, POINT_COLUMNS)
    sar_crs, header = read_header(sar, "SAR").crs, read_header(optical, "optical")
    shape, pixel_m = header.shape, float(pixel_size_m(header.matrix, header.crs, header.shape)[0])
    with open_raster(sar) as dataset:
        sar_geo = _positions(dataset, table["sar_col"], table["sar_row"])
        _check_inside(tiepoints_csv, table["sar_row"].to_numpy(), table["sar_col"].to_numpy(), dataset.shape, "SAR")
    with open_raster(optical) as dataset:
        places = table[["optical_col", "optical_row"]].to_numpy()
        cols, rows = np.rint(places).astype(np.int64).T
        _check_inside(tiepoints_csv, rows, cols, shape, "optical")
        frame, crs = matrix_from_gdal(dataset.transform.to_gdal()), dataset.crs
        resolution = np.array([dataset.transform.a, dataset.transform.e])
        sar_geo = reproject_points(sar_geo, sar_crs, dataset.crs)
        shift = np.rint((sar_geo - _positions(dataset, *places.T)) / resolution)
    if not np.isfinite(shift).all():
        raise InputError(
            f"{tiepoints_csv}: a SAR position has no counterpart in the CRS of {optical}; check that the files belong together"
        )
    last = {(row, col): index for index, (row, col) in enumerate(zip(rows.tolist(), cols.tolist(), strict=True))}
    order = np.array([last[pixel] for pixel in sorted(last)], dtype=np.int64)
    return Reference(rows[order], cols[order], shift[order, 0], shift[order, 1], shape, pixel_m, frame, crs)


def predicted_shift(map_path: Path, truth: Reference) -> np.ndarray:
    """(N, 2) shifts (dx, dy) of a map at the reference pixels, in the map's own dtype.

    Reads one pixel at a time, in file order, so that memory stays at GDAL's block cache whatever the map's size.

    Raises:
        RejectedMapError: not two bands of real numbers, or not on the optical image's grid.
        InputError: missing or unreadable file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a map need not say where it lies
        return _read_pixels(map_path, truth)


def distances_px(predicted: np.ndarray, truth: Reference) -> np.ndarray:
    """Euclidean errors (N,) float64 in px of predicted shifts (N, 2).

    Scalars are squared one by one: numpy squares an array by multiplying but a scalar by ``pow``, which may differ in
    the last digit.
    """
    differences = np.asarray(predicted) - truth.shift
    return np.array([np.sqrt(x**2 + y**2) for x, y in differences], dtype=np.float64)


def zero_shift_errors_px(tiepoints_csv: Path, optical: Path, sar: Path) -> np.ndarray:
    """Errors (N,) float64 in optical px of doing nothing, one per labelled optical pixel, in row-major order.

    Raises `InputError` as `reference`.
    """
    truth = reference(tiepoints_csv, optical, sar)
    return distances_px(_zeros(truth), truth)


def leaderboard(mean_raw_px: float) -> float:
    """The leaderboard score, 0 to 100, of a mean raw score over scenes."""
    return 100.0 / (1 + 0.01 * mean_raw_px)


def summary(errors: np.ndarray, pixel_m: float = math.nan) -> dict:
    """Statistics of errors.

    Args:
        errors: (N,) px. One NaN makes mean, median, percentile and score NaN, as in the official tool.
        pixel_m: width of an optical pixel in metres.

    Returns:
        ``points`` and ``nan_points`` (counts), ``mean_px`` (the raw score), ``mean_m``, ``median_px``, ``p90_px``,
        ``within_1px`` ... ``within_25px`` (shares, 0 to 1, limit included), ``leaderboard``.
    """
    errors = np.asarray(errors, dtype=np.float64)
    points = len(errors)
    if points == 0:
        errors = np.array([np.nan])  # the mean of nothing, without numpy's warning
    mean = float(np.mean(errors))
    return {
        "points": points,
        "nan_points": int(np.isnan(errors).sum()) if points else 0,
        "mean_px": mean,
        "mean_m": float(np.mean(errors * pixel_m)),
        "median_px": float(np.median(errors)),
        "p90_px": float(np.percentile(errors, 90)),
        **{f"within_{limit}px": float(np.mean(errors <= limit)) for limit in WITHIN_PX},
        "leaderboard": leaderboard(mean),
    }


def score_pair(tiepoints_csv: Path, optical: Path, sar: Path, map_path: Path, scene: str = "pair") -> PairScore:
    """Score one map; a rejected map is a verdict, not an error.

    Raises:
        InputError: unreadable files, malformed CSV.
    """
    truth = reference(tiepoints_csv, optical, sar)
    zero = summary(distances_px(_zeros(truth), truth), truth.pixel_m)
    try:
        found = summary(distances_px(predicted_shift(map_path, truth), truth), truth.pixel_m)
    except RejectedMapError as error:
        return PairScore(scene, None, zero, str(error))
    return PairScore(scene, found, zero, _not_finite(found, tiepoints_csv, map_path))


def score_pair_to_file(
    tiepoints_csv: Path, optical: Path, sar: Path, map_path: Path, score_file: Path | None
) -> PairScore:
    """Score one map as `score_pair` does, and append one line to the score file.

    The line is the raw score, or -1 where the map is rejected or a file is unreadable.
    """
    raw: float = NO_SCORE
    try:
        result = score_pair(tiepoints_csv, optical, sar, map_path)
        raw = result.raw
        return result
    finally:
        if score_file is not None:
            _append(score_file, raw)


def score_folder(data_dir: Path, maps_dir: Path) -> list[PairScore]:
    """Score the maps of every labelled scene; a missing map is a verdict, not an error.

    Args:
        data_dir: SN9-named scenes; those without a tie-point CSV are passed over.
        maps_dir: ``solution_02_train_01.tif`` or ``offset_02_train_01.tif`` for the scene ``02_train_01``.

    Raises:
        InputError: no labelled scene, no such folder, unreadable files.
    """
    pairs = [pair for pair in discover(data_dir) if pair.tiepoints_csv is not None]
    if not pairs:
        raise InputError(f"{data_dir}: holds no labelled scene; put AA_tiepoints_NAME.csv beside the images of a scene")
    if not Path(maps_dir).is_dir():
        raise InputError(f"{maps_dir}: no such folder; pass the folder that holds {map_name(pairs[0].name)}")
    return score_pairs(pairs, Path(maps_dir))


def score_pairs(pairs: Sequence[ScenePair], maps_dir: Path) -> list[PairScore]:
    """Score the maps of labelled pairs that are open already; file names and errors as in `score_folder`."""
    return [_score_scene(pair, maps_dir) for pair in pairs]


def _positions(dataset: rasterio.io.DatasetReader, cols: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(N, 2) float64, element by element: a matrix product may fuse multiply and add, which would change the last
    bit."""
    x0, x_resolution, _, y0, _, y_resolution = dataset.transform.to_gdal()
    return np.column_stack(
        [x0 + np.asarray(cols, np.float64) * x_resolution, y0 + np.asarray(rows, np.float64) * y_resolution]
    )


def _read_pixels(map_path: Path, truth: Reference) -> np.ndarray:
    with open_raster(map_path) as dataset:
        wrong = why_no_map(dataset, truth.shape, truth.frame, truth.crs)
        if wrong:
            raise RejectedMapError(f"{map_path}: {wrong}")
        pixels = zip(truth.rows.tolist(), truth.cols.tolist(), strict=True)
        values = [dataset.read([1, 2], window=Window(col, row, 1, 1)).ravel() for row, col in pixels]
        return np.array(values, dtype=dataset.dtypes[0]).reshape(-1, 2)


def _check_inside(path: Path, rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int], image: str) -> None:
    outside = (rows < 0) | (rows >= shape[0]) | (cols < 0) | (cols >= shape[1])
    if outside.any():
        index = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{path}: data row {index + 1} points at {image} column {cols[index]:g}, row {rows[index]:g}, outside the image of {_size(shape)} px; "
            "check that the CSV belongs to this pair"
        )


def _zeros(truth: Reference) -> np.ndarray:
    return np.zeros((len(truth.rows), 2))


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _not_finite(found: dict, tiepoints_csv: Path, map_path: Path) -> str:
    if found["points"] == 0:
        return f"{tiepoints_csv}: holds no tie-point, so the score is NaN; add labels"
    if found["nan_points"]:
        count = f"{found['nan_points']} of {found['points']}"
        return f"{map_path}: is NaN at {count} tie-points, so the score is NaN; a map must be finite everywhere"
    return (
        ""
        if math.isfinite(found["mean_px"])
        else f"{map_path}: is infinite at a tie-point; a map must be finite everywhere"
    )


def _append(score_file: Path, raw: float) -> None:
    try:
        with Path(score_file).open("a") as file:
            file.write(f"{raw}\n")
    except OSError as error:
        raise refusal(error, score_file) from error


def _score_scene(pair: ScenePair, maps_dir: Path) -> PairScore:
    names = [map_name(pair.name, prefix) for prefix in MAP_PREFIXES]
    path = next((maps_dir / name for name in names if (maps_dir / name).is_file()), None)
    if path is not None:
        return score_pair(pair.tiepoints_csv, pair.optical, pair.sar, path, pair.name)
    truth = reference(pair.tiepoints_csv, pair.optical, pair.sar)
    zero = summary(distances_px(_zeros(truth), truth), truth.pixel_m)
    return PairScore(
        pair.name, None, zero, f"{maps_dir / names[0]}: no such map (nor {names[1]}); predict scene {pair.name} first"
    )
