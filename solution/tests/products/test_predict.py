"""Prediction through the public command line: its three forms, what is skipped and reused, and what bad input leaves
behind (nothing)."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.shutil

from solution.core.geometry import Window
from solution.data.finding import discover
from solution.field import candidates, fitting, verdict
from solution.products import embedded, predict, settings
from solution.proposers import every, families
from solution.reranker.model import RerankerConfig
from solution.reranker.model import train as train_reranker
from solution.teams import propose
from solution.tests.conftest import Recipe, truncate, write_raster, write_scene
from solution.tests.handmade import QUICK_FLOW, proposers_with
from solution.tests.labels import labelled
from solution.tests.products.conftest import SHAPE, files, read_map, slanted

pytestmark = pytest.mark.usefixtures("quick_plan")


def check_map(path: Path, optical: Path) -> None:
    """The contract of an offset map."""
    with rasterio.open(path) as written, rasterio.open(optical) as frame:
        assert (written.count, written.dtypes, written.descriptions) == (2, ("float32", "float32"), ("dx", "dy"))
        assert (written.shape, written.crs, written.transform) == (frame.shape, frame.crs, frame.transform)
        assert np.isfinite(written.read()).all()


@pytest.mark.usefixtures("good_teams")
def test_half_a_pixel_would_show(make_scene, go, tmp_path):
    """A shift of whole cells, which pull the hand-made features least; a SAR pixel is two optical ones wide."""
    shape, seen = (160, 176), (8.0, -4.0)
    scene = make_scene("02_publictest", shape=shape, sar_gsd=(1.0, 1.0), points=None, displacement=seen)
    code, _, err = go(scene.optical, scene.sar, tmp_path / "map.tif")
    assert code in verdict.EXIT_CODES.values(), err
    error = read_map(tmp_path / "map.tif") - (np.array(seen)[:, None, None] - 0.5)
    assert np.abs(np.median(error, axis=(1, 2))).max() < 0.25


@pytest.mark.usefixtures("good_teams")
def test_one_pair_gets_its_map_with_what_led_to_it(scene, go, tmp_path):
    out = tmp_path / "new" / "map.tif"
    code, printed, _ = go(scene.optical, scene.sar, out)
    assert code == 0 and f"{out}: written in" in printed
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "map.candidates.parquet",
        "map.report.json",
        "map.tif",
    ]
    check_map(out, scene.optical)
    # A SAR pixel is two optical ones wide: the map must hold the index shift, which is half a pixel less than what is
    # seen.
    seen = np.stack(slanted(*np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0]))))
    error = read_map(out) - (seen - 0.5)
    assert np.abs(error.mean(axis=(1, 2))).max() < 0.6 and np.hypot(*error).mean() < 1.6
    report, table = (
        json.loads(out.with_suffix(".report.json").read_text()),
        candidates.read(out.with_suffix(".candidates.parquet")),
    )
    assert (report["scene"], report["fit"], report["teams"]) == ("02_publictest", "field", ["0", "1"])
    assert report["candidates"] == len(table) and report["inliers"] == (table["outlier"] == "").sum() > 0.5 * len(table)
    assert sum(report["outliers"].values()) == report["candidates"] - report["inliers"]
    assert set(table["fold"]) == {0, 1} and set(table["scene"]) == {"02_publictest"} and table["error_px"].isna().all()


@pytest.mark.usefixtures("good_teams")
def test_images_of_different_places_fail_with_an_unknown_error(make_scene, go, tmp_path):
    """The networks are those that find the truth where there is one."""
    one, other = (make_scene(f"0{seed}_publictest", shape=(256, 288), points=None, seed=seed) for seed in (1, 2))
    code, printed, err = go(one.optical, other.sar, tmp_path / "map.tif", "--uncertainty")
    report = json.loads((tmp_path / "map.report.json").read_text())
    assert code == 3 and "verdict: failed (the images match no better than if one of them were mirrored" in printed, err
    assert report["radius_68_px"] is None and report["evidence_margin"] < 0.3
    assert (tmp_path / "map.tif").is_file() and not (tmp_path / "map.sigma.tif").exists()
    assert "up to date" in go(one.optical, other.sar, tmp_path / "map.tif", "--uncertainty")[1]


@pytest.mark.usefixtures("good_teams")
def test_the_uncertainty_and_the_verdict_lie_beside_the_map(scene, go, tmp_path):
    out = tmp_path / "map.tif"
    assert go(scene.optical, scene.sar, out)[0] == 0 and not (tmp_path / "map.sigma.tif").exists()
    code, printed, _ = go(scene.optical, scene.sar, out, "--uncertainty")
    assert code == 0 and "verdict: ok" in printed
    sigma, report = read_map(tmp_path / "map.sigma.tif"), json.loads((tmp_path / "map.report.json").read_text())
    assert sigma.shape == (1, *SHAPE) and (sigma > 0).all() and report["verdict"] == "ok" and report["reasons"] == []
    assert report["radius_68_px"] == pytest.approx(np.median(sigma), rel=0.2)
    assert "up to date, skipped; its verdict is ok" in go(scene.optical, scene.sar, out, "--uncertainty")[1]


def test_rerankers_judge_their_own_teams_candidates(scene, trained, run, tmp_path):
    folds, out = shutil.copytree(trained.folds, tmp_path / "folds"), tmp_path / "map.tif"
    arguments = ["predict", scene.optical, scene.sar, out, "--rerank", "--device", "cpu", "--folds", folds]
    code, _, err = run(*arguments)
    assert code == 2 and "reranker.txt" in err and not out.exists()
    for team, rounds in (("0", 3), ("1", 30)):
        train_reranker(
            [labelled("02_a", 0, 100), labelled("03_b", 1, 100)], int(team), RerankerConfig(rounds=rounds)
        ).save(folds / team / "reranker.txt")
    assert run(*arguments)[0] in verdict.EXIT_CODES.values()
    table = candidates.read(tmp_path / "map.candidates.parquet")
    assert table["quality"].between(0, 1).all() and set(table["fold"]) == {0, 1}
    spread = table.groupby("fold")["quality"].std()
    assert spread[0] != spread[1]
    assert ((table["outlier"] == "quality") == (table["quality"] < 0.5)).mean() > 0.9
    (folds / "reranker.json").write_text(json.dumps({"0": {"map_px": {"02_a": {"confidence": 2.0, "reranker": 20.0}}}}))
    code, _, err = run(*arguments)
    assert code == 2 and "worse (20.00 px, 2.00 without them)" in err


def test_the_whole_plan_writes_a_map_with_untrained_weights(scene, go, tmp_path, monkeypatch):
    monkeypatch.setattr(every, "PROPOSERS", proposers_with())
    monkeypatch.setattr(propose, "load_family", families.load_family)
    code, _, _ = go(scene.optical, scene.sar, tmp_path / "map.tif", "--team", "0")
    assert code in verdict.EXIT_CODES.values()
    check_map(tmp_path / "map.tif", scene.optical)


def test_labels_are_not_looked_at(make_scene, go, tmp_path):
    labelled = make_scene("02_train_01", shape=SHAPE, displacement=slanted)
    found = go(labelled.folder, "--all", "--out", tmp_path / "with", "--team", "0")
    labelled.tiepoints_csv.unlink()
    without = go(labelled.folder, "--out", tmp_path / "without", "--team", "0")
    assert found[0] == without[0]
    assert (
        read_map(tmp_path / "with" / "solution_02_train_01.tif").tobytes()
        == read_map(tmp_path / "without" / "solution_02_train_01.tif").tobytes()
    )


@pytest.mark.usefixtures("good_teams")
def test_the_warped_sar_lies_on_the_optical_grid_and_on_its_ground(scene, go, tmp_path):
    out = tmp_path / "map.tif"
    go(scene.optical, scene.sar, out)
    assert not (tmp_path / "map.sar.tif").exists()
    assert go(scene.optical, scene.sar, out, "--warped-sar")[0] == 0
    with rasterio.open(tmp_path / "map.sar.tif") as warped, rasterio.open(scene.optical) as optical:
        assert (warped.shape, warped.crs, warped.transform, warped.dtypes) == (
            optical.shape,
            optical.crs,
            optical.transform,
            ("uint8",),
        )
        sar, grey = warped.read(1), optical.read().mean(axis=0)
    inner = np.s_[16:-16, 16:-16]
    assert np.corrcoef(np.log(sar[inner].astype(float) + 1).ravel(), grey[inner].ravel())[0, 1] < -0.95
    assert "skipped" in go(scene.optical, scene.sar, out, "--warped-sar")[1]
    assert "skipped" in go(scene.optical, scene.sar, out)[1]


def test_a_folder_gives_the_submission_of_its_test_scenes(make_scene, go, tmp_path):
    for seed, name in enumerate(("02_publictest", "03_publictest", "04_other")):
        make_scene(name, seed=seed, shape=SHAPE, points=None)
    make_scene("02_train_01", seed=5, shape=SHAPE)
    out = tmp_path / "submission"
    code, printed, _ = go(tmp_path / "data", "--out", out, "--team", "0")
    assert code in verdict.EXIT_CODES.values() and "scene 2 of 2" in printed
    names = ["solution_02_publictest.tif", "solution_03_publictest.tif"]
    assert sorted(path.name for path in out.glob("*.tif")) == names
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.namelist() == [f"solution/{name}" for name in names]
        assert all(archive.read(f"solution/{name}") == (out / name).read_bytes() for name in names)
    before = files(out)
    assert go(tmp_path / "data", "--out", out, "--team", "0")[1].count("up to date, skipped") == 2
    assert files(out) == before


def test_without_test_scenes_the_unlabelled_ones_are_meant_and_all_means_all(make_scene, go, tmp_path):
    make_scene("02_train_01", shape=SHAPE)
    code, _, err = go(tmp_path / "data", "--out", tmp_path / "out")
    assert code == 2 and "holds no test pair" in err and not (tmp_path / "out").exists()
    make_scene("07_mine", shape=SHAPE, points=None)
    assert [pair.name for pair in predict.submission_pairs(discover(tmp_path / "data"), tmp_path)] == ["07_mine"]
    _, printed, _ = go(tmp_path / "data", "--out", tmp_path / "out", "--all", "--team", "0")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == [
        "solution_02_train_01.tif",
        "solution_07_mine.tif",
    ]
    assert "zero px" in printed and "02_train_01" in printed  # labelled scenes are scored at once


def test_nothing_given_makes_the_sample_and_scores_it(go, tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "SIZE_PX", (256, 256))
    monkeypatch.chdir(tmp_path)
    code, printed, _ = go("--team", "0")
    assert code in verdict.EXIT_CODES.values()
    out = tmp_path / "submission"
    check_map(out / "solution_01_publictest.tif", out / "sample" / "01_optical_publictest.tif")
    assert zipfile.ZipFile(out / "submission.zip").namelist() == ["solution/solution_01_publictest.tif"]
    assert "zero px" in printed and "nan" not in printed.lower()
    before = files(out)
    assert "up to date, skipped" in go("--team", "0")[1]
    assert files(out) == before


def test_no_trustworthy_match_is_a_finite_map_and_a_code_of_its_own(scene, go, tmp_path, monkeypatch):
    monkeypatch.setattr(every, "PROPOSERS", proposers_with(replace(QUICK_FLOW, how=lambda *_: candidates.empty())))
    code, _, err = go(scene.optical, scene.sar, tmp_path / "map.tif", "--team", "0")
    assert code == verdict.EXIT_CODES["failed"] == 3 and "ZERO SHIFT" in err
    check_map(tmp_path / "map.tif", scene.optical)
    assert not read_map(tmp_path / "map.tif").any()
    assert json.loads((tmp_path / "map.report.json").read_text())["fit"] == "zero"
    assert go(scene.optical, scene.sar, tmp_path / "map.tif", "--team", "0")[0] == 3  # skipped, and still said


def test_noise_gives_a_finite_map(scene, go, tmp_path):
    rng = np.random.default_rng(0)
    for path, bands in ((scene.optical, 3), (scene.sar, 1)):
        with rasterio.open(path, "r+") as dataset:
            dataset.write(rng.integers(1, 255, (bands, *dataset.shape), dtype=np.uint8))
    code, _, _ = go(scene.optical, scene.sar, tmp_path / "map.tif")
    assert code in verdict.EXIT_CODES.values()
    check_map(tmp_path / "map.tif", scene.optical)


def test_blank_images_are_refused(scene, go, tmp_path):
    with rasterio.open(scene.sar, "r+") as dataset:
        dataset.write(np.zeros((1, *dataset.shape), np.uint8))
    check_refusal(
        go(scene.optical, scene.sar, tmp_path / "out" / "map.tif"), tmp_path / "out", "holds nothing but nodata"
    )


def check_refusal(result: tuple[int, str, str], out: Path, message: str) -> None:
    """Exit code 2, one sentence, and no file."""
    code, _, err = result
    assert code == 2 and message in err
    assert err.startswith("error: ") and len(err.splitlines()) == 1
    assert not out.exists() or not files(out)


def test_bad_images_end_in_a_sentence_and_leave_nothing(scene, make_scene, go, tmp_path):
    out = tmp_path / "out"
    cut = tmp_path / "cut.tif"
    cut.write_bytes(scene.sar.read_bytes()[: scene.sar.stat().st_size // 2])
    far = make_scene("03_far", points=None, sar_offset=(9000.0, 0.0), sar_shape=(64, 64))
    for optical, sar, message in (
        (tmp_path / "none.tif", scene.sar, "no such file"),
        (scene.optical, tmp_path / "none.tif", "no such file"),
        (scene.optical, cut, "unreadable or truncated"),
        (scene.optical, scene.optical, "bands where a SAR image has"),
        (scene.sar, scene.optical, "name the optical image first"),
        (scene.optical, far.sar, "does not overlap"),
    ):
        check_refusal(go(optical, sar, out / "map.tif"), out, message)


def test_bad_arguments_end_in_a_sentence_and_leave_nothing(scene, go, run, tmp_path):
    out = tmp_path / "out"
    pair = (scene.optical, scene.sar)
    check_refusal(go(*pair, out / "map.png"), out, "give it a name that ends in .tif")
    check_refusal(go(*pair), out, "takes nothing, DATA_DIR, or OPTICAL SAR OUTPUT")
    check_refusal(go(*pair, out / "map.tif", "--team", "9"), out, "--team 9: is none of ")
    check_refusal(
        go(scene.optical, "--out", out), out, "is a file alone; predict takes nothing, DATA_DIR, or OPTICAL SAR"
    )
    check_refusal(go(tmp_path / "nowhere", "--out", out), out, "no such folder")
    check_refusal(run("predict", *pair, out / "map.tif", "--folds", tmp_path), out, "holds no team")
    check_refusal(run("predict", *pair, out / "map.tif", "--device", "gpu", "--folds", tmp_path), out, "holds no team")
    (tmp_path / "folder.tif").mkdir()
    check_refusal(go(*pair, tmp_path / "folder.tif"), out, "is a folder")
    (tmp_path / "file").write_text("")
    check_refusal(go(*pair, tmp_path / "file" / "map.tif", "--team", "0"), out, "cannot be made a folder")
    assert go(*pair, out / "map.tif", "--finest", "9")[0] == 2


def test_weights_that_are_none_end_in_a_sentence(scene, trained, run, tmp_path):
    folds = shutil.copytree(trained.folds, tmp_path / "folds")
    (folds / "1" / "flow.safetensors").write_bytes(b"cut")
    result = run(
        "predict",
        scene.optical,
        scene.sar,
        tmp_path / "out" / "map.tif",
        "--folds",
        folds,
        "--device",
        "cpu",
        "--team",
        "1",
    )
    check_refusal(result, tmp_path / "out", "is not a readable safetensors file")


def test_all_fold_teams_are_asked_and_no_other(trained, tmp_path):
    folds = shutil.copytree(trained.folds, tmp_path / "folds")
    shutil.copytree(folds / "0", folds / "aoi_02")
    shutil.copytree(folds / "0", folds / "base")
    assert [path.name for path in settings.Settings(folds).folders()] == ["0", "1"]
    assert [path.name for path in settings.Settings(folds, teams=("aoi_02",)).folders()] == ["aoi_02"]


def test_more_bands_other_types_and_another_crs_are_predicted_too(tmp_path, go):
    recipe = Recipe(
        shape=SHAPE,
        bands=4,
        optical_dtype="uint16",
        sar_dtype="float32",
        kind="db",
        points=None,
        displacement=(3.0, -2.0),
    )
    scene = write_scene(tmp_path / "data", "02_publictest", recipe)
    with rasterio.open(scene.sar) as dataset:
        values, transform = dataset.read(), dataset.transform
    write_raster(scene.sar, values, transform, "EPSG:32637", nodata=-9999.0)
    assert go(scene.optical, scene.sar, tmp_path / "map.tif", "--team", "0")[0] in verdict.EXIT_CODES.values()
    check_map(tmp_path / "map.tif", scene.optical)


def test_the_table_that_was_fitted_is_the_one_that_is_kept(scene, go, tmp_path):
    go(scene.optical, scene.sar, tmp_path / "map.tif")
    table = candidates.read(tmp_path / "map.candidates.parquet")
    fit, again = fitting.fit(table.assign(outlier=""), scene.open().shape, scene.open().gsd_m)
    pd.testing.assert_frame_equal(again, table)
    away = fit.block(Window(0, 0, *SHAPE[::-1])) - read_map(tmp_path / "map.tif")
    assert 0 < np.abs(away).mean() < 4.0  # the detail stage moves it, and not far


@pytest.mark.parametrize("image", ["optical", "sar"])
def test_a_broken_scene_costs_its_folder_nothing_but_itself(make_scene, go, tmp_path, image):
    made = [make_scene(f"0{number}_mine", seed=number, shape=SHAPE, points=None) for number in (1, 2, 3)]
    truncate(getattr(made[1], image))
    code, printed, err = go(tmp_path / "data", "--out", tmp_path / "out", "--team", "0")
    assert code == 2 and "02_mine: left out: " in printed
    assert f"{getattr(made[1], image)}: unreadable or truncated" in err and "1 of 3 scenes are left out" in err
    names = ["solution_01_mine.tif", "solution_03_mine.tif"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == names
    assert not (tmp_path / "out" / "submission.zip").exists()
