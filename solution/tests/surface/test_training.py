"""The patch classifier: held-out groups, class weights, symmetries, metrics, and the command line from
patches to a confusion matrix."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from solution.cli.surface import WEIGHTS
from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.surface import comparison, training
from solution.surface.evaluation import Result
from solution.surface.network import PatchClassifier, SurfaceConfig, load_classifier, probabilities
from solution.surface.patchset import PatchSet, read_patches
from solution.tests import polar
from solution.tests.conftest import invoke

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "polar" / "polar-patch-train.zip"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Patches, and a classifier that the command line trained on them; a test that changes them works on a copy."""
    root = tmp_path_factory.mktemp("surface")
    patches, weights = polar.write_patches(root / "patches", scenes=5, each=24), root / "surface.safetensors"
    output = invoke(
        "surface",
        "train",
        patches,
        "--smoke",
        "--epochs",
        6,
        "--out",
        weights,
        "--run",
        root / "run",
        "--device",
        "cpu",
    )
    return patches, weights, root / "run", output


def random_set(count: int = 60, groups: int = 6) -> PatchSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 256, (count, 3, 64, 64), dtype=np.uint8)
    return PatchSet("random", pixels, rng.integers(0, 3, count), np.arange(count), np.arange(count) * groups // count)


def test_training_prints_and_draws_how_good_it_is(made):
    patches, weights, run, output = made
    assert "held-out part" in output and "macro F1" in output and (run / "confusion.png").stat().st_size > 5000
    assert not list(run.rglob("*.ckpt"))
    assert artefact.read_manifest(weights).trained_on == ("patches",)
    assert "is up to date, skipped" in invoke(
        "surface", "train", patches, "--smoke", "--epochs", 6, "--out", weights, "--run", run, "--device", "cpu"
    )


def test_other_settings_do_not_overwrite(made):
    patches, weights, run, _ = made
    with pytest.raises(InputError, match="--replace"):
        training.train(read_patches(patches), SurfaceConfig().smoke(), weights, run, seed=5, device="cpu")


@pytest.mark.slow
def test_what_can_be_told_apart_is_learnt(tmp_path):
    found = read_patches(polar.write_patches(tmp_path / "patches", scenes=5, each=60))
    config = SurfaceConfig(widths=(8, 8, 16, 16), stem_width=8, epochs=6, batch_size=16)
    split = training.split_groups(found, 0.2, 0)
    net = training.fit(found, split, config, tmp_path / "run", 0, "cpu")
    held_out = found.part(split.validation)
    assert Result.of(held_out.labels, probabilities(net, held_out.pixels).argmax(axis=1)).accuracy > 0.9


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    found = read_patches(polar.write_patches(tmp_path / "patches", scenes=5, each=24))
    config = dataclasses.replace(SurfaceConfig().smoke(), epochs=3)
    training.train(found, config, tmp_path / "whole.safetensors", tmp_path / "whole", device="cpu")
    step = training.ClassifierModule.training_step

    def killed(module, batch, index):
        if module.current_epoch == 2:
            raise RuntimeError("killed")
        return step(module, batch, index)

    monkeypatch.setattr(training.ClassifierModule, "training_step", killed)
    with pytest.raises(RuntimeError, match="killed"):
        training.train(found, config, tmp_path / "resumed.safetensors", tmp_path / "resumed", device="cpu")
    assert not (tmp_path / "resumed.safetensors").exists()
    seen = []
    monkeypatch.setattr(
        training.ClassifierModule, "training_step", lambda *arguments: seen.append(1) or step(*arguments)
    )
    training.train(found, config, tmp_path / "resumed.safetensors", tmp_path / "resumed", device="cpu")
    assert len(seen) == 96 // config.batch_size
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "resumed.safetensors").read_bytes()


def test_evaluation_is_the_same_for_folder_and_zip(made, tmp_path):
    patches, weights, _, _ = made
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", patches)
    for place in (patches, archive):
        json_file, picture = tmp_path / "out.json", tmp_path / "out.png"
        invoke(
            "surface",
            "evaluate",
            place,
            "--weights",
            weights,
            "--json",
            json_file,
            "--picture",
            picture,
            "--device",
            "cpu",
        )
        numbers = json.loads(json_file.read_text())
        assert np.sum(numbers["confusion"]) == 120 and picture.stat().st_size > 5000
        if place is patches:
            first = numbers
    assert numbers == first


def test_a_group_is_never_on_both_sides():
    patches = random_set()
    for seed in range(5):
        split = training.split_groups(patches, 0.3, seed)
        assert not set(patches.groups[split.train]) & set(patches.groups[split.validation])
        assert (split.train ^ split.validation).all() and split.validation.any()
    with pytest.raises(InputError, match="one scene"):
        training.split_groups(random_set(groups=1), 0.3, 0)


def test_rare_classes_weigh_more():
    weights = training.class_weights(np.array([0] * 80 + [1] * 20))
    assert weights.tolist() == pytest.approx([0.625, 2.5, 0.0])
    assert (weights[[0] * 80 + [1] * 20]).mean() == pytest.approx(1)


def test_augmentation_turns_and_keeps_the_ratio():
    pixels = (
        torch.arange(64 * 64, dtype=torch.int64)
        .reshape(1, 1, 64, 64)
        .remainder(100)
        .to(torch.uint8)
        .repeat(16, 3, 1, 1)
    )
    turned = training.augmented(pixels, 0.0, 1.0, torch.Generator().manual_seed(0))
    whole = {tuple(image.flatten().tolist()) for image in turned[:, 0].int()}
    assert len(whole) > 4 and all(sorted(image) == sorted(pixels[0, 0].flatten().tolist()) for image in whole)
    louder = training.augmented(
        torch.full((8, 3, 64, 64), 50, dtype=torch.uint8), 1.5, 3.0, torch.Generator().manual_seed(0)
    )[:, :, 0, 0]
    assert torch.allclose(louder[:, 2], 50 * louder[:, 1] / louder[:, 0], atol=2.5) and louder[:, 0].std() > 2
    again = training.augmented(
        torch.full((8, 3, 64, 64), 50, dtype=torch.uint8), 1.5, 3.0, torch.Generator().manual_seed(0)
    )[:, :, 0, 0]
    assert torch.equal(louder, again)


def test_magnified_patches_keep_their_middle_and_half_stay_as_they_are():
    x = torch.arange(64.0).repeat(64, 1)
    pixels = torch.stack([x, x.T]).repeat(40, 1, 1, 1).to(torch.uint8)
    seen = training.magnified(pixels, 4.0, torch.Generator().manual_seed(1))
    as_they_are = (seen - pixels).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert 10 < as_they_are.sum() < 30
    step_x, step_y = (seen[:, 0, 32, 40] - seen[:, 0, 32, 24]) / 16, (seen[:, 1, 40, 32] - seen[:, 1, 24, 32]) / 16
    assert (
        torch.allclose(step_x, step_y, atol=1e-4)
        and (step_x >= 0.25).all()
        and (step_x <= 1 + 1e-4).all()
        and step_x.min() < 0.4
    )
    assert torch.allclose(seen[:, :, 31:33, 31:33].mean(dim=(2, 3)), torch.full((40, 2), 31.5), atol=1e-3)


def test_metrics_are_those_of_the_definitions():
    result = Result.of(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 2]))
    assert result.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert result.accuracy == pytest.approx(4 / 6)
    assert result.f1 == pytest.approx([4 / 6, 2 / 4, 1.0]) and result.macro_f1 == pytest.approx((4 / 6 + 0.5 + 1) / 3)
    absent = Result.of(np.array([0, 1]), np.array([0, 1]))
    assert np.isnan(absent.f1[2]) and absent.macro_f1 == 1.0 and absent.facts()["f1"]["land"] is None


def test_folds_keep_groups_whole():
    patches = random_set()
    fold = comparison.deal_folds(patches, 3, 0)
    assert all(len(set(fold[patches.groups == group])) == 1 for group in range(6)) and set(fold) == {0, 1, 2}
    with pytest.raises(InputError, match="--folds"):
        comparison.deal_folds(patches, 7, 0)


def test_methods_are_compared_on_every_patch(made, tmp_path):
    json_file = tmp_path / "out.json"
    patches = made[0]
    invoke(
        "surface",
        "compare",
        patches,
        "--folds",
        2,
        "--smoke",
        "--run",
        tmp_path / "run",
        "--json",
        json_file,
        "--device",
        "cpu",
    )
    numbers = json.loads(json_file.read_text())
    assert set(numbers) == set(comparison.METHODS) and all(
        np.sum(method["confusion"]) == 120 for method in numbers.values()
    )
    assert numbers["forest on statistics"]["accuracy"] > 0.95 > numbers["commonest class"]["accuracy"]


def test_wrong_weights_and_bands_are_named(made, tmp_path, run):
    patches, weights, _, _ = made
    other = tmp_path / "other.safetensors"
    artefact.save_weights(other, {"a": np.zeros(3)}, Manifest("flow", 0, (), {}, 0))
    grey = polar.write_patches(tmp_path / "grey", channels=1)
    for place, file, words in (
        (patches, other, "other.safetensors: holds the weights of a flow"),
        (grey, weights, "grey: has one band"),
    ):
        code, _, error = run("surface", "evaluate", place, "--weights", file, "--device", "cpu")
        assert code == 2 and words in error


def test_one_scene_cannot_be_trained_on(tmp_path, run):
    patches = polar.write_patches(tmp_path / "patches", scenes=1)
    code, _, error = run(
        "surface", "train", patches, "--smoke", "--out", tmp_path / "w.safetensors", "--run", tmp_path / "run"
    )
    assert code == 2 and "sample more scenes" in error and not (tmp_path / "w.safetensors").exists()


def test_the_shipped_weights_are_small_half_precision_and_saw_simulated_scenes_only():
    tensors, manifest = artefact.load_weights(WEIGHTS)
    assert WEIGHTS.stat().st_size < 8 * 2**20
    assert all(value.dtype == np.float16 for value in tensors.values() if value.ndim >= 2)
    assert manifest.stage == "surface" and manifest.trained_on == ("polar_patches",)


def test_the_shipped_weights_classify_scenes_that_they_never_saw(tmp_path):
    invoke("surface", "simulate", tmp_path / "scenes", "--scenes", 3, "--size", 400, 400, "--seed", 980_000)
    invoke("surface", "sample", tmp_path / "scenes", tmp_path / "scenes", tmp_path / "patches", "--stride", 48)
    found, (net, _) = read_patches(tmp_path / "patches"), load_classifier(WEIGHTS)
    assert Result.of(found.labels, probabilities(net, found.pixels).argmax(axis=1)).accuracy > 0.88


@pytest.mark.skipif(not REAL.is_file(), reason=f"needs {REAL}, which is not part of the repository")
def test_the_public_zip_is_read():
    found = read_patches(REAL)
    assert len(found) == 6047 and np.bincount(found.labels).tolist() == [2761, 2749, 537]
    ratio = found.pixels[::50].astype(float)
    usable = (ratio[:, 0] > 40) & (ratio[:, 0] < 240) & (ratio[:, 1] > 40) & (ratio[:, 1] < 240) & (ratio[:, 2] < 240)
    expected = 82 * ratio[:, 1] / np.maximum(ratio[:, 0], 1)
    assert np.median(np.abs(ratio[:, 2] / expected - 1)[usable]) < 0.05


def test_the_network_is_small():
    assert sum(weight.numel() for weight in PatchClassifier(SurfaceConfig()).parameters()) < 1e6
