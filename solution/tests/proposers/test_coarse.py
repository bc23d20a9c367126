"""The coarse features: what they start from, what they are taught, and which way their displacement points."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from solution.proposers.coarse.network import CoarseFeatures, CoarseHead
from solution.proposers.coarse.settings import CoarseConfig
from solution.proposers.coarse.training import CoarseModule, place_loss
from solution.proposers.encoder.frozen import FROZEN_PX, FrozenMaps
from solution.proposers.soft_target import soft_target
from solution.samples.tiles import IGNORE, POSITIVE
from solution.tests.handmade import GradientDirections

CONFIG = replace(CoarseConfig().smoke(), windows_blocks=(1, 3))


@pytest.fixture(scope="module")
def frozen() -> FrozenMaps:
    return FrozenMaps("tf_efficientnet_lite0")


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_maps_are_standardised_over_valid_ground_alone(frozen):
    grey, valid = noise(1, 1, 128, 160), torch.ones(1, 128, 160)
    valid[:, :, 96:] = 0
    with torch.inference_mode():
        optical, sar = frozen.optical(grey.expand(-1, 3, -1, -1), valid), frozen.sar(grey, valid)
        nothing = frozen.sar(torch.where(valid[:, None] > 0, grey, 1.0), valid)
    assert optical.shape == sar.shape == (1, 152, 16, 20) and sar.abs().max() <= 3.0
    inside = sar[:, 40:, :, :10]
    assert inside.mean(dim=(2, 3)).abs().mean() < 0.3 and (inside.std(dim=(2, 3)) < 2.0).all()
    assert (sar[..., :8] - nothing[..., :8]).abs().mean() < 0.05


def test_the_head_begins_as_the_coarsest_map(frozen):
    features = CoarseFeatures(frozen, CoarseHead(CONFIG))
    grey, valid = noise(1, 1, 64, 96), torch.ones(1, 64, 96)
    with torch.inference_mode():
        sar = features.sar(grey, valid)
        torch.testing.assert_close(sar, F.normalize(frozen.sar(grey, valid)[:, -112:], dim=1))
    torch.testing.assert_close(sar.norm(dim=1), torch.ones(1, 8, 12))


def _sample(shift: tuple[float, float], size: int = 128) -> dict[str, torch.Tensor]:
    """Two views of one noise; the SAR view shows ground (x, y) at (x, y) + shift."""
    world = F.interpolate(noise(2, 1, size // 8 + 16, size // 8 + 16), scale_factor=8, mode="bicubic")
    x, y = (int(part) for part in shift)
    at = 64
    optical = world[:, :, at : at + size, at : at + size]
    sar = world[:, :, at - y : at - y + size, at - x : at - x + size]
    blocks = size // 16
    told = torch.tensor(shift).reshape(1, 2, 1, 1).expand(2, 2, blocks, blocks)
    return {
        "optical": optical.expand(-1, 3, -1, -1),
        "sar": sar,
        "optical_valid": torch.ones(2, size, size),
        "sar_valid": torch.ones(2, size, size),
        "shift": told,
        "label": torch.full((2, blocks, blocks), POSITIVE),
        "label_sigma": torch.zeros(2, blocks, blocks),
        "index": torch.arange(2),
    }


def test_the_loss_knows_the_true_displacement_in_sign_and_axes():
    sample, sharpness = _sample((16.0, -8.0)), CoarseHead(CONFIG).sharpness.detach()
    features = GradientDirections(FROZEN_PX)
    right, near = place_loss(features, sharpness, sample, CONFIG)
    assert near[-1] > 0.7
    for wrong in ((-16.0, 8.0), (-8.0, 16.0), (0.0, -8.0)):
        told = {**sample, "shift": torch.tensor(wrong).reshape(1, 2, 1, 1).expand_as(sample["shift"])}
        worse, far = place_loss(features, sharpness, told, CONFIG)
        assert (worse > right).all() and far[-1] < near[-1]


def test_blocks_without_a_label_teach_nothing():
    sample, sharpness = _sample((16.0, -8.0)), CoarseHead(CONFIG).sharpness.detach()
    sample["label"] = torch.full_like(sample["label"], IGNORE)
    loss, near = place_loss(GradientDirections(FROZEN_PX), sharpness, sample, CONFIG)
    assert not loss.any() and not near.any()


def test_only_the_head_is_trained_and_kept(frozen):
    module = CoarseModule(CONFIG)
    names = [name for name, _ in module.named_parameters()]
    assert names and all(name.startswith(("net.optical.", "net.sar.", "net.sharpness")) for name in names)
    before = {name: value.clone() for name, value in module.net.state_dict().items()}
    trunk = frozen.state_dict()["trunk.conv_stem.weight"].clone()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    features = CoarseFeatures(frozen, module.net)
    loss = place_loss(features, module.net.sharpness, _sample((8.0, 0.0)), CONFIG)[0].mean()
    loss.backward()
    optimizer.step()
    moved = {name for name, value in module.net.state_dict().items() if not torch.equal(value, before[name])}
    assert {"optical.2.weight", "sar.2.weight", "sharpness"} <= moved
    assert torch.equal(frozen.state_dict()["trunk.conv_stem.weight"], trunk)


def test_the_soft_target_lies_around_the_truth():
    truth = torch.tensor([[[[1.5, -2.0]]]])
    target = soft_target(truth, torch.zeros(1, 1, 1), 9, 0.6).reshape(9, 9)
    axis = torch.arange(9) - 4.0
    assert target.sum() == pytest.approx(1.0)
    assert (target.sum(dim=0) * axis).sum() == pytest.approx(1.5, abs=0.01)
    assert (target.sum(dim=1) * axis).sum() == pytest.approx(-2.0, abs=0.01)
    unsure = soft_target(truth, torch.full((1, 1, 1), 3.0), 9, 0.6).reshape(9, 9)
    assert unsure.max() < target.max()
