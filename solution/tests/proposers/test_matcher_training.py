"""Training a matcher: a few steps teach it a tile, every weight learns, and it may start from a flow regressor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from solution.proposers.matcher import training
from solution.proposers.matcher.training import MatcherModule
from solution.samples import images
from solution.samples.images import TrainingImage
from solution.samples.tiles import TilePairs
from solution.samples.truth import RegisteredField
from solution.tests.proposers.test_matcher import TINY, smooth_image


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    image = (255 * smooth_image(5, 1, 160)[0, 0].sub(0.3).mul(2.5).clamp(0.01, 1)).numpy().astype(np.uint8)
    pair = TrainingImage(
        "pairs/a",
        "registered",
        images.pyramid(np.dstack([image] * 3)),
        images.pyramid(255 - image),
        RegisteredField(0.5),
    )
    samples = TilePairs([pair], replace(TINY, inversion_share=0.0), 4, 0)
    return torch.utils.data.default_collate([samples[index] for index in range(4)])


@pytest.mark.slow
def test_a_few_steps_teach_it_a_tile(batch):
    torch.manual_seed(0)
    module = MatcherModule(TINY)
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        optical, sar = module.net.dense_pair(
            batch["optical"], batch["optical_valid"], batch["sar"], batch["sar_valid"], "sar"
        )
        loss = training.matcher_loss(module.net, optical, sar, batch)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(float(loss.place.detach()))
        if len(losses) == 1:
            before = training.match_errors(module.net, optical, sar, batch)
    after = training.match_errors(module.net, optical, sar, batch)
    assert losses[-1] < 0.3 * losses[0]
    assert (after < 3).float().mean() > max(0.4, 2 * (before < 3).float().mean())


def test_gradients_reach_every_weight_that_is_used(batch):
    torch.manual_seed(0)
    module = MatcherModule(TINY, translate=lambda sar, valid: sar.expand(-1, 3, -1, -1))
    module.log = lambda *_, **__: None
    for weight in module.net.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)  # what starts at zero holds back the gradient of the layers below
    (module._loss(batch, "train", True) + module._loss(batch, "train", False)).backward()
    without = {name for name, p in module.net.named_parameters() if p.grad is None or not p.grad.any()}
    assert not {name for name in without if not name.endswith("bias")}, without


def test_a_loss_that_is_not_finite_names_the_tiles(batch):
    module = MatcherModule(TINY)
    module.log = lambda *_, **__: None
    with torch.no_grad():
        module.net.log_scale.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"tiles \[0, 1, 2, 3\]"):
        module._loss(batch, "train", False)


def test_a_fixed_share_of_the_batches_is_translated(monkeypatch):
    module = MatcherModule(TINY, translate=lambda sar, valid: sar)
    seen = []
    monkeypatch.setattr(module, "_loss", lambda sample, stage, translated: seen.append(translated))
    for step in range(100):
        monkeypatch.setattr(MatcherModule, "global_step", step)
        module.training_step({}, 0)
    assert sum(seen) == round(100 * TINY.translated_share) and sum(seen[:50]) == pytest.approx(sum(seen) / 2, abs=1)
    seen.clear()  # a matcher without translator never asks for one
    plain = MatcherModule(TINY)
    monkeypatch.setattr(plain, "_loss", lambda sample, stage, translated: seen.append(translated))
    plain.training_step({}, 0)
    assert seen == [False]
