"""The STAC Item of a map: valid by the core's schemas, which pystac holds, and by what its extensions demand; the footprint
and the accuracy by hand."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import jsonschema
import numpy as np
import pystac
import pytest
import rasterio
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.crs import CRS

from solution.products import stac
from solution.products.outputs import Outputs

NUMBER = {"type": "number"}
EXTENSIONS = {
    stac.PROJECTION: {
        "proj:code": {"type": ["string", "null"], "pattern": "^[A-Z]+:.+"},
        "proj:wkt2": {"type": "string", "pattern": "^(PROJ|GEOG)CRS"},
        "proj:shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2},
        "proj:transform": {"type": "array", "items": NUMBER, "minItems": 6, "maxItems": 6},
        "proj:bbox": {"type": "array", "items": NUMBER, "minItems": 4, "maxItems": 4},
    },
    stac.PROCESSING: {
        "processing:datetime": {"type": "string", "pattern": "Z$"},
        "processing:version": {"type": "string"},
        "processing:software": {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1},
        "processing:lineage": {"type": "string"},
    },
    stac.ACCURACY: {
        "accuracy:geometric_x_stddev": NUMBER,
        "accuracy:geometric_y_stddev": NUMBER,
        "accuracy:geometric_rmse": {**NUMBER, "minimum": 0},
    },
}
"""What the extensions' specifications say of the fields that we write; no other field may carry their prefixes."""


def check(item: dict) -> None:
    item = json.loads(json.dumps(item))
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, item["stac_version"])
    for place in (item["properties"], *item["assets"].values()):
        for uri, fields in EXTENSIONS.items():
            prefix = re.match("[a-z]+:", next(iter(fields)))[0]
            used = {name: value for name, value in place.items() if name.startswith(prefix)}
            assert not used or uri in item["stac_extensions"]
            jsonschema.validate(used, {"properties": fields, "additionalProperties": False})
    for uri, fields in EXTENSIONS.items():
        places = (item["properties"], *item["assets"].values())
        assert (uri in item["stac_extensions"]) == any(name in place for place in places for name in fields)


@pytest.fixture
def pair(make_scene):
    return make_scene("02_publictest", shape=(96, 112), points=None).open()


@pytest.fixture
def report(pair) -> dict:
    return {
        "scene": pair.name,
        "inputs": pair.inputs(),
        "key": "k1",
        "layout": "cog",
        "verdict": "weak",
        "reasons": ["errors of 7.5 px are to be expected"],
        "radius_68_px": 7.548,
        "support": 0.9,
        "fit": "field",
        "gsd_m": 0.5,
        "run": {"version": "0.1.0", "written_at": "2026-03-01T12:00:00+00:00"},
        "files": {"map": {"name": "m.tif"}, "candidates": {"name": "m.candidates.parquet"}, "other": {"name": "m.x"}},
    }


PATH = Path("m.stac.json")


def test_it_is_valid_and_says_what_the_report_says(pair, report):
    item = stac.item(PATH, pair, report)
    check(item)
    properties, assets = item["properties"], item["assets"]
    assert item["id"] == "m" and properties["registration:verdict"] == "weak" and properties["gsd"] == 0.5
    assert {kind: asset["href"] for kind, asset in assets.items()} == {
        "map": "./m.tif",
        "candidates": "./m.candidates.parquet",
        "report": "./m.report.json",
    }
    assert [band["name"] for band in assets["map"]["bands"]] == ["dx", "dy"]
    plain = stac.item(PATH, pair, {**report, "layout": "contest"})["assets"]["map"]["type"]
    assert assets["map"]["type"] == f"{plain}; profile=cloud-optimized"
    assert assets["map"]["proj:shape"] == [96, 112] and assets["map"]["proj:transform"][2] == 500_000.0
    assert properties["proj:code"] == "EPSG:32637"
    assert properties["registration:sar"]["sha256"] == report["inputs"]["sar"]["sha256"]
    assert item == stac.item(PATH, pair, report)


def test_accuracy_is_in_metres_and_left_out_where_nothing_is_known(pair, report):
    """7.548 px is 5 standard deviations of one axis times 1.5096; a pixel is half a metre."""
    properties = stac.item(PATH, pair, report)["properties"]
    assert properties["accuracy:geometric_x_stddev"] == properties["accuracy:geometric_y_stddev"] == 2.5
    assert properties["accuracy:geometric_rmse"] == pytest.approx(2.5 * math.sqrt(2), abs=1e-4)
    unknown = stac.item(PATH, pair, {**report, "radius_68_px": None, "verdict": "failed"})
    check(unknown)
    assert stac.ACCURACY not in unknown["stac_extensions"]


def test_the_footprint_is_the_image_in_degrees_counter_clockwise(pair, report):
    item = stac.item(PATH, pair, report)
    (ring,) = item["geometry"]["coordinates"]
    points = np.array(ring)
    west, south, east, north = item["bbox"]
    assert ring[0] == ring[-1] and np.allclose([west, south], points.min(axis=0)) and east > west
    assert west == pytest.approx(39.0, abs=1e-6)  # the origin lies on the central meridian of the zone
    # 112 and 96 px of half a metre, at 45 degrees
    assert (east - west) * 111_320 * math.cos(math.radians(45.15)) == pytest.approx(56, rel=0.02)
    assert (north - south) * 111_130 == pytest.approx(48, rel=0.02)
    x, y = points.T
    assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0


def test_an_image_across_longitude_180_is_cut(pair, report):
    moved = np.array([[500.0, 0, 800_000], [0, -500.0, 1_000_000], [0, 0, 1]])
    item = stac.item(PATH, replace(pair, transform=moved, crs=CRS.from_epsg(32660)), report)
    check(item)
    west, _, east, _ = item["bbox"]
    assert item["geometry"]["type"] == "MultiPolygon" and 179 < west < 180 and -180 < east < -179
    for (ring,) in item["geometry"]["coordinates"]:
        x, y = np.array(ring).T
        assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0 and np.ptp(x) < 1


def test_a_crs_without_a_code_is_spelled_out(pair, report):
    own = CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84 +units=m")
    item = stac.item(PATH, replace(pair, crs=own), report)
    check(item)
    assert item["properties"]["proj:code"] is None and item["assets"]["map"]["proj:wkt2"].startswith("PROJCRS")


@pytest.mark.parametrize(
    ("domain", "tags", "moment", "source"),
    [
        (None, {}, "2026-03-01T12:00:00Z", "time of writing, for no tag"),
        (None, {"TIFFTAG_DATETIME": "2023:02:07 08:09:10"}, "2023-02-07T08:09:10Z", "tag TIFFTAG_DATETIME"),
        (None, {"TIFFTAG_DATETIME": "0000:00:00 00:00:00"}, "2026-03-01T12:00:00Z", "time of writing"),
        (None, {"TIFFTAG_DATETIME": "1900:01:01 00:00:00"}, "2026-03-01T12:00:00Z", "time of writing"),
        (
            "IMAGERY",
            {"ACQUISITIONDATETIME": "2023-02-07 10:09:10+02:00"},
            "2023-02-07T08:09:10Z",
            "ACQUISITIONDATETIME",
        ),
    ],
)
def test_the_time_is_that_of_the_image_where_a_tag_says_it(pair, report, domain, tags, moment, source):
    with rasterio.open(pair.optical, "r+") as dataset:
        dataset.update_tags(ns=domain, **tags)
    properties = stac.item(PATH, pair, report)["properties"]
    assert datetime.fromisoformat(properties["datetime"]) == datetime.fromisoformat(moment)
    assert source in properties["registration:datetime_source"] and properties["created"] == "2026-03-01T12:00:00Z"


@pytest.mark.slow
@pytest.mark.usefixtures("quick_plan")
def test_predict_writes_it_adds_it_to_a_finished_map_and_takes_an_old_one_away(scene, go, tmp_path):
    out, item = tmp_path / "map.tif", tmp_path / "map.stac.json"
    go(scene.optical, scene.sar, out, "--team", "0")
    assert not item.exists()
    printed = go(scene.optical, scene.sar, out, "--team", "0", "--stac")[1]
    assert "up to date" in printed
    check(json.loads(item.read_text()))
    added = item.read_bytes()
    item.write_text("{")
    go(scene.optical, scene.sar, out, "--team", "0", "--stac")
    assert item.read_bytes() == added
    printed = go(scene.optical, scene.sar, out, "--team", "1")[1]
    assert f"{item}: removed" in printed and not item.exists()


def test_somebody_elses_item_beside_the_map_stays(tmp_path):
    files = Outputs.of(tmp_path / "map.tif")
    files.report.write_text(json.dumps({"key": "k1", "files": {}}))
    files.item.write_text(json.dumps({"properties": {"registration:key": "k2"}}))
    assert files.beside() == [files.report]
    files.item.write_text(json.dumps({"properties": {"registration:key": "k1"}}))
    assert files.beside() == [files.report, files.item]
