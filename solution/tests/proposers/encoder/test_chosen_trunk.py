"""A trunk that was chosen, through the command line: trained with, recorded, and built again to predict."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import rasterio
import timm
import torch
from safetensors.torch import save_file

from solution.core import artefact
from solution.tests.conftest import invoke

ON_CPU = ("--device", "cpu", "--smoke")


@pytest.fixture
def base(trained, tmp_path):
    """Train a base with a trunk -> the folder of teams, and what was said."""

    def train(stage: str, *options: object) -> str:
        return invoke(
            "train-base",
            "--stage",
            stage,
            "--simulated",
            trained.data,
            "--folds",
            tmp_path / "folds",
            *ON_CPU,
            *options,
        )

    return train


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(5)
    path = tmp_path / "resnet.safetensors"
    state = timm.create_model("test_resnet", pretrained=False).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def map_of(path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.slow
def test_a_chosen_trunk_is_trained_recorded_and_predicts_without_its_file(trained, base, weights, tmp_path, run):
    folds = tmp_path / "folds"
    for stage in ("coarse", "flow"):
        base(stage, "--trunk", "test_resnet", "--trunk-weights", weights)
    coarse, head = artefact.load_weights(folds / "base" / "coarse.safetensors")
    flow, net = artefact.load_weights(folds / "base" / "flow.safetensors")
    for manifest in (head, net):
        assert manifest.config["trunk"] == "test_resnet"
        assert manifest.config["trunk_weights"] == artefact.file_hash(weights)
    given = timm.create_model("test_resnet", pretrained=False).state_dict()
    assert head.config["holds_trunk"] and {f"trunk.{key}" for key in given if key.startswith("layer1")} <= coarse.keys()
    assert {f"encoder.trunk.{key}" for key in given if key.startswith("layer1")} <= flow.keys()

    # What learns further goes on with that trunk, without being told
    shutil.copy(trained.folds / "split.csv", folds)
    for stage in ("coarse", "flow"):
        init = ("--init", folds / "base" / f"{stage}.safetensors")
        invoke(f"train-{stage}", trained.data, "--folds", folds, *ON_CPU, *init)
        manifest = artefact.read_manifest(folds / "0" / f"{stage}.safetensors")
        assert manifest.config["trunk"] == "test_resnet" and "trunk_weights" not in manifest.config
    held, _ = artefact.load_weights(folds / "0" / "coarse.safetensors")
    assert all(np.array_equal(held[key], value) for key, value in coarse.items() if key.startswith("trunk."))

    weights.unlink()
    pair = trained.data / "02_optical_train_01.tif", trained.data / "02_sar_train_01.tif"
    for name in ("one", "two"):
        code, _, err = run("predict", *pair, tmp_path / name / "map.tif", "--folds", folds, "--device", "cpu")
        assert code in (0, 3, 4), err
    one, two = (map_of(tmp_path / name / "map.tif") for name in ("one", "two"))
    assert np.isfinite(one).all() and np.array_equal(one, two)


@pytest.mark.slow
def test_chance_must_be_asked_for(base, tmp_path, run, trained):
    code, _, err = run("train-base", "--simulated", trained.data, "--folds", tmp_path, *ON_CPU, "--trunk", "test_vit")
    assert code == 2 and err.startswith("error: trunk test_vit: no package holds its weights; pass a file")
    base("flow", "--trunk", "test_vit", "--trunk-weights", "none")
    manifest = artefact.read_manifest(tmp_path / "folds" / "base" / "flow.safetensors")
    assert (manifest.config["trunk"], manifest.config["trunk_weights"]) == ("test_vit", "none")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--trunk", "resnet_of_tomorrow"), "trunk resnet_of_tomorrow: no package holds its weights"),
        (
            ("--trunk", "resnet_of_tomorrow", "--trunk-weights", "none"),
            "trunk resnet_of_tomorrow: is no network of timm",
        ),
        (("--trunk-weights", "nowhere.safetensors"), "nowhere.safetensors: no such file; pass the trunk's weights"),
        (
            ("--stage", "matcher", "--trunk", "resnet18"),
            "--trunk and --trunk-weights belong to the coarse features and",
        ),
        (("--init", "FLOW", "--trunk", "resnet18"), "--trunk resnet18: FLOW has tf_efficientnet_lite0; leave"),
        (("--init", "FLOW", "--trunk-weights", "none"), "--trunk-weights none: FLOW brings its trunk along; leave"),
    ],
)
def test_one_sentence_says_what_is_wrong(run, trained, tmp_path, options, sentence):
    flow = str(trained.folds / "0" / "flow.safetensors")
    options = [option.replace("FLOW", flow) for option in options]
    code, _, err = run("train-base", "--simulated", trained.data, "--folds", tmp_path / "folds", *ON_CPU, *options)
    assert code == 2 and err.startswith(f"error: {sentence.replace('FLOW', flow)}") and len(err.splitlines()) == 1, err
    assert not list(tmp_path.rglob("*.safetensors"))
