"""The picture of a result, and maps that are none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from solution.tests.conftest import write_raster


@pytest.fixture
def drawn(make_scene, run, tmp_path):
    """Draw a map with some of its properties changed -> code, what was said, and the picture's path."""
    scene = make_scene("02_publictest", shape=(96, 112), points=None)
    with rasterio.open(scene.optical) as dataset:
        transform = dataset.transform

    def draw(values: np.ndarray, *options: object, moved: float = 0.0, crs: str | None = "EPSG:32637", out="o.png"):
        path = tmp_path / "map.tif"
        write_raster(path, values, transform @ Affine.translation(moved, 0), crs)
        code, _, err = run("picture", scene.optical, scene.sar, path, tmp_path / out, *options)
        return code, err, tmp_path / out

    return draw


def shifts(dtype: str = "float32", size: tuple[int, int, int] = (2, 96, 112)) -> np.ndarray:
    return np.full(size, 3, dtype)


@pytest.mark.parametrize("out", ["o.png", "new/o.jpg"])
def test_a_map_is_drawn(drawn, out):
    code, err, path = drawn(shifts(), out=out)
    assert code == 0, err
    assert cv2.imread(str(path)).std() > 0


@pytest.mark.parametrize(
    ("values", "more", "sentence"),
    [
        (shifts() * np.nan, {}, "is NaN or infinite at 100.0% of what would be drawn"),
        (shifts("complex64"), {}, "is complex"),
        (shifts(size=(1, 96, 112)), {}, "has 1 band"),
        (shifts(size=(2, 96, 100)), {}, "is 100 x 96 px where the optical image is 112 x 96 px"),
        (shifts(), {"moved": 40.0}, "lies on another grid or in another CRS"),
        (shifts(), {"crs": "EPSG:32638"}, "another CRS (EPSG:32638)"),
    ],
    ids=["nan", "complex", "bands", "size", "grid", "crs"],
)
def test_what_is_no_map_says_so(drawn, values, more, sentence):
    code, err, path = drawn(values, **more)
    assert code == 2 and len(err.splitlines()) == 1 and "map.tif: " in err
    assert sentence in err and not path.exists()


def test_a_window_of_the_finite_part_helps(drawn):
    values = shifts()
    values[:, :, 60:] = np.nan
    code, err, _ = drawn(values)
    assert code == 2 and "draw another --window" in err
    assert drawn(values, "--window", 0, 0, 48, 48)[0] == 0


def test_a_map_without_georeferencing_lies_on_its_image(drawn):
    assert drawn(shifts(), crs=None)[0] == 0
