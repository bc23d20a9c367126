"""The benchmark through the public command line: cells by hand, resuming, failures, bad input."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest
import rasterio

from solution.benchmark import cell, scenes, table
from solution.benchmark import run as benchmarks
from solution.benchmark.methods import Method
from solution.core.errors import InputError
from solution.data.finding import discover
from solution.scoring import score
from solution.tests.benchmark.conftest import LABELS, SHAPE, method_that, results
from solution.tests.conftest import retag, write_tiepoints


def test_zero_and_affine_by_hand_each_in_a_process_of_its_own(town, go, tmp_path):
    code, out, _ = go([town.folder], ("affine", "zero"), "--detail")
    assert code == 0
    found = results(tmp_path)["07_town"]
    assert list(found) == ["zero", "affine"]  # the table's order, not the command line's
    # Zero shift: 5, 5, 5 and 13 px. Least squares over a square leave the same at each corner: a quarter of the mixed
    # difference, (2, 8) / 4.
    zero, affine = found["zero"], found["affine"]
    assert (zero["points"], zero["mean_px"], zero["median_px"], zero["within_5px"], zero["within_25px"]) == (
        4,
        7.0,
        5.0,
        0.75,
        1.0,
    )
    assert affine["mean_px"] == pytest.approx(np.hypot(0.5, 2)) and affine["within_5px"] == 1.0
    assert zero["status"] == "done" and zero["teams"] == [] and 0 <= zero["seconds"] < 1
    assert 0.01 < zero["memory_gb"] < 0.7 * cell.peak_memory_gb()  # this process holds torch, that of the cell does not
    lines = [line.split() for line in out.splitlines()]
    assert ["zero", "7.00", "5.00", "75.0%", "100.0%"] in [line[:5] for line in lines]  # of the scene
    assert ["zero", "7.00", "7.00", "5.00", "75.0%", "100.0%"] in [line[:6] for line in lines]  # of all
    assert ["affine", "2.06", "2.06", "2.06", "100.0%", "100.0%"] in [line[:6] for line in lines]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name != "benchmark.json"]


def test_finished_cells_are_kept_until_what_they_depend_on_changes(town, make_scene, go, launched, tmp_path):
    make_scene("08_next", seed=1, shape=SHAPE)

    def measured(*more: object) -> list[tuple[str, str]]:
        launched.clear()
        assert go([town.folder], ("zero", "affine"), *more)[0] == 0
        return [(request.scene, request.method) for request in launched]

    cells = [(scene, method) for scene in ("07_town", "08_next") for method in ("zero", "affine")]
    assert measured() == cells
    before = (tmp_path / "out" / "benchmark.json").read_bytes()
    assert measured() == [] and (tmp_path / "out" / "benchmark.json").read_bytes() == before
    os.utime(town.sar, (1, 1))
    assert measured() == []  # the same image, only touched
    retag(town.sar)
    assert measured() == cells[:2]
    write_tiepoints(town.tiepoints_csv, np.array(LABELS[:3]))
    assert measured() == cells[:2] and results(tmp_path)["07_town"]["zero"]["mean_px"] == 5.0
    assert measured("--fresh") == cells


def test_a_killed_run_goes_on_with_what_it_had(town, go, launched, monkeypatch, tmp_path):
    whole = benchmarks.launch

    def dying(request, folder):
        if request.method == "affine":
            raise KeyboardInterrupt
        return whole(request, folder)

    with monkeypatch.context() as patch:
        patch.setattr(benchmarks, "launch", dying)
        assert go([town.folder], ("zero", "affine"))[0] != 0
    assert list(results(tmp_path)["07_town"]) == ["zero"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["benchmark.json"]
    launched.clear()
    assert go([town.folder], ("zero", "affine"))[0] == 0 and [request.method for request in launched] == ["affine"]


def test_another_choice_of_rows_leaves_the_others_in_the_file(town, go, launched, tmp_path):
    go([town.folder], ("affine",))
    _, out, _ = go([town.folder], ("zero",))
    assert set(results(tmp_path)["07_town"]) == {"zero", "affine"} and "2.06" not in out


def test_a_failure_is_a_cell_and_is_tried_again(town, go, launched, monkeypatch, tmp_path):
    def diverge(_):
        raise RuntimeError("many samples\n  map outside the moving image")

    method_that(monkeypatch, "diverging", diverge)
    method_that(monkeypatch, "lost", lambda task: np.full_like(task.xy, np.nan))
    names = ("diverging", "lost", "zero")
    code, out, _ = go([town.folder], names)
    found = results(tmp_path)["07_town"]
    assert code == 0 and found["zero"]["status"] == "done"
    assert (found["diverging"]["status"], found["diverging"]["reason"]) == ("failed", "map outside the moving image")
    assert found["lost"]["reason"] == "its shifts are not finite at 4 of 4 tie-points"
    assert "diverging on 07_town failed: map outside the moving image" in out
    assert ["diverging", "failed", "-", "-", "-", "-", "-", "-"] in [line.split() for line in out.splitlines()]
    launched.clear()
    go([town.folder], names)
    assert [request.method for request in launched] == ["diverging", "lost"]


def test_a_process_that_dies_is_a_failed_cell(town, go, monkeypatch, tmp_path):
    def ends(code: int, last_words: str):
        def process(*_, stderr, **__):
            stderr.write(last_words)
            return subprocess.CompletedProcess([], code)

        return process

    for code, words, reason in (
        (-9, "", "its process was killed by signal 9, perhaps for memory"),
        (-11, "", "its process was killed by signal 11"),
        (1, "Traceback\n  somewhere\nImportError: no libfoo\n", "ImportError: no libfoo"),
        (3, "", "its process ended with code 3"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(benchmarks.subprocess, "run", ends(code, words))
            assert go([town.folder])[0] == 0
        answer = results(tmp_path)["07_town"]["zero"]
        assert (answer["status"], answer["reason"]) == ("failed", reason)


def test_a_mean_over_scenes_needs_all_of_them(town, make_scene, go, launched, monkeypatch):
    make_scene("08_next", seed=1, shape=SHAPE)

    def half(task):
        if task.pair.name == "07_town":
            raise RuntimeError("no")
        return np.zeros_like(task.xy)

    method_that(monkeypatch, "half", half)
    rows = [line.split() for line in go([town.folder], ("zero", "half"))[1].splitlines()]
    zero, half = (next(row for row in rows if row[:1] == [name]) for name in ("zero", "half"))
    assert half[1:4] == ["failed", zero[2], "-"] and float(zero[3]) == pytest.approx(
        (float(zero[1]) + float(zero[2])) / 2, abs=0.01
    )


def test_what_is_not_installed_is_a_row_that_says_how(town, go, launched, monkeypatch, tmp_path):
    method_that(monkeypatch, "absent", lambda _: pytest.fail("was run"), package="no-such-distribution")
    code, out, _ = go([town.folder], ("zero", "absent"))
    assert code == 0 and "absent: not installed: pip install -r requirements-benchmark.txt" in out
    assert ["absent", "not", "installed"] in [line.split()[:3] for line in out.splitlines()]
    assert results(tmp_path)["07_town"]["absent"]["status"] == "not installed" and [
        request.method for request in launched
    ] == ["zero"]
    monkeypatch.setattr(Method, "package_version", lambda _: "1.0")  # once it is there, its cell is measured
    method_that(monkeypatch, "absent", lambda task: np.zeros_like(task.xy), package="no-such-distribution")
    go([town.folder], ("absent",))
    assert results(tmp_path)["07_town"]["absent"]["mean_px"] == 7.0


def test_simulated_scenes_are_made_once_without_click_noise(run, launched, tmp_path):
    def simulate() -> str:
        code, out, _ = run(
            "benchmark", "--simulated", 1, "--size", 256, 288, "--method", "zero", "--out", tmp_path / "out"
        )
        assert code == 0
        return out

    assert "simulated scene 00_simulated_01" in simulate()
    folder = tmp_path / "out" / "simulated_30000000_gaziantep_256x288"
    (pair,) = discover(folder)
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    with rasterio.open(folder / "00_truth_simulated_01.tif") as exact:
        shift = exact.read()[:, truth.rows, truth.cols]
    assert (
        pair.shape == (256, 288) and np.abs(shift - [truth.dx, truth.dy]).max() < 2
    )  # a SAR pixel is up to 1.5 optical ones
    assert results(tmp_path)["00_simulated_01"]["zero"]["mean_px"] == pytest.approx(np.hypot(truth.dx, truth.dy).mean())
    launched.clear()
    out = simulate()
    assert "simulated scene" not in out and "kept" in out and launched == []


def test_bad_input_ends_in_a_sentence_before_anything_is_measured(town, go, launched, trained, make_scene, tmp_path):
    unlabelled = make_scene("09_bare", folder=tmp_path / "bare", shape=SHAPE, points=None).folder
    twin = make_scene("07_town", folder=tmp_path / "twin", shape=SHAPE).folder
    empty = make_scene("06_none", folder=tmp_path / "empty", shape=SHAPE)
    write_tiepoints(empty.tiepoints_csv, np.zeros((0, 4)))
    for folders, names, more, message in (
        (
            [town.folder],
            ("magic",),
            {},
            "--method magic: is unknown; choose from zero, affine, flow, match, match_translated, pipeline",
        ),
        ([], ("zero",), {}, "there is no scene"),
        ([tmp_path / "nowhere"], ("zero",), {}, "no such folder"),
        ([unlabelled], ("zero",), {}, "holds no labelled scene"),
        ([town.folder, twin], ("zero",), {}, "scene 07_town: is in"),
        ([empty.folder], ("zero",), {}, "holds no tie-point"),
        ([town.folder], ("pipeline",), {"folds": tmp_path}, "holds no team"),
    ):
        code, _, err = go(folders, names, **more)
        assert code == 2 and message in err and len(err.splitlines()) == 1, message
    assert not launched and not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "benchmark.json").write_text('{"not": "ours"}')
    code, _, err = go([town.folder])
    assert code == 2 and "is not a result of this command" in err
    assert (tmp_path / "out" / "benchmark.json").read_text() == '{"not": "ours"}'


def test_zero_needs_no_team(town, go, launched, tmp_path):
    assert go([town.folder], ("zero", "affine"), folds=tmp_path)[0] == 0


def test_the_default_is_every_row_and_scenes_keep_names_of_their_own():
    assert benchmarks.chosen([]) == (
        "zero",
        "affine",
        "flow",
        "match",
        "match_translated",
        "pipeline",
        "baseline",
        "template",
        "simpleitk",
        "gefolki",
    )
    assert benchmarks.chosen(["pipeline", "zero"]) == ("zero", "pipeline")
    with pytest.raises(InputError, match="there is no scene"):
        scenes.check([])
    assert table.problems({"a": {"zero": {"status": "done"}}}) == []
