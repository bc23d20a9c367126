"""`python -m solution data`: every way a pair can be wrong ends in its row, in one sentence that names the file, with
exit code 2.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from solution.core.errors import InputError
from solution.data import finding
from solution.scoring import inventory
from solution.tests.conftest import ORIGIN, write_raster

UTM = "EPSG:32637"
SMALL = {"shape": (64, 80), "points": (4, 3)}
HEADER = "sar_row,sar_col,optical_row,optical_col\n"
GRID = Affine(0.5, 0, ORIGIN[0], 0, -0.5, ORIGIN[1])


def raster(values: np.ndarray, crs: str | None = UTM, transform: Affine = GRID) -> Callable[[Path], None]:
    return lambda path: write_raster(path, values, transform, crs)


def labels(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text)


def halve(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


ONES = np.ones((1, 60, 60), np.uint8)
FAR = Affine(0.5, 0, ORIGIN[0] + 5000, 0, -0.5, ORIGIN[1])
TURNED = Affine(0.5, 0.1, ORIGIN[0], 0.1, -0.5, ORIGIN[1])

FAULTS = [
    ("sar", raster(ONES, crs=None), "no coordinate system"),
    ("optical", raster(np.ones((3, 60, 60), np.uint8), crs=None), "no coordinate system"),
    ("sar", raster(np.ones((2, 60, 60), np.uint8)), "has 2 bands"),
    ("sar", raster(ONES, transform=FAR), "does not overlap"),
    ("sar", raster(ONES, crs="EPSG:32705"), "does not overlap"),
    ("sar", raster(ONES.astype(np.complex64)), "is complex"),
    ("optical", raster(np.ones((3, 60, 60), np.uint8), transform=TURNED), "rotated"),
    ("sar", halve, "unreadable or truncated"),
    ("optical", halve, "unreadable or truncated"),
    ("sar", lambda path: path.write_bytes(b""), "unreadable or truncated"),
    ("sar", lambda path: path.write_text("not a picture"), "unreadable or truncated"),
    ("sar", raster(0 * ONES), "nothing but nodata"),
    ("optical", raster(np.zeros((3, 60, 60), np.uint8)), "nothing but nodata"),
    ("sar", raster(np.full((1, 60, 60), np.nan, np.float32)), "nothing but nodata"),
    ("tiepoints", labels("row,col\n1,2\n"), "lacks the column(s) sar_row"),
    ("tiepoints", labels(""), "not a readable CSV"),
    ("tiepoints", lambda path: path.write_bytes(bytes(range(256)) * 9), "not a readable CSV"),
    ("tiepoints", labels(HEADER), "holds no tie-point"),
    ("tiepoints", labels(HEADER + "1,2,3,4\n1,2,3,4.5\n"), "data row 2 holds a value that is not a whole number"),
    ("tiepoints", labels(HEADER + "1,2,3,many\n"), "not a whole number"),
    ("tiepoints", labels(HEADER + "1,2,3\n"), "not a whole number"),
    ("tiepoints", labels(HEADER + "1,2,64,4\n"), "optical_row 64 in data row 1 is outside the image (0 to 63)"),
    ("tiepoints", labels(HEADER + "1,2,3,80\n"), "optical_col 80"),
    ("tiepoints", labels(HEADER + "-1,2,3,4\n"), "sar_row -1"),
    ("tiepoints", labels(HEADER + "1,2000,3,4\n"), "sar_col 2000"),
    ("tiepoints", labels(HEADER + "1,1e30,3,4\n"), "sar_col"),
]


@pytest.mark.parametrize(
    ("kind", "spoil", "sentence"), FAULTS, ids=[f"{kind}: {sentence[:30]}" for kind, _, sentence in FAULTS]
)
def test_a_fault_is_one_sentence_in_its_row_and_the_others_are_still_listed(make_scene, run, kind, spoil, sentence):
    made = make_scene(**SMALL)
    path = {"optical": made.optical, "sar": made.sar, "tiepoints": made.tiepoints_csv}[kind]
    make_scene("03_train_01", **SMALL)
    spoil(path)
    code, out, err = run("data", made.folder)
    assert code == 2 and err == ""
    bad, good = (
        next(line for line in out.splitlines() if line.startswith(name)) for name in ("02_train_01", "03_train_01")
    )
    assert sentence in bad and path.name in bad
    assert good.endswith("  ok")
    assert out.splitlines()[-1].startswith("2 pairs, ") and out.splitlines()[-1].endswith(", 1 with a problem")


@pytest.mark.parametrize("kind", ["optical", "sar"])
def test_half_a_pair(make_scene, run, kind):
    made = make_scene(**SMALL)
    path = getattr(made, kind)
    path.unlink()
    code, out, _ = run("data", made.folder)
    assert code == 2 and f"{path.name} is missing beside" in out
    with pytest.raises(InputError, match="is missing beside"):
        finding.discover(made.folder)


def test_a_good_folder(make_scene, run, tmp_path):
    folder = tmp_path / "data"
    make_scene("02_train_01", folder / "train", displacement=(6.0, -4.0), **SMALL)
    make_scene("02_publictest", folder / "publictest", shape=(64, 80), points=None)
    other = {"sar_crs": "EPSG:32636", "sar_shape": (120, 120), "sar_offset": (-15, 15)}
    make_scene("03_train_01", folder / "train", **SMALL, **other)
    code, out, err = run("data", folder)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert code == 0 and err == ""
    assert "80 x 64, 3 x uint8, 0.5 m" in lines["02_train_01"] and "uint8, 0.67 x 0.66 m" in lines["02_train_01"]
    assert UTM in lines["02_train_01"] and "differs" not in lines["02_train_01"]
    assert "100.0%" in lines["02_train_01"]
    assert "EPSG:32637 differs from SAR EPSG:32636" in lines["03_train_01"]
    assert lines["02_publictest"].endswith("ok, no labels")
    assert lines["3"] == "3 pairs, 2 with tie-points"
    assert len({lines[name].index("uint8") for name in ("02_train_01", "02_publictest")}) == 1  # fixed width


def test_the_numbers_are_those_of_the_labels(make_scene):
    made = make_scene(displacement=(6.0, -4.0), **SMALL)
    (report,) = inventory.take_inventory(made.folder)
    points = made.open().tiepoints()
    assert report.points == len(points)
    assert report.mean_shift_px == pytest.approx((points.dx.mean(), points.dy.mean()))
    assert report.zero_shift_px == pytest.approx(np.hypot(np.rint(points.dx), np.rint(points.dy)).mean())
    assert report.mean_shift_px == pytest.approx((6, -4), abs=0.5)


def test_without_pixels_headers_and_labels_are_still_checked(make_scene, run):
    made = make_scene(**SMALL)
    halve(made.sar)
    assert run("data", made.folder, "--no-pixels")[0] == 0
    raster(ONES, transform=FAR)(made.sar)
    code, out, _ = run("data", made.folder, "--no-pixels")
    assert code == 2 and "problem" in out


def test_extents_that_meet_are_not_enough(make_scene, run):
    made = make_scene(**SMALL)
    values = np.zeros((1, 400, 400), np.uint8)
    values[:, 300:, 300:] = 9
    raster(values)(made.sar)
    code, out, _ = run("data", made.folder)
    assert code == 2 and "does not overlap" in out


@pytest.mark.parametrize("folder", ["missing", "."])
def test_no_folder_or_no_pair(run, tmp_path, folder):
    code, out, err = run("data", tmp_path / folder)
    assert code == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_a_terminal_gets_a_table(make_scene, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    inventory.show([*inventory.take_inventory(make_scene(**SMALL).folder)])
    out = capsys.readouterr().out
    assert "─" in out and "02_train_01" in out
