"""``export``, and ``--tiepoints`` of ``fit`` and ``predict``, through the public command line."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio

from solution.field import candidates, fitting
from solution.products.outputs import Outputs
from solution.products.tiepoints import files
from solution.products.tiepoints.given import MAP
from solution.tests.conftest import Recipe, Scene, retag, write_scene
from solution.tests.products.conftest import read_map

COLUMNS = ["x", "y", "dx", "dy"]
SUFFIXES = tuple(suffix[1:] for suffix in files.SUFFIXES)


def slanted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 9.0 + 0.02 * x, -7.0 - 0.03 * y


@dataclass(frozen=True)
class Predicted:
    """What a prediction leaves behind, without the prediction.

    Attributes:
        scene: the images, in the folder of the map.
        map: the offset map; candidates and report lie beside it.
        table: the candidates, six of 99 set aside.
    """

    scene: Scene
    map: Path
    table: pd.DataFrame


@pytest.fixture
def predicted(tmp_path) -> Predicted:
    scene = write_scene(tmp_path, "02_train_01", Recipe(points=(11, 9), displacement=slanted, seed=1))
    pair = scene.open()
    truth = pair.tiepoints()
    shift = truth.shift.copy()
    shift[5::17, 0] += np.where(truth.x[5::17] > 96, -40, 40)  # inwards
    table = candidates.make(pair.name, 0, "flow", truth.xy, shift, confidence=0.5)
    fit, table = fitting.fit(table, pair.shape, pair.gsd_m)
    out = tmp_path / "map.tif"
    facts = {"key": "k", "verdict": "ok", "inputs": pair.inputs()}
    Outputs.of(out).write(fit, table, pair, facts, lambda _: None)
    assert (table["outlier"] != "").sum() == 6 and len(table) == 99
    return Predicted(scene, out, table)


def images(scene: Scene) -> list:
    return ["--optical", scene.optical, "--sar", scene.sar]


def done(result: tuple[int, str, str]) -> str:
    code, out, err = result
    assert code == 0, err
    return out


def refused(result: tuple[int, str, str], sentence: str) -> None:
    code, _, err = result
    assert code == 2 and len(err.splitlines()) == 1 and sentence in err, err


@pytest.mark.parametrize("name", ["map.tif", "map.candidates.parquet"])
def test_a_map_and_its_candidates_know_their_images(predicted, run, name):
    said = done(run("export", predicted.map.with_name(name), "--as", "gpkg", "--as", "csv"))
    assert "map.tiepoints.gpkg: 99 of 99 tie-points\n" in said
    assert "map.tiepoints.csv: 93 of 99 tie-points (6 set aside by the fit)" in said
    frame = geopandas.read_file(predicted.map.with_name("map.tiepoints.gpkg"))
    np.testing.assert_allclose(frame[COLUMNS], predicted.table[COLUMNS], atol=1e-6)
    assert "99 of 99" in done(run("export", predicted.map.with_name("map.tiepoints.gpkg"), "--as", "geojson"))
    assert predicted.map.with_name("map.tiepoints.geojson").is_file()
    assert list(frame["reason"]) == list(predicted.table["outlier"]) and set(frame["source"]) == {"flow"}


@pytest.mark.parametrize("name", SUFFIXES)
def test_what_is_exported_is_fitted_and_scored_as_before(predicted, run, tmp_path, name):
    direct, again, points = tmp_path / "direct.tif", tmp_path / "again.tif", tmp_path / f"points.{name}"
    done(run("export", predicted.map, "--as", points))
    held = predicted.table if f".{name}" in files.LINES else predicted.table.query("outlier == ''")
    held[[*COLUMNS, *(["confidence"] if f".{name}" in files.LINES else [])]].to_csv(tmp_path / "held.csv", index=False)
    for given, out in ((tmp_path / "held.csv", direct), (points, again)):
        done(run("fit", given, *images(predicted.scene), "--out", out))
    assert np.abs(read_map(again) - read_map(direct)).max() < 0.02
    pair = ["--optical_image", predicted.scene.optical, "--sar_image", predicted.scene.sar]
    kept = tmp_path / "sn9.csv"
    done(run("export", predicted.map, "--as", kept))
    for given, text in ((kept, "a.txt"), (tmp_path / f"kept.{name}", "b.txt")):
        if given != kept:  # without what was set aside, in formats that hold it too
            done(run("export", kept, "--as", given, *images(predicted.scene)))
        scored = ["--evaluation_tiepoints", given, *pair, "--output_offset_image", predicted.map]
        done(run("score", *scored, "--score_file", tmp_path / text))
    assert float((tmp_path / "a.txt").read_text()) == float((tmp_path / "b.txt").read_text()) < 1.5


def test_most_thins_and_every_adds(predicted, run):
    said = done(run("export", predicted.map, "--as", "csv", "--as", "geojson", "--most", 30))
    assert "of 99 tie-points (6 set aside by the fit, " in said and said.count("thinned out") == 2
    assert 10 <= len(pd.read_csv(predicted.map.with_name("map.tiepoints.csv"))) <= 30
    assert "99 of 99" in done(run("export", predicted.map, "--as", "csv", "--every"))


def test_somebody_elses_map_gives_an_even_lattice(predicted, run, tmp_path):
    alone = tmp_path / "alone.tif"
    shutil.copy(predicted.map, alone)
    refused(run("export", alone, "--as", "csv"), "alone.tif: no report beside it says which images it belongs to; name")
    done(run("export", alone, "--as", "gpkg", *images(predicted.scene), "--most", 120))
    frame = geopandas.read_file(tmp_path / "alone.tiepoints.gpkg")
    assert 90 <= len(frame) <= 120 and set(frame["source"]) == {MAP}
    found = read_map(alone)[:, frame["y"].astype(int), frame["x"].astype(int)]
    np.testing.assert_allclose(frame[["dx", "dy"]].to_numpy().T, found, atol=1e-6)
    steps = [np.diff(np.unique(frame[name])) for name in "xy"]
    assert all(np.ptp(step) <= 1 for step in steps) and abs(steps[0].mean() - steps[1].mean()) < 4


def test_a_lattice_leaves_out_where_the_map_or_an_image_has_no_data(predicted, run, tmp_path):
    values = read_map(predicted.map)
    with rasterio.open(predicted.map) as dataset:
        profile = dataset.profile
    values[0, :80] = np.nan
    values[1, 80:, :96] = -9999
    with rasterio.open(tmp_path / "holes.tif", "w", **{**profile, "nodata": -9999}) as dataset:
        dataset.write(values)
    with rasterio.open(predicted.scene.optical, "r+") as dataset:
        mask = np.full(dataset.shape, 255, np.uint8)
        mask[80:, 170:] = 0
        dataset.write_mask(mask)
    done(run("export", tmp_path / "holes.tif", "--as", "gpkg", *images(predicted.scene), "--most", 300))
    frame = geopandas.read_file(tmp_path / "holes.tiepoints.gpkg")
    assert len(frame) > 40 and frame["y"].min() >= 80 and frame["x"].min() >= 96 and frame["x"].max() < 171


def test_candidates_that_led_to_another_map_are_passed_over(predicted, run):
    retag(predicted.map)
    said = done(run("export", predicted.map, "--as", "csv"))
    assert "map.candidates.parquet: led to another map, passed over" in said
    assert len(pd.read_csv(predicted.map.with_name("map.tiepoints.csv"))) > 300


def test_from_map_reads_the_map_though_candidates_are_there(predicted, run):
    done(run("export", predicted.map, "--as", "gpkg", "--from-map"))
    assert set(geopandas.read_file(predicted.map.with_name("map.tiepoints.gpkg"))["source"]) == {MAP}
    refused(run("export", predicted.map.with_suffix(".candidates.parquet"), "--as", "csv", "--from-map"), "is no map")


def test_images_that_moved_with_the_map_are_found_and_others_are_named(predicted, run, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in [*tmp_path.glob("map.*"), predicted.scene.optical, predicted.scene.sar]:
        path.rename(moved / path.name)
    done(run("export", moved / "map.tif", "--as", "csv"))
    sar = (moved / predicted.scene.sar.name).rename(tmp_path / "elsewhere.tif")
    refused(run("export", moved / "map.tif", "--as", "csv"), f"{predicted.scene.sar}: is not there any more")
    done(run("export", moved / "map.tif", "--as", "csv", "--sar", sar))


def test_another_image_under_the_old_name_is_refused(predicted, run):
    with predicted.scene.sar.open("ab") as file:
        file.write(b"0")
    refused(
        run("export", predicted.map, "--as", "csv"), "is not the image that map.report.json was made from; name the"
    )
    assert not predicted.map.with_name("map.tiepoints.csv").exists()


def test_a_table_of_several_scenes_gives_those_of_the_pair(predicted, run, tmp_path):
    other = predicted.table.assign(scene="03_train_01")
    path = tmp_path / "candidates.parquet"
    candidates.write(path, pd.concat([predicted.table.iloc[:50], other]))
    done(run("export", path, "--as", tmp_path / "t.gpkg", *images(predicted.scene)))
    assert len(geopandas.read_file(tmp_path / "t.gpkg")) == 50
    candidates.write(path, pd.concat([other, other.assign(scene="04_train_01")]))
    refused(
        run("export", path, "--as", tmp_path / "t.gpkg", *images(predicted.scene)),
        "holds candidates of 2 scenes, and none of 02_train_01",
    )


def test_bad_exports_leave_nothing(predicted, run, tmp_path):
    far = tmp_path / "far.parquet"
    candidates.write(far, predicted.table.assign(x=5000.0))
    before = sorted(tmp_path.iterdir())
    refused(run("export", far, "--as", "csv", "--as", "gpkg", *images(predicted.scene)), "lies in both images")
    refused(run("export", tmp_path / "none.tif", "--as", "csv"), "no such file")
    refused(run("export", predicted.map, "--as", "csv", "--as", "other.csv"), "is the second file")
    refused(run("export", predicted.map, "--as", predicted.map), "give it a name that ends in .gpkg")
    refused(run("export", predicted.scene.tiepoints_csv, "--as", "csv"), "no report beside it")
    csv = predicted.scene.tiepoints_csv
    refused(run("export", csv, "--as", csv, *images(predicted.scene)), "is an input too")
    refused(run("export", predicted.scene.sar, "--as", "csv", *images(predicted.scene)), "has 1 band(s)")
    broken = json.loads(predicted.map.with_name("map.report.json").read_text()) | {"inputs": {"optical": 5}}
    predicted.map.with_name("map.report.json").write_text(json.dumps(broken))
    refused(run("export", predicted.map, "--as", "csv"), "no report beside it")
    assert sorted(tmp_path.iterdir()) == before


def test_fit_writes_what_it_thought_of_each(predicted, run, tmp_path):
    out = tmp_path / "fitted.tif"
    given = predicted.map.with_suffix(".candidates.parquet")
    wanted = ["--tiepoints", "gpkg", "--tiepoints", tmp_path / "new" / "mine.points"]
    said = done(run("fit", given, *images(predicted.scene), "--out", out, *wanted))
    assert "fitted.tiepoints.gpkg: 99 of 99" in said and "mine.points: 93 of 99 tie-points (6 set aside" in said
    frame = geopandas.read_file(tmp_path / "fitted.tiepoints.gpkg")
    assert (~frame["kept"]).sum() == 6 and (frame.loc[~frame["kept"], "reason"] != "").all()
    refused(
        run(
            "fit", given, *images(predicted.scene), "--out", out, "--tiepoints", predicted.scene.sar.with_suffix(".kml")
        ),
        "ends in .gpkg",
    )


@pytest.mark.slow
@pytest.mark.usefixtures("good_teams")
def test_a_prediction_writes_them_with_its_map_and_does_not_work_twice(scene, go, run, tmp_path):
    out, mine = tmp_path / "out" / "map.tif", tmp_path / "mine.gpkg"
    asked = [scene.optical, scene.sar, out, "--tiepoints", mine, "--tiepoints", "csv"]
    said = done(go(*asked))
    table = candidates.read(out.with_suffix(".candidates.parquet"))
    frame, csv = geopandas.read_file(mine), out.with_name("map.tiepoints.csv")
    np.testing.assert_allclose(frame[COLUMNS], table[COLUMNS], atol=1e-6)
    assert list(frame["kept"]) == list(table["outlier"] == "") and f"{csv}: " in said
    described = json.loads(out.with_suffix(".report.json").read_text())["files"]
    assert described["tiepoints_gpkg"]["name"] == "mine.gpkg" and {"map", "tiepoints_csv"} < set(described)
    assert "up to date, skipped" in done(go(*asked))
    assert "up to date, skipped" in done(go(*asked[:3]))
    csv.unlink()
    assert "written in" in done(go(*asked)) and csv.is_file()


def test_a_new_map_takes_tie_points_of_the_old_one_away_unless_somebody_worked_on_them(predicted, tmp_path):
    pair, said = predicted.scene.open(), []
    fit, table = fitting.fit(predicted.table, pair.shape, pair.gsd_m)
    wanted = Outputs.of(predicted.map, False, False, ["csv", "pts", str(tmp_path / "new" / "mine.gpkg")])
    wanted.write(fit, table, pair, {}, said.append)
    csv, pts, elsewhere = wanted.tiepoints
    csv.write_text(csv.read_text() + "1,1,1,1\n")
    Outputs.of(predicted.map).write(fit, table, pair, {}, said.append)
    assert said[-1] == f"{pts}: removed, made beside an older map"
    assert csv.exists() and elsewhere.exists() and not pts.exists()


def test_a_file_for_the_tie_points_of_many_scenes_is_refused(make_scene, go, tmp_path):
    made = make_scene("02_publictest", shape=(96, 112), points=None)
    refused(go(made.folder, "--out", tmp_path / "out", "--tiepoints", "a.gpkg"), "name a format alone, for example")
    assert not (tmp_path / "out").exists()
