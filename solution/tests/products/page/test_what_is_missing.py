"""The verb on reports that were changed: what the page does without, and what it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import rasterio

from solution.core.artefact import file_facts
from solution.field import candidates
from solution.tests.conftest import retag, truncate
from solution.tests.products.page.conftest import text_of

pytestmark = pytest.mark.usefixtures("no_drawings")


def test_names_are_shown_and_not_obeyed(finished, run):
    facts = {**finished.facts(), "scene": "<script>alert(1)</script>", "teams": ["<b>"]}
    finished.report.write_text(json.dumps(facts))
    assert run("report", finished.map)[0] == 0
    page = finished.page.read_text()
    assert page.count("<script>") == 1 and "<b>" not in page and "&lt;b&gt;" in page
    assert "alert(1)" in page  # told, as text


def test_a_failed_map_is_told_with_its_reasons(finished, run):
    reasons = ["errors of 10.9 px are to be expected", "candidates support 7% of the map"]
    finished.report.write_text(
        json.dumps({**finished.facts(), "verdict": "failed", "reasons": reasons, "radius_68_px": None, "support": 0.07})
    )
    assert run("report", finished.map)[0] == 0
    told = text_of(finished.page)
    assert f"Do not use it: {reasons[0]}; {reasons[1]}." in told and "Why the verdict is failed" in told
    assert "The radius of the verdict, not known" in told
    assert "where the images are asked as well, 7% of the map is supported" in told  # however many matches agree


@pytest.mark.parametrize(
    ("lacks", "sentence"),
    [
        ("sigma", "The radius of the error was not written as a raster. Predict with --uncertainty"),
        ("table", "the table of all matches, is not beside the map"),
        ("images", "The optical and the sar image could not be found, so no image is shown"),
        ("old report", "The optical and the sar image could not be found"),
    ],
)
def test_what_is_missing_leaves_a_sentence(finished, run, lacks, sentence):
    facts = finished.facts()
    if lacks == "images":
        facts["inputs"] = {name: {**noted, "path": "/gone/image.tif"} for name, noted in facts["inputs"].items()}
    elif lacks == "old report":
        del facts["inputs"], facts["run"]
    else:
        getattr(finished, lacks).unlink()
    finished.report.write_text(json.dumps(facts))
    code, _, err = run("report", finished.map)
    assert code == 0, err
    told = text_of(finished.page)
    assert sentence in told
    assert ("SAR through the map" in told) == (lacks in ("sigma", "table"))
    assert ("RMSE" in told) == (lacks != "table")


def test_moved_images_are_found_where_one_says(finished, run, tmp_path):
    moved = [
        shutil.copy(path, tmp_path / f"moved_{path.name}") for path in (finished.scene.optical, finished.scene.sar)
    ]
    facts = finished.facts()
    facts["inputs"] = {name: {**noted, "path": "/gone/image.tif"} for name, noted in facts["inputs"].items()}
    finished.report.write_text(json.dumps(facts))
    code, _, err = run("report", finished.map, "--optical", moved[0])
    assert code == 0 and "Make the page again with --sar FILE" in text_of(finished.page), err
    assert run("report", finished.map, "--optical", moved[0], "--sar", moved[1])[0] == 0
    assert "SAR through the map" in text_of(finished.page)


@pytest.mark.parametrize(
    ("harm", "named", "sentence"),
    [
        (lambda one: truncate(one.map), "map.tif", "is not the file that map.report.json describes"),
        (lambda one: truncate(one.table), "map.candidates.parquet", "is not the file that map.report.json describes"),
        (lambda one: truncate(one.sigma), "map.sigma.tif", "is not the file that map.report.json describes"),
        (lambda one: truncate(one.report), "map.report.json", "is not the report of a prediction, or a damaged one"),
        (lambda one: one.report.write_text("[]"), "map.report.json", "is not the report of a prediction"),
        (lambda one: one.report.write_text('{"verdict": "ok"}'), "map.report.json", "is not the report"),
        (lambda one: one.report.unlink(), "map.report.json", "no such report"),
        (lambda one: one.map.unlink(), "map.tif", "no such offset map"),
    ],
)
def test_what_is_broken_is_refused_in_one_sentence(finished, run, harm, named, sentence):
    before = finished.page.read_bytes()
    harm(finished)
    code, _, err = run("report", finished.map)
    assert code == 2 and len(err.splitlines()) == 1, err
    assert err.startswith(f"error: {finished.map.parent / named}: ") and sentence in err
    assert finished.page.read_bytes() == before and not list(finished.map.parent.glob(".*"))


def test_another_image_than_the_registered_one_is_refused(finished, run, tmp_path):
    other = shutil.copy(finished.scene.sar, tmp_path / "other.tif")
    retag(other)
    code, _, err = run("report", finished.map, "--sar", other)
    assert code == 2 and err.startswith(f"error: {other}: is not the sar image that was registered"), err
    code, _, err = run("report", finished.map, "--sar", tmp_path / "nowhere.tif")
    assert code == 2 and "nowhere.tif: no such file" in err


def test_inputs_are_not_written_over(finished, run):
    """An image that bears the page's name."""
    image = finished.map.with_suffix(".html")
    shutil.copy(finished.scene.optical, image)
    code, _, err = run("report", finished.map, "--optical", image)
    assert code == 2 and "is an input too" in err


def test_a_scene_without_any_match_still_gets_a_page(finished, run):
    facts = finished.facts()
    candidates.write(finished.table, candidates.empty())
    facts["files"]["candidates"] = file_facts(finished.table)
    finished.report.write_text(json.dumps({**facts, "sources": {}, "outliers": {}, "candidates": 0}))
    code, _, err = run("report", finished.map)
    assert code == 0, err
    assert "There are not enough matches to hold any out" in text_of(finished.page)


def test_names_that_are_no_utf8_are_told_as_latin_1(finished, run):
    facts = finished.facts()
    facts["inputs"]["sar"]["name"] = "caf\udce9.tif"
    finished.report.write_text(json.dumps(facts))
    code, _, err = run("report", finished.map)
    assert code == 0 and "café.tif" in text_of(finished.page), err


def test_a_map_without_any_kept_match_says_what_it_is(finished, run):
    table = candidates.read(finished.table)
    candidates.write(finished.table, table.assign(outlier="field"))
    with rasterio.open(finished.map, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.write(np.zeros((2, *dataset.shape), np.float32))
    facts = finished.facts()
    facts["files"] |= {"candidates": file_facts(finished.table), "map": file_facts(finished.map)}
    zero = {
        "fit": "zero",
        "verdict": "failed",
        "reasons": ["no candidate to trust"],
        "radius_68_px": None,
        "inliers": 0,
    }
    finished.report.write_text(json.dumps({**facts, **zero}))
    code, _, err = run("report", finished.map)
    told = text_of(finished.page)
    assert code == 0 and "There is no shift anywhere." in told and "not enough matches to hold any out" in told, err
