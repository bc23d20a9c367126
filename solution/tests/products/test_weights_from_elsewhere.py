"""Weights that another program, or another version, left: one sentence with the file's name, and no map."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from solution.core import artefact
from solution.tests.products.conftest import SHAPE


@pytest.fixture
def predicted(make_scene, trained, run, tmp_path):
    """Predict with the weights of team 1 changed -> code, error, the file that was changed."""
    scene = make_scene("02_publictest", shape=SHAPE, points=None)
    folds = shutil.copytree(trained.folds, tmp_path / "folds")

    def call(family: str, change, *options: str):
        path = folds / "1" / f"{family}.safetensors"
        tensors, manifest = artefact.load_weights(path)
        artefact.save_weights(path, *change(tensors, manifest))
        out = tmp_path / "out" / "map.tif"
        arguments = ("predict", scene.optical, scene.sar, out, "--folds", folds, "--device", "cpu", *options)
        code, _, err = run(*arguments)
        assert code != 2 or not list(out.parent.rglob("*.tif"))
        return code, err, path

    return call


def with_config(**changes: object):
    def change(tensors, manifest):
        return tensors, dataclasses.replace(manifest, config={**manifest.config, **changes})

    return change


def with_nan(tensors, manifest):
    name = next(name for name, value in tensors.items() if value.ndim == 1)
    return {**tensors, name: np.full_like(tensors[name], np.nan)}, manifest


def of_another_stage(tensors, manifest):
    return tensors, dataclasses.replace(manifest, stage="diffusion")


@pytest.mark.parametrize("family", ["coarse", "flow"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (with_config(trunk="resnet_of_tomorrow"), "a network that this version cannot make (trunk resnet_of_tomorrow"),
        (with_config(trunk=7), "its manifest says that trunk is 7"),
        (with_config(steps="many"), "its manifest says that steps is 'many'"),
        (with_config(factors=[1, "2"]), "its manifest says that factors is (1, '2')"),
        (with_nan, "holds weights that are no finite numbers"),
        (of_another_stage, "holds the weights of a diffusion, not of a"),
    ],
    ids=["network", "type", "word", "list", "nan", "stage"],
)
def test_of_another_kind(predicted, family, change, sentence):
    code, err, path = predicted(family, change, "--team", "1")
    assert code == 2 and err.startswith(f"error: {path}: ") and len(err.splitlines()) == 1
    assert sentence in err


def test_another_team_helps(predicted):
    assert predicted("flow", with_nan, "--team", "0")[0] != 2


@pytest.mark.parametrize("name", ["../folds/0", "0/../1", "..", "", "/tmp", "0\\1"])
def test_a_team_lies_below_the_folder_of_teams(predicted, name):
    code, err, path = predicted("flow", lambda *same: same, "--team", name)
    assert code == 2 and f"--team {name}: is no name of a folder below {path.parents[1]}" in err
    assert len(err.splitlines()) == 1 and "--folds" in err


def test_of_the_baseline_too(trained, run, tmp_path):
    code, _, err = run("baseline", "predict", trained.data, "--out", tmp_path, "--team", "../0")
    assert code == 2 and "--team ../0: is no name of a folder below" in err
