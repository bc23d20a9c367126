"""The scorer reads tables as `fit` does, and its figures do not depend on the dialect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rasterio.transform import Affine

from solution.scoring import score
from solution.tests.conftest import Scene, write_raster

SHAPE = (96, 112)


@pytest.fixture
def made(make_scene) -> Scene:
    return make_scene(shape=SHAPE, points=(5, 4))


def scored(run, made: Scene, table, folder) -> tuple[int, str, str]:
    pair = ["--optical_image", made.optical, "--sar_image", made.sar, "--output_offset_image", folder / "m.tif"]
    return run("score", "--evaluation_tiepoints", table, *pair, "--score_file", folder / "s.txt")


@pytest.mark.parametrize("kind", ["mark", "semicolons", "UTF-16", "capitals", "decimals"])
def test_the_score_is_the_same_to_the_last_digit(made, tmp_path, run, kind):
    labels = pd.read_csv(made.tiepoints_csv)
    write_raster(tmp_path / "m.tif", np.random.default_rng(0).normal(0, 5, (2, *SHAPE)).astype(np.float32), None, None)
    other = tmp_path / "t.csv"
    if kind == "capitals":
        labels.rename(columns=lambda name: name.replace("_", " ").title()).to_csv(other, index=False)
    else:
        labels = labels.astype(float) if kind == "decimals" else labels
        labels.to_csv(
            other,
            index=False,
            sep="," if kind == "mark" else ";",
            decimal="," if kind == "decimals" else ".",
            encoding={"mark": "utf-8-sig", "UTF-16": "utf-16"}.get(kind, "utf-8"),
        )
    for table in (made.tiepoints_csv, other):
        assert scored(run, made, table, tmp_path)[0] == 0
    first, second = (tmp_path / "s.txt").read_text().split()
    assert first == second


def test_fractions_are_kept_until_the_shift_is_rounded(made, tmp_path):
    """Optical column 10.4 is looked up at pixel 10; the shift is that of 10.4."""
    (tmp_path / "t.csv").write_text("sar_row,sar_col,optical_row,optical_col\n20.5,30.25,14.4,10.4\n")
    truth = score.reference(tmp_path / "t.csv", made.optical, made.sar)
    assert (truth.rows.tolist(), truth.cols.tolist()) == ([14], [10])
    assert truth.dx.tolist() == [np.rint((-3.1 + 30.25 * 0.67) / 0.5 - 10.4)]
    assert truth.dy.tolist() == [np.rint((-5.3 + 20.5 * 0.66) / 0.5 - 14.4)]


def test_a_wrong_table_and_an_image_that_lies_nowhere(made, tmp_path, run):
    write_raster(tmp_path / "m.tif", np.zeros((2, *SHAPE), np.float32), None, None)
    (tmp_path / "t.csv").write_text("x,y,z\n1,2,3\n")
    code, _, err = scored(run, made, tmp_path / "t.csv", tmp_path)
    assert code == 2 and "it has x, y, z; the header must be sar_row,sar_col,optical_row,optical_col" in err
    (tmp_path / "t.csv").write_text("sar_row,sar_col,optical_row,optical_col\n1,2,3,\n")
    code, _, err = scored(run, made, tmp_path / "t.csv", tmp_path)
    assert code == 2 and "data row 1 has an empty cell" in err
    write_raster(made.sar, np.ones((1, 40, 40), np.uint8), Affine.identity(), "EPSG:32637")
    code, _, err = scored(run, made, made.tiepoints_csv, tmp_path)
    assert code == 2 and "has a CRS but no geotransform" in err
