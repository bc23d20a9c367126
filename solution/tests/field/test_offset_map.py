from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from solution.core import geometry
from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.data import scene
from solution.field import candidates, fitting, offset_map, warped_sar
from solution.field.shiftfield import Fit
from solution.tests.scattered import scattered


@pytest.fixture
def pair(tmp_path: Path) -> scene.ScenePair:
    """An optical image of 0.5 m and a SAR image of 0.75 m whose value is 1 + column + 1.7 row."""
    optical, sar = tmp_path / "02_optical_train_01.tif", tmp_path / "02_sar_train_01.tif"
    write = {"driver": "GTiff", "crs": "EPSG:32637", "dtype": "float32"}
    with rasterio.open(
        optical, "w", **write, width=300, height=600, count=1, transform=Affine(0.5, 0, 354000.0, 0, -0.5, 4108000.0)
    ) as target:
        target.write(np.ones((1, 600, 300), np.float32))
    y, x = np.mgrid[0:420, 0:240].astype(np.float32)
    with rasterio.open(
        sar, "w", **write, width=240, height=420, count=1, transform=Affine(0.75, 0, 353990.0, 0, -0.75, 4108010.0)
    ) as target:
        target.write((1 + x + 1.7 * y)[None])
    return scene.open_pair(optical, sar)


@pytest.fixture
def fitted() -> Fit:
    return fitting.fit(scattered(300)[0], (600, 300))[0]


def test_write_map_holds_what_the_fit_says_in_the_optical_frame(tmp_path, pair, fitted):
    path = tmp_path / "out" / "solution_02_train_01.tif"
    offset_map.write_map(path, fitted, pair)
    with rasterio.open(path) as written:
        assert (written.count, written.shape, written.dtypes) == (2, (600, 300), ("float32", "float32"))
        assert written.crs == pair.crs
        np.testing.assert_allclose(geometry.matrix_from_gdal(written.transform.to_gdal()), pair.transform)
        assert written.descriptions == ("dx", "dy")
        assert written.profile["tiled"] and written.compression.name == "deflate"
        values = written.read()
    assert np.isfinite(values).all()
    x, y = 211, 587
    np.testing.assert_allclose(values[:, y, x], fitted.shift_at(np.array([[x, y]]))[0], atol=0.001)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_two_fits_and_writes_are_byte_equal(tmp_path, pair):
    table, _ = scattered(400, outliers=0.3)
    for name in ("a.tif", "b.tif"):
        offset_map.write_map(tmp_path / name, fitting.fit(table, pair.shape)[0], pair)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize("writer", [offset_map.write_map, warped_sar.write_warped_sar])
def test_a_kill_half_way_leaves_no_file(tmp_path, pair, fitted, monkeypatch, writer):
    before = sorted(tmp_path.iterdir())
    block = Fit.block

    def die_late(self: Fit, window: Window) -> np.ndarray:
        if window.y > 0:
            raise KeyboardInterrupt
        return block(self, window)

    monkeypatch.setattr(Fit, "block", die_late)
    with pytest.raises(KeyboardInterrupt):
        writer(tmp_path / "map.tif", fitted, pair)
    assert sorted(tmp_path.iterdir()) == before


def test_a_map_that_reads_back_wrong_is_not_kept(tmp_path, pair, fitted, monkeypatch):
    check = offset_map._check_map
    other = fitting.fit(scattered(300, seed=9)[0], (600, 300))[0]
    monkeypatch.setattr(offset_map, "_check_map", lambda path, _, pair: check(path, other, pair))
    with pytest.raises(InputError, match="differs from what was written"):
        offset_map.write_map(tmp_path / "map.tif", fitted, pair)
    assert not (tmp_path / "map.tif").exists()


def test_warped_sar_shows_the_apparent_position(tmp_path, pair):
    """The worked convention: an index shift of (6, -4) px is 3 m east and 2 m north."""
    one = candidates.make("a", 0, "match", [[10, 20]], [[6.0, -4.0]])
    warped_sar.write_warped_sar(tmp_path / "sar.tif", fitting.fit(one, pair.shape)[0], pair)
    with rasterio.open(tmp_path / "sar.tif") as written:
        assert (written.shape, written.count, written.nodata) == (pair.shape, 1, None)
        assert written.crs == pair.crs
        value = written.read(1)
    # Optical index x lies at 354000 + 0.5 x, so its ground is in the SAR pixel of index (that + 3 - 353990) / 0.75.
    y, x = np.mgrid[8:592, 0:200]
    column, row = (10 + 0.5 * x + 3) / 0.75, (10 + 0.5 * y - 2) / 0.75
    np.testing.assert_allclose(value[8:592, 0:200], 1 + column + 1.7 * row, atol=0.1)


def test_warped_sar_is_zero_where_the_sar_ends(tmp_path, pair):
    one = candidates.make("a", 0, "match", [[10, 20]], [[140.0, 0.0]])
    warped_sar.write_warped_sar(tmp_path / "sar.tif", fitting.fit(one, pair.shape)[0], pair)
    with rasterio.open(tmp_path / "sar.tif") as written:
        value = written.read(1)
    assert (value[:, 210:] == 0).all() and (value[20:500, :190] > 0).all()
