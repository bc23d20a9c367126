"""Rasters are whole or not there, at whatever byte the disk is full."""

from __future__ import annotations

import signal
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError
from rasterio.transform import Affine

from solution.core.errors import InputError
from solution.data.raster_writing import new_raster
from solution.tests.core.test_writing import files_of_at_most

PROFILE = {
    "driver": "GTiff",
    "height": 300,
    "width": 280,
    "count": 2,
    "dtype": "float32",
    "crs": "EPSG:32637",
    "transform": Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
    "tiled": True,
    "blockxsize": 256,
    "blockysize": 256,
    "compress": "deflate",
}
VALUES = np.random.default_rng(0).normal(size=(2, 300, 280)).astype(np.float32)


def write(path: Path, **more: object) -> None:
    with new_raster(path, ("dx", "dy"), **PROFILE, **more) as target:
        target.write(VALUES)


@pytest.mark.parametrize("more", [{}, {"num_threads": "all_cpus"}, {"predictor": 3}], ids=str)
def test_the_bytes_are_those_that_gdal_writes_alone(tmp_path, more):
    write(tmp_path / "ours.tif", **more)
    with rasterio.open(tmp_path / "alone.tif", "w", **PROFILE, **more) as dataset:
        for band, name in enumerate(("dx", "dy"), start=1):
            dataset.set_band_description(band, name)
        dataset.write(VALUES)
    assert (tmp_path / "ours.tif").read_bytes() == (tmp_path / "alone.tif").read_bytes()


@pytest.mark.parametrize("more", [{}, {"num_threads": "all_cpus"}], ids=str)
def test_a_full_disk_is_seen_at_any_byte(tmp_path, more, capfd):
    path = tmp_path / "map.tif"
    write(path, **more)
    whole = path.read_bytes()
    for size in (
        0,
        1,
        8,
        200,
        1000,
        *range(5000, len(whole), len(whole) // 8),
        *range(len(whole) - 700, len(whole), 50),
    ):
        with files_of_at_most(size), pytest.raises(InputError, match=r"map\.tif: .* needs about 1 MB at"):
            write(path, **more)
        assert [one.name for one in tmp_path.iterdir()] == ["map.tif"] and path.read_bytes() == whole
    assert capfd.readouterr() == ("", "")  # GDAL keeps quiet too


def test_an_input_that_breaks_meanwhile_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(RasterioIOError, match="of the input"), new_raster(tmp_path / "map.tif", **PROFILE):
        raise RasterioIOError("a block of the input is broken")
    assert not list(tmp_path.iterdir())


def test_what_reads_back_wrong_is_not_kept(tmp_path):
    def wrong(written: Path) -> None:
        raise InputError(f"{written}: wrong")

    with pytest.raises(InputError, match=r"map\.tif: what was read back differs .*check the disk") as refused:
        write(tmp_path / "map.tif", check=wrong)
    assert ".partial" not in str(refused.value) and not list(tmp_path.iterdir())


def test_a_signal_in_the_midst_of_a_write_waits_for_its_end(tmp_path, monkeypatch):
    """Raised in a callback of GDAL it would be lost, and a part of the file with it."""

    class Interrupted(FileIO):
        def write(self, content) -> int:
            signal.raise_signal(signal.SIGINT)
            return super().write(content)

    monkeypatch.setattr("solution.data.raster_writing.FileIO", Interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "map.tif")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not list(tmp_path.iterdir())


def test_only_geotiffs(tmp_path):
    with pytest.raises(InputError, match=r"map\.png: a raster is a GeoTIFF; give it a name that ends in \.tif"):
        write(tmp_path / "map.png")
    write(tmp_path / "map.tif")
