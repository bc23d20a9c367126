"""Training: what an artefact says of itself, what is skipped, refused and resumed, and that no team saw what it is
judged on."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from solution.core import artefact, devices, weights
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.settings import FlowConfig
from solution.proposers.flow.training import FlowModule
from solution.samples import images
from solution.samples.images import TrainingImage
from solution.samples.truth import RegisteredField
from solution.training import run as train
from solution.training import stages, tile_data

RUN_FILES = (".curve.csv", ".curve.png", ".safetensors")
SMOKE = dataclasses.replace(FlowConfig().smoke(), batch_size=1)


@pytest.fixture
def folds(trained, tmp_path) -> Path:
    """A copy of the smoke run's teams, to be changed."""
    return shutil.copytree(trained.folds, tmp_path / "folds")


@pytest.fixture
def sources() -> list[TrainingImage]:
    image = np.random.default_rng(0).integers(1, 255, (160, 160), dtype=np.uint8)
    smooth = cv2.GaussianBlur(image, (0, 0), 2)
    return [
        TrainingImage(
            "pairs/a",
            "registered",
            images.pyramid(np.dstack([smooth] * 3)),
            images.pyramid(smooth),
            RegisteredField(1.0),
        )
    ]


@pytest.fixture
def short_epochs(monkeypatch) -> None:
    """Two epochs in a smoke run."""
    monkeypatch.setattr(tile_data, "STEPS_PER_EPOCH", 2)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_team_saw_the_other_scenes_only(trained):
    for fold, other in ((0, "03_train_01"), (1, "02_train_01")):
        for stage in (stages.COARSE, stages.FLOW):
            manifest = artefact.read_manifest(trained.folds / str(fold) / stage.file)
            assert (manifest.stage, manifest.fold, manifest.trained_on, manifest.seed) == (
                stage.name,
                fold,
                (other,),
                0,
            )
            assert stages.config_of(manifest, stage) == stage.config_type().smoke()
            assert manifest.config["init"] is None
    assert trained.output.count("flow.safetensors, ") == trained.output.count("coarse.safetensors, ") == 2
    files = [f"{team}/{stage}{kind}" for team in "01" for stage in ("coarse", "flow") for kind in RUN_FILES]
    assert sorted(contents(trained.folds)) == [*files, "split.csv"]


def test_weights_are_small_and_load_again(trained):
    path = trained.folds / "0" / "flow.safetensors"
    tensors, _ = artefact.load_weights(path)
    assert {value.dtype for value in tensors.values() if value.ndim >= 2} == {np.dtype(np.float16)}
    assert {value.dtype for value in tensors.values() if value.ndim == 1 and value.dtype.kind == "f"} == {
        np.dtype(np.float32)
    }
    net, manifest = stages.load_stage(stages.FLOW, path)
    assert not net.training and manifest.fold == 0
    assert all(value.dtype == torch.float32 for value in net.parameters())
    again = weights.compact(net)
    assert all(value.tobytes() == again[name].tobytes() for name, value in tensors.items())


def test_a_second_run_skips_every_team(trained, folds, run):
    before = contents(folds)
    code, out, _ = run("train-flow", trained.data, "--smoke", "--folds", folds, "--device", "cpu")
    assert code == 0 and out.count("is up to date, skipped") == 2
    assert contents(folds) == before


def test_one_team_can_be_trained_alone_and_comes_out_the_same(trained, tmp_path, run):
    folds = tmp_path / "folds"
    folds.mkdir()
    shutil.copy(trained.folds / "split.csv", folds)
    arguments = ("train-flow", trained.data, "--smoke", "--folds", folds, "--device", "cpu", "--team")
    code, _, err = run(*arguments, "7")
    assert code == 2 and "--team 7: is none of 0, 1" in err
    assert run(*arguments, "1")[0] == 0
    files = [f"1/flow{kind}" for kind in RUN_FILES]
    assert sorted(contents(folds)) == [*files, "split.csv"]
    assert all(contents(folds)[name] == contents(trained.folds)[name] for name in files)


def test_only_what_is_missing_is_trained_and_comes_out_the_same(trained, folds, run):
    before = contents(folds)
    (folds / "1" / "flow.safetensors").unlink()
    code, out, _ = run("train-flow", trained.data, "--smoke", "--folds", folds, "--device", "cpu")
    assert code == 0 and "flow fold 0" in out.partition("skipped")[0] and "flow fold 1: wrote" in out
    assert contents(folds) == before


def test_other_settings_are_refused_unless_told(trained, folds, run):
    before = contents(folds)
    code, _, err = run("train-flow", trained.data, "--smoke", "--steps", 1, "--folds", folds, "--device", "cpu")
    assert (
        code == 2
        and "was trained with other settings, data or code; pass --replace" in err
        and len(err.splitlines()) == 1
    )
    assert contents(folds) == before


def test_replace_overwrites_what_has_other_settings(sources, tmp_path):
    out = tmp_path / "flow.safetensors"
    artefact.save_weights(out, {"a": np.zeros(1)}, Manifest("flow", 0, (), {}, 0))
    one_step = dataclasses.replace(SMOKE, steps=1)
    assert "wrote" in train.train_stage(
        stages.FLOW, sources, one_step, out, 0, 0, tmp_path / "work", device="cpu", replace=True
    )
    assert artefact.read_manifest(out).config["steps"] == 1


def test_other_data_and_other_code_are_another_run(sources, tmp_path, monkeypatch):
    out, one_step = tmp_path / "flow.safetensors", dataclasses.replace(SMOKE, steps=1)

    def go(data: str) -> str:
        images = [dataclasses.replace(source, data=data) for source in sources]
        return train.train_stage(stages.FLOW, images, one_step, out, 0, 0, tmp_path / "work", device="cpu")

    assert "wrote" in go("simulated once") and "up to date" in go("simulated once")
    with pytest.raises(InputError, match="other settings, data or code"):
        go("simulated again")
    monkeypatch.setattr(train, "code_digest", lambda *behind: "of other code")
    with pytest.raises(InputError, match="other settings, data or code"):
        go("simulated once")


@pytest.mark.parametrize(
    "arguments",
    [["--init", "nothing.safetensors"], ["--device", "gpu"], ["--pairs", "nowhere"], ["--simulated", "nowhere"]],
)
def test_bad_arguments_end_in_a_sentence(trained, tmp_path, run, arguments):
    folds = tmp_path / "folds"
    folds.mkdir()
    shutil.copy(trained.folds / "split.csv", folds)
    code, _, err = run("train-flow", trained.data, "--smoke", "--folds", folds, *arguments)
    assert code == 2 and err.splitlines()[-1].startswith("error: ") and "Traceback" not in err
    assert list(contents(folds)) == ["split.csv"]


def test_a_scene_outside_the_split_is_refused(trained, make_scene, run):
    scene = make_scene("05_train_01")
    code, _, err = run("train-flow", scene.folder, "--smoke", "--folds", trained.folds)
    assert code == 2 and "scene 05_train_01: is not in the split" in err


class KilledError(Exception):
    """Stands for a killed process."""


def kill_at(monkeypatch, step: int) -> None:
    """From the given step of a run on, training dies."""
    whole = FlowModule.training_step

    def dying(self, sample, index):
        if self.trainer.global_step >= step:
            raise KilledError
        return whole(self, sample, index)

    monkeypatch.setattr(FlowModule, "training_step", dying)


def record_tiles(monkeypatch) -> list[int]:
    """Tile numbers in the order in which training sees them."""
    seen, whole = [], FlowModule.training_step

    def noting(self, sample, index):
        seen.extend(sample["index"].tolist())
        return whole(self, sample, index)

    monkeypatch.setattr(FlowModule, "training_step", noting)
    return seen


@pytest.mark.slow
@pytest.mark.usefixtures("short_epochs")
def test_a_killed_run_goes_on_to_the_same_weights(sources, tmp_path, monkeypatch):
    def go(name: str) -> str:
        return train.train_stage(
            stages.FLOW,
            sources,
            SMOKE,
            tmp_path / name / "flow.safetensors",
            0,
            0,
            tmp_path / name / "work",
            device="cpu",
        )

    with monkeypatch.context() as patch:
        seen = record_tiles(patch)
        go("whole")
        assert seen == [0, 1, 2, 3]
    whole = (tmp_path / "whole" / "flow.safetensors").read_bytes()

    with monkeypatch.context() as patch:
        kill_at(patch, 3)
        with pytest.raises(KilledError):
            go("killed")
    assert not (tmp_path / "killed" / "flow.safetensors").exists()
    with monkeypatch.context() as patch:
        seen = record_tiles(patch)
        go("killed")
        assert seen == [2, 3]  # the first epoch is not done again
    assert (tmp_path / "killed" / "flow.safetensors").read_bytes() == whole
    assert not list((tmp_path / "killed" / "work").iterdir())

    with monkeypatch.context() as patch:
        patch.setattr(artefact, "save_weights", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            go("late")
    with monkeypatch.context() as patch:
        seen = record_tiles(patch)
        go("late")
        assert seen == []
    assert (tmp_path / "late" / "flow.safetensors").read_bytes() == whole
    assert "skipped" in go("late")


def test_a_start_is_inherited_with_what_it_saw(sources, tmp_path):
    config = dataclasses.replace(SMOKE, steps=1)
    torch.manual_seed(5)
    net = FlowNet(config)
    base = Manifest("flow", -1, ("pairs/z", "02_train_02"), dataclasses.asdict(config), 0)
    artefact.save_weights(tmp_path / "base.safetensors", weights.compact(net), base)
    still = dataclasses.replace(config, learning_rate=0.0)
    train.train_stage(
        stages.FLOW,
        sources,
        still,
        tmp_path / "out.safetensors",
        0,
        0,
        tmp_path / "work",
        tmp_path / "base.safetensors",
        "cpu",
    )
    tensors, manifest = artefact.load_weights(tmp_path / "out.safetensors")
    assert manifest.trained_on == ("02_train_02", "pairs/a", "pairs/z") and manifest.config["init"] == base.digest()
    assert all(np.array_equal(tensors[name], weights.compact(net)[name]) for name, _ in net.named_parameters())
    with pytest.raises(InputError, match="was trained on scene 02_train_02"):
        manifest.guard_held_out("02_train_02")


def test_the_base_model_is_trained_on_pairs_and_never_on_the_excluded(tmp_path, run):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        for kind, shape in (("s1", (140, 150)), ("s2", (140, 150, 3))):
            (tmp_path / "pairs" / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "pairs" / kind / f"{name}.png"), rng.integers(1, 255, shape, dtype=np.uint8))
    common = (
        "--pairs",
        tmp_path / "pairs",
        "--exclude",
        "b",
        "--folds",
        tmp_path / "folds",
        "--device",
        "cpu",
        "--smoke",
        "--steps",
        1,
    )
    code, out, _ = run("train-base", *common)
    assert code == 0 and "flow fold -1: wrote" in out
    manifest = artefact.read_manifest(tmp_path / "folds" / "base" / "flow.safetensors")
    assert (manifest.fold, manifest.trained_on) == (-1, ("pairs/a",))
    assert "skipped" in run("train-base", *common)[1]


def test_epochs_take_consecutive_stretches_and_never_more_than_the_steps(sources, monkeypatch):
    monkeypatch.setattr(tile_data, "STEPS_PER_EPOCH", 3)
    data = tile_data.TileData(sources, dataclasses.replace(SMOKE, steps=7, batch_size=2), seed=0, workers=0)
    seen = []
    for epoch in range(3):
        data.trainer = SimpleNamespace(current_epoch=epoch, world_size=1, global_rank=0, accumulate_grad_batches=1)
        seen.append([number for batch in data.train_dataloader().batch_sampler for number in batch])
    assert seen == [list(range(6)), list(range(6, 12)), [12, 13]]
    assert data.validation_tiles.seed != data.train_tiles.seed and not data.validation_tiles.augment


def test_half_precision_costs_little_and_vectors_nothing():
    torch.manual_seed(0)
    net, copy = FlowNet(SMOKE), FlowNet(SMOKE)
    weights.load_network(copy, weights.compact(net), Path("x"))
    for (name, old), new in zip(net.state_dict().items(), copy.state_dict().values(), strict=True):
        if old.ndim >= 2:
            torch.testing.assert_close(new, old, rtol=1e-3, atol=1e-6)
        else:
            assert torch.equal(new, old), name


def test_weights_of_another_network_are_refused():
    other = FlowNet(dataclasses.replace(SMOKE, feature_channels=8))
    with pytest.raises(InputError, match=r"flow\.safetensors: does not fit the configured network"):
        weights.load_network(FlowNet(SMOKE), weights.compact(other), Path("flow.safetensors"))


def test_the_settings_come_back_from_a_manifest():
    config = dataclasses.replace(SMOKE, factors=(2, 4))
    content = {
        name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(config).items()
    }
    assert stages.config_of(Manifest("flow", 0, (), {**content, "init": "abc", "of an older version": 1}, 0)) == config


def test_settings_follow_the_arguments():
    assert stages.chosen_config(stages.FLOW, None, False, False) == FlowConfig()
    assert stages.chosen_config(stages.FLOW, None, False, True) == FlowConfig().fine_tuned()
    assert stages.chosen_config(stages.FLOW, None, False, True, adapt=True) == FlowConfig().adapted()
    assert stages.chosen_config(stages.FLOW, 7, True, False) == dataclasses.replace(FlowConfig().smoke(), steps=7)


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.trainer_device("auto") == devices.trainer_device("cpu") == ("cpu", 1)
    assert devices.torch_device("auto") == torch.device("cpu")
    for wrong in ("gpu", "cuda:x", "cuda0", "", "cuda"):
        with pytest.raises(InputError, match="--device"):
            devices.trainer_device(wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.trainer_device("auto") == devices.trainer_device("cuda") == ("cuda", "auto")
    assert devices.trainer_device("cuda:1") == ("cuda", [1]) and devices.torch_device("cuda:1") == torch.device(
        "cuda:1"
    )


def test_the_average_forgets_its_start_and_settles_at_its_decay():
    step = train.warm_average(0.9)
    average = torch.tensor(1000.0)
    for count in range(1, 61):
        average = step(average, torch.tensor(1.0), torch.tensor(count))
    assert abs(float(average) - 1.0) < 1e-3  # a constant decay of 0.9 would leave 1.8
    assert float(step(torch.tensor(0.0), torch.tensor(1.0), torch.tensor(10_000))) == pytest.approx(0.1)
