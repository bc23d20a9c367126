"""A raster that is read window by window is indexed like an array, and reads no more than it must."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio

from solution.core.errors import InputError
from solution.products import windows
from solution.products.windows import WindowedRaster
from solution.tests.conftest import write_raster

SHAPE = (61, 83)


@pytest.fixture(params=[1, 2], ids=["one band", "vectors"])
def raster(request, tmp_path, monkeypatch):
    """The raster, and what it holds; strips are of 16 rows."""
    monkeypatch.setattr(windows, "_ROWS", 16)
    values = np.random.default_rng(0).normal(size=(request.param, *SHAPE)).astype(np.float32)
    write_raster(tmp_path / "a.tif", values, rasterio.Affine(1, 0, 0, 0, -1, 0), "EPSG:32637")
    found = WindowedRaster.of(tmp_path / "a.tif", vectors=request.param == 2)
    return found, np.moveaxis(values, 0, -1) if request.param == 2 else values[0]


@pytest.mark.parametrize(
    "key",
    [
        np.s_[10:40, 20:70],
        np.s_[:, 5],
        np.s_[60, 82],
        np.s_[-1],
        np.s_[...],
        np.s_[::7, ::-3],
        np.s_[..., 1],
        np.s_[50:9:-4],
        np.s_[5:5, 2:4],
        np.s_[40:400],
        np.s_[np.int64(3), ..., 0],
    ],
    ids=str,
)
def test_it_is_indexed_like_an_array(raster, key):
    found, values = raster
    got = found[key]
    assert got.shape == values[key].shape and np.array_equal(got, values[key])


def test_it_is_an_array_where_one_is_asked_for(raster):
    found, values = raster
    assert (found.shape, found.ndim, len(found), found.dtype) == (values.shape, values.ndim, SHAPE[0], np.float32)
    assert np.array_equal(np.asarray(found), values) and np.asarray(found, np.float64).dtype == np.float64
    assert np.mean(found) == pytest.approx(values.mean(), abs=1e-6)
    with pytest.raises(ValueError, match="makes a copy"):
        np.array(found, copy=False)


@pytest.mark.parametrize("key", [[1, 2], np.arange(3), True, 1.5, None], ids=str)
def test_other_indices_are_refused(raster, key):
    with pytest.raises(TypeError, match=r"numpy\.asarray"):
        raster[0][key]


@pytest.mark.parametrize("key", [np.s_[61], np.s_[0, -84], np.s_[0, 0, 0, 0], np.s_[..., ...]], ids=str)
def test_an_index_out_of_range_is_told(raster, key):
    with pytest.raises(IndexError):
        raster[0][key]


def test_between_pixels_it_is_bilinear_and_beyond_the_border_it_repeats(raster):
    found, values = raster
    x, y = np.array([3.0, 3.25, 82.4, -0.5, 40.0]), np.array([15.5, 7.0, 60.0, 20.0, 60.4])
    expected = [
        (values[15, 3] + values[16, 3]) / 2,
        0.75 * values[7, 3] + 0.25 * values[7, 4],
        values[60, 82],
        values[20, 0],
        values[60, 40],
    ]
    assert np.allclose(found.at(x, y), expected, atol=1e-6)
    assert found.at(x[:0], y[:0]).shape == (0, *values.shape[2:])


def test_no_more_than_the_window_is_read(raster, monkeypatch):
    read, opened = [], windows.open_raster

    @contextmanager
    def watched(path):
        with opened(path) as dataset:

            def note(bands, window):
                read.append((window.height, window.width))
                return dataset.read(bands, window=window)

            yield SimpleNamespace(read=note)

    monkeypatch.setattr(windows, "open_raster", watched)
    assert raster[0][20:52, 30:40].shape[:2] == (32, 10)
    assert read == [(12, 10), (16, 10), (4, 10)]


def test_positions_outside_are_told_with_the_first_of_them(tmp_path):
    x, y = np.array([0.0, 82.6, 5.0]), np.array([60.4, 0.0, 70.0])
    with pytest.raises(InputError, match=r"a\.tif: position x = 82\.6, y = 0 is outside its 83 x 61 px"):
        windows.check_inside(x, y, SHAPE, tmp_path / "a.tif")
    with pytest.raises(InputError, match="x = nan"):
        windows.check_inside(np.array([np.nan]), np.array([0.0]), SHAPE, tmp_path / "a.tif")
    windows.check_inside(np.array([-0.5, 82.49]), np.array([60.49, -0.5]), SHAPE, tmp_path / "a.tif")
