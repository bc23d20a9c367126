"""Tie-points in the forms that other programs write, not only as we write them."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from rasterio.transform import Affine

from solution.core.errors import InputError
from solution.data.scene import ScenePair, open_pair
from solution.field.imported import read_given
from solution.tests.conftest import ORIGIN, write_raster

EAST, NORTH = ORIGIN
COLUMNS = ["x", "y", "dx", "dy"]
FIRST = [10, 20, 2, -2]
SECOND = [30, 40, 4, 2]


@pytest.fixture
def pair(worked) -> ScenePair:
    return worked


def read(path: Path, text: str, pair: ScenePair) -> list[list[float]]:
    path.write_text(text)
    return read_given(path, pair)[COLUMNS].to_numpy().round(4).tolist()


ENVI = "\t11.500000\t21.500000\t7.500000\t10.500000\n\t31.5\t41.5\t18.5\t22.5\n"


@pytest.mark.parametrize(
    "above",
    [
        "; ENVI Image to Image GCP File\n; base file: o.img\n; warp file: s.img\n; Base Image (x,y), Warp Image (x,y)\n;\n",
        "; ENVI Image to Image Tie Points File\r\n; base file: C:\\a b\\map (x).img\r\n;\r\n",
        "",
        "base_x base_y warp_x warp_y\n",
    ],
)
def test_envi_points(pair, tmp_path, above):
    assert read(tmp_path / "t.pts", above + ENVI, pair) == [FIRST, SECOND]


def test_envi_points_onto_a_map_are_refused(pair, tmp_path):
    text = "; ENVI Image to Map GCP File\n; projection info = {UTM, 37}\n; Map (x,y), Image (x,y)\n;\n5 5 5 5\n"
    with pytest.raises(InputError, match=r"t\.pts: holds points from image to map; save them as image to image"):
        read(tmp_path / "t.pts", text, pair)


def test_points_of_another_suffix_need_a_header(pair, tmp_path):
    with pytest.raises(InputError, match="lacks the column"):
        read(tmp_path / "t.txt", ENVI, pair)


@pytest.mark.parametrize(
    "text",
    [
        "-gcp 6.5 9.5 {0} {1}\n-gcp 17.5 21.5 {2} {3}\n",
        "-gcp 6.5 9.5 {0} {1} 120.5 -gcp 17.5 21.5 {2} {3} 0\n",
        "# -gcp 1 1 1 1\n-a_srs EPSG:32637\n  -gcp  6.5  9.5  {0}  {1}\n\n-gcp 17.5 21.5 {2} {3}",
        "-a_srs EPSG:4326\n-gcp 6.5 9.5 {4} {5} -gcp 17.5 21.5 {6} {7}",
        '-gcp 6.5 9.5 {4} {5} -a_srs "EPSG:4326" -gcp 17.5 21.5 {6} {7}',
    ],
)
def test_gdal_options(pair, tmp_path, text):
    from rasterio.warp import transform

    places = [EAST + 5.25, NORTH - 10.25, EAST + 15.25, NORTH - 20.25]
    degrees = np.transpose(transform("EPSG:32637", "EPSG:4326", places[::2], places[1::2])).ravel()
    numbers = [f"{value:.12g}" for value in (*places, *degrees)]
    np.testing.assert_allclose(read(tmp_path / "t.gcp", text.format(*numbers), pair), [FIRST, SECOND], atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-gcp 6.5 9.5 one 2", "something other than numbers in column easting"),
        ("-gcp 6.5 9.5", "empty cell"),
        ('-a_srs "EPSG:32637\n-gcp 1 1 1 1', "its CRS cannot be read"),
        ("-a_srs nonsense\n-gcp 1 1 1 1", "its CRS cannot be read"),
    ],
)
def test_gdal_options_that_are_wrong(pair, tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path / "t.gcp", text, pair)


def line(*ends: tuple[float, float]) -> shapely.LineString:
    """Metres east and south of the origin."""
    return shapely.LineString([(EAST + x, NORTH - y) for x, y in ends])


DRAWN = [line((5.25, 10.25), (6.5, 9.5)), line((15.25, 20.25), (16, 1), (17.5, 21.5))]


@pytest.mark.parametrize("name", ["t.gpkg", "t.geojson", "T.GPKG"])
@pytest.mark.parametrize("crs", ["EPSG:32637", "EPSG:4326", "EPSG:3857"])
def test_lines_that_somebody_drew(pair, tmp_path, name, crs):
    """In any CRS, with attributes of their own and a bend, which does not count."""
    frame = geopandas.GeoDataFrame({"Note": ["a", None], "x": [0, 0]}, geometry=DRAWN, crs="EPSG:32637").to_crs(crs)
    frame.to_file(tmp_path / name, driver="GPKG" if name.lower().endswith("gpkg") else "GeoJSON")
    np.testing.assert_allclose(read_given(tmp_path / name, pair)[COLUMNS], [FIRST, SECOND], atol=5e-3)


def test_of_several_layers_ours_is_read(pair, tmp_path):
    path = tmp_path / "t.gpkg"
    frame = geopandas.GeoDataFrame(geometry=DRAWN, crs="EPSG:32637")
    for layer in ("roads", "rails"):
        frame.iloc[:1].to_file(path, layer=layer)
    with pytest.raises(InputError, match="has 2 layers; name that of the tie-points tie_points"):
        read_given(path, pair)
    frame.to_file(path, layer="tie_points")
    assert len(read_given(path, pair)) == 2


@pytest.mark.parametrize("shape", [shapely.Point(EAST + 5, NORTH - 5), None])
def test_what_is_no_line_is_refused(pair, tmp_path, shape):
    path = tmp_path / "t.gpkg"
    geopandas.GeoDataFrame(geometry=[DRAWN[0], shape], crs="EPSG:32637").to_file(path)
    with pytest.raises(InputError, match=r"feature 2 is no line; draw each tie-point as a line"):
        read_given(path, pair)


def test_files_that_cannot_be_read(pair, tmp_path):
    for name in ("t.gpkg", "t.geojson"):
        (tmp_path / name).write_text("nothing of the kind")
        with pytest.raises(InputError, match=rf"{name}: cannot be read"):
            read_given(tmp_path / name, pair)
    (tmp_path / "t.geojson").write_text('{"type":"FeatureCollection","features":[]}')
    with pytest.raises(InputError, match="holds no"):
        read_given(tmp_path / "t.geojson", pair)


def test_georeferenced_points_south_of_the_equator_are_no_px(tmp_path):
    """Degrees could be px from the corner there: x to the right, y negative downwards."""
    for name, bands, step in (("o.tif", 3, 4e-6), ("s.tif", 1, 8e-6)):
        write_raster(
            tmp_path / name, np.full((bands, 60, 60), 9, np.uint8), Affine(step, 0, 37, 0, -step, -25), "EPSG:4326"
        )
    pair = open_pair(tmp_path / "o.tif", tmp_path / "s.tif")
    at, seen = (37 + 10.5 * 4e-6, -25 - 20.5 * 4e-6), (37 + 6.5 * 8e-6, -25 - 9.5 * 8e-6)
    text = "mapX,mapY,sourceX,sourceY\n" + ",".join(f"{value:.12g}" for value in (*at, *seen)) + "\n"
    np.testing.assert_allclose(read(tmp_path / "t.points", text, pair), [FIRST], atol=1e-3)
