"""When a run ends, which weights it keeps, and that a killed run decides as it would have: on a network of one weight
that falls by one a step, and with development errors that are written down here."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import cv2
import lightning
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.samples.images import TrainingImage, pyramid
from solution.samples.truth import RegisteredField
from solution.training import run as train
from solution.training.curves import Curves, curve_files
from solution.training.observers import observers
from solution.training.pace import Pace, duration
from solution.training.stage import Samples, Stage
from solution.training.stopping import count_apart, kept_apart, mixed

START = 100.0
RISES_AT_THE_END = (9.0, 5.0, 3.0, 4.0, 4.0, 2.0)


def image(name: str, kind: str) -> TrainingImage:
    empty = np.zeros((8, 8), np.uint8)
    return TrainingImage(name, kind, pyramid(np.dstack([empty] * 3)), pyramid(empty), RegisteredField(1.0))


SIX = [image(f"scene {number}", "labelled") for number in range(6)]


@dataclass(frozen=True)
class ToyConfig:
    """Two steps an epoch; without an average the last weights are validated."""

    SIZES: ClassVar[tuple[str, ...]] = ()

    steps: int = 2 * len(RISES_AT_THE_END)
    batch_size: int = 1
    ema_decay: float | None = None
    start_share: float = 0.0
    patience: float = 1 / 3
    errors: tuple[float, ...] = RISES_AT_THE_END


class ToyData(Samples):
    """Nothing to learn from."""

    def __init__(self, images, config, seed, validation=()) -> None:
        super().__init__()
        self._steps = config.steps

    @property
    def epochs(self) -> int:
        return self._steps // 2

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.zeros(2, 1), 1)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(torch.zeros(1, 1), 1)


class KilledError(Exception):
    """Stands for a killed process."""


class Toy(lightning.LightningModule):
    """Its weight begins at `START`; every step takes one off."""

    manual = False
    precision_cuda = "32-true"
    headline = "error {val_error:.1f}"
    steps = 0
    dies_at = -1

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.net = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.net.weight, START)

    def training_step(self, sample, index):
        if self.global_step == Toy.dies_at:
            raise KilledError
        Toy.steps += 1
        self.log("train_error", float(self.current_epoch), on_epoch=True, on_step=False)
        return self.net.weight.sum()

    def validation_step(self, sample, index) -> None:
        self.log("val_error", self.config.errors[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1.0)


TOY = Stage("toy", ToyConfig, Toy, ToyData, watched=("error", "error"))


@pytest.fixture
def go(tmp_path, monkeypatch):
    """Trains the toy: settings, and the step at which it dies -> the weight in its file, steps done, what was said."""
    monkeypatch.setattr(Toy, "steps", 0)

    def call(config: ToyConfig, dies_at: int = -1, images=SIX, init: Path | None = None):
        monkeypatch.setattr(Toy, "dies_at", dies_at)
        before, out = Toy.steps, tmp_path / "toy.safetensors"
        look = [Curves(out, TOY.watched, "toy")]
        told = train.train_stage(TOY, images, config, out, 0, 0, tmp_path / "work", init, "cpu", callbacks=look)
        weight = artefact.load_weights(out)[0]["weight"]
        return float(weight.squeeze()), Toy.steps - before, told

    return call


def test_a_run_ends_where_the_error_falls_no_longer_and_ships_the_best_weights(go, tmp_path):
    weight, steps, told = go(ToyConfig())
    assert (weight, steps) == (START - 6, 10)  # best after 6 steps; a third of 12 steps later it ends, before the 2.0
    assert "error 3.0 (development, 1 images kept apart); weights of step 6, ended at 10" in told
    table, picture = curve_files(tmp_path / "toy.safetensors")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["step"]), float(row["val_error"])) for row in rows] == [(2, 9), (4, 5), (6, 3), (8, 4), (10, 4)]
    assert [float(row["train_error"]) for row in rows] == [0, 1, 2, 3, 4]
    assert cv2.imread(str(picture)).shape == (360, 640, 3) and picture.stat().st_size < 60_000


def test_patience_reaches_the_later_minimum(go):
    weight, steps, told = go(ToyConfig(patience=0.5))
    assert (weight, steps) == (START - 12, 12) and "weights of step 12" in told and "ended" not in told


def test_a_rise_at_the_very_end_ships_the_earlier_weights(go):
    weight, steps, told = go(ToyConfig(patience=1.0, errors=(5.0, 4.0, 3.0, 1.0, 2.0, 2.0)))
    assert (weight, steps) == (START - 8, 12) and "weights of step 8, the best of 12" in told


@pytest.mark.parametrize("config", [ToyConfig(patience=0.0), ToyConfig()], ids=["told not to", "too few images"])
def test_without_images_kept_apart_the_last_weights_are_kept(go, config):
    weight, steps, told = go(config, images=SIX if config.patience == 0 else SIX[:5])
    assert (weight, steps) == (START - 12, 12) and "no image kept apart" in told


@pytest.mark.parametrize("dies_at", [1, 4, 7, 9])
def test_a_killed_run_decides_as_it_would_have(go, tmp_path, dies_at):
    whole = go(ToyConfig())
    files = [tmp_path / "toy.safetensors", *curve_files(tmp_path / "toy.safetensors")]
    before = [path.read_bytes() for path in files]
    for path in files:
        path.unlink()
    with pytest.raises(KilledError):
        go(ToyConfig(), dies_at)
    assert not files[0].exists()
    weight, steps, told = go(ToyConfig())
    assert (weight, told) == (whole[0], whole[2]) and steps == 10 - dies_at // 2 * 2
    assert [path.read_bytes() for path in files] == before


def test_a_run_that_was_killed_after_it_ended_does_not_begin_again(go, monkeypatch):
    def die(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(artefact, "save_weights", die)
        with pytest.raises(KilledError):
            go(ToyConfig())
    weight, steps, told = go(ToyConfig())
    assert (weight, steps) == (START - 6, 0) and "weights of step 6, ended at 10" in told


def test_what_is_kept_is_the_average_that_was_validated(go):
    average, count = START - 1, 1  # the average begins with the weights after the first step
    for step in range(2, 7):
        kept = min((1 + count) / (10 + count), 0.25)
        average, count = (START - step) + kept * (average - (START - step)), count + 1
    weight, _, _ = go(ToyConfig(ema_decay=0.25))
    assert weight == pytest.approx(average, abs=0.04) and abs(weight - (START - 6)) > 0.2  # in half precision


def test_the_start_is_mixed_into_what_is_kept_and_not_into_what_is_trained(go, tmp_path):
    start = tmp_path / "start.safetensors"
    artefact.save_weights(start, {"weight": np.full((1, 1), 40.0, np.float16)}, Manifest("toy", -1, (), {}, 0))
    weight, steps, _ = go(ToyConfig(ema_decay=0.0, start_share=0.25), init=start)
    assert steps == 10 and weight == 0.25 * 40 + 0.75 * (40 - 6)


def test_counts_are_not_mixed():
    weights = {"w": torch.tensor([4.0, 8.0]), "n": torch.tensor(7)}
    made = mixed(weights, {"w": torch.tensor([0.0, 0.0]), "n": torch.tensor(1)}, 0.5)
    assert made["w"].tolist() == [2.0, 4.0] and int(made["n"]) == 7


def test_one_in_six_of_every_kind_is_kept_apart_and_two_labelled_scenes_lose_none():
    images = [image("a", "labelled"), image("b", "labelled")]
    images += [image(f"simulated/{number}", "simulated") for number in range(13)]
    learned, apart = kept_apart(images, 0)
    assert {one.kind for one in apart} == {"simulated"} and len(apart) == 2
    assert sorted([*learned, *apart], key=images.index) == images
    assert kept_apart(images[::-1], 0)[1] == apart[::-1] and kept_apart(images, 1)[1] != apart
    assert kept_apart(images[:2], 0) == (images[:2], [])
    assert [count_apart(count) for count in (5, 6, 11, 12, 24, 400)] == [0, 1, 1, 2, 4, 4]


def test_teams_keep_the_same_images_apart_where_they_can():
    images = [image(f"s{number}", "labelled") for number in range(13)]
    apart = {one.name for one in kept_apart(images, 0)[1]}
    other = next(one for one in images if one.name not in apart)
    assert {one.name for one in kept_apart([one for one in images if one is not other], 0)[1]} == apart


def test_what_was_kept_apart_and_the_patience_are_in_the_key(go, tmp_path):
    go(ToyConfig())
    manifest = artefact.read_manifest(tmp_path / "toy.safetensors")
    assert manifest.config["kept_apart"] == [kept_apart(SIX, 0)[1][0].name] and manifest.config["patience"] == 1 / 3
    assert manifest.trained_on == tuple(one.name for one in SIX)  # what decided on the weights counts as seen
    with pytest.raises(artefact.InputError, match="other settings, data or code"):
        go(ToyConfig(patience=0.5))


def paced(first: int, seconds: float) -> tuple[list[str], list[int]]:
    """What a run of 80 steps says that goes on after `first` of them, and after which step."""
    said, at, now = [], [], [0.0]
    pace = Pace("flow fold 1", said.append, lambda: now[0])
    loop, module = SimpleNamespace(total_batch_idx=first - 1), SimpleNamespace(config=SimpleNamespace(steps=80))
    trainer = SimpleNamespace(
        fit_loop=loop, is_global_zero=True, num_training_batches=16, max_epochs=5, accumulate_grad_batches=1
    )
    pace.on_train_start(trainer, module)
    for step in range(first, 80):
        now[0] += seconds
        loop.total_batch_idx, before = step, len(said)
        pace.on_train_batch_end(trainer, module)
        at += [step + 1] * (len(said) - before)
    return said, at


def test_the_pace_is_told_after_twenty_steps_and_whenever_twice_as_many_are_done():
    said, at = paced(0, 5.0)
    assert at == [20, 40]  # and not when nothing is left
    assert all(line.startswith("flow fold 1: 80 steps, about 7 min, ends ") for line in said)


def test_a_resumed_run_measures_its_own_steps():
    said, at = paced(40, 60.0)
    assert at == [60] and said[0].startswith("flow fold 1: 80 steps, about 80 min, ends ")


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (89, "89 s"), (240, "4 min"), (9000, "2.5 h")])
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_stage_without_a_metric_draws_no_curve(tmp_path):
    assert [type(one) for one in observers(TOY, 0, tmp_path / "a.safetensors", print)] == [Pace, Curves]
    assert [type(one) for one in observers(replace(TOY, watched=None), 0, tmp_path / "a", print)] == [Pace]
