"""What is said before a training run begins, counted by hand on a small folder."""

from __future__ import annotations

import pytest
from safetensors.numpy import load_file

from solution.core import outputs
from solution.core.errors import InputError
from solution.data.finding import discover
from solution.data.folds import make_split
from solution.proposers.coarse.settings import CoarseConfig
from solution.proposers.flow.settings import FlowConfig
from solution.teams.plan import Plan, StagePlan, free_bytes

NAMES = ("50_a", "50_b", "51_c", "52_d")


@pytest.fixture
def data(make_scene):
    """Four labelled scenes of 32 x 40 px, and one without labels."""
    for name in NAMES:
        folder = make_scene(name.replace("_", "_own_"), shape=(32, 40)).folder
    make_scene("53_own_test", shape=(32, 40), points=None)
    return folder


def test_the_plan_counts_teams_scenes_and_steps(data, tmp_path, run):
    folds = tmp_path / "folds"
    assert run("split", data, "--teams", 2, "--output", folds / "split.csv")[0] == 0
    code, out, _ = run("train-plan", data, "--folds", folds, "--scenes", 13, "--size", 100, 200, "--steps", 7)
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "2 teams on 4 labelled scenes; each may also see 13 simulated scenes of 100 x 200 px"
    assert lines[1:3] == [
        "  team 0: never sees 50_own_a, 50_own_b; may see 51_own_c, 52_own_d",
        "  team 1: never sees 51_own_c, 52_own_d; may see 50_own_a, 50_own_b",
    ]
    assert [line.split(":")[0].strip() for line in lines[3:7]] == ["coarse", "flow", "translator", "matcher"]
    assert all("7 steps a team at most, of 8 tiles, from what its trunk knows" in line for line in lines[3:7])
    assert "on 2 simulated scenes, which a team keeps apart" in lines[7]  # 13 // 6, and 2 labelled scenes lose none
    assert "2 MB simulated scenes" in lines[8] and "MB are free" in lines[8]
    assert "measured on the first steps" in lines[9] and len(lines) == 10
    assert sorted(path.name for path in folds.iterdir()) == ["split.csv"]


def test_nothing_is_kept_apart_of_few_scenes_and_that_is_said(data, tmp_path, run):
    folds = tmp_path / "folds"
    run("split", data, "--output", folds / "split.csv")
    code, out, _ = run("train-plan", data, "--folds", folds, "--stage", "coarse", "--from", "trained")
    assert code == 0 and "development error: none, for no kind of scene has 6 or more" in out
    assert (
        f"coarse: {CoarseConfig().adapted().steps} steps a team at most, of 8 tiles, from the teams of trained" in out
    )
    assert "aoi_50" in out  # its scenes are in two folds
    code, _, err = run("train-plan", data, "--folds", folds, "--stage", "matcher", "--from", "trained")
    assert code == 2 and "--stage matcher: is none of coarse, flow" in err


def test_the_disk_is_counted_by_the_networks_own_numbers(trained):
    pairs = discover(trained.data)
    path = trained.folds / "0" / "flow.safetensors"
    numbers = sum(value.size for value in load_file(path).values())
    stage = StagePlan("flow", FlowConfig().smoke(), "")
    needs = Plan(pairs, make_split(pairs), (3, (10, 20)), [stage]).bytes()
    assert stage.weights == numbers
    assert needs["simulated scenes"] == 8 * 3 * 10 * 20 and needs["weights"] == 2 * 2 * numbers
    assert needs["tables of candidates"] == pytest.approx(0.2 * sum(p.shape[0] * p.shape[1] for p in pairs))
    assert 0.9 < path.stat().st_size / (needs["weights"] / 2) < 1.5


def test_a_disk_that_is_too_small_is_refused_before_anything_is_done(data, tmp_path, run, monkeypatch):
    folds = tmp_path / "folds"
    run("split", data, "--output", folds / "split.csv")

    def full(folder, needs=0):
        assert needs > 1e9
        raise InputError(f"{folder}: disk full")

    monkeypatch.setattr(outputs, "check_folder", full)
    code, out, err = run(
        "train-plan", data, "--folds", folds, "--scenes", 1000, "--size", 2000, 2000, "--stage", "coarse"
    )
    assert code == 2 and "32,000 MB simulated scenes" in out and "disk full" in err


def test_the_room_on_the_disk_of_a_folder_that_is_not_there_yet(tmp_path):
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.01)
