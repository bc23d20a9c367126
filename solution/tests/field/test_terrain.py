"""``fit --dem``: heights explain what few tie-points cannot, and are left out where they do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.transform import Affine

from solution.tests.conftest import Recipe, write_scene

SHAPE = (400, 480)
SLOPE = (0.4, -0.15)  # px per m


def height(x, y) -> np.ndarray:
    """Hills of +-40 m that 80 tie-points cannot follow; not symmetric in x and y."""
    return 500.0 + 40 * np.sin(x / 17) * np.cos(y / 29)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("hills"), "02_hills", Recipe(shape=SHAPE, points=None))


@pytest.fixture(scope="module")
def own() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(5, SHAPE[1] - 6, 80), rng.uniform(5, SHAPE[0] - 6, 80)
    hill = height(np.rint(x), np.rint(y)) - 500
    noise = rng.normal(0, 0.3, (2, 80))
    return pd.DataFrame(
        {"x": x, "y": y, "dx": 20 + 0.02 * x + SLOPE[0] * hill + noise[0], "dy": -9 + SLOPE[1] * hill + noise[1]}
    )


def write_dem(path, scene, values=None, **changed):
    with rasterio.open(scene.optical) as optical:
        profile = {
            "crs": optical.crs,
            "transform": optical.transform,
            "width": SHAPE[1],
            "height": SHAPE[0],
            "count": 1,
            **changed,
        }
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    values = height(x, y) if values is None else values
    with rasterio.open(path, "w", driver="GTiff", dtype="float32", **profile) as dem:
        for band in range(1, profile["count"] + 1):
            dem.write(values.astype(np.float32), band)
    return path


def error_px(path) -> float:
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    hill = height(x, y) - 500
    with rasterio.open(path) as written:
        dx, dy = written.read()
    return float(np.hypot(dx - (20 + 0.02 * x + SLOPE[0] * hill), dy - (-9 + SLOPE[1] * hill)).mean())


def arguments(scene, own, tmp_path, *more) -> list:
    own.to_csv(tmp_path / "own.csv", index=False)
    return [
        "fit",
        tmp_path / "own.csv",
        "--optical",
        scene.optical,
        "--sar",
        scene.sar,
        "--out",
        tmp_path / "map.tif",
        *more,
    ]


def test_heights_explain_what_few_points_cannot(scene, own, tmp_path, run):
    run(*arguments(scene, own, tmp_path))
    without = error_px(tmp_path / "map.tif")
    dem = write_dem(tmp_path / "dem.tif", scene)
    moved = tmp_path / "moved.tif"
    code, out, err = run(*arguments(scene, own, tmp_path, "--dem", dem, "--warped-sar", moved))
    assert code == 0 and "px per unit of terrain height" in out, err
    assert error_px(tmp_path / "map.tif") < 0.7 < 0.2 * without and moved.is_file()


def test_heights_of_another_place_are_left_out(scene, own, tmp_path, run):
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    dem = write_dem(tmp_path / "dem.tif", scene, np.random.default_rng(0).normal(0, 1, SHAPE) + 0 * x * y)
    gentle = own.assign(dx=20 + 0.02 * own["x"], dy=-9.0)
    _, out, _ = run(*arguments(scene, gentle, tmp_path, "--dem", dem))
    assert ("does not help" in out) or "+0.00" in out or "-0.00" in out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"crs": None}, "has no coordinate system"),
        ({"count": 2}, "has 2 bands where a DEM has one"),
        ({"transform": Affine(0.5, 0, 9e5, 0, -0.5, 1e6)}, "less than half"),
    ],
)
def test_a_bad_dem_is_named_and_nothing_is_written(scene, own, tmp_path, run, changed, message):
    dem = write_dem(tmp_path / "dem.tif", scene, **changed)
    code, _, err = run(*arguments(scene, own, tmp_path, "--dem", dem))
    assert code == 2 and message in err and "dem.tif" in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "map.tif").exists()
