"""The scorer against hand-made numbers, against a literal restatement of its definition, and through the command
line."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasterio.warp import transform as warp_points
from typer.testing import CliRunner

from solution.cli.app import app, main
from solution.core.errors import InputError
from solution.scoring import score

HEADER = "sar_row,sar_col,optical_row,optical_col"
SHARED = Path(__file__).parents[4] / "shared" / "data"
OPTICAL_GT = (500_000.0, 0.5, 5_000_000.0, -0.5)
SAR_GT = (500_003.0, 1.0, 4_999_998.0, -1.0)
POINTS = ((0, 0, 0, 0), (9, 6, 20, 10), (7, 11, 3, 30), (30, 3, 39, 59), (12, 12, 25, 25))
"""CSV rows.

By hand, dx = (3 + sar_col - 0.5 col) / 0.5 and dy = (-2 - sar_row + 0.5 row) / -0.5: (6, 4), (8, 2), (-2, 15), (-47,
25), (5, 3).
"""
SHIFTS = np.array([(6, 4), (8, 2), (-2, 15), (-47, 25), (5, 3)], dtype=float)


def write_raster(
    path: Path, bands: np.ndarray, gt: tuple = OPTICAL_GT, crs: str | None = "EPSG:32637", **profile
) -> Path:
    count, height, width = bands.shape
    transform = Affine(gt[1], 0, gt[0], 0, gt[3], gt[2])
    options = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": bands.dtype,
        "crs": crs,
        **profile,
    }
    with rasterio.open(path, "w", transform=transform, **options) as dataset:
        dataset.write(bands)
    return path


def write_pair(
    folder: Path,
    points: tuple = POINTS,
    scene: str = "train_01",
    shape: tuple = (40, 60),
    sar_gt: tuple = SAR_GT,
    sar_crs: str = "EPSG:32637",
) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    csv = folder / f"02_tiepoints_{scene}.csv"
    csv.write_text("\n".join([HEADER, *(",".join(map(str, row)) for row in points)]) + "\n")
    optical = write_raster(folder / f"02_optical_{scene}.tif", np.full((3, *shape), 9, np.uint8))
    sar = write_raster(folder / f"02_sar_{scene}.tif", np.full((1, 40, 40), 9, np.uint8), sar_gt, sar_crs)
    return {"tiepoints_csv": csv, "optical": optical, "sar": sar}


def perfect_bands(points: tuple = POINTS, shifts: np.ndarray = SHIFTS, shape: tuple = (40, 60)) -> np.ndarray:
    bands = np.zeros((2, *shape), np.float32)
    for (_, _, row, col), shift in zip(points, shifts, strict=True):
        bands[:, row, col] = shift
    return bands


def official_arguments(files: dict[str, Path], offset_map: Path) -> list[str]:
    names = {"--evaluation_tiepoints": "tiepoints_csv", "--optical_image": "optical", "--sar_image": "sar"}
    options = [text for option, name in names.items() for text in (option, str(files[name]))]
    return ["score", *options, "--output_offset_image", str(offset_map)]


def exit_of_main(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["solution", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return write_pair(tmp_path / "data")


def errors_px(files: dict[str, Path], map_path: Path) -> np.ndarray:
    truth = score.reference(**files)
    return score.distances_px(score.predicted_shift(map_path, truth), truth)


def test_reference_is_the_hand_computed_shift(files):
    truth = score.reference(**files)
    order = np.lexsort(([row[3] for row in POINTS], [row[2] for row in POINTS]))
    np.testing.assert_array_equal(np.column_stack([truth.dx, truth.dy]), SHIFTS[order])
    np.testing.assert_array_equal(truth.rows, np.array(POINTS)[order, 2])
    assert (truth.shape, truth.pixel_m) == ((40, 60), 0.5)


def test_perfect_map_scores_exactly_100(files, tmp_path):
    errors = errors_px(files, write_raster(tmp_path / "m.tif", perfect_bands()))
    assert errors.tolist() == [0.0] * 5
    assert score.summary(errors)["leaderboard"] == 100.0


@pytest.mark.parametrize(
    ("spoil", "mean"),
    [
        (lambda bands: bands[::-1].copy(), np.mean([math.hypot(x - y, y - x) for x, y in SHIFTS])),
        (lambda bands: -bands, np.mean([2 * math.hypot(x, y) for x, y in SHIFTS])),
        (lambda bands: bands * np.array([1, -1], np.float32)[:, None, None], np.mean(np.abs(2 * SHIFTS[:, 1]))),
        (lambda bands: bands + np.float32(0.5), math.hypot(0.5, 0.5)),
        (lambda bands: np.roll(bands, 1, axis=2), np.mean([math.hypot(x, y) for x, y in SHIFTS])),
    ],
    ids=["x and y swapped", "sign flipped", "y sign flipped", "half a pixel off", "one column off"],
)
def test_wrong_maps_cost_what_they_should(files, tmp_path, spoil, mean):
    errors = errors_px(files, write_raster(tmp_path / "m.tif", spoil(perfect_bands())))
    result = score.summary(errors)
    assert result["mean_px"] == pytest.approx(mean, abs=1e-12)
    assert result["leaderboard"] < 100


def test_summary_by_hand():
    result = score.summary(np.array([0.0, 1.0, 2.0, 5.0, 30.0]), pixel_m=0.5)
    assert result["mean_px"] == 7.6
    assert result["mean_m"] == 3.8
    assert result["median_px"] == 2.0
    assert result["p90_px"] == pytest.approx(20.0)
    assert [result[f"within_{limit}px"] for limit in (1, 3, 5, 10, 25)] == [0.4, 0.6, 0.8, 0.8, 0.8]
    assert result["leaderboard"] == 100 / (1 + 0.01 * 7.6)


def literal_score(files: dict[str, Path], bands: np.ndarray) -> float:
    """The definition word for word, with whole-image arrays."""
    with rasterio.open(files["optical"]) as optical, rasterio.open(files["sar"]) as sar:
        opt_gt, sar_gt, shape = optical.transform.to_gdal(), sar.transform.to_gdal(), optical.shape
    truth = np.full((2, *shape), np.nan)
    for line in files["tiepoints_csv"].read_text().splitlines()[1:]:
        sar_row, sar_col, row, col = map(int, line.split(","))
        x = (sar_gt[0] + sar_col * sar_gt[1]) - (opt_gt[0] + col * opt_gt[1])
        y = (sar_gt[3] + sar_row * sar_gt[5]) - (opt_gt[3] + row * opt_gt[5])
        truth[:, row, col] = round(x / opt_gt[1]), round(y / opt_gt[5])  # Python rounds halves to even, as rint does
    known = ~np.isnan(truth[0])
    pairs = zip(bands[0][known], bands[1][known], truth[0][known], truth[1][known], strict=True)
    return float(np.mean([np.sqrt((px - tx) ** 2 + (py - ty) ** 2) for px, py, tx, ty in pairs]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_equals_the_literal_definition_to_the_last_digit(tmp_path, dtype):
    rng = np.random.default_rng(7)
    columns = [
        rng.integers(0, limit, 300) for limit in (40, 40, 40, 60)
    ]  # 300 points on 2400 pixels: some fall on one pixel
    gt = (499_997.0703162972, 0.4090703162972, 5_000_001.4087920091, -0.409016470777)
    files = write_pair(tmp_path / "data", tuple(zip(*columns, strict=True)), sar_gt=gt)
    bands = (rng.normal(0, 30, (2, 40, 60))).astype(dtype)
    map_path = write_raster(tmp_path / "m.tif", bands, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    errors = errors_px(files, map_path)
    assert len(errors) < 300
    assert score.summary(errors)["mean_px"] == literal_score(files, bands)


def test_halves_round_to_even(tmp_path):
    """SAR columns 0.25 m apart put the shifts at 0.5, 1.5, 2.5 px."""
    points = ((0, 1, 0, 0), (0, 3, 1, 0), (0, 5, 2, 0))
    files = write_pair(tmp_path / "data", points, sar_gt=(500_000.0, 0.25, 5_000_000.0, -0.5))
    assert score.reference(**files).dx.tolist() == [0, 2, 2]


def test_of_two_points_on_one_pixel_the_later_row_counts_once(tmp_path):
    files = write_pair(tmp_path / "data", ((9, 6, 20, 10), (12, 12, 25, 25), (10, 9, 20, 10)))
    errors = errors_px(files, write_raster(tmp_path / "m.tif", np.zeros((2, 40, 60), np.float32)))
    np.testing.assert_array_equal(errors, [math.hypot(14, 4), math.hypot(5, 3)])


def test_sar_in_another_crs(tmp_path):
    """The same SAR grid, given in degrees: tie-points are put where the degrees say, so the perfect map is known by
    construction.
    """
    (lon, lat) = (values[0] for values in warp_points("EPSG:32637", "EPSG:4326", [500_003.0], [4_999_998.0]))
    files = write_pair(tmp_path / "data", sar_gt=(lon, 1.2e-5, lat, -0.9e-5), sar_crs="EPSG:4326")
    sar_rows, sar_cols, rows, cols = np.array(POINTS).T
    x, y = warp_points(
        "EPSG:4326", "EPSG:32637", (lon + sar_cols * 1.2e-5).tolist(), (lat - sar_rows * 0.9e-5).tolist()
    )
    shifts = np.column_stack([(np.array(x) - 500_000 - 0.5 * cols) / 0.5, (5_000_000 - 0.5 * rows - np.array(y)) / 0.5])
    errors = errors_px(files, write_raster(tmp_path / "m.tif", perfect_bands(shifts=np.rint(shifts))))
    assert errors.tolist() == [0.0] * 5


def test_mean_in_metres_follows_the_unit_of_the_crs(tmp_path):
    folder = tmp_path / "data"
    files = write_pair(folder)
    write_raster(files["optical"], np.full((3, 40, 60), 9, np.uint8), crs="EPSG:2227")  # US survey feet
    write_raster(files["sar"], np.full((1, 40, 40), 9, np.uint8), SAR_GT, crs="EPSG:2227")
    assert score.reference(**files).pixel_m == pytest.approx(0.5 * 1200 / 3937)


def test_georeferencing_of_the_map_plays_no_part(files, tmp_path, recwarn):
    moved = write_raster(tmp_path / "m.tif", perfect_bands(), gt=(0.0, 7.0, 0.0, 7.0), crs=None)
    assert errors_px(files, moved).sum() == 0
    assert not recwarn.list


def test_official_command_line(files, tmp_path):
    path, score_file, numbers = (
        write_raster(tmp_path / "m.tif", perfect_bands() + np.float32(3)),
        tmp_path / "s.txt",
        tmp_path / "n.json",
    )
    arguments = [*official_arguments(files, path), "--score_file", str(score_file), "--json", str(numbers)]
    for _ in range(2):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    raw = math.sqrt(18)
    assert score_file.read_text() == f"{raw}\n{raw}\n"
    assert str(raw) in result.output
    assert str(100 / (1 + 0.01 * raw)) in result.output
    written = json.loads(numbers.read_text())
    assert written["scenes"]["pair"]["map"]["mean_px"] == raw
    assert written["scenes"]["pair"]["zero_shift"]["mean_px"] == pytest.approx(np.hypot(*SHIFTS.T).mean())


@pytest.mark.parametrize("shape", [(2, 39, 60), (2, 60, 40), (1, 40, 60), (3, 40, 60)])
def test_map_of_wrong_size_or_band_count_gets_minus_one(files, tmp_path, shape):
    path, score_file, numbers = (
        write_raster(tmp_path / "m.tif", np.zeros(shape, np.float32)),
        tmp_path / "s.txt",
        tmp_path / "n.json",
    )
    result = CliRunner().invoke(
        app, [*official_arguments(files, path), "--score_file", str(score_file), "--json", str(numbers)]
    )
    assert result.exit_code == 1
    assert score_file.read_text() == "-1\n"
    assert f"{path}: " in result.output.replace("\n", "")
    assert json.loads(numbers.read_text())["scenes"]["pair"]["map"] is None
    with pytest.raises(score.RejectedMapError):
        errors_px(files, path)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ({"bands": perfect_bands().astype(np.complex64)}, "is complex"),
        ({"gt": (500_030.0, 0.5, 5_000_000.0, -0.5)}, "lies on another grid or in another CRS"),
        ({"gt": (500_000.0, 1.0, 5_000_000.0, -1.0)}, "lies on another grid or in another CRS"),
        ({"crs": "EPSG:32638"}, "another CRS (EPSG:32638)"),
    ],
    ids=["complex", "moved", "coarser", "CRS"],
)
def test_what_is_no_map_of_the_image_gets_minus_one(files, tmp_path, spoil, sentence):
    score_file = tmp_path / "s.txt"
    path = write_raster(tmp_path / "m.tif", **{"bands": perfect_bands(), **spoil})
    result = CliRunner().invoke(app, [*official_arguments(files, path), "--score_file", str(score_file)])
    assert result.exit_code == 1 and f"{path}: " in result.output.replace("\n", "")
    assert sentence in " ".join(result.output.split())
    assert score_file.read_text() == "-1\n"


def test_a_map_whose_crs_is_only_called_otherwise_is_scored(files, tmp_path):
    same = "+proj=tmerc +lat_0=0 +lon_0=39 +k=0.9996 +x_0=500000 +y_0=0 +datum=WGS84 +units=m"
    path = write_raster(tmp_path / "m.tif", perfect_bands(), crs=same)
    assert errors_px(files, path).sum() == 0


def test_tie_points_beside_either_image_are_named(files, tmp_path):
    path = write_raster(tmp_path / "m.tif", perfect_bands())
    for row, where in (
        ("40,0,0,0", "SAR column 0, row 40"),
        ("0,-1,0,0", "SAR column -1"),
        ("0,0,0,60", "optical column 60"),
    ):
        files["tiepoints_csv"].write_text(f"{HEADER}\n{row}\n")
        with pytest.raises(InputError, match=rf"tiepoints_train_01\.csv: data row 1 points at {where}"):
            score.score_pair(**files, map_path=path)


def test_nan_at_a_tie_point_makes_the_score_nan_and_says_so(files, tmp_path):
    bands = perfect_bands()
    bands[0, 25, 25] = np.nan
    path, score_file, numbers = write_raster(tmp_path / "m.tif", bands), tmp_path / "s.txt", tmp_path / "n.json"
    result = CliRunner().invoke(
        app, [*official_arguments(files, path), "--score_file", str(score_file), "--json", str(numbers)]
    )
    assert result.exit_code == 1
    assert score_file.read_text() == "nan\n"
    assert "is NaN at 1 of 5 tie-points" in result.output
    assert json.loads(numbers.read_text())["scenes"]["pair"]["map"]["mean_px"] is None


def test_nan_elsewhere_is_not_seen(files, tmp_path):
    bands = perfect_bands()
    bands[:, 1, 1] = np.nan
    assert errors_px(files, write_raster(tmp_path / "m.tif", bands)).sum() == 0


def test_unreadable_input_ends_in_one_sentence_and_minus_one(files, tmp_path, monkeypatch, capsys):
    good = write_raster(tmp_path / "m.tif", perfect_bands())
    torn, absent = tmp_path / "torn.tif", tmp_path / "absent.tif"
    torn.write_bytes(good.read_bytes()[:300])
    bad_csv = tmp_path / "bad.csv"
    bad_csv.write_text("a,b\n1,2\n")
    far_csv = tmp_path / "far.csv"
    far_csv.write_text(f"{HEADER}\n0,0,40,0\n")
    cases = {torn: (files, torn), absent: (files, absent)} | {
        c: ({**files, "tiepoints_csv": c}, good) for c in (bad_csv, far_csv)
    }
    for number, (culprit, (inputs, map_path)) in enumerate(cases.items(), start=1):
        assert (
            exit_of_main(monkeypatch, [*official_arguments(inputs, map_path), "--score_file", str(tmp_path / "s.txt")])
            == 2
        )
        message = capsys.readouterr().err
        assert message.startswith(f"error: {culprit}: ")
        assert message.count("\n") == 1
        assert (tmp_path / "s.txt").read_text() == "-1\n" * number


def test_image_without_crs_is_named(files):
    write_raster(files["sar"], np.full((1, 40, 40), 9, np.uint8), SAR_GT, crs=None)
    with pytest.raises(InputError, match=r"02_sar_train_01\.tif: has no coordinate system"):
        score.reference(**files)


def test_no_tie_points_is_no_crash(tmp_path):
    files = write_pair(tmp_path / "data", ())
    verdict = score.score_pair(**files, map_path=write_raster(tmp_path / "m.tif", np.zeros((2, 40, 60), np.float32)))
    assert verdict.found["points"] == 0
    assert math.isnan(verdict.raw)
    assert "holds no tie-point" in verdict.problem


@pytest.mark.parametrize(
    "arguments", [[], ["only_data"], ["--optical_image", "a.tif"], ["data", "maps", "--score_file", "s.txt"]]
)
def test_half_a_command_line_is_refused(arguments, monkeypatch, capsys):
    assert exit_of_main(monkeypatch, ["score", *arguments]) == 2
    assert "DATA_DIR and MAPS_DIR, or all of --evaluation_tiepoints" in capsys.readouterr().err


def test_large_map_is_read_at_the_points_only(tmp_path):
    """A 13,000 x 13,000 map with no block written costs a few reads, not 1.4 GB."""
    side = 13_000
    sizes = {"height": side, "width": side, "tiled": True, "sparse_ok": True, "driver": "GTiff"}
    with rasterio.open(tmp_path / "m.tif", "w", count=2, dtype="float32", transform=Affine.scale(0.5, -0.5), **sizes):
        pass
    truth = score.Reference(
        np.array([0, side - 1]), np.array([5, side - 1]), np.array([3.0, 0]), np.array([4.0, 0]), (side, side), 1.0
    )
    predicted = score.predicted_shift(tmp_path / "m.tif", truth)
    assert score.distances_px(predicted, truth).tolist() == [5.0, 0.0]


@pytest.mark.parametrize(("scene", "zero_px", "points"), [("02_train_01", 105.56, 151), ("02_train_02", 85.53, 104)])
def test_zero_shift_of_the_real_challenge_scenes(tmp_path, scene, zero_px, points):
    folder = SHARED / "sn9_tiepoints"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here: the real tie-points are not part of the repository")
    transforms = json.loads((folder / "geotransforms.json").read_text())[scene]
    paths = {}
    for kind, shape in (("optical", (3990, 10155)), ("sar", (2929, 7477))):
        x0, dx, y0, dy = transforms[kind]
        paths[kind] = tmp_path / f"{kind}.tif"
        options = {
            "driver": "GTiff",
            "count": 1,
            "dtype": "uint8",
            "crs": "EPSG:32637",
            "sparse_ok": True,
            "tiled": True,
        }
        with rasterio.open(
            paths[kind], "w", height=shape[0], width=shape[1], transform=Affine(dx, 0, x0, 0, dy, y0), **options
        ):
            pass
    errors = score.zero_shift_errors_px(folder / f"02_tiepoints_{scene[3:]}.csv", **paths)
    assert len(errors) == points
    assert errors.mean() == pytest.approx(zero_px, abs=0.005)
