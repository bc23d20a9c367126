"""The benchmark through the public command line: hand-computed cells, resuming, failures, who may judge a scene, and the peers' conventions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from solution.benchmark import cell, methods, peers, scenes, table, template
from solution.benchmark import run as benchmarks
from solution.benchmark.methods import METHODS, Method
from solution.core import artefact
from solution.core.errors import InputError
from solution.data.finding import discover
from solution.proposers import every
from solution.scoring import score
from solution.teams import propose
from solution.tests.conftest import Scene, retag, write_tiepoints
from solution.tests.handmade import QUICK_FLOW, handmade_net, proposers_with

SHAPE = (96, 112)
LABELS = [(24, 23, 20, 20), (24, 63, 20, 60), (64, 23, 60, 20), (72, 65, 60, 60)]
"""sar_row, sar_col, optical_row, optical_col: shifts (3, 4) at three corners of a square and (5, 12) at the fourth."""


@pytest.fixture
def launched(monkeypatch) -> list[cell.Request]:
    """Cells are measured in this process, which spares the seconds that a new one takes to start; the requests, in order."""
    asked = []

    def measure(request: cell.Request, _: Path) -> dict:
        asked.append(request)
        return cell.measure(request)

    monkeypatch.setattr(benchmarks, "launch", measure)
    return asked


@pytest.fixture
def town(make_scene) -> Scene:
    """Both images on one grid, so that an index difference is a shift."""
    scene = make_scene("07_town", shape=SHAPE, sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0))
    write_tiepoints(scene.tiepoints_csv, np.array(LABELS))
    return scene


@pytest.fixture
def go(run, tmp_path, trained):
    """The command line on labelled folders alone: folders, methods, further options -> exit code, stdout, stderr."""

    def call(folders: list[Path], names: tuple[str, ...] = ("zero",), *more: object, folds: Path = trained.folds) -> tuple[int, str, str]:
        rows = [part for name in names for part in ("--method", name)]
        fixed = ("--simulated", "0", "--folds", folds, "--device", "cpu", "--out", tmp_path / "out")
        return run("benchmark", *folders, *fixed, *rows, *more)

    return call


@pytest.fixture
def good_teams(monkeypatch) -> None:
    """One network that finds the truth of the fixture's scenes in one pass, in every team's place."""
    net = handmade_net()
    monkeypatch.setattr(every, "PROPOSERS", proposers_with(QUICK_FLOW))
    monkeypatch.setattr(propose, "load_stage", lambda stage, path: (net, artefact.read_manifest(path)))


def results(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "out" / "benchmark.json").read_text())


def method_that(monkeypatch, name: str, run, **fields) -> None:
    monkeypatch.setitem(METHODS, name, Method(run, **fields))


def test_zero_and_affine_by_hand_each_in_a_process_of_its_own(town, go, tmp_path):
    code, out, _ = go([town.folder], ("affine", "zero"), "--detail")
    assert code == 0
    found = results(tmp_path)["07_town"]
    assert list(found) == ["zero", "affine"]  # the table's order, not the command line's
    # Zero shift: 5, 5, 5 and 13 px. Least squares over a square leave the same at each corner: a quarter of the mixed difference, (2, 8) / 4.
    zero, affine = found["zero"], found["affine"]
    assert (zero["points"], zero["mean_px"], zero["median_px"], zero["within_5px"], zero["within_25px"]) == (4, 7.0, 5.0, 0.75, 1.0)
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
    assert half[1:4] == ["failed", zero[2], "-"] and float(zero[3]) == pytest.approx((float(zero[1]) + float(zero[2])) / 2, abs=0.01)


def test_what_is_not_installed_is_a_row_that_says_how(town, go, launched, monkeypatch, tmp_path):
    method_that(monkeypatch, "absent", lambda _: pytest.fail("was run"), package="no-such-distribution")
    code, out, _ = go([town.folder], ("zero", "absent"))
    assert code == 0 and "absent: not installed: pip install -r requirements-benchmark.txt" in out
    assert ["absent", "not", "installed"] in [line.split()[:3] for line in out.splitlines()]
    assert results(tmp_path)["07_town"]["absent"]["status"] == "not installed" and [request.method for request in launched] == ["zero"]
    monkeypatch.setattr(Method, "package_version", lambda _: "1.0")  # once it is there, its cell is measured
    method_that(monkeypatch, "absent", lambda task: np.zeros_like(task.xy), package="no-such-distribution")
    go([town.folder], ("absent",))
    assert results(tmp_path)["07_town"]["absent"]["mean_px"] == 7.0


def test_every_peer_is_pinned_and_no_part_of_the_product():
    root = Path(methods.__file__).resolve().parents[2]
    pinned = (root / methods.REQUIREMENTS).read_text().splitlines()
    names = {line.split("==")[0] for line in pinned if not line.startswith("#")}
    assert names == {method.package for method in METHODS.values() if method.package}
    assert not any(name.lower() in (root / "requirements.txt").read_text().lower() for name in names)


def test_only_the_oracle_sees_labels(town, go, launched, monkeypatch):
    seen = {}

    def spy(task):
        seen[task.truth.dx[0] == 3.0] = (task.pair.tiepoints_csv, np.isnan(task.truth.dx).all() and np.isnan(task.truth.dy).all())
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
        path = folds / team / "flow.safetensors"
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
        run("predict", pair.optical, pair.sar, tmp_path / "map.tif", "--folds", folds, "--device", "cpu", "--team", team)
        expected = score.score_pair(pair.tiepoints_csv, pair.optical, pair.sar, tmp_path / "map.tif").found
        assert {key: found[scene]["pipeline"][key] for key in expected} == expected and expected["mean_px"] < 1.5
        assert found[scene]["flow"]["mean_px"] == pytest.approx(expected["mean_px"], abs=2 / 512)
        assert found[scene]["pipeline"]["teams"] == [team]
    tensors, manifest = artefact.load_weights(folds / "1" / "flow.safetensors")
    artefact.save_weights(folds / "1" / "flow.safetensors", tensors, replace(manifest, seed=99))
    launched.clear()
    go([trained.data], names, folds=folds)
    assert [(request.scene, request.method) for request in launched] == [("03_train_01", "flow"), ("03_train_01", "pipeline")]


@pytest.mark.usefixtures("good_teams")
def test_where_every_team_saw_the_scene_ours_is_a_failed_cell(trained, go, launched, tmp_path):
    folds = shutil.copytree(trained.folds, tmp_path / "folds")
    shutil.copy(folds / "1" / "flow.safetensors", folds / "0" / "flow.safetensors")
    assert go([trained.data], ("zero", "pipeline"), folds=folds)[0] == 0
    answer = results(tmp_path)["02_train_01"]["pipeline"]
    assert answer["reason"] == "every team that could judge this scene was trained on it" and answer["teams"] == []


def test_simulated_scenes_are_made_once_without_click_noise(run, launched, tmp_path):
    def simulate() -> str:
        code, out, _ = run("benchmark", "--simulated", 1, "--size", 256, 288, "--method", "zero", "--out", tmp_path / "out")
        assert code == 0
        return out

    assert "simulated scene 00_simulated_01" in simulate()
    folder = tmp_path / "out" / "simulated_30000000_gaziantep_256x288"
    (pair,) = discover(folder)
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    with rasterio.open(folder / "00_truth_simulated_01.tif") as exact:
        shift = exact.read()[:, truth.rows, truth.cols]
    assert pair.shape == (256, 288) and np.abs(shift - [truth.dx, truth.dy]).max() < 2  # a SAR pixel is up to 1.5 optical ones
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
        ([town.folder], ("magic",), {}, "--method magic: is unknown; choose from zero, affine, flow, match, match_translated, pipeline"),
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


def test_a_level_is_read_with_what_each_image_covers(make_scene):
    pair = make_scene("07_town", shape=(96, 128), sar_gsd=(0.5, 0.5), sar_offset=(16.0, 0.0), sar_shape=(96, 64), points=None).open()
    whole, half = peers.read_level(pair, 1), peers.read_level(pair, 2)
    assert (whole.factor, whole.optical.shape, whole.origin) == (1, (96, 128), 0.0)
    assert (half.factor, half.optical.shape, half.origin) == (2, (48, 64), 0.5)
    assert (
        whole.optical_valid.all()
        and whole.sar_valid[:, 32:96].all()
        and not whole.sar_valid[:, :32].any()
        and not whole.sar_valid[:, 96:].any()
    )
    blocks = whole.optical.reshape(48, 2, 64, 2).mean(axis=(1, 3))
    assert np.abs(half.optical - blocks).max() < 0.01


def test_mappings_and_flows_become_shifts():
    xy = np.array([[10.0, 20.0], [0.0, 5.0]])
    assert peers.shifts_of_mapping(lambda point: (2 * point[0] + 1, point[1] - 3), xy).tolist() == [[11.0, -3.0], [1.0, -3.0]]
    assert peers.shifts_of_mapping(lambda point: point, np.zeros((0, 2))).shape == (0, 2)
    # Level pixel i of a level of factor 4 is centred on optical 4 i + 1.5; u grows by 1 a level pixel, so the shift by 4 px every 4 px.
    column, row = np.meshgrid(np.arange(8.0), np.arange(6.0))
    blank = np.zeros((6, 8), np.float32)
    level = peers.Level(blank, blank, blank > -1, blank > -1, 4)
    xy = np.array([[1.5, 5.5], [7.5, 5.5], [8.5, 9.5]])
    assert np.allclose(peers.shifts_of_flow(column, 10 * row, level, xy), [[0.0, 40.0], [6.0, 40.0], [7.0, 80.0]], atol=1e-5)


def test_a_peer_sees_the_apparent_shift_and_gives_that_of_indices(make_scene, tmp_path):
    """A SAR pixel of two optical ones shows everything half a pixel further than its index says."""
    scene = make_scene("07_town", shape=SHAPE, sar_gsd=(1.0, 1.0), displacement=(5.0, -3.0))
    task = methods.Task(scene.open(), score.reference(scene.tiepoints_csv, scene.optical, scene.sar), tmp_path, (), "cpu", tmp_path)
    for largest_px, factor in ((200, 1), (112, 1), (111, 2), (40, 3)):

        def seer(level, xy, factor=factor):
            assert level.factor == factor
            return np.ones_like(xy) * (5.0, -3.0)

        assert methods.by_peer(seer, largest_px, task)[0].tolist() == pytest.approx([4.5, -3.5])


def slanted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 6.0 + 0.04 * y, -9.0 + 0.03 * x


def wavy(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 14.0 + 3 * np.sin(y / 18), -11.0 + 3 * np.cos(x / 23)


@pytest.mark.parametrize(("factor", "displacement", "limit_px"), [(1, wavy, 0.3), (2, slanted, 1.0)])
def test_simpleitk_finds_a_known_warp_on_every_level(make_scene, factor, displacement, limit_px):
    """Over the waves, taking the spline and the affine in the wrong order would cost 2 px."""
    pytest.importorskip("SimpleITK", reason="a peer of the benchmark: pip install -r requirements-benchmark.txt")
    scene = make_scene("07_town", shape=(112, 144), sar_gsd=(1.0, 1.0), sar_offset=(-20.0, 20.0), displacement=displacement)
    xy = scene.open().tiepoints().xy
    quick = peers.MutualInformation(
        samples=4000,
        search_side_px=64,
        search_step_px=3,
        search_reach_share=0.2,
        iterations=40,
        shrink=(2, 1),
        smoothing_px=(1.0, 0.0),
        meshes=(2, 8 // factor),
    )
    found = peers.simpleitk(peers.read_level(scene.open(), factor), xy, quick)
    assert np.median(np.hypot(*(found - np.column_stack(displacement(*xy.T))).T)) < limit_px


@pytest.mark.parametrize("factor", [1, 2])
def test_gefolki_finds_a_known_warp_on_every_level(make_scene, factor):
    pytest.importorskip("gefolki", reason="a peer of the benchmark: pip install -r requirements-benchmark.txt")
    scene = make_scene("07_town", shape=(112, 144), sar_gsd=(1.0, 1.0), sar_offset=(-20.0, 20.0), displacement=slanted)
    xy = scene.open().tiepoints().xy
    found = peers.gefolki(peers.read_level(scene.open(), factor), xy)
    assert np.median(np.hypot(*(found - np.column_stack(slanted(*xy.T))).T)) < 1.0


def test_template_finds_a_known_warp(make_scene, monkeypatch):
    """The SAR image is read through the field of the pass before, so half a SAR pixel or a sign gone wrong would add up."""
    monkeypatch.setattr(template, "WINDOW_PX", 80)  # the real ones leave no room to move in a scene of this size
    monkeypatch.setattr(template, "PASSES", (template.Round(2, 40, 40, together=True), template.Round(2, 24, 24), template.Round(1, 24, 8)))
    scene = make_scene("07_town", shape=(240, 272), sar_gsd=(1.0, 1.0), sar_offset=(-20.0, 20.0), displacement=slanted)
    pair = scene.open()
    xy = pair.tiepoints().xy
    error = template.register(pair, xy) - (np.column_stack(slanted(*xy.T)) - pair.centre_offset_px)
    assert np.median(np.hypot(*error.T)) < 1.0 and np.abs(np.median(error, axis=0)).max() < 0.5


def test_template_without_a_valid_window_is_zero_shift(make_scene):
    scene = make_scene("07_town", shape=(96, 96), sar_gsd=(0.5, 0.5), sar_offset=(40.0, 0.0), sar_shape=(96, 16))
    with pytest.warns(UserWarning, match="ZERO SHIFT"):
        assert not template.register(scene.open(), np.array([[10.0, 10.0]])).any()


def test_correlation_and_its_peak_by_brute_force():
    rng = np.random.default_rng(0)
    search = rng.normal(size=(2, 15, 17)).astype(np.float32)
    pattern = search[:, 7:14, 1:10]  # 7 x 9 px, 4 px further down than the middle and 3 px to the left
    surface = template.correlate(pattern, search, np.square(search).sum(axis=0))
    assert surface.shape == (9, 9)
    for row, column in np.ndindex(9, 9):
        part = search[:, row : row + 7, column : column + 9]
        assert surface[row, column] == pytest.approx((part * pattern).sum() / np.sqrt((part**2).sum() * (pattern**2).sum()), abs=1e-5)
    assert template.peak(surface, 4)[:2] == pytest.approx((-3.0, 3.0), abs=0.5)
    y, x = np.mgrid[-8:9, -8:9]
    dx, dy, confidence = template.peak(10 - (x - 1.25) ** 2 - (y + 3.5) ** 2, 8)
    assert (dx, dy) == pytest.approx((1.25, -3.5)) and confidence == 1.0
    assert template.peak(np.ones((3, 3)), 1)[:2] == (-1.0, -1.0)  # nothing stands out, at a border: no division by zero


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
