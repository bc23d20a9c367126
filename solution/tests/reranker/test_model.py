"""The reranker on synthetic scenes, where the chance of a candidate to be right is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from solution.cli.shared import FOLDS
from solution.core.errors import InputError
from solution.data.folds import write_split
from solution.data.tiepoints import TiePoints
from solution.field import candidates, fitting
from solution.reranker.features import FEATURES
from solution.reranker.folds import predicted_tables, train_folds
from solution.reranker.model import FILE, Labelled, Reranker, RerankerConfig, rank, train
from solution.reranker.report import auc, average_precision, calibration_curve, evaluate
from solution.tests.labels import TELLING, labelled
from solution.tests.scattered import SHAPE, scattered

CONFIG = RerankerConfig(rounds=60)


@pytest.fixture(scope="module")
def trained() -> Reranker:
    return train([labelled("02_a", 0), labelled("02_b", 1), labelled("03_c", 2)], 7, CONFIG)


def test_it_tells_right_from_wrong_on_a_scene_it_never_saw_and_its_quality_is_a_probability(trained):
    unseen = labelled("04_d", 9, points=3000)
    report = evaluate(trained, [unseen])
    assert report["auc"] > 0.9 and report["average_precision"] > 0.9
    assert abs(report["confidence_auc"] - 0.5) < 0.05
    full = [row for row in report["calibration"] if row["rows"] >= 150]
    assert len(full) == 10 and all(abs(row["predicted"] - row["observed"]) < 0.1 for row in full)
    assert next(iter(report["gain"])) in TELLING and report["gain_of_family"]["image"] < 0.1
    assert trained.manifest.trained_on == ("02_a", "02_b", "03_c") and trained.manifest.fold == 7


def test_a_single_scene_is_calibrated_by_its_blocks():
    report = evaluate(train([labelled("02_a", 0, 400)], 0, CONFIG), [labelled("03_b", 1, 400)])
    assert report["auc"] > 0.9 and report["calibration_error"] < 0.08


def test_two_trainings_write_equal_bytes_and_reading_them_changes_nothing(tmp_path, trained):
    again = train([labelled("02_a", 0), labelled("02_b", 1), labelled("03_c", 2)], 7, CONFIG)
    for folder, one in (("a", trained), ("b", again)):
        one.save(tmp_path / folder / FILE)
    for end in (".txt", ".json"):
        assert (tmp_path / "a" / FILE).with_suffix(end).read_bytes() == (tmp_path / "b" / FILE).with_suffix(
            end
        ).read_bytes()
    read = Reranker.load(tmp_path / "a" / FILE)
    unseen = labelled("04_d", 9).features
    np.testing.assert_array_equal(read.quality(unseen), trained.quality(unseen))
    assert read.manifest == trained.manifest and read.config == CONFIG and read.calibration == trained.calibration
    assert read.quality(unseen.iloc[:0]).shape == (0,)


def test_every_tie_point_and_every_scene_has_one_vote():
    one = labelled("02_a", 0)
    first = one.tie_point == 0
    doubled = one.keep(np.concatenate([np.flatnonzero(first), np.arange(len(first))]))
    for data in (one, doubled, labelled("02_b", 1, points=20)):
        sums = np.bincount(data.tie_point, data.weight())
        np.testing.assert_allclose(sums, 1 / len(sums))


def test_rows_that_are_neither_right_nor_wrong_have_no_influence(trained):
    scenes = [labelled("02_a", 0), labelled("02_b", 1), labelled("03_c", 2)]
    undecided = dataclasses.replace(scenes[0].keep(np.arange(100)), error_px=np.full(100, 4.5))
    merged = Labelled(
        "02_a",
        pd.concat([scenes[0].features, undecided.features], ignore_index=True),
        *(
            np.concatenate([getattr(s, n) for s in (scenes[0], undecided)])
            for n in ("error_px", "confidence", "tie_point", "block")
        ),
    )
    other = train([merged, *scenes[1:]], 7, CONFIG)
    assert (
        other.booster.model_to_string() == trained.booster.model_to_string()
        and other.calibration == trained.calibration
    )


def test_labels_come_from_the_nearest_tie_point_and_rows_without_one_are_dropped():
    points = TiePoints(np.array([10.0, 90.0]), np.array([10.0, 90.0]), np.zeros(2), np.zeros(2))
    table = candidates.make("02_a", 0, "flow", np.array([[12, 10], [50, 50], [88, 91], [91, 90]]), np.zeros((4, 2)))
    table = candidates.label(table, points, 16.0)
    features = pd.DataFrame(0.0, index=range(3), columns=list(FEATURES))
    found = Labelled.of(table, features, points, (100, 100))
    assert found.tie_point.tolist() == [0, 1, 1] and found.block.tolist() == [0, 15, 15] and found.scene == "02_a"


def test_too_little_to_learn_from_is_said():
    one = labelled("02_a", 0)
    for bad in ([], [one.keep(one.error_px <= 3)], [one.keep(np.arange(len(one.error_px)) < 20)]):
        with pytest.raises(InputError, match=r"labelled candidates to learn from.*simulated"):
            train(bad, 0, CONFIG)


def test_a_scene_that_it_saw_is_refused_where_it_must_not_have(trained, make_scene):
    pair = make_scene("02_a").open()
    table = candidates.make(pair.name, 7, "flow", np.array([[40.0, 40.0], [80.0, 60.0]]), np.zeros((2, 2)))
    with pytest.raises(InputError, match="02_a"):
        rank(pair, table, trained, held_out=True)
    with pytest.raises(InputError, match="02_a"):
        evaluate(trained, [labelled("02_a", 0)])
    ranked = rank(pair, table, trained)
    assert ranked["quality"].between(0, 1).all() and table["quality"].isna().all()
    assert rank(pair, candidates.empty(), trained).empty
    mixed = candidates.concat([table, table.iloc[:5].assign(source="gradient")])
    judged = rank(pair, mixed, trained)["quality"].to_numpy()
    np.testing.assert_array_equal(judged[: len(table)], ranked["quality"].to_numpy())
    assert np.isnan(judged[len(table) :]).all()


def test_foreign_and_broken_files_are_named(tmp_path, trained):
    path = tmp_path / FILE
    with pytest.raises(InputError, match=r"reranker\.txt: no such reranker"):
        Reranker.load(path)
    trained.save(path)
    beside = path.with_suffix(".json")
    facts = json.loads(beside.read_text())
    beside.write_text(json.dumps({**facts, "features": [*facts["features"][1:], "colour"]}))
    with pytest.raises(InputError, match=r"reranker\.txt: was trained on other features.*train it again"):
        Reranker.load(path)
    beside.write_text(json.dumps({**facts, "model_sha256": "0"}))
    with pytest.raises(InputError, match=r"reranker\.txt: does not belong to reranker\.json"):
        Reranker.load(path)
    beside.write_text("{}")
    with pytest.raises(InputError, match=r"reranker\.json: is not a reranker"):
        Reranker.load(path)


def test_metrics_of_hand_made_scores():
    score, right, weight = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False]), np.ones(4)
    assert auc(score, right, weight) == pytest.approx(3 / 4)
    assert average_precision(score, right, weight) == pytest.approx((1 + 2 / 3) / 2)
    assert auc(np.zeros(4), right, weight) == 0.5
    assert auc(score, right, np.array([1, 0, 1, 1])) == 1.0
    assert np.isnan(auc(score, np.ones(4, bool), weight))
    curve = calibration_curve(np.array([0.05, 0.05, 1.0]), np.array([False, True, True]), np.array([1.0, 1.0, 2.0]))
    assert [(row["observed"], row["share"], row["rows"]) for row in curve] == [(0.5, 0.5, 2), (1.0, 0.5, 1)]


def proposed(make_scene, tmp_path) -> tuple[pd.DataFrame, list, Path]:
    """Three teams, each with a table for the scene that it holds out, in which nearly a third is
    wrong: split, scenes, folds."""
    split = pd.DataFrame(
        {"scene": ["02_train_01", "03_train_01", "04_train_01"], "aoi": ["02", "03", "04"], "fold": [0, 1, 2]}
    )
    pairs, folds = [], tmp_path / "folds"
    for number, name in enumerate(split["scene"]):
        pair = make_scene(name, seed=number, points=(10, 8), displacement=(5.0, -3.0)).open()
        pairs.append(pair)
        points, rng = pair.tiepoints(), np.random.default_rng(number)
        wrong = rng.uniform(size=len(points)) < 0.3
        shift = points.shift + rng.normal(0, 0.3, points.shift.shape) + 15 * wrong[:, None]
        table = candidates.make(name, number, "flow", points.xy, shift, confidence=0.5)
        candidates.write(folds / str(number) / "candidates.parquet", candidates.label(table, points, 16.0))
    return split, pairs, folds


def test_teams_learn_from_the_other_teams_tables(make_scene, tmp_path):
    split, pairs, folds = proposed(make_scene, tmp_path)
    lines: list[str] = []
    reports = train_folds(pairs, split, folds, config=dataclasses.replace(CONFIG, min_data_in_leaf=5), say=lines.append)
    assert list(reports) == ["0", "1", "2"] and len(lines) == 4
    assert all(report["auc"] > 0.9 for report in reports.values())
    for number, name in enumerate(split["scene"]):
        manifest = Reranker.load(folds / str(number) / FILE).manifest
        assert manifest.fold == number and manifest.trained_on == tuple(sorted(set(split["scene"]) - {name}))
    assert Reranker.load(folds / "base" / FILE).manifest.trained_on == tuple(split["scene"])
    assert (
        json.loads((folds / "reranker.json").read_text()) == reports
        and (folds / "reranker.png").stat().st_size > 10_000
    )
    kept = sorted((folds / ".work").glob("features_*.parquet"))
    before = [path.stat().st_mtime_ns for path in kept]
    assert (
        len(kept) == 3
        and train_folds(pairs, split, folds, config=dataclasses.replace(CONFIG, min_data_in_leaf=5)) == reports
    )
    assert [path.stat().st_mtime_ns for path in kept] == before


@pytest.fixture
def asked(make_scene, tmp_path, monkeypatch) -> tuple[pd.DataFrame, list, Path]:
    """As `proposed`, for the command line, whose rerankers are small."""
    monkeypatch.setattr(
        "solution.reranker.model.RerankerConfig",
        lambda **more: RerankerConfig(**{"rounds": 40, "min_data_in_leaf": 5, **more}),
    )
    split, pairs, folds = proposed(make_scene, tmp_path)
    write_split(split, folds / "split.csv")
    return split, pairs, folds


def test_the_command_trains_judges_and_weighs_them_against_an_oracle(asked, run):
    _, pairs, folds = asked
    code, out, err = run("train-reranker", pairs[0].optical.parent, "--folds", folds)
    assert code == 0, err
    lines = [line for line in out.splitlines() if "map error" in line]
    assert len(lines) == 3 and "reranker 0: " in out and "written to" in out
    for line in lines:
        error = {
            way: float(line.split(f"{way} ")[1].split()[0].rstrip(",")) for way in ("confidence", "reranker", "oracle")
        }
        assert error["oracle"] < 2 and error["reranker"] < error["confidence"] + 0.5
    reports = json.loads((folds / "reranker.json").read_text())
    assert [list(reports[team]["map_px"]) for team in "012"] == [[pair.name] for pair in pairs]


def test_a_team_with_too_few_labels_has_no_reranker_and_holds_nothing_up(asked, tmp_path, run):
    _, pairs, folds = asked
    data = pairs[0].optical.parent
    assert run("train-reranker", data, "--folds", folds)[0] == 0
    for team, rows in (("1", 20), ("2", 15)):  # what team 0 learns from
        path = folds / team / "candidates.parquet"
        candidates.write(path, candidates.read(path)[:rows])
    code, out, err = run("train-reranker", data, "--folds", folds)
    assert code == 0, err
    (told,) = [line for line in out.splitlines() if "candidates to learn from" in line]
    assert told.startswith("WARNING: reranker of fold 0: has") and "--rerank refuses its team" in told
    kept = {path.parent.name for path in folds.glob("*/reranker.*")}
    assert kept == {"1", "2", "base"}, "none from before is taken for that of team 0"
    reports = json.loads((folds / "reranker.json").read_text())
    assert reports["0"]["rows"] == 0 and "needs both kinds and 40 rows" in reports["0"]["missing"]
    assert [team for team, report in reports.items() if "map_px" in report] == ["1", "2"]
    predict = ("predict", pairs[0].optical, pairs[0].sar, tmp_path / "a.tif", "--folds", folds)
    (folds / "reranker.json").unlink()  # which may say that the others do harm
    code, _, err = run(*predict, "--team", "0", "--rerank")
    assert code == 2 and err.count("\n") == 1 and "0/reranker.txt: no such reranker" in err, err


def test_the_fit_sets_aside_what_the_reranker_doubts():
    table, _ = scattered(200)
    judged = fitting.fit(table.assign(quality=np.where(np.arange(200) < 50, 0.4, 0.9)), SHAPE)[1]
    assert (judged["outlier"][:50] == "quality").all() and not (judged["outlier"][50:] == "quality").any()


def test_simulated_scenes_may_bear_the_names_of_labelled_ones(make_scene, tmp_path):
    split, pairs, folds = proposed(make_scene, tmp_path)
    extra = [(pairs[0], candidates.read(folds / "0" / "candidates.parquet"))]
    reports = train_folds(
        pairs, split, folds, extra, config=dataclasses.replace(CONFIG, min_data_in_leaf=5), say=lambda line: None
    )
    seen = Reranker.load(folds / "0" / FILE).manifest.trained_on
    assert (
        set(reports) == {"0", "1", "2"}
        and f"{pairs[0].optical.parent.name}/{pairs[0].name}" in seen
        and pairs[0].name not in seen
    )


def test_a_rerankers_digest_changes_with_what_it_learned(trained):
    other = train([labelled("02_a", 10), labelled("02_b", 1), labelled("03_c", 2)], 7, CONFIG)
    assert other.manifest.digest() == trained.manifest.digest() and other.digest() != trained.digest()


def test_candidates_that_a_prediction_left_are_labelled(make_scene, tmp_path):
    _, pairs, _ = proposed(make_scene, tmp_path)
    pair, maps = pairs[0], tmp_path / "maps"
    points = pair.tiepoints()
    teams = [
        candidates.make(pair.name, team, "flow", points.xy, points.shift + team, confidence=0.5) for team in (1, 2)
    ]
    candidates.write(maps / f"solution_{pair.name}.candidates.parquet", candidates.concat(teams))
    found = predicted_tables(pair.optical.parent, maps)
    assert [table["fold"].unique().tolist() for _, table in found] == [[1]]  # one team's: every scene counts once
    assert float(found[0][1]["error_px"].median()) == pytest.approx(2**0.5)
    with pytest.raises(InputError, match="holds no candidates"):
        predicted_tables(pair.optical.parent, tmp_path)


@pytest.mark.parametrize("path", sorted(FOLDS.glob("*/reranker.txt")), ids=lambda path: path.parent.name)
def test_the_shipped_rerankers_know_the_features_of_this_version(path):
    assert Reranker.load(path).booster.num_trees() > 0
