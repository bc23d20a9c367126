"""Images from Python become files that hold the same: values, place, gaps."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from solution.core.errors import InputError
from solution.core.places import Place
from solution.products import images
from solution.products.images import on_disk
from solution.tests.conftest import write_raster

TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
CRS = "EPSG:32637"
VALUES = np.random.default_rng(0).integers(1, 255, (3, 70, 90), dtype=np.uint8)


@pytest.fixture
def place(monkeypatch) -> Place:
    monkeypatch.setattr(images, "_ROWS", 32)
    return Place()


def held(path) -> tuple:
    """What a raster says of itself, and its values."""
    with rasterio.open(path) as dataset:
        return (dataset.transform, dataset.crs, dataset.nodata, dataset.dtypes, dataset.colorinterp), dataset.read()


def test_a_path_and_a_dataset_of_a_file_are_taken_as_they_are(place, tmp_path):
    path = tmp_path / "a.tif"
    write_raster(path, VALUES, TRANSFORM, CRS)
    assert on_disk(path, place, "optical") == on_disk(str(path), place, "optical") == path
    with rasterio.open(path) as dataset:
        assert on_disk(dataset, place, "optical") == path
    assert not any(path.is_file() for path in place.folder.iterdir())


def test_a_dataset_in_memory_is_copied_with_its_alpha_and_nodata(place):
    profile = {"driver": "GTiff", "height": 70, "width": 90, "count": 4, "dtype": "uint8"}
    with MemoryFile() as memory:
        with memory.open(**profile, transform=TRANSFORM, crs=CRS, nodata=7) as dataset:
            dataset.write(np.concatenate([VALUES, VALUES[:1]]))
            dataset.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
        with memory.open() as dataset:
            facts, values = held(on_disk(dataset, place, "optical"))
    assert facts[:3] == (TRANSFORM, rasterio.crs.CRS.from_epsg(32637), 7) and facts[4][3] is ColorInterp.alpha
    assert np.array_equal(values[:3], VALUES)


def test_a_view_in_another_crs_is_copied_as_it_is_seen(place, tmp_path):
    write_raster(tmp_path / "a.tif", VALUES, TRANSFORM, CRS)
    with rasterio.open(tmp_path / "a.tif") as dataset, WarpedVRT(dataset, crs="EPSG:32638") as view:
        facts, values = held(on_disk(view, place, "sar"))
        assert facts[0] == view.transform and np.array_equal(values, view.read())


def test_an_overview_is_copied_as_it_is_seen(place, tmp_path):
    write_raster(tmp_path / "a.tif", VALUES, TRANSFORM, CRS)
    with rasterio.open(tmp_path / "a.tif", "r+") as dataset:
        dataset.build_overviews([2])
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as overview:
        facts, values = held(on_disk(overview, place, "optical"))
        assert values.shape == (3, 35, 45) and facts[0] == overview.transform
        assert np.array_equal(values, overview.read())


def test_a_mask_and_ground_control_points_are_copied(place, tmp_path):
    mask = np.where(VALUES[0] > 99, 255, 0).astype(np.uint8)
    points = [rasterio.control.GroundControlPoint(r, c, 40 + c / 1e4, 45 - r / 1e4) for r in (0, 70) for c in (0, 90)]
    profile = {"driver": "GTiff", "height": 70, "width": 90, "count": 1, "dtype": "uint8"}
    with MemoryFile() as memory, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with memory.open(**profile, gcps=points, crs="EPSG:4326") as dataset:
            dataset.write(VALUES[:1])
            dataset.write_mask(mask)
        with memory.open() as dataset:
            path = on_disk(dataset, place, "sar")
    with rasterio.open(path) as copy:
        assert np.array_equal(copy.dataset_mask(), mask) and copy.gcps[1].to_epsg() == 4326
        assert [(p.row, p.col, p.x, p.y) for p in copy.gcps[0]] == [(p.row, p.col, p.x, p.y) for p in points]


@pytest.mark.parametrize("values", [VALUES, VALUES[0], VALUES.astype(np.float32) / 255, VALUES[0] > 99], ids=str)
def test_an_array_is_written_with_its_place(place, values):
    facts, found = held(on_disk((values, TRANSFORM, CRS), place, "optical"))
    assert facts[:3] == (TRANSFORM, rasterio.crs.CRS.from_epsg(32637), None)
    assert np.array_equal(found, values.reshape(-1, 70, 90)) and facts[3][0] == values.dtype.name.replace(
        "bool", "uint8"
    )


def test_the_gaps_of_a_masked_array_are_a_mask(place):
    gaps = VALUES[0] > 200
    path = on_disk((np.ma.masked_array(VALUES[0], gaps), TRANSFORM, CRS), place, "sar")
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.dataset_mask() == 0, gaps) and np.array_equal(dataset.read(1), VALUES[0])


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (VALUES, "is a ndarray; pass a path, an open rasterio dataset, or"),
        (None, "is a NoneType"),
        ((VALUES, TRANSFORM), "is a tuple that is not"),
        ((VALUES, TRANSFORM.to_gdal(), CRS), "is a tuple that is not"),
        ((np.moveaxis(VALUES, 0, -1), TRANSFORM, CRS), "put its bands first"),
        ((VALUES[0, 0], TRANSFORM, CRS), r"shape \(90,\)"),
        ((VALUES[:, :0], TRANSFORM, CRS), r"shape \(3, 0, 90\)"),
        ((VALUES[0].astype(object), TRANSFORM, CRS), "which no GeoTIFF holds"),
        ((VALUES[0], TRANSFORM, None), "its coordinate system is None"),
        ((VALUES[0], TRANSFORM, "EPSG:none"), "is no coordinate system"),
    ],
)
def test_what_is_no_image_is_told_in_a_sentence(place, image, sentence):
    with pytest.raises(InputError, match=f"sar image: .*{sentence}"):
        on_disk(image, place, "sar")


def test_a_closed_dataset_and_one_that_is_being_written_are_refused(place, tmp_path):
    write_raster(tmp_path / "a.tif", VALUES, TRANSFORM, CRS)
    with rasterio.open(tmp_path / "a.tif", "r+") as dataset, pytest.raises(InputError, match="close it first"):
        on_disk(dataset, place, "sar")
    with pytest.raises(InputError, match=r"a\.tif: is closed"):
        on_disk(dataset, place, "sar")
