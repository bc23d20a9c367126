"""Who may judge a scene: the oracle alone sees labels, and a team only scenes that it never saw."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from solution.benchmark import run as benchmarks
from solution.benchmark.methods import METHODS
from solution.core import artefact
from solution.data.finding import discover
from solution.scoring import score
from solution.tests.benchmark.conftest import SHAPE, method_that, results


def test_only_the_oracle_sees_labels(town, go, launched, monkeypatch):
    seen = {}

    def spy(task):
        seen[task.truth.dx[0] == 3.0] = (
            task.pair.tiepoints_csv,
            np.isnan(task.truth.dx).all() and np.isnan(task.truth.dy).all(),
        )
        return np.zeros_like(task.xy)

    method_that(monkeypatch, "blind", spy)
    method_that(monkeypatch, "oracle", spy, sees_labels=True)
    go([town.folder], ("blind", "oracle"))
    assert seen == {False: (None, True), True: (None, False)}
    assert [name for name, method in METHODS.items() if method.sees_labels] == ["affine", "oracle"]


def test_a_scene_is_judged_by_teams_that_never_saw_it(trained, make_scene, tmp_path):
    first, second = discover(trained.data)
    other = make_scene("07_town", shape=SHAPE).open()
    folds = shutil.copytree(trained.folds, tmp_path / "folds")
    assert [benchmarks.teams_for(pair, folds) for pair in (first, second, other)] == [("0",), ("1",), ("0", "1")]

    def trained_on(team: str, *names: str) -> None:
        for family in ("coarse", "flow"):
            path = folds / team / f"{family}.safetensors"
            tensors, manifest = artefact.load_weights(path)
            artefact.save_weights(path, tensors, replace(manifest, trained_on=names))

    trained_on("0", "02_train_01")
    assert benchmarks.teams_for(first, folds) == ()  # the other team saw it too, and does not hold it out
    trained_on("1", "07_town")
    assert benchmarks.teams_for(other, folds) == ("0",)
    trained_on("0", f"{other.optical.parent.name}/07_town")  # as a simulated scene is named
    assert benchmarks.teams_for(other, folds) == ()
    trained_on("0", "elsewhere/07_town")
    assert benchmarks.teams_for(other, folds) == ("0",)
    (folds / "split.csv").unlink()
    assert benchmarks.teams_for(second, folds) == ("0", "1")


@pytest.mark.usefixtures("good_teams")
def test_ours_is_what_predict_writes_and_a_new_team_is_measured_again(trained, go, run, launched, tmp_path):
    folds = shutil.copytree(trained.folds, tmp_path / "folds")
    names = ("flow", "pipeline", "zero")
    assert go([trained.data], names, folds=folds)[0] == 0
    found = results(tmp_path)
    assert [(request.method, request.teams) for request in launched] == [
        *(("zero", ()), ("flow", ("0",)), ("pipeline", ("0",))),
        *(("zero", ()), ("flow", ("1",)), ("pipeline", ("1",))),
    ]
    for scene, team in (("02_train_01", "0"), ("03_train_01", "1")):
        pair = next(pair for pair in discover(trained.data) if pair.name == scene)
        run(
            "predict", pair.optical, pair.sar, tmp_path / "map.tif", "--folds", folds, "--device", "cpu", "--team", team
        )
        expected = score.score_pair(pair.tiepoints_csv, pair.optical, pair.sar, tmp_path / "map.tif").found
        assert {key: found[scene]["pipeline"][key] for key in expected} == expected and expected["mean_px"] < 2.0
        assert found[scene]["flow"]["mean_px"] < 2.0  # the fit alone; the pipeline has the detail stage after it
        assert found[scene]["pipeline"]["teams"] == [team]
    tensors, manifest = artefact.load_weights(folds / "1" / "flow.safetensors")
    artefact.save_weights(folds / "1" / "flow.safetensors", tensors, replace(manifest, seed=99))
    launched.clear()
    go([trained.data], names, folds=folds)
    assert [(request.scene, request.method) for request in launched] == [
        ("03_train_01", "flow"),
        ("03_train_01", "pipeline"),
    ]


@pytest.mark.usefixtures("good_teams")
def test_where_every_team_saw_the_scene_ours_is_a_failed_cell(trained, go, launched, tmp_path):
    folds = shutil.copytree(trained.folds, tmp_path / "folds")
    shutil.copy(folds / "1" / "flow.safetensors", folds / "0" / "flow.safetensors")
    assert go([trained.data], ("zero", "pipeline"), folds=folds)[0] == 0
    answer = results(tmp_path)["02_train_01"]["pipeline"]
    assert answer["reason"] == "every team that could judge this scene was trained on it" and answer["teams"] == []
