"""Teams that speak as one: the mean of networks of one start, and of nothing else."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from solution.core import artefact
from solution.core.errors import InputError
from solution.field import candidates, verdict
from solution.products.settings import Settings
from solution.proposers import families
from solution.teams.propose import Proposing
from solution.teams.voice import TOGETHER, Voice, each, together


@pytest.fixture
def folds(trained, tmp_path) -> Path:
    """Two teams of one start, with weights that differ."""
    out = shutil.copytree(trained.folds, tmp_path / "folds")
    for number, factor in ((0, 0.5), (1, 1.5)):
        for family in ("coarse", "flow"):
            _rewrite(out / str(number) / f"{family}.safetensors", init="base", factor=factor)
    return out


def _rewrite(path: Path, init: str | None, factor: float = 1.0) -> None:
    tensors, manifest = artefact.load_weights(path)
    scaled = {name: (value * factor).astype(value.dtype) for name, value in tensors.items()}
    artefact.save_weights(path, scaled, dataclasses.replace(manifest, config={**manifest.config, "init": init}))


def test_teams_of_one_start_speak_as_one(folds):
    teams = [folds / "0", folds / "1"]
    (voice,) = together(teams, ["flow"])
    assert voice == Voice(tuple(teams)) and voice.name == "0+1" and voice.fold("flow") == TOGETHER
    assert [one.fold("flow") for one in each(teams)] == [0, 1]
    assert Settings(folds).voices == [voice] and Settings(folds, rerank=True).voices == each(teams)
    assert Settings(folds, teams=("1",)).voices == each([folds / "1"])


@pytest.mark.parametrize("start", ["another", None])
def test_teams_of_other_starts_speak_for_themselves(folds, start):
    teams = [folds / "0", folds / "1"]
    _rewrite(folds / "1" / "flow.safetensors", init=start)
    assert together(teams, ["flow"]) == each(teams)


def test_a_family_that_one_team_lacks_is_not_averaged(folds):
    teams = [folds / "0", folds / "1"]
    shutil.copy(folds / "0" / "flow.safetensors", folds / "0" / "matcher.safetensors")
    assert together(teams, ["flow", "translator"]) == [Voice(tuple(teams))]
    assert together(teams, ["flow", "matcher"]) == each(teams)


def test_a_prediction_depends_on_what_its_map_is_judged_by_whatever_the_source(folds):
    voice = Voice((folds / "0",))
    for source in ("flow", "match"):
        before = Proposing(sources=(source,)).facts(voice)
        _rewrite(folds / "0" / "coarse.safetensors", init="base", factor=1.25)
        assert Proposing(sources=(source,)).facts(voice) != before


def test_the_mean_is_taken_weight_by_weight(folds):
    paths = Voice((folds / "0", folds / "1")).weights("flow")
    mean = families.load_family(families.FLOW, paths).state_dict()
    low, high = (families.load_family(families.FLOW, [path]).state_dict() for path in paths)
    for name, value in ((name, value) for name, value in mean.items() if value.is_floating_point()):
        expected = (low[name].double() + high[name].double()) / 2
        np.testing.assert_allclose(value.double(), expected, rtol=1e-5, atol=1e-7, err_msg=name)
    with pytest.raises(InputError, match="holds the weights of a flow, not of a matcher"):
        families.load_family(families.MATCHER, paths)


def test_a_new_pair_is_told_by_all_at_once(folds, make_scene, run, tmp_path):
    scene = make_scene("02_publictest", shape=(96, 112), points=None, displacement=(3.0, -2.0))
    arguments = ("predict", scene.optical, scene.sar, tmp_path / "map.tif", "--folds", folds, "--device", "cpu")
    code, _, err = run(*arguments)
    assert code in verdict.EXIT_CODES.values(), err
    table = candidates.read(tmp_path / "map.candidates.parquet")
    assert set(table["fold"]) == {TOGETHER}
