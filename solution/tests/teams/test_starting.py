"""Where new teams start: from the mean of trained ones, never from what saw a scene that is held out."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from solution.core import artefact, weights
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.settings import FlowConfig
from solution.teams import starting
from solution.teams.voice import Voice, together
from solution.training import stages

SMOKE = dataclasses.replace(FlowConfig().smoke(), width=8)
SCENES = ("50_a", "50_b")


def write_team(folder: Path, value: float, seen: tuple[str, ...], init: str | None = "base", fold: int = 0) -> None:
    """A flow network whose weights are all one number."""
    net = FlowNet(SMOKE)
    tensors = {name: np.full_like(one, value) for name, one in weights.compact(net).items()}
    manifest = Manifest("flow", fold, seen, {**dataclasses.asdict(SMOKE), "init": init}, 0)
    artefact.save_weights(folder / "flow.safetensors", tensors, manifest)


@pytest.fixture
def source(tmp_path) -> Path:
    """Two teams that saw each other's scene, and the base that both began with."""
    folder = tmp_path / "trained"
    write_team(folder / "0", 1.0, ("02_b", "pairs/x"), fold=0)
    write_team(folder / "1", 4.0, ("02_a", "pairs/y"), fold=1)
    write_team(folder / "base", 7.0, ("pairs/x",), init=None, fold=-1)
    return folder


def begin(source: Path, scenes, folds: Path, replace: bool = False) -> tuple[dict, Manifest, str]:
    said: list[str] = []
    out = starting.start_from(source, "flow", scenes, folds, replace, said.append)
    assert out == folds / "base" / "flow.safetensors"
    return *artefact.load_weights(out, "flow"), said[0]


def test_new_teams_start_from_the_mean_of_the_trained_ones(source, tmp_path):
    tensors, manifest, said = begin(source, SCENES, tmp_path / "mine")
    assert {float(value.mean()) for value in tensors.values()} == {2.5}
    assert {value.dtype for value in tensors.values() if value.ndim >= 2} == {np.dtype(np.float16)}
    assert manifest.fold == -1 and manifest.trained_on == ("02_a", "02_b", "pairs/x", "pairs/y")
    assert len(manifest.config["mean_of"]) == 2 and f"from 0+1 of {source}" in said
    assert "every team starts from" in begin(source, SCENES, tmp_path / "mine")[2]


def test_the_base_stands_in_where_a_team_saw_a_scene_that_is_held_out(source, tmp_path):
    tensors, manifest, said = begin(source, ("02_a", "50_b"), tmp_path / "mine")
    assert {float(value.mean()) for value in tensors.values()} == {7.0}
    assert manifest.trained_on == ("pairs/x",) and f"from base of {source}" in said


def test_a_start_that_saw_a_held_out_scene_is_refused(source, tmp_path):
    shutil.rmtree(source / "base")
    with pytest.raises(InputError, match=r"--from .*: was trained on scene 02_a, which a new team holds out"):
        begin(source, ("02_a",), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_teams_of_several_starts_have_no_mean(source, tmp_path):
    write_team(source / "1", 4.0, ("02_a",), init="another")
    assert {float(value.mean()) for value in begin(source, SCENES, tmp_path / "mine")[0].values()} == {7.0}
    shutil.rmtree(source / "base")
    with pytest.raises(InputError, match="began with different weights, so they have no mean"):
        begin(source, SCENES, tmp_path / "other")


def test_one_team_is_its_own_mean(source, tmp_path):
    shutil.rmtree(source / "1")
    assert {float(value.mean()) for value in begin(source, SCENES, tmp_path / "mine")[0].values()} == {1.0}


def test_other_weights_in_the_base_are_kept_unless_told(source, tmp_path):
    begin(source, SCENES, tmp_path / "mine")
    write_team(source / "1", 6.0, ("02_a", "pairs/z"))
    with pytest.raises(InputError, match="other settings, data or code"):
        begin(source, SCENES, tmp_path / "mine")
    assert {float(value.mean()) for value in begin(source, SCENES, tmp_path / "mine", True)[0].values()} == {3.5}


def test_no_weights_and_the_same_place_are_refused(source, tmp_path):
    with pytest.raises(InputError, match=r"holds no flow\.safetensors"):
        begin(tmp_path, SCENES, tmp_path / "mine")
    with pytest.raises(InputError, match="is where the new teams go, too"):
        begin(source, SCENES, source)


def test_teams_from_the_command_line_share_their_start_and_are_averaged_again(trained, tmp_path, run):
    """The smoke run's teams have no base, so one of them alone is what is started from."""
    source, folds = tmp_path / "trained", tmp_path / "mine"
    data = shutil.copytree(trained.data, tmp_path / "data")
    for path in data.glob("0*"):  # the same scenes by other names, which no team saw
        path.rename(path.with_name(f"5{path.name[1:]}"))
    shutil.copytree(trained.folds / "0", source / "0")
    assert run("split", data, "--output", folds / "split.csv")[0] == 0
    arguments = ("train-flow", data, "--from", source, "--folds", folds, "--smoke", "--device", "cpu", "--steps", 1)
    code, out, err = run(*arguments)
    assert code == 0, err
    assert "flow: every team starts from 0 of" in out and out.count(": wrote") == 2
    base, mine = (artefact.read_manifest(folds / name / "flow.safetensors") for name in ("base", "0"))
    assert mine.config["init"] == base.digest() and mine.trained_on == ("03_train_01", "53_train_01")
    assert mine.config["start_share"] == FlowConfig().adapted().start_share
    config = stages.config_of(mine)
    assert (config.width, config.windows_blocks) == (FlowConfig().width, FlowConfig().smoke().windows_blocks)
    assert together([folds / "0", folds / "1"], ["flow"]) == [Voice((folds / "0", folds / "1"))]
    code, _, err = run(*arguments, "--init", source / "0" / "flow.safetensors")
    assert code == 2 and "--init and --from: both say where to start from" in err


def test_a_named_start_that_saw_a_held_out_scene_is_refused_by_the_command_line(trained, tmp_path, run):
    folds = shutil.copytree(trained.folds, tmp_path / "folds")
    arguments = ("train-flow", trained.data, "--folds", tmp_path / "mine", "--smoke", "--device", "cpu")
    shutil.copytree(folds, tmp_path / "mine", ignore=shutil.ignore_patterns("flow*", "coarse*"))
    code, _, err = run(*arguments, "--from", folds)
    assert code == 2 and "was trained on scene" in err and len(err.splitlines()) == 1
    code, _, err = run(*arguments, "--init", folds / "0" / "flow.safetensors")
    assert code == 2 and "was trained on scene 03_train_01, which team 1 holds out" in err
