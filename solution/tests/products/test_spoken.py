"""What a prediction and a fit say on stdout and stderr: for people, for machines, and hardly anything."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from solution.tests.products.conftest import SHAPE, slanted

pytestmark = pytest.mark.usefixtures("quick_plan")


@pytest.mark.usefixtures("good_teams")
def test_json_is_the_report_and_nothing_else(scene, go, tmp_path):
    out = tmp_path / "map.tif"
    code, printed, err = go(scene.optical, scene.sar, out, "--json")
    assert code == 0 and json.loads(printed) == json.loads((tmp_path / "map.report.json").read_text())
    assert f"{out}: written in" in err and "verdict: ok" in err
    again = go(scene.optical, scene.sar, out, "--json")
    assert again[1] == printed and "up to date, skipped" in again[2]


def test_json_of_a_folder_is_a_list_and_its_scores_go_to_stderr(make_scene, go, tmp_path):
    for number in (1, 2):
        make_scene(f"0{number}_train_01", seed=number, shape=SHAPE, displacement=slanted)
    _, printed, err = go(tmp_path / "data", "--all", "--out", tmp_path / "out", "--team", "0", "--json")
    assert [report["scene"] for report in json.loads(printed)] == ["01_train_01", "02_train_01"]
    assert "leaderboard" not in printed and "zero px" in err


@pytest.mark.usefixtures("good_teams")
def test_quiet_says_nothing_of_a_good_map(scene, go, tmp_path):
    assert go(scene.optical, scene.sar, tmp_path / "map.tif", "--quiet") == (0, "", "")
    assert (tmp_path / "map.tif").is_file()


def test_quiet_warns_of_a_bad_map_and_tells_errors(scene, go, tmp_path):
    with rasterio.open(scene.sar, "r+") as sar:  # what cannot match
        sar.write(np.random.default_rng(0).permutation(sar.read(), axis=2))
    code, printed, err = go(scene.optical, scene.sar, tmp_path / "map.tif", "--quiet", "--team", "0")
    assert code in (3, 4) and printed == "" and err.startswith("WARNING: a map ") and len(err.splitlines()) == 1
    code, printed, err = go(scene.optical, tmp_path / "no.tif", tmp_path / "map.tif", "--quiet")
    assert code == 2 and printed == "" and err.startswith("error: ")


def test_fit_speaks_in_the_same_ways(make_scene, run, tmp_path):
    scene = make_scene(points=(6, 5))
    arguments = ["fit", scene.tiepoints_csv, "--optical", scene.optical, "--sar", scene.sar, "--out"]
    code, printed, err = run(*arguments, tmp_path / "a.tif", "--json")
    said = json.loads(printed)
    assert code == 0 and (said["verdict"], said["candidates"]) == ("ok", 30) and "a.tif: fit: " in err
    assert run(*arguments, tmp_path / "b.tif", "--quiet") == (0, "", "")
    assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "a.tif").read_bytes()
