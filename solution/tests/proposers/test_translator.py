"""The translator: what its networks see, what its losses ignore, that it learns, and what training leaves behind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import lightning
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from solution.core import artefact
from solution.core.errors import InputError
from solution.core.weights import compact
from solution.proposers.translator.network import Generator, PatchDiscriminator, translate
from solution.proposers.translator.settings import TranslatorConfig
from solution.proposers.translator.training import (
    TranslatorModule,
    Views,
    adversarial_loss,
    loss_mask,
    masked_l1,
    write_grid,
)
from solution.samples import images
from solution.samples.images import TrainingImage
from solution.samples.tiles import IGNORE, NEGATIVE, POSITIVE, TilePairs
from solution.samples.truth import RegisteredField
from solution.training import run, stages, tile_data

SMOKE = TranslatorConfig().smoke()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def generator(norm: str = "batch") -> Generator:
    """A net whose normalisation has statistics of its own."""
    net = Generator(replace(SMOKE, norm=norm))
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(4, 1, 64, 64), torch.ones(4, 64, 64))
    return net.eval()


def batch(count: int = 2, size: int = 96) -> dict[str, torch.Tensor]:
    """Pairs whose optical image follows from the SAR image."""
    rough = torch.nn.functional.avg_pool2d(torch.rand(count, 1, size + 8, size + 8), 9, 1)
    sar = ((rough - 0.5) * 8 + 0.5).clamp(0, 1)
    block = size // 16
    return {
        "sar": sar,
        "optical": torch.cat([0.2 + 0.6 * sar, 0.8 - 0.6 * sar, 0.3 + 0 * sar], dim=1),
        "sar_valid": torch.ones(count, size, size),
        "optical_valid": torch.ones(count, size, size),
        "label": torch.full((count, block, block), POSITIVE),
        "index": torch.arange(count) + 7,
    }


def test_the_discriminator_judges_patches_of_70_px():
    critic = PatchDiscriminator(replace(SMOKE, critic_channels=4)).eval()
    sar, picture = torch.rand(1, 1, 256, 256), torch.rand(1, 3, 256, 256, requires_grad=True)
    logits = critic(sar, picture)
    assert logits.shape == (1, 1, 30, 30)
    logits[0, 0, 15, 14].backward()
    rows, columns = (torch.nonzero(picture.grad.abs().sum(dim=(0, 1, axis))).ravel() for axis in (3, 2))
    # A patch is centred 8 px from the next one.
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (70, 70)
    assert rows[0] - columns[0] == 8


def test_the_discriminator_looks_at_the_sar_image_too():
    critic = PatchDiscriminator(SMOKE).eval()
    picture = torch.rand(1, 3, 96, 96)
    assert (critic(torch.rand(1, 1, 96, 96), picture) - critic(torch.rand(1, 1, 96, 96), picture)).abs().max() > 1e-3


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_batch_is_its_tiles(norm):
    net = generator(norm)
    sar, valid = torch.rand(3, 1, 64, 80), torch.ones(3, 64, 80)
    valid[1, :, :40] = 0
    with torch.no_grad():
        together = net(sar, valid)
        alone = torch.cat([net(sar[i : i + 1], valid[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert together.std() > 1e-3


def test_only_the_normalisations_with_a_name_exist():
    with pytest.raises(InputError, match="norm 'group' is neither"):
        Generator(replace(SMOKE, norm="group"))


@pytest.mark.parametrize("shape", [(1, 1), (5, 200), (37, 53), (64, 64), (129, 63)])
def test_any_size_goes_through(shape):
    picture = translate(generator(), np.random.default_rng(0).random(shape, np.float32), np.ones(shape, np.float32))
    assert picture.shape == (3, *shape) and picture.dtype == np.float32
    assert np.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1


def test_padding_does_not_move_the_picture():
    net = generator()
    sar, valid = np.random.default_rng(0).random((160, 160), np.float32), np.ones((160, 160), np.float32)
    whole, part = translate(net, sar, valid), translate(net, sar[:135, :150], valid[:135, :150])
    assert np.abs(whole[:, :64, :64] - part[:, :64, :64]).max() < 1e-5
    assert np.abs(whole[:, 1:65, :64] - part[:, :64, :64]).max() > 1e-3


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_blank_tile_is_valid_input(norm):
    blank = np.zeros((64, 64), np.float32)
    net = generator(norm)
    assert torch.isfinite(net(torch.zeros(1, 1, 64, 64), torch.zeros(1, 64, 64))).all()
    assert not translate(net, blank, blank).any()


def test_what_lies_below_invalid_pixels_does_not_matter():
    net = generator()
    sar, valid = np.random.default_rng(0).random((64, 64), np.float32), np.ones((64, 64), np.float32)
    valid[20:30, 5:60] = 0
    spoiled = np.where(valid > 0, sar, np.float32(np.nan))
    picture = translate(net, sar, valid)
    assert np.array_equal(picture, translate(net, spoiled, valid))
    assert not picture[:, 20:30, 5:60].any() and picture[:, :20].min() > 0


def test_the_mask_needs_both_images_and_a_sure_label():
    sample = batch(1, 64)
    sample["label"][0, 0, 1], sample["label"][0, 2, 3] = IGNORE, NEGATIVE
    sample["sar_valid"][0, 40, 2] = 0
    sample["optical_valid"][0, 41, 3] = 0
    expected = torch.ones(1, 1, 64, 64)
    expected[..., :16, 16:32] = 0
    expected[..., 32:48, 48:] = 0
    expected[0, 0, 40, 2] = expected[0, 0, 41, 3] = 0
    assert torch.equal(loss_mask(sample), expected)


def test_garbage_below_the_mask_changes_no_loss():
    module = TranslatorModule(SMOKE).eval()
    sample, picture = batch(), torch.rand(2, 3, 96, 96)
    sample["label"][0, :3] = IGNORE
    sample["optical_valid"][1, :, 70:] = 0
    mask = loss_mask(sample)
    garbage = {name: torch.where(mask > 0, sample[name], torch.nan) for name in ("sar", "optical")}
    wild = torch.where(mask > 0, picture, 100.0)

    def losses(sample: dict, picture: torch.Tensor) -> list[torch.Tensor]:
        views = Views.of(sample)
        shown = picture * views.mask
        fooled = adversarial_loss(module.critic(views.sar, shown), views.mask, real=True)
        return [masked_l1(picture, views.optical, views.mask), module.critic_loss(views, shown), fooled]

    clean, spoiled = losses(sample, picture), losses({**sample, **garbage}, wild)
    torch.testing.assert_close(clean, spoiled, atol=1e-6, rtol=1e-6)
    seen = {**sample, "optical": sample["optical"] + 0.1}
    assert all(a != b for a, b in zip(clean[:2], losses(seen, picture)[:2], strict=True))


def test_the_mean_absolute_error_is_that_of_the_visible_pixels():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    optical = torch.zeros(1, 3, 4, 4)
    assert masked_l1(optical + 0.25, optical, mask) == pytest.approx(0.25)
    assert masked_l1(optical + 0.25, optical, torch.zeros_like(mask)) == 0


def test_the_adversarial_loss_is_cross_entropy_weighed_by_what_is_seen():
    logits, mask = torch.zeros(1, 1, 6, 6), torch.ones(1, 1, 64, 64)
    assert float(adversarial_loss(logits, mask, real=True)) == pytest.approx(math.log(2))
    assert (
        adversarial_loss(logits + 3, mask, real=True)
        < adversarial_loss(logits, mask, real=True)
        < adversarial_loss(logits + 3, mask, False)
    )
    logits[..., 3:] = 9.0
    mask[..., 32:] = 0
    assert float(adversarial_loss(logits, mask, real=False)) == pytest.approx(math.log(2))
    assert adversarial_loss(logits, torch.zeros_like(mask), real=False) == 0


def fit(module: TranslatorModule, samples: list[dict]) -> None:
    """One epoch of the module's own training steps."""
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, DataLoader(samples, batch_size=None))


def test_it_learns_a_pair_by_heart():
    sample = batch(2, 64)
    module = TranslatorModule(replace(SMOKE, steps=40, learning_rate=5e-3, critic_channels=4))

    def error() -> float:
        module.net.eval()
        with torch.no_grad():
            picture = module.net(sample["sar"], sample["sar_valid"])
        module.net.train()
        return float(masked_l1(picture, sample["optical"], loss_mask(sample)))

    before = error()
    fit(module, [sample] * 20)
    assert error() < before / 2


def test_both_optimisers_reach_every_weight_of_their_own_network():
    module = TranslatorModule(SMOKE)
    before = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    fit(module, [batch()])
    assert [name for name, weight in module.named_parameters() if torch.equal(before[name], weight)] == []
    of_generator, of_critic = module.configure_optimizers()[0]
    assert {id(w) for w in module.net.parameters()} == {
        id(w) for group in of_generator.param_groups for w in group["params"]
    }
    assert {id(w) for w in module.critic.parameters()} == {
        id(w) for group in of_critic.param_groups for w in group["params"]
    }
    assert of_generator.defaults["betas"] == of_critic.defaults["betas"] == (0.5, 0.999)


@pytest.mark.parametrize("part", ["net", "critic"])
def test_a_loss_that_is_not_finite_names_its_tiles(part):
    module = TranslatorModule(SMOKE)
    last = module.net.paint if part == "net" else module.critic.layers[-1]
    torch.nn.init.constant_(last.bias, float("nan"))
    with pytest.raises(FloatingPointError, match=r"train: the loss is not finite on tiles \[7, 8\]"):
        fit(module, [batch()])
    if part == "net":
        with pytest.raises(FloatingPointError, match=r"val: the loss is not finite on tiles \[7, 8\]"):
            module.validation_step(batch(), 0)


def test_the_learning_rate_warms_up_stays_and_falls_to_nothing():
    module = TranslatorModule(replace(SMOKE, steps=100, warmup_steps=10))
    for scheduler in module.configure_optimizers()[1]:
        rates = [scheduler.lr_lambdas[0](step) for step in range(101)]
        assert (
            rates[0] == pytest.approx(0.1)
            and rates[9:51] == [1.0] * 42
            and rates[75] == pytest.approx(0.5)
            and rates[100] == 0
        )
        assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[50:]) < 0).all()


def test_the_shipped_network_is_small():
    weights = compact(TranslatorModule(TranslatorConfig()).net)
    assert sum(value.nbytes for value in weights.values()) < 3e6


def test_a_grid_shows_sar_translated_and_optical_side_by_side(tmp_path):
    red, blue = np.zeros((3, 4, 5), np.float32), np.zeros((3, 4, 5), np.float32)
    red[0], blue[2] = 1.0, 1.0
    write_grid(tmp_path / "grid.png", [(np.full((4, 5), 0.5), red, blue)] * 2)
    grid = cv2.imread(str(tmp_path / "grid.png"), cv2.IMREAD_COLOR_RGB)
    assert grid.shape == (8, 15, 3)
    assert grid[5, [2, 7, 12]].tolist() == [[128, 128, 128], [255, 0, 0], [0, 0, 255]]


@pytest.fixture
def pair() -> TrainingImage:
    rough = np.random.default_rng(0).integers(1, 255, (160, 160), dtype=np.uint8)
    smooth = cv2.GaussianBlur(rough, (0, 0), 2)
    return TrainingImage(
        "pairs/a", "registered", images.pyramid(np.dstack([smooth] * 3)), images.pyramid(smooth), RegisteredField(1.0)
    )


def test_tiles_are_in_register_and_keep_their_colours(pair):
    samples = TilePairs([pair], replace(TranslatorConfig(), tile_px=96, factors=(1,)), 6, 0)
    for sample in (samples[index] for index in range(6)):
        mask = loss_mask(sample_batch(sample))[0, 0]
        assert not sample["shift"].any() and mask.mean() > 0.3
        assert torch.equal(sample["optical"][0], sample["optical"][2])  # nothing has touched the target's colours
        alike = {}
        for shift in (-3, 0, 3):
            sar, seen = torch.roll(sample["sar"][0], shift, 1), mask * torch.roll(mask, shift, 1) > 0
            alike[shift] = np.corrcoef(sample["optical"][0][seen], sar[seen])[0, 1]
        assert max(alike, key=alike.get) == 0


def sample_batch(sample: dict) -> dict:
    return {name: value[None] for name, value in sample.items()}


class KilledError(Exception):
    """Stands for a killed process."""


@pytest.fixture
def dying(monkeypatch) -> Iterator[list[int]]:
    """Training dies at the step whose number is put into the list."""
    at, whole, steps = [], TranslatorModule.training_step, []

    def step(self, sample, index):
        steps.append(index)
        if at and len(steps) > at[0]:
            at.clear()
            raise KilledError
        return whole(self, sample, index)

    monkeypatch.setattr(TranslatorModule, "training_step", step)
    return at


def test_a_killed_run_goes_on_to_the_same_weights(pair, tmp_path, monkeypatch, dying):
    monkeypatch.setattr(tile_data, "STEPS_PER_EPOCH", 2)
    kept = []
    monkeypatch.setattr(run.shutil, "rmtree", lambda folder, **_: kept.append(folder))
    config = replace(SMOKE, batch_size=1, tile_px=64)

    def go(name: str) -> Path:
        out = tmp_path / name / "translator.safetensors"
        line = run.train_stage(stages.TRANSLATOR, [pair], config, out, 0, 0, tmp_path / name / "work", device="cpu")
        assert "translator fold 0: wrote" in line and "mean absolute error 0." in line
        return out

    whole = go("whole")
    pictures = sorted(path.name for path in kept[0].glob("*.png"))
    assert pictures == ["samples_0000.png", "samples_0001.png"]
    assert cv2.imread(str(kept[0] / pictures[0])).shape == (4 * 64, 3 * 64, 3)
    dying.append(3 + 4)
    with pytest.raises(KilledError):
        go("late")
    assert not (tmp_path / "late" / "translator.safetensors").exists()
    assert go("late").read_bytes() == whole.read_bytes()
    tensors, manifest = artefact.load_weights(whole)
    assert (manifest.stage, manifest.trained_on) == ("translator", ("pairs/a",))
    assert set(tensors) == set(Generator(config).state_dict())  # without the discriminator
    net, _ = stages.load_stage(stages.TRANSLATOR, whole)
    assert not net.training and np.isfinite(translate(net, np.zeros((64, 64)), np.ones((64, 64)))).all()


def test_validation_pairs_are_watched_and_not_learnt(pair, tmp_path):
    config = replace(SMOKE, batch_size=1, tile_px=64, steps=1)
    data = tile_data.TileData([pair], config, 0, [replace(pair, name="pairs/b")])
    assert [image.name for image in data.train_tiles.images] == ["pairs/a"]
    assert [image.name for image in data.validation_tiles.images] == ["pairs/b"]
    out = tmp_path / "t.safetensors"
    run.train_stage(
        stages.TRANSLATOR,
        [pair],
        config,
        out,
        -1,
        0,
        tmp_path,
        device="cpu",
        validation=[replace(pair, name="pairs/b")],
    )
    assert artefact.read_manifest(out).trained_on == ("pairs/a",)
