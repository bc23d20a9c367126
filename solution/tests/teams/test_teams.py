"""Teams: who may judge what, out-of-fold proposals that refuse a scene that was seen, and the scores of the tables."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from solution.core.errors import InputError
from solution.data import folds as splits
from solution.data.finding import discover
from solution.field import candidates
from solution.field.fitting import quiet_fit
from solution.proposers import every
from solution.samples.images import scene_image
from solution.scoring import score
from solution.teams import fold_scores, out_of_fold, propose, training
from solution.teams.team import Team, aoi_teams, fold_teams, team_of
from solution.tests.conftest import retag, truncate
from solution.tests.handmade import QUICK_FLOW, coarse_features, handmade_net, proposers_with
from solution.training.stages import FLOW

SN9 = pd.DataFrame(
    {"scene": ["02_train_01", "02_train_02", "03_train_01"], "aoi": ["02", "02", "03"], "fold": [0, 1, 2]}
)
WHOLE_AOIS = pd.DataFrame({"scene": ["02_a", "02_b", "03_a"], "aoi": ["02", "02", "03"], "fold": [0, 0, 1]})
ONE_AOI = pd.DataFrame({"scene": ["02_a", "02_b"], "aoi": ["02", "02"], "fold": [0, 1]})


@pytest.fixture
def folds(trained, tmp_path) -> Path:
    return shutil.copytree(trained.folds, tmp_path / "folds")


@pytest.fixture
def good_teams(monkeypatch) -> None:
    """The networks find the truth of the fixture's scenes; weights and manifests stay those of the smoke run. One pass
    is enough for small shifts."""
    monkeypatch.setattr(propose, "load_family", lambda family, paths: handmade_net())
    monkeypatch.setattr(every, "PROPOSERS", proposers_with(QUICK_FLOW))
    monkeypatch.setattr(propose.Networks, "coarse", coarse_features)


def test_a_fold_is_a_team_and_so_is_an_aoi_that_no_fold_holds_out():
    assert fold_teams(SN9) == [
        Team("0", 0, ("02_train_01",)),
        Team("1", 1, ("02_train_02",)),
        Team("2", 2, ("03_train_01",)),
    ]
    assert aoi_teams(SN9) == [Team("aoi_02", 1002, ("02_train_01", "02_train_02"))]
    assert aoi_teams(WHOLE_AOIS) == [] and aoi_teams(ONE_AOI) == []


def test_the_team_that_may_judge_a_scene():
    assert [team_of(scene, SN9, by_aoi=False).name for scene in SN9["scene"]] == ["0", "1", "2"]
    assert [team_of(scene, SN9, by_aoi=True).name for scene in SN9["scene"]] == ["aoi_02", "aoi_02", "2"]
    assert [team_of(scene, WHOLE_AOIS, by_aoi=True).name for scene in WHOLE_AOIS["scene"]] == ["0", "0", "1"]
    assert team_of("02_a", ONE_AOI, by_aoi=True) is None
    with pytest.raises(InputError, match="scene 05_a: is not in the split"):
        team_of("05_a", SN9, by_aoi=False)


@pytest.mark.parametrize("table", [SN9, WHOLE_AOIS, ONE_AOI])
def test_no_judge_may_have_seen_the_scene(table):
    for scene in table["scene"]:
        assert scene in team_of(scene, table, by_aoi=False).held_out
        judge = team_of(scene, table, by_aoi=True)
        aoi = table.loc[table["scene"] == scene, "aoi"].iloc[0]
        assert judge is None or set(table.loc[table["aoi"] == aoi, "scene"]) <= set(judge.held_out)


def test_training_hands_every_team_what_it_may_see(trained, make_scene, monkeypatch, tmp_path):
    seen = {}
    for seed, name in enumerate(SN9["scene"]):
        make_scene(name, seed=seed)

    def note(stage, sources, config, out, fold, seed, work, init, device, replace, callbacks):
        seen[out.parent.name] = (fold, sorted(source.name for source in sources), replace)
        assert stage is FLOW
        return "done"

    monkeypatch.setattr(training, "train_stage", note)
    shared = scene_image(discover(trained.data)[0], "simulated")
    training.train_teams(
        lambda _: FLOW,
        discover(tmp_path / "data"),
        SN9,
        tmp_path / "folds",
        None,
        lambda: [shared],
        None,
        "cpu",
        True,
        lambda _: None,
    )
    extra = "simulated/02_train_01"
    assert seen == {
        "0": (0, ["02_train_02", "03_train_01", extra], True),
        "1": (1, ["02_train_01", "03_train_01", extra], True),
        "2": (2, ["02_train_01", "02_train_02", extra], True),
        "aoi_02": (1002, ["03_train_01", extra], True),
    }


@pytest.mark.usefixtures("good_teams")
def test_proposals_and_scores_are_out_of_fold(trained, folds, run, monkeypatch):
    code, out, _ = run("propose", trained.data, "--folds", folds, "--device", "cpu")
    assert code == 0 and out.count("candidates for") == 2
    for fold, scene in ((0, "02_train_01"), (1, "03_train_01")):
        table = candidates.read(folds / str(fold) / "candidates.parquet")
        assert set(table["scene"]) == {scene} and set(table["fold"]) == {fold}
        assert table["error_px"].notna().any() and table["error_px"].median() < 1.5

    code, out, _ = run("score-folds", trained.data, "--folds", folds)
    assert code == 0
    scores = json.loads((folds / "score.json").read_text())
    assert list(scores) == ["leave_one_scene_out", "leave_one_aoi_out"]
    for rows in scores.values():
        assert list(rows) == ["02_train_01", "03_train_01", "mean"] and [rows[s]["team"] for s in list(rows)[:2]] == [
            "0",
            "1",
        ]
        for scene in ("02_train_01", "03_train_01"):
            row = rows[scene]
            assert row["zero_shift_px"] == pytest.approx(np.hypot(9, 6), abs=0.6)
            assert (
                row["affine_on_labels_px"] < 1
                and row["pipeline_px"] == row["flow_px"] < 1.2
                and row["fit"] == "field"
                and row["tiepoints"] == 30
            )
            assert (
                row["sources"]["flow"]["candidates"] == row["candidates"] and row["sources"]["flow"]["within_3px"] > 0.8
            )
        mean = rows["mean"]
        assert mean["pipeline_px"] == pytest.approx(np.mean([rows[s]["pipeline_px"] for s in list(rows)[:2]]), abs=1e-4)
        assert mean["leaderboard"] == pytest.approx(score.leaderboard(mean["pipeline_px"]), abs=1e-3)
    assert f"{scores['leave_one_scene_out']['mean']['leaderboard']:.2f}" in out and "03_train_01" in out

    fits = []
    monkeypatch.setattr(fold_scores.fitting, "quiet_fit", lambda *given: fits.append(given) or quiet_fit(*given))
    assert run("score-folds", trained.data, "--folds", folds)[0] == 0
    assert len(fits) == 2, "one for each scene: both protocols ask the same teams, and there is one source"
    (folds / "1" / "candidates.parquet").unlink()
    code, _, err = run("score-folds", trained.data, "--folds", folds)
    assert code == 2 and "1/candidates.parquet: no such candidates file" in err
    assert len(fits) == 2, "what is missing is said before anything is fitted"


@pytest.mark.slow
@pytest.mark.usefixtures("good_teams")
def test_proposals_are_made_anew_when_anything_they_depend_on_changes(trained, folds, tmp_path, run, monkeypatch):
    data = shutil.copytree(trained.data, tmp_path / "data")

    def proposed() -> int:
        code, out, _ = run("propose", data, "--folds", folds, "--device", "cpu")
        assert code == 0
        return out.count("candidates for")

    assert proposed() == 2
    before = [(folds / team / "candidates.parquet").read_bytes() for team in "01"]
    assert proposed() == 0
    retag(data / "02_sar_train_01.tif")
    assert proposed() == 1
    (folds / "1" / "candidates.parquet").unlink()
    assert proposed() == 1
    truncate(folds / "1" / "candidates.parquet")
    assert proposed() == 1
    assert run("propose", data, "--folds", folds, "--device", "cpu", "--finest", "2")[1].count("candidates for") == 2
    assert proposed() == 2  # back to the first settings, whose table is gone
    stricter = replace(QUICK_FLOW, settings=replace(QUICK_FLOW.settings, min_confidence=0.06))
    monkeypatch.setattr(every, "PROPOSERS", proposers_with(stricter))
    assert proposed() == 2
    assert [(folds / team / "candidates.parquet").read_bytes() for team in "01"] == before


@pytest.mark.slow
@pytest.mark.usefixtures("good_teams")
def test_code_that_changed_proposes_again_and_scores_of_stale_tables_say_so(trained, folds, tmp_path, run, monkeypatch):
    data = shutil.copytree(trained.data, tmp_path / "data")
    propose_all, score_all = (partial(run, verb, data, "--folds", folds) for verb in ("propose", "score-folds"))
    assert propose_all()[1].count("candidates for") == 2 and "STALE" not in score_all()[1]
    with monkeypatch.context() as patch:
        patch.setattr(out_of_fold, "code_digest", lambda *behind: "of other code")
        assert "STALE, the code has changed since it was proposed" in score_all()[1]
        assert propose_all()[1].count("candidates for") == 2 and "STALE" not in score_all()[1]
    assert propose_all()[1].count("candidates for") == 2
    labels = data / "02_tiepoints_train_01.csv"
    labels.write_text("".join(labels.read_text().splitlines(keepends=True)[:-1]))
    told = score_all()[1]
    assert (
        "STALE, the files of scene 02_train_01 have changed" in told and told.count("STALE") == 2
    )  # under both protocols
    assert json.loads((folds / "score.json").read_text())["leave_one_scene_out"]["02_train_01"]["stale"]
    assert propose_all()[1].count("candidates for") == 1 and "STALE" not in score_all()[1]


@pytest.mark.usefixtures("good_teams")
def test_a_team_does_not_propose_for_what_it_saw(trained, folds, run):
    shutil.copy(folds / "0" / "flow.safetensors", folds / "1" / "flow.safetensors")
    code, _, err = run("propose", trained.data, "--folds", folds, "--device", "cpu")
    assert code == 2 and "was trained on scene 03_train_01" in err and len(err.splitlines()) == 1
    assert not (folds / "1" / "candidates.parquet").exists()


@pytest.mark.parametrize(
    ("lost", "message"), [("0/flow.safetensors", "no such weights"), ("split.csv", "no such split")]
)
def test_a_missing_file_ends_in_a_sentence(trained, folds, run, lost, message):
    (folds / lost).unlink()
    code, _, err = run("propose", trained.data, "--folds", folds, "--device", "cpu")
    assert code == 2 and f"{folds / lost}: {message}" in err


def test_scores_without_tables_or_labels_leave_the_old_file(trained, folds, tmp_path, run):
    (folds / "score.json").write_text("old")
    code, _, err = run("score-folds", trained.data, "--folds", folds)
    assert code == 2 and "candidates.parquet: no such candidates file" in err
    data = shutil.copytree(trained.data, tmp_path / "data", ignore=shutil.ignore_patterns("*.csv"))
    code, _, err = run("score-folds", data, "--folds", folds)
    assert code == 2 and "there is no labelled scene to score" in err
    assert (folds / "score.json").read_text() == "old"


def test_the_folds_beside_the_package_are_the_default_wherever_one_is(trained, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    looked = []

    def note(path):
        looked.append(path)
        raise InputError("noted")

    monkeypatch.setattr(splits, "read_split", note)
    for verb in ("train-flow", "propose", "score-folds"):
        assert run(verb, trained.data)[0] == 2
    assert looked == [splits.FOLDS / splits.SPLIT] * 3
