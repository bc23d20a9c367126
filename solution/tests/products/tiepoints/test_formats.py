"""Each format by a number worked by hand, which half a pixel would change, and all of them read back."""

from __future__ import annotations

import csv
import json
import resource
import shlex
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import reproject
from rasterio.warp import transform as warp_points

from solution.core.errors import InputError
from solution.data.scene import ScenePair, open_pair
from solution.field import candidates, fitting
from solution.field.imported import read_given
from solution.field.warped_sar import write_warped_sar
from solution.products.tiepoints import files, lines
from solution.tests.conftest import ORIGIN, write_raster
from solution.tests.data.test_frame import with_points

EAST, NORTH = ORIGIN
SUFFIXES = tuple(suffix[1:] for suffix in files.SUFFIXES)


def quiet(_: str) -> None:
    """In the place of what prints."""


def table_of(pair: ScenePair, xy: object, shift: object, **columns: object) -> pd.DataFrame:
    return candidates.make(pair.name, 0, "flow", np.array(xy, float), np.array(shift, float)).assign(**columns)


@pytest.fixture
def written(worked, tmp_path) -> Path:
    """The worked tie-point, optical (10, 20) and SAR (6, 9), in every format; and one that the fit set aside."""
    table = table_of(worked, [[10, 20], [30, 40]], [[2, -2], [5, 5]], outlier=["", "gate"], confidence=[0.5, 0.25])
    files.write([tmp_path / f"t.{name}" for name in SUFFIXES], table, worked, say=quiet)
    return tmp_path


def rows(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines() if line[0] not in ";#"]


def test_sn9_columns_hold_indices(written):
    with (written / "t.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert {name: float(value) for name, value in row.items()} == {
        "sar_row": 9,
        "sar_col": 6,
        "optical_row": 20,
        "optical_col": 10,
    }


def test_qgis_points_hold_places_of_centres(written):
    told, *lines = (written / "t.points").read_text().splitlines()
    assert CRS.from_wkt(told.removeprefix("#CRS: ")) == CRS.from_epsg(32637)
    (row,) = csv.DictReader(lines)
    assert (float(row["mapX"]) - EAST, float(row["mapY"]) - NORTH) == pytest.approx((5.25, -10.25))
    assert (float(row["sourceX"]) - EAST, float(row["sourceY"]) - NORTH) == pytest.approx((6.5, -9.5))
    assert row["enable"] == "1"


def test_envi_points_count_from_the_corner_which_is_one(written):
    lines = (written / "t.pts").read_text().splitlines()
    assert lines[0] == "; ENVI Image to Image GCP File" and lines[1:3] == ["; base file: o.tif", "; warp file: s.tif"]
    assert [list(map(float, row)) for row in rows(written / "t.pts")] == [[11.5, 21.5, 7.5, 10.5]]


def test_gdal_options_hold_pixel_and_line_from_the_corner(written):
    srs, point = rows(written / "t.gcp")
    assert srs == ["-a_srs", "EPSG:32637"] and point[0] == "-gcp"
    assert list(map(float, point[1:])) == pytest.approx([6.5, 9.5, EAST + 5.25, NORTH - 10.25])


@pytest.mark.parametrize("name", ["gpkg", "geojson"])
def test_lines_run_from_the_optical_to_the_sar_place_and_say_all(written, name):
    frame = geopandas.read_file(written / f"t.{name}")
    assert frame.crs.to_epsg() == (32637 if name == "gpkg" else 4326)
    start, end = np.array(frame.to_crs(32637).geometry[0].coords) - ORIGIN
    np.testing.assert_allclose(start, [5.25, -10.25], atol=2e-3)
    np.testing.assert_allclose(end, [6.5, -9.5], atol=2e-3)
    assert list(frame["kept"]) == [True, False] and list(frame["reason"]) == ["", "gate"]
    assert list(frame["confidence"]) == [0.5, 0.25] and frame["sigma_px"].isna().all()
    known = frame.loc[0, ["source", "x", "y", "dx", "dy", "sar_col", "sar_row"]].tolist()
    assert known == ["flow", 10, 20, 2, -2, 6, 9]


def test_geojson_is_rfc_7946(written):
    text = (written / "t.geojson").read_text()
    found = json.loads(text, parse_float=str)
    assert found["type"] == "FeatureCollection" and "crs" not in found and len(found["features"]) == 2
    line = found["features"][0]["geometry"]
    expected = warp_points("EPSG:32637", "EPSG:4326", [EAST + 5.25, EAST + 6.5], [NORTH - 10.25, NORTH - 9.5])
    assert line["type"] == "LineString"
    np.testing.assert_allclose(np.array(line["coordinates"], float), np.transpose(expected), atol=1e-8)  # lon, lat
    assert all(7 <= len(number.partition(".")[2]) <= 9 for place in line["coordinates"] for number in place)


SCENES = {
    "same CRS": {},
    "SAR in degrees": {
        "sar_crs": "EPSG:4326",
        "sar_gsd": (8e-6, 6e-6),
        "sar_offset": (-20, 20),
        "sar_shape": (260, 260),
    },
    "turned SAR": {"sar_rotation_deg": -12.0, "sar_offset": (-40, 40), "sar_shape": (220, 240)},
    "south, in degrees": {
        "crs": "EPSG:4326",
        "gsd": (4e-6, 4e-6),
        "sar_gsd": (5e-6, 6e-6),
        "sar_offset": (-2e-5, 2e-5),
    },
    "SAR by points": {},
}


@pytest.fixture(params=SCENES)
def pair(request, make_scene, monkeypatch) -> ScenePair:
    if request.param == "south, in degrees":
        monkeypatch.setattr("solution.tests.conftest.ORIGIN", (37.00001, -25.00002))
    scene = make_scene(points=None, **SCENES[request.param])
    if request.param == "SAR by points":
        with_points(scene.sar, bent_px=4.0)
    return scene.open()


@pytest.mark.parametrize("name", SUFFIXES)
def test_what_is_written_reads_back(pair, tmp_path, name):
    rng = np.random.default_rng(0)
    height, width = pair.shape
    table = table_of(pair, rng.uniform(12, [width - 12, height - 12], (40, 2)), rng.uniform(-6, 6, (40, 2)))
    table["sigma_px"] = rng.uniform(0.1, 2, 40).round(3)
    path = tmp_path / f"t.{name}"
    assert files.write([path], table, pair, say=quiet) == 40
    found = read_given(path, pair)
    columns = ["x", "y", "dx", "dy"]
    np.testing.assert_allclose(found[columns], table[columns], atol=0.005 if name == "geojson" else 5e-4)
    if f".{name}" in files.LINES:
        np.testing.assert_array_equal(found["sigma_px"], table["sigma_px"])


def test_points_that_were_set_aside_are_switched_off_and_read_back_so(worked, tmp_path):
    table = table_of(worked, [[10, 20], [30, 40]], [[2, -2], [5, 5]], outlier=["gate", ""])
    path = tmp_path / "t.points"
    files.write([path], table, worked, files.Choice(every=True), quiet)
    assert len(path.read_text().splitlines()) == 4
    assert read_given(path, worked)[["x", "y"]].to_numpy().round(6).tolist() == [[30, 40]]


def test_every_writes_what_was_set_aside_and_without_it_lines_alone_do(worked, tmp_path):
    table = table_of(worked, [[10, 20], [30, 40]], [[2, -2], [5, 5]], outlier=["", "gate"])
    for every, count in ((False, 1), (True, 2)):
        for name in SUFFIXES:
            path = tmp_path / f"t.{name}"
            files.write([path], table, worked, files.Choice(every), quiet)
            assert len(read_given(path, worked)) == (
                2 if f".{name}" in files.LINES else 1 if name == "points" else count
            )


def test_what_ends_beside_an_image_is_left_out_and_told(worked, tmp_path):
    beside = [[79.6, 20], [10, -0.6], [10, 20], [10, 20], [np.nan, 2]]
    table = table_of(worked, [*beside, [79.4, 63.4]], [[0, 0], [0, 3], [70, 0], [0, 45], [0, 0], [-1, -1]])
    said = []
    for name in SUFFIXES:
        assert files.write([tmp_path / f"t.{name}"], table, worked, say=said.append) == 1
        assert said[-1].endswith(f"t.{name}: 1 of 6 tie-points (5 beside the images)")
        np.testing.assert_allclose(read_given(tmp_path / f"t.{name}", worked)[["x", "y"]], [[79.4, 63.4]], atol=2e-3)


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_table_without_rows_gives_a_file_without_rows(worked, tmp_path, name):
    path = tmp_path / f"t.{name}"
    assert files.write([path], candidates.empty(), worked, say=quiet) == 0 and path.is_file()
    with pytest.raises(InputError, match="no"):
        read_given(path, worked)


def test_equal_tie_points_give_equal_bytes(worked, tmp_path):
    table = table_of(worked, np.random.default_rng(0).uniform(5, 50, (50, 2)), np.zeros((50, 2)))
    for name in SUFFIXES:
        for stem in "ab":
            files.write([tmp_path / f"{stem}.{name}"], table, worked, say=quiet)
        assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes(), name


@pytest.mark.parametrize("name", SUFFIXES)
@pytest.mark.parametrize("missing", [1, 20_000])
def test_a_disk_that_fills_up_leaves_nothing(worked, tmp_path, name, missing):
    rng = np.random.default_rng(0)
    table = table_of(worked, rng.uniform(5, 50, (800, 2)), np.zeros((800, 2)))
    path = tmp_path / "out" / f"t.{name}"
    files.write([path], table, worked, say=quiet)
    size = path.stat().st_size
    path.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, before[1]))
    try:
        with pytest.raises(InputError) as error:
            files.write([path], table, worked, say=quiet)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(error.value).startswith(str(path)) and list(path.parent.iterdir()) == []


def test_gdal_moves_the_sar_image_by_the_points_as_we_do_by_the_map(make_scene, tmp_path):
    """Whether pixel, line and place are what GDAL takes them for; a SAR pixel is one and a third optical ones."""
    scene = make_scene(points=None, displacement=lambda x, y: (5 + 0.03 * x, -3 - 0.02 * y), sar_dtype="float32")
    pair = scene.open()
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(4, 187, 8), np.linspace(4, 155, 8)))
    shift = np.column_stack(scene.displacement(x, y)) - pair.centre_offset_px
    table = table_of(pair, np.column_stack([x, y]), shift)
    files.write([tmp_path / "t.gcp"], table, pair, say=quiet)
    points = [
        GroundControlPoint(row=float(line), col=float(pixel), x=float(east), y=float(north))
        for _, pixel, line, east, north in rows(tmp_path / "t.gcp")[1:]
    ]
    write_warped_sar(tmp_path / "ours.tif", fitting.fit(table, pair.shape, pair.gsd_m)[0], pair)
    with rasterio.open(tmp_path / "ours.tif") as ours, rasterio.open(pair.sar) as sar:
        expected, moved = ours.read(1), np.zeros(pair.shape, np.float32)
        frame = {"dst_transform": ours.transform, "dst_crs": ours.crs}
        reproject(sar.read(1), moved, gcps=points, src_crs=ours.crs, resampling=1, tolerance=0, **frame)
    inside = np.s_[16:-16, 16:-16]
    error = np.abs(moved - expected)[inside].mean()
    half = np.abs(expected[:, 1:] - expected[:, :-1])[inside].mean() / 2
    assert error < 0.2 * half


def test_a_crs_without_a_code_is_told_by_its_definition(tmp_path):
    own = CRS.from_proj4("+proj=tmerc +lat_0=1 +lon_0=39.123 +k=0.9993 +x_0=500000 +ellps=GRS80 +units=m")
    for name, bands in (("o.tif", 3), ("s.tif", 1)):
        values = np.full((bands, 40, 40), 9, np.uint8)
        write_raster(tmp_path / name, values, Affine(0.5, 0, EAST, 0, -0.5, NORTH), own)
    pair = open_pair(tmp_path / "o.tif", tmp_path / "s.tif")
    path = tmp_path / "t.gcp"
    files.write([path], table_of(pair, [[10, 20]], [[1, 2]]), pair, say=quiet)
    option, told = shlex.split(path.read_text().splitlines()[1])
    assert option == "-a_srs" and CRS.from_user_input(told) == pair.crs and "EPSG:0" not in told
    np.testing.assert_allclose(read_given(path, pair)[["x", "y", "dx", "dy"]], [[10, 20, 1, 2]], atol=1e-3)


def test_formats_and_names(tmp_path):
    stem = tmp_path / "MAP"
    assert files.named(["gpkg", "x/y.PTS"], stem) == (tmp_path / "MAP.tiepoints.gpkg", Path("x/y.PTS"))
    with pytest.raises(InputError, match=r"a\.kml: .* ends in \.gpkg, .* or \.gcp"):
        files.named(["a.kml"], stem)
    with pytest.raises(InputError, match=r"b\.csv: is the second"):
        files.named(["csv", "b.csv"], stem)


def test_what_goes_wrong_while_lines_are_made_is_not_blamed_on_the_disk(worked, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lines, "reproject_points", fail)
    with pytest.raises(KeyboardInterrupt):
        files.write([tmp_path / "t.gpkg"], table_of(worked, [[10, 20]], [[2, -2]]), worked, say=quiet)
    assert not (tmp_path / "t.gpkg").exists()


def test_lines_across_the_antimeridian_are_cut_as_rfc_7946_asks(tmp_path):
    (east,), (north,) = warp_points("EPSG:4326", "EPSG:32601", [180.0], [10.0])
    for name, bands in (("o.tif", 3), ("s.tif", 1)):
        values = np.full((bands, 60, 60), 9, np.uint8)
        write_raster(tmp_path / name, values, Affine(0.5, 0, east - 15, 0, -0.5, north), "EPSG:32601")
    pair, path = open_pair(tmp_path / "o.tif", tmp_path / "s.tif"), tmp_path / "t.geojson"
    table = table_of(pair, [[25, 20], [40, 20]], [[10, 1], [2, 3]])
    files.write([path], table, pair, say=quiet)
    shapes = [feature["geometry"]["type"] for feature in json.loads(path.read_text())["features"]]
    assert shapes == ["MultiLineString", "LineString"]
    columns = ["x", "y", "dx", "dy"]
    np.testing.assert_allclose(read_given(path, pair)[columns], table[columns], atol=5e-3)
