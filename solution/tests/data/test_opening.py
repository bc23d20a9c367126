"""Whatever GDAL opens from this disk is opened; what is not on it is refused as such."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from solution.core.geometry import Window
from solution.data.opening import files_behind, located
from solution.data.scene import open_pair
from solution.tests.conftest import retag

WHOLE = Window(0, 0, 192, 160)


@pytest.fixture
def archive(make_scene, tmp_path):
    """A pair, and the same in a zip archive."""
    made = make_scene()
    path = tmp_path / "pair.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for image in (made.optical, made.sar):
            packed.write(image, f"in/{image.name}")
    return made, path


@pytest.mark.parametrize(
    "name", ["/vsizip/{}/in/{}", "zip://{}!in/{}", "zip://{}!/in/{}", "/vsizip/{{{}}}/in/{}"], ids=lambda name: name[:9]
)
@pytest.mark.parametrize("relative", [False, True])
def test_pairs_in_a_zip_archive(archive, monkeypatch, name, relative):
    made, path = archive
    monkeypatch.chdir(path.parent)
    given = path.name if relative else path
    optical, sar = (Path(name.format(given, image.name)) for image in (made.optical, made.sar))
    pair, plain = open_pair(optical, sar), made.open()
    pair.check()
    assert np.array_equal(pair.read(WHOLE).sar, plain.read(WHOLE).sar)
    assert (pair.name, pair.shape) == (plain.name, plain.shape)
    assert all(file.samefile(path) for file in files_behind(optical))


def test_the_archive_is_what_results_depend_on(archive):
    made, path = archive
    optical, sar = (Path(f"/vsizip/{path}/in/{image.name}") for image in (made.optical, made.sar))
    before = open_pair(optical, sar).fingerprint()
    retag(made.sar)
    with zipfile.ZipFile(path, "w") as packed:
        for image in (made.optical, made.sar):
            packed.write(image, f"in/{image.name}")
    assert open_pair(optical, sar).fingerprint() != before


def test_an_archive_is_never_overwritten(archive, run):
    made, path = archive
    as_map = path.rename(path.with_suffix(".tif"))
    code, _, err = run("predict", f"/vsizip/{{{as_map}}}/in/{made.optical.name}", made.sar, as_map)
    assert code == 2 and "is an input too" in err and zipfile.is_zipfile(as_map)


def test_a_tar_archive_a_raster_in_a_file_and_a_vrt(make_scene, tmp_path):
    made = make_scene()
    with tarfile.open(tmp_path / "pair.tar", "w") as packed:
        packed.add(made.optical, "optical.tif")
    rasterio.shutil.copy(made.sar, tmp_path / "sar.vrt", driver="VRT")
    plain = made.open().read(WHOLE).sar
    for optical in (f"/vsitar/{tmp_path}/pair.tar/optical.tif", f"GTIFF_DIR:1:{made.optical}"):
        pair = open_pair(Path(optical), tmp_path / "sar.vrt")
        assert np.array_equal(pair.read(WHOLE).sar, plain)
        assert made.sar in pair.files() and all(file.exists() for file in files_behind(Path(optical)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("https://example.org/a.tif", "is not a file on this disk"),
        ("s3://bucket/a.tif", "is not a file on this disk"),
        ("/vsicurl/https://example.org/a.tif", "is not a file on this disk"),
        ("/vsis3/bucket/a.tif", "is not a file on this disk"),
        ("/vsimem/a.tif", "is not a file on this disk"),
        ("zip://nowhere.zip!a.tif", "no such archive"),
        ("none.tif", "no such file"),
        (".", "is a directory"),
    ],
)
def test_what_is_not_there_is_called_what_it_is(make_scene, run, tmp_path, name, message):
    made = make_scene()
    for optical, sar in ((name, made.sar), (made.optical, name)):
        code, _, err = run("predict", optical, sar, tmp_path / "map.tif")
        assert code == 2 and message in err and err.count("\n") == 1
        assert ("no such file" in err) == (message == "no such file")


def test_a_file_that_its_archive_does_not_hold(archive, run, tmp_path):
    made, path = archive
    code, _, err = run("predict", f"/vsizip/{path}/none.tif", made.sar, tmp_path / "map.tif")
    assert code == 2 and "pair.zip holds no such file" in err


def test_a_directory_of_tie_points(make_scene, run, tmp_path):
    made = make_scene()
    code, _, err = run("fit", tmp_path, "--optical", made.optical, "--sar", made.sar, "--out", tmp_path / "m.tif")
    assert code == 2 and f"{tmp_path}: is a directory" in err


def test_names_that_are_not_utf8(make_scene, run, tmp_path):
    """Byte E9 alone is an é of Latin-1 and nothing in UTF-8; masks beside such files count too."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    made = make_scene()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(made.sar, "r+") as dataset:
        mask = np.full(dataset.shape, 255, np.uint8)
        mask[:, :90] = 0
        dataset.write_mask(mask)
    pair = made.open()
    plain, points = pair.read(WHOLE), pair.tiepoints()
    names = {image: folder / os.fsdecode(image.encode() + b"_\xe4.tif") for image in ("optical", "sar")}
    made.optical.rename(names["optical"])
    made.sar.rename(names["sar"])
    Path(f"{made.sar}.msk").rename(f"{names['sar']}.msk")
    moved = open_pair(**names)
    assert moved.read(WHOLE).valid.mean() == plain.valid.mean() < 0.8
    assert moved.name == "optical_ä" and set(names.values()) <= set(moved.files())
    table, out = folder / os.fsdecode(b"p\xfc.csv"), folder / os.fsdecode(b"map_\xfc.tif")
    rows = [f"{x},{y},{dx},{dy}" for x, y, dx, dy in zip(points.x, points.y, points.dx, points.dy, strict=True)]
    table.write_text("\n".join(["x,y,dx,dy", *rows]))
    arguments = ["--optical", names["optical"], "--sar", names["sar"], "--out", out]
    code, printed, err = run("fit", table, *arguments)
    assert code in (0, 4), err
    assert out.is_file() and "tie-points set aside" in printed
    assert located(names["sar"])[1] == names["sar"]
    code, _, err = run("fit", folder / os.fsdecode(b"no\xfc.csv"), *arguments)
    assert code == 2 and "no such file" in err


def test_a_file_of_several_rasters_is_refused_with_the_name_of_one(make_scene, run, tmp_path):
    made, path = make_scene(), tmp_path / "two of them.gpkg"
    with rasterio.open(made.sar) as dataset:
        values, profile = dataset.read(), {"crs": dataset.crs, "transform": dataset.transform}
    for table, more in (("first", {}), ("second", {"APPEND_SUBDATASET": "YES"})):
        with rasterio.open(
            path, "w", "GPKG", *values.shape[:0:-1], 1, dtype="uint8", RASTER_TABLE=table, **profile, **more
        ) as dataset:
            dataset.write(values)
    for pair in ((path, made.sar), (made.optical, path)):
        code, _, err = run("predict", *pair, tmp_path / "out" / "map.tif")
        told = f"{path}: holds several rasters; name one of them, for example: 'GPKG:{path}:first'"
        assert code == 2 and told in err and not (tmp_path / "out").exists()
    assert open_pair(Path(f"GPKG:{path}:first"), made.sar).shape == made.open().sar_shape


def test_statistics_that_a_viewer_left_change_nothing_and_anything_else_does(make_scene):
    made = make_scene(sar_dtype="float32")
    before = made.open().fingerprint()
    with rasterio.open(made.sar) as dataset:
        dataset.statistics(1, clear_cache=True)
    beside = made.sar.with_name(f"{made.sar.name}.aux.xml")
    assert "STATISTICS_MEAN" in beside.read_text() and made.open().fingerprint() == before
    for extra in ("<SRS>EPSG:32638</SRS>", "<Metadata><MDI key='AREA_OR_POINT'>Point</MDI></Metadata>"):
        text = beside.read_text()
        beside.write_text(text.replace("<PAMDataset>", f"<PAMDataset>{extra}"))
        assert made.open().fingerprint() != before
        beside.write_text(text)
    assert made.open().fingerprint() == before
    beside.write_text(beside.read_text().replace("<Metadata>", "<NoDataValue>7</NoDataValue><Metadata>"))
    assert made.open().fingerprint() != before
