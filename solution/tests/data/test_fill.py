"""Fill that a file does not declare is found, said in one line and left out; what only looks a little like it is kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rasterio

from solution.core.geometry import Window
from solution.data.fill import find_fill, remarks_on
from solution.data.scene import open_pair
from solution.data.views import open_image
from solution.tests.conftest import write_raster

SMALLEST = float(np.finfo(np.float32).min)
WHOLE = Window(0, 0, 192, 160)


def picture(dtype: str, low: float, high: float) -> np.ndarray:
    values = np.random.default_rng(0).uniform(low, high, (1, 100, 120))
    return (values if dtype.startswith("float") else np.rint(values)).astype(dtype)


def filled(image: np.ndarray, value: float, rows: int = 20, columns: int = 20) -> np.ndarray:
    """A corner of one value."""
    out = image.copy()
    out[:, :rows, :columns] = value
    return out


def found(image: np.ndarray) -> float | None:
    fill = find_fill(image, np.isfinite(image).all(axis=0) & (image != 0).any(axis=0))
    return None if fill is None else fill.value


@pytest.mark.parametrize(
    ("dtype", "low", "high", "value"),
    [
        ("float32", -30, 5, -9999),
        ("float32", 0.01, 2, SMALLEST),
        ("float64", -30, 5, 1e20),
        ("int16", 1, 3000, -9999),
        ("int16", 1, 10_000, -32768),
        ("uint16", 1, 4000, 65535),
        ("uint8", 1, 90, 255),
    ],
)
def test_fill_of_any_dtype(dtype, low, high, value):
    assert found(filled(picture(dtype, low, high), value)) == value


def test_what_is_not_fill():
    plain = picture("float32", -30, 5)
    assert found(plain) is None
    assert found(filled(plain, -9999, 5, 5)) is None, "rare"
    assert found(np.roll(filled(plain, -9999), (40, 40), axis=(1, 2))) is None, "not at the border"
    assert found(filled(plain, -35)) is None, "near the others"
    assert found(filled(plain, -12)) is None, "not extreme"
    assert found(np.clip(picture("float32", 0.1, 5) ** 6, 0, 200.0)) is None, "saturated"
    speckled = plain.copy()
    speckled[0].flat[::37] = -9999
    assert found(speckled) is None, "scattered"
    assert found(np.full((1, 50, 50), 7, np.uint8)) is None
    three = np.concatenate([filled(plain, -9999), plain, plain])
    assert found(three) is None, "in one band only"
    assert found(np.repeat(filled(plain, -9999), 3, axis=0)) == -9999


@pytest.fixture
def pairs(make_scene):
    """A pair whole, and with 3 % of -9999 in a corner of its decibels."""

    def make(**fields: object):
        made = make_scene(sar_dtype="float32", kind="db", speckle=0.3, **fields)
        whole = made.open().read(WHOLE)
        with rasterio.open(made.sar) as dataset:
            values, transform, crs = dataset.read(), dataset.transform, dataset.crs
        rows, columns = (int(0.17 * side) for side in values.shape[1:])
        write_raster(made.sar, filled(values, -9999, rows, columns), transform, crs, fields.get("sar_nodata"))
        return whole, made

    return make


@pytest.mark.parametrize(
    "fields",
    [{}, {"sar_nodata": -500.0}, {"sar_crs": "EPSG:32636", "sar_shape": (180, 180), "sar_offset": (-9, 9)}],
    ids=["plain", "beside a declared value", "reprojected"],
)
def test_a_pair_is_read_as_if_the_fill_were_declared(pairs, fields):
    whole, made = pairs(**fields)
    pair = made.open()
    seen = pair.read(WHOLE)
    assert 0.9 < seen.valid.mean() < 1
    assert np.abs(seen.sar - whole.sar)[0][seen.valid > 0].mean() < 0.02
    assert pair.masked(np.array([[8.0, 8.0], [150.0, 120.0]]), np.zeros((2, 2))).tolist() == [True, False]
    (line,) = pair.remarks()
    assert str(made.sar) in line and "-9999" in line and "taken as nodata" in line and "\n" not in line


def test_what_is_declared_and_what_is_found_are_both_left_out(make_scene):
    made = make_scene(sar_dtype="float32", kind="db")
    with rasterio.open(made.sar) as dataset:
        values, transform, crs = dataset.read(), dataset.transform, dataset.crs
    values = filled(values, -9999, 40, 40)
    values[:, -30:, -30:] = -500
    write_raster(made.sar, values, transform, crs, -500)
    pair = made.open()
    for crs in (None, "EPSG:32636"):
        with open_image(made.sar, crs) as dataset:
            read = dataset.read(1)
            assert dataset.nodata == -9999 and read[read != -9999].min() > -100
    assert not pair.sar_overview.valid[:5, :5].any() and not pair.sar_overview.valid[-3:, -3:].any()


def test_a_changed_file_is_looked_at_again(pairs):
    _, made = pairs()
    assert remarks_on(made.sar)
    with rasterio.open(made.sar) as dataset:
        profile = dataset.profile
    write_raster(made.sar, picture("float32", -30, 5), profile["transform"], profile["crs"])
    assert not remarks_on(made.sar)


def test_a_height_model_with_undeclared_fill_and_the_line_on_the_command_line(pairs, run, tmp_path):
    _, made = pairs(points=(12, 10))
    points = made.open().tiepoints()
    pd.DataFrame({"x": points.x, "y": points.y, "dx": points.dx, "dy": points.dy}).to_csv(tmp_path / "p.csv")
    with rasterio.open(made.optical) as dataset:
        heights = filled(
            np.fromfunction(lambda _, y, x: 200 + 50 * np.sin(x / 30 + y / 40), (1, *dataset.shape)), -32768
        )
        write_raster(tmp_path / "dem.tif", heights.astype(np.float32), dataset.transform, dataset.crs)
    arguments = ["fit", tmp_path / "p.csv", "--optical", made.optical, "--sar", made.sar, "--out", tmp_path / "m.tif"]
    code, out, err = run(*arguments, "--dem", tmp_path / "dem.tif")
    assert code in (0, 4), err
    assert out.count("taken as nodata") == 2
    pair = open_pair(made.optical, made.sar)
    from solution.field.terrain import open_relief

    with open_relief(tmp_path / "dem.tif", pair) as relief:
        assert np.nanmin(relief.at(np.array([[0.0, 0.0], [100.0, 100.0]]))) > 100
