"""Cloud-Optimized GeoTIFFs hold what was written, whole or not at all, whatever GDAL keeps to itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from solution.core.errors import InputError
from solution.data import cog
from solution.data.cog import new_cog
from solution.tests.core.test_writing import files_of_at_most
from solution.tests.data.test_raster_writing import PROFILE, VALUES

LARGE = {**PROFILE, "height": 1100, "width": 700}
SLOPE = np.broadcast_to(np.arange(700, dtype=np.float32), (2, 1100, 700))
MASK = np.arange(300)[:, None] + np.arange(280) > 90


def write(path: Path) -> None:
    with new_cog(path, ("dx", "dy"), **PROFILE) as target:
        target.dataset.units = ("px", "px")
        target.dataset.update_tags(MEANING="a shift")
        target.write(VALUES)
        target.write_mask(MASK)


def test_all_that_was_written_is_in_it_and_it_is_a_cog(tmp_path):
    write(tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert (dataset.descriptions, dataset.units, dataset.nodata) == (("dx", "dy"), ("px", "px"), None)
        assert dataset.tags()["MEANING"] == "a shift" and dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.transform == PROFILE["transform"] and dataset.crs == PROFILE["crs"]
        assert np.array_equal(dataset.read(), VALUES) and np.array_equal(dataset.dataset_mask() > 0, MASK)
        # Statistics are those of the pixels with data
        assert dataset.stats(approx=False)[0].max == pytest.approx(VALUES[0][MASK].max())
        assert dataset.stats(approx=False)[0].mean == pytest.approx(VALUES[0][MASK].mean(), abs=1e-5)
    (tmp_path / "map.tif.aux.xml").unlink(missing_ok=True)  # statistics that GDAL keeps
    assert cog_validate(tmp_path / "map.tif", strict=True) == (True, [], [])
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


def test_overviews_are_means_of_the_pixels_with_data(tmp_path):
    with new_cog(tmp_path / "map.tif", **LARGE) as target:
        target.write(SLOPE)
        target.write_mask(SLOPE[0] % 4 != 1)
    assert cog_validate(tmp_path / "map.tif", strict=True)[0]
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.overviews(1) == [2, 4]
    with rasterio.open(tmp_path / "map.tif", overview_level=0) as half:
        # Of columns 0 and 1 only the first counts, of 2 and 3 both
        assert half.read(1)[7, :4].tolist() == [0.0, 2.5, 4.0, 6.5]


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("a.tif", "b.tif"):
        write(tmp_path / name)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_a_full_disk_is_seen_at_any_byte(tmp_path):
    path = tmp_path / "map.tif"
    write(path)
    whole = path.read_bytes()
    steps = (0, 1, 200, 1000, *range(5000, len(whole), len(whole) // 8), *range(len(whole) - 600, len(whole), 100))
    for size in steps:
        with files_of_at_most(size), pytest.raises(InputError, match=r"map\.tif: .* needs about 3 MB at"):
            write(path)
        assert [one.name for one in tmp_path.iterdir()] == ["map.tif"] and path.read_bytes() == whole


def broken_pixel(plain: Path, target: Path, **_: object) -> None:
    shutil.copy(plain, target)
    with rasterio.open(target, "r+") as dataset:
        dataset.write(dataset.read() + 1)


def broken_mask(plain: Path, target: Path, **_: object) -> None:
    shutil.copy(plain, target)
    with rasterio.open(target, "r+") as dataset:
        dataset.write_mask(~MASK)


def cut_short(plain: Path, target: Path, **_: object) -> None:
    target.write_bytes(plain.read_bytes()[:-1000])
    target.with_name(f"{target.name}.ovr.tmp").write_text("what GDAL leaves behind")


def not_at_all(plain: Path, target: Path, **_: object) -> None:
    """GDAL says nothing, and nothing is there."""


@pytest.mark.parametrize("copy", [broken_pixel, broken_mask, cut_short, not_at_all])
def test_a_copy_that_is_not_whole_is_noticed_and_not_kept(tmp_path, monkeypatch, copy):
    monkeypatch.setattr(cog.rasterio.shutil, "copy", copy)
    with pytest.raises(InputError, match=r"map\.tif: what was read back differs .*check the disk") as refused:
        write(tmp_path / "map.tif")
    assert ".partial" not in str(refused.value) and not list(tmp_path.iterdir())


def test_only_geotiffs(tmp_path):
    with pytest.raises(InputError, match=r"give it a name that ends in \.tif"):
        write(tmp_path / "map.png")
