"""A rehearsal from end to end, with stand-ins for the scripts: what runs when, and what is told of it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import numpy as np
import pytest

from solution.benchmark.rehearsal import found, rehearse
from solution.benchmark.rehearsal.commands import BASE
from solution.data.naming import FOLDS


def _result(stage) -> dict:
    return json.loads((stage.root / "rehearsal.json").read_text())


def test_the_scripts_get_what_the_contest_gives_and_never_the_shipped_weights(go, stage):
    code, _, err = go()
    assert code == 0, err
    train, public, private = stage.calls()
    root = stage.root
    assert train[:6] == [
        "train.sh",
        f"{root}/contest/train",
        "--folds",
        f"{root}/folds",
        "--simulated",
        f"{root}/simulated",
    ]
    assert train[6:] == ["--steps", "1", "--scenes", "1"]
    for call, part in ((public, "public"), (private, "private")):
        zipped = f"{root}/submissions/{part}/solution.zip"
        assert call == ["test.sh", f"{root}/contest/{part}", zipped, "--folds", f"{root}/folds"]
    names = sorted(path.name for path in (FOLDS / BASE).glob("*.safetensors"))
    assert sorted(path.name for path in (root / "folds/base").iterdir()) == names


def test_scores_are_those_of_the_zip_against_clicks_and_truth(go, stage):
    go()
    result = _result(stage)
    assert sorted(result["scores"]) == ["01_privatetest", "02_publictest", "03_publictest"]
    for scores in result["scores"].values():
        assert scores["error_px"] == pytest.approx(5.0)  # (9, -6) less (6, -2)
        assert scores["exact_px"] == pytest.approx(5.0)
        assert scores["zero_px"] == pytest.approx(np.hypot(9, 6))
    assert result["out_of_fold"]["02_train_02"] == {"error_px": 3.0, "zero_px": 11.0}
    assert result["refused"] == [] and result["exceeded"] == []


def test_one_table_for_people_and_for_a_page(go, stage):
    code, out, err = go("--steps", "7")
    assert code == 0, err
    page = (stage.root / "rehearsal.md").read_text()
    rows = {line.split(" | ")[0].strip("|\u2003 "): line.split(" | ") for line in page.splitlines() if "|" in line}
    heads = rows["stage"]
    scene = dict(zip(heads, rows["02_publictest"], strict=True))
    assert scene["px"] == "5.00" and scene["zero px"] == "10.82" and scene["score"] == "95.24"
    assert dict(zip(heads, rows["out of fold, mean"], strict=True))["px"] == "3.00"
    assert f"train-flow, 7 of {_result(stage)['configured']['train-flow']} steps" in rows
    assert "95.24" in out and "train-flow, 7 of" in out and "zips that the contest would take: public, private" in out


def test_what_is_done_is_not_done_again(go, stage):
    go()
    code, out, _ = go()
    assert code == 0 and len(stage.calls()) == 3 and out.count("done already") == 4


def test_other_steps_train_anew_and_what_depends_on_them_is_predicted_anew(go, stage):
    go()
    (stage.root / "folds/0/of_before").write_text("")
    go("--steps", "3")
    assert [call[0] for call in stage.calls()] == ["train.sh", "test.sh", "test.sh", "train.sh"]
    assert not (stage.root / "folds/0/of_before").exists()  # weights are the same bytes, so no prediction is stale


def test_only_some_models_are_another_training(go, stage):
    go()
    go("--model", "coarse", "--model", "flow")
    trainings = [call for call in stage.calls() if call[0] == "train.sh"]
    assert len(trainings) == 2 and "--stages" not in trainings[0]
    assert trainings[1][trainings[1].index("--stages") + 1] == "coarse,flow"


def test_other_weights_are_predicted_with_anew(go, stage):
    go()
    (stage.root / "folds/0/flow.safetensors").write_text("others")
    go()
    assert [call[0] for call in stage.calls()] == ["train.sh", "test.sh", "test.sh", "test.sh", "test.sh"]


def test_a_script_that_changed_runs_again(go, stage):
    go()
    path = stage.scripts / "test.sh"
    path.write_text(path.read_text() + "# another\n")
    go()
    assert [call[0] for call in stage.calls()[3:]] == ["test.sh", "test.sh"]


def test_a_lost_submission_is_made_again(go, stage):
    go()
    (stage.root / "submissions/private/solution.zip").unlink()
    go()
    assert [call[1] for call in stage.calls()[3:]] == [f"{stage.root}/contest/private"]


def test_a_killed_rehearsal_goes_on_and_its_times_add_up(go, stage):
    hang = stage.scripts / "hang"
    hang.write_text("")

    def stop() -> None:
        while not stage.calls():
            time.sleep(0.05)
        time.sleep(0.7)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    code, _, err = go()
    assert code == 143 and "give the same command again to go on" in err
    kept = stage.root / "folds/base/kept"
    kept.write_text("")
    hang.unlink()
    code, _, err = go()
    assert code == 0, err
    trained = _result(stage)["measured"]["train"]
    assert kept.exists() and trained["attempts"] == 2
    assert trained["wall_s"] > trained["parts"]["data"]["wall_s"] > 0.4
    assert len(stage.calls()) == 4


def test_only_a_stage(go, stage):
    code, out, _ = go("--only", "train")
    assert code == 0 and [call[0] for call in stage.calls()] == ["train.sh"]
    assert "not rehearsed yet: public, private" in out
    code, out, _ = go("--only", "private")
    assert [call[1] for call in stage.calls()[1:]] == [f"{stage.root}/contest/private"]


def test_a_test_needs_teams(go):
    code, _, err = go("--only", "public")
    assert code == 2 and "are not trained yet" in err and len(err.splitlines()) == 1


def test_limits_that_are_exceeded_are_said(go, stage, monkeypatch):
    monkeypatch.setattr(found, "LIMITS_S", {"train": -1.0, "public": 600.0, "private": -1.0})
    code, out, _ = go()
    over = [line for line in out.splitlines() if line.startswith("OVER THE LIMIT")]
    assert code == 1 and len(over) == 2
    assert over[0].startswith("OVER THE LIMIT: train.sh took") and "the prediction of 01_privatetest took" in over[1]
    assert len(_result(stage)["exceeded"]) == 2 and "OVER THE LIMIT" in (stage.root / "rehearsal.md").read_text()


def test_a_zip_that_would_be_refused_is_said_and_has_no_score(go, stage):
    stage.submit("public", ["02_publictest"])
    code, out, _ = go()
    assert code == 1 and "REFUSED" in out and "solution/solution_03_publictest.tif is missing" in out
    assert list(_result(stage)["scores"]) == ["01_privatetest"]


def test_a_script_that_fails_ends_the_rehearsal_with_its_sentence(go, stage):
    stage.write("train.sh", "echo 'error: no such thing' >&2; exit 1")
    code, _, err = go()
    assert code == 2 and "train.sh ended with code 1 (error: no such thing)" in err


@pytest.mark.parametrize(
    ("options", "told"),
    [(("--scale", "huge"), "is none of full, half, small"), (("--only", "zip"), "is none of scenes, train")],
)
def test_unknown_words(run, tmp_path, options, told):
    code, _, err = run("rehearse", tmp_path / "new", *options)
    assert code == 2 and told in err and not (tmp_path / "new").exists()


def test_a_folder_of_something_else_is_left_alone(run, tmp_path):
    (tmp_path / "folds").mkdir()
    code, _, err = run("rehearse", tmp_path, "--scale", "small")
    assert code == 2 and "holds folds, which is of no rehearsal" in err


def test_a_rehearsal_of_another_scale_is_left_alone(stage, run):
    code, _, err = run("rehearse", stage.root, "--scale", "half")
    assert code == 2 and "holds a rehearsal of --scale small" in err


def test_the_steps_of_every_model_are_counted():
    from solution.benchmark.rehearsal.estimate import speedup, stage_s
    from solution.benchmark.rehearsal.measuring import Part

    part = Part(wall_s=100.0, models_s=[20.0, 20.0])  # of four teams, so that 20 s are for what is read
    assert stage_s(part, teams=4, trained=10, configured=10) == 100.0
    assert stage_s(part, teams=4, trained=10, configured=50) == 20.0 + 400.0
    assert stage_s(part, teams=4, trained=10, configured=50, faster=8.0) == 20.0 + 50.0
    assert stage_s(Part(wall_s=100.0), teams=4, trained=1, configured=3) == 300.0
    assert speedup(1e9) == 1.0 and speedup(243.0) == pytest.approx(10.0)


def test_a_prediction_is_counted_with_the_start_of_the_program():
    from solution.benchmark.rehearsal.measuring import Measured, Part

    parts = {"start": Part(4.0), "02_publictest": Part(30.0), "03_publictest": Part(50.0)}
    one = found.Found("small", 1, [], 2, 100.0, measured={"public": Measured(84.0, parts=parts)})
    assert one.prediction_s("public", "03_publictest") == 54.0
    assert rehearse.STAGES == ("scenes", "train", "public", "private")
