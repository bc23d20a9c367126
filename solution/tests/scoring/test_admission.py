"""What the contest would say of a submission."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from solution.data.opening import open_raster
from solution.scoring.admission import map_in_zip, refusals
from solution.scoring.submission import build_zip
from solution.tests.conftest import write_raster

CRS = "EPSG:32637"
GRID = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
SHAPE = (40, 56)


@pytest.fixture
def optical(tmp_path) -> dict[str, Path]:
    """The optical images of two scenes of different sizes."""
    paths = {}
    for number, name in enumerate(("02_publictest", "03_publictest")):
        paths[name] = tmp_path / f"{name}.tif"
        write_raster(paths[name], np.ones((3, SHAPE[0] + number, SHAPE[1]), np.uint8), GRID, CRS)
    return paths


@pytest.fixture
def submitted(optical, tmp_path):
    """Zips a good map of the second scene and one of the first with these properties -> what is said of it."""

    def call(shape=SHAPE, bands=2, dtype="float32", grid=GRID, crs=CRS, broken_at=None) -> list[str]:
        maps = {name: tmp_path / f"map_{name}.tif" for name in optical}
        values = np.ones((bands, *shape), dtype)
        if broken_at is not None:
            values[broken_at] = np.nan
        write_raster(maps["02_publictest"], values, grid, crs)
        write_raster(maps["03_publictest"], np.ones((2, SHAPE[0] + 1, SHAPE[1]), np.float32), GRID, CRS)
        build_zip(maps, tmp_path / "solution.zip")
        return refusals(tmp_path / "solution.zip", optical)

    return call


def test_a_good_one_is_taken(submitted):
    assert submitted() == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"shape": SHAPE[::-1]}, "is 40 x 56 px where the optical image is 56 x 40 px"),
        ({"bands": 3}, "has 3 band(s)"),
        ({"dtype": "float64"}, "is float64"),
        ({"dtype": "int16"}, "is int16"),
        ({"grid": GRID @ Affine.translation(1, 0)}, "lies on another grid"),
        ({"grid": GRID @ Affine.scale(1, -1)}, "lies on another grid"),
        ({"grid": Affine.identity(), "crs": None}, "does not say where it lies"),
        ({"broken_at": (1, SHAPE[0] - 1, SHAPE[1] - 1)}, "is not finite everywhere"),
    ],
)
def test_a_map_that_is_none(submitted, wrong, told):
    (sentence,) = submitted(**wrong)
    assert "solution/solution_02_publictest.tif" in sentence and told in sentence


def test_names(optical, submitted, tmp_path):
    submitted()
    (sentence,) = refusals(tmp_path / "solution.zip", {"02_publictest": optical["02_publictest"]})
    assert "solution/solution_03_publictest.tif does not belong there" in sentence
    (sentence,) = refusals(tmp_path / "solution.zip", {**optical, "04_publictest": optical["02_publictest"]})
    assert "solution/solution_04_publictest.tif is missing" in sentence


def test_a_map_beside_its_folder_is_missing(optical, submitted, tmp_path):
    submitted()
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
        for name in optical:
            archive.write(tmp_path / f"map_{name}.tif", f"solution_{name}.tif")
    assert len(refusals(tmp_path / "flat.zip", optical)) == 4


def test_what_is_no_zip_or_a_damaged_one(optical, submitted, tmp_path):
    submitted()
    path = tmp_path / "solution.zip"
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[0]
    content[first.header_offset + 200] ^= 0xFF
    path.write_bytes(content)
    assert "is damaged" in refusals(path, optical)[0]
    path.write_bytes(content[: len(content) // 2])
    assert "is no readable zip" in refusals(path, optical)[0]
    assert "is no readable zip" in refusals(tmp_path / "none.zip", optical)[0]


def test_a_map_is_found_in_its_zip(optical, submitted, tmp_path, monkeypatch):
    submitted()
    monkeypatch.chdir(tmp_path)
    with open_raster(map_in_zip(Path("solution.zip"), "03_publictest")) as dataset:
        assert dataset.shape == (SHAPE[0] + 1, SHAPE[1])
