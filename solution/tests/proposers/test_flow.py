"""The flow regressor: its correlation against a double loop, the sign and axes of what it finds, and the three-state
loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from solution.proposers.encoder.cells import STRIDE_PX, cell_valid, faded
from solution.proposers.flow import correlation, network
from solution.proposers.flow.correlation import block_correlation, pair_counts, window_means
from solution.proposers.flow.network import FlowNet, FlowOutput, peak_position
from solution.proposers.flow.settings import FlowConfig
from solution.proposers.flow.training import FlowLoss, FlowModule, flow_loss
from solution.samples.tiles import IGNORE, NEGATIVE, POSITIVE

CONFIG = replace(FlowConfig().smoke(), radius_cells=5)
BLOCK_PX = 16


@pytest.fixture(scope="module")
def net() -> FlowNet:
    torch.manual_seed(0)
    return FlowNet(CONFIG).eval()


def brute_force(optical: torch.Tensor, sar: torch.Tensor, block: int, radius: int) -> torch.Tensor:
    """The definition: sar is padded by the radius, so that its cell (y + radius, x + radius) lies under the optical
    cell (y, x)."""
    batch, _, height, width = optical.shape
    span = 2 * radius + 1
    out = torch.zeros(batch, height // block, width // block, span, span, dtype=optical.dtype)
    for y in range(height):
        for x in range(width):
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    product = (optical[:, :, y, x] * sar[:, :, y + dy + radius, x + dx + radius]).sum(dim=1)
                    out[:, y // block, x // block, dy + radius, dx + radius] += product
    return out


def random_cells(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_block_correlation_is_its_definition():
    optical, sar = random_cells(2, 3, 4, 6), random_cells(2, 3, 4 + 4, 6 + 4, seed=1)
    expected = brute_force(optical, sar, 2, 2)
    torch.testing.assert_close(block_correlation(optical, sar, 2, 2), expected)
    with torch.no_grad():
        torch.testing.assert_close(block_correlation(optical, sar, 2, 2), expected)


def test_the_chunks_of_the_correlation_join(monkeypatch):
    optical, sar = random_cells(1, 2, 6, 6), random_cells(1, 2, 6 + 2, 6 + 2, seed=1)
    whole = block_correlation(optical, sar, 2, 1)
    monkeypatch.setattr(correlation, "CHUNK_BLOCKS", 2)  # nine blocks: the last chunk is a short one
    torch.testing.assert_close(block_correlation(optical, sar, 2, 1), whole)
    inputs = optical.requires_grad_(), sar.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: block_correlation(a, b, 2, 1), inputs)


def test_the_gradient_of_the_correlation_is_exact():
    inputs = random_cells(1, 2, 4, 2).requires_grad_(), random_cells(1, 2, 4 + 2, 2 + 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: block_correlation(a, b, 2, 1), inputs)


def test_pair_counts_are_exact_where_one_side_is_whole():
    rng = torch.Generator().manual_seed(0)
    some = (torch.rand(1, 1, 8, 12, generator=rng) > 0.4).double()
    whole, radius = torch.ones(1, 1, 8, 12, dtype=torch.float64), 3
    pad = (radius,) * 4
    for optical, sar in ((some, whole), (whole, some)):
        padded = F.pad(sar, pad) if sar is some else torch.ones(1, 1, 14, 18, dtype=torch.float64)
        torch.testing.assert_close(pair_counts(optical, padded, 4, radius), brute_force(optical, padded, 4, radius))


def test_window_means_weigh_blocks_by_their_pairs():
    volume, weight = random_cells(1, 4, 5, 3, 3), random_cells(1, 4, 5, 3, 3, seed=1).abs() * 20 + 9
    found = window_means(volume, weight, (1, 3))
    assert found.shape == (1, 4, 5, 2, 3, 3)
    torch.testing.assert_close(found[:, :, :, 0], volume / weight)
    for row, column in ((0, 0), (2, 2), (3, 4)):
        near = (slice(None), slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2))
        expected = volume[near].sum(dim=(1, 2)) / weight[near].sum(dim=(1, 2))
        torch.testing.assert_close(found[:, row, column, 1], expected)


def test_window_means_are_finite_without_a_pair():
    zero = torch.zeros(1, 3, 3, 3, 3)
    assert not window_means(zero, zero, (1, 3)).any()


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (2.3, -1.6), (-3.25, 0.5)])
def test_the_peak_is_found_between_cells_x_first(x, y):
    axis = torch.arange(-5, 6, dtype=torch.float64)
    logits = -((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * 0.6**2)
    shift, mass, deviation, peak = peak_position(logits[None])
    assert shift[0].tolist() == pytest.approx([x, y], abs=0.02)
    assert mass[0] > 0.99 and deviation[0] == pytest.approx(0.6 * 2**0.5, abs=0.05)
    assert divmod(int(peak[0]), 11) == (round(y) + 5, round(x) + 5)


def test_a_peak_at_the_border_and_a_flat_plane_stay_finite():
    corner = torch.zeros(1, 7, 7)
    corner[0, 0, 6] = 30.0
    assert peak_position(corner)[0][0].tolist() == pytest.approx([3.0, -3.0], abs=1e-3)
    shift, mass, deviation, _ = peak_position(torch.zeros(1, 7, 7))
    assert torch.isfinite(shift).all() and torch.isfinite(deviation).all() and mass[0] < 1


def unit_texture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """(1, 8, height, width) random unit features."""
    return F.normalize(random_cells(1, 8, height, width, seed=seed).float(), dim=1)


def displaced(features: torch.Tensor, dx: int, dy: int) -> torch.Tensor:
    """What lies at (x, y) moves to (x + dx, y + dy)."""
    return torch.roll(features, (dy, dx), dims=(-2, -1))


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, -4), (4, -2), (-5, 5)])
@pytest.mark.parametrize("grad", [True, False])
def test_matching_finds_whole_cells_in_both_axes(net, dx, dy, grad):
    optical = unit_texture(16, 20)
    valid = torch.ones(1, 1, 16, 20)
    with torch.set_grad_enabled(grad):
        found = net.match(optical, displaced(optical, dx, dy), valid, valid, radius=6)
    inner = found.shift[0, 1:-1, 1:-1].detach()
    torch.testing.assert_close(inner, torch.tensor([4.0 * dx, 4.0 * dy]).expand_as(inner), atol=0.02, rtol=0)
    assert found.confidence[0, 1:-1, 1:-1].min() > 0.99
    assert found.shift.shape == (1, 4, 5, 2) and found.logits.shape == (1, 4, 5, 13, 13)


def test_matching_without_gradients_is_matching_with_them(net, monkeypatch):
    optical, sar, valid = unit_texture(24, 32), unit_texture(24, 32, seed=1), torch.ones(1, 1, 24, 32)
    with_them = net.match(optical, sar, valid, valid, 4)
    monkeypatch.setattr(network, "HEAD_CHUNK", 2 * 9 * 9)  # two blocks at a time
    with torch.no_grad():
        without = net.match(optical, sar, valid, valid, 4)
    for name in ("logits", "shift", "log_sigma", "confidence"):
        torch.testing.assert_close(getattr(with_them, name).detach(), getattr(without, name), atol=1e-5, rtol=1e-5)


def test_invalid_cells_have_no_say(net):
    optical = unit_texture(24, 24)
    sar, valid = displaced(optical, 2, 1), torch.ones(1, 1, 24, 24)
    hole = valid.clone()
    hole[..., 9:15] = 0
    spoiled = sar.clone()
    spoiled[..., 9:15] = unit_texture(24, 6, seed=9)
    with torch.no_grad():
        kept, replaced = (net.match(optical, image, valid, hole, 4) for image in (sar, spoiled))
    assert torch.equal(kept.logits, replaced.logits)
    assert kept.shift[0, 1, 1].tolist() == pytest.approx([8.0, 4.0], abs=0.05)


def test_blank_tiles_are_valid_input(net):
    blank = torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
    with torch.no_grad():
        found = net(*blank)
    for value in (found.logits, found.shift, found.log_sigma, found.confidence):
        assert torch.isfinite(value).all()


def test_a_batch_is_its_tiles(net):
    rng = torch.Generator().manual_seed(0)
    optical, sar = torch.rand(3, 3, 64, 96, generator=rng), torch.rand(3, 1, 64, 96, generator=rng)
    valid = torch.ones(3, 64, 96)
    with torch.no_grad():
        together = net(optical, sar, valid, valid)
        alone = [net(*(part[i : i + 1] for part in (optical, sar, valid, valid))) for i in range(3)]
    torch.testing.assert_close(together.logits, torch.cat([a.logits for a in alone]), atol=1e-4, rtol=1e-4)
    assert together.shift.shape == (3, 4, 6, 2)


def test_features_are_unit_vectors_of_a_quarter_and_know_their_modality(net):
    grey = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    valid, fresh = torch.ones(1, 64, 96), FlowNet(CONFIG).eval()
    torch.nn.init.normal_(fresh.encoder.adapter.layers[-1].weight)
    with torch.no_grad():
        optical, sar = fresh.encoder.optical(grey.expand(-1, 3, -1, -1), valid), fresh.encoder.sar(grey, valid)
    assert optical.shape == sar.shape == (1, CONFIG.feature_channels, 16, 24)
    torch.testing.assert_close(optical.norm(dim=1), torch.ones(1, 16, 24))
    assert (optical - sar).abs().max() > 0.1


def test_before_training_both_images_go_the_same_way(net):
    grey, valid = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)), torch.ones(1, 64, 64)
    with torch.no_grad():
        optical, sar = net.encoder.optical(grey.expand(-1, 3, -1, -1), valid), net.encoder.sar(grey, valid)
    torch.testing.assert_close(optical, sar)


def test_the_trunk_keeps_its_batch_statistics_in_training():
    fresh = FlowNet(CONFIG).train()
    before = {name: value.clone() for name, value in fresh.encoder.trunk.named_buffers()}
    fresh.encoder.optical(torch.rand(2, 3, 64, 64), torch.ones(2, 64, 64))
    assert fresh.training and all(
        torch.equal(before[name], value) for name, value in fresh.encoder.trunk.named_buffers()
    )


def test_the_border_of_the_data_is_not_to_be_seen():
    valid = torch.ones(1, 96, 96)
    valid[0, :40, 30:60] = 0
    flat = faded(0.3 * valid[:, None], valid)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.3), atol=1e-5, rtol=0)
    rng = torch.Generator().manual_seed(0)
    picture, other = torch.rand(1, 3, 96, 96, generator=rng), torch.rand(1, 3, 96, 96, generator=rng)
    filled = torch.where(valid[:, None] > 0, picture, other)
    torch.testing.assert_close(faded(picture, valid), faded(filled, valid))


def test_a_cell_is_valid_where_no_pixel_near_it_lacks_data():
    valid = torch.ones(1, 64, 64)
    valid[0, 31, 20] = 0
    rows, columns = np.nonzero(cell_valid(valid)[0, 0].numpy() == 0)
    # Within 8 px: rows 23 to 39 and columns 12 to 28, so cells 5 to 9 and 3 to 7; the tile's own border does not count.
    assert (rows.min(), rows.max(), columns.min(), columns.max(), len(rows)) == (5, 9, 3, 7, 25)


def one_peak(x: float, y: float, blocks: int = 3, height: float = 20.0) -> FlowOutput:
    """What a net that is sure of the shift (x, y) px says of blocks x blocks blocks."""
    axis = torch.arange(-5, 6).float()
    plane = -((axis[None, :] - x / STRIDE_PX) ** 2 + (axis[:, None] - y / STRIDE_PX) ** 2) / 2 * height / 10
    logits = plane.expand(1, blocks, blocks, 11, 11).clone()
    shift, confidence, _, _ = peak_position(logits.reshape(-1, 11, 11))
    by_block = (1, blocks, blocks)
    return FlowOutput(
        logits, STRIDE_PX * shift.reshape(*by_block, 2), torch.zeros(by_block), confidence.reshape(by_block)
    )


def loss_of(output: FlowOutput, sample: dict[str, torch.Tensor]) -> FlowLoss:
    """The loss where each of two windows alone says what both say together."""
    return flow_loss(output, output.logits[:, :, :, None].expand(-1, -1, -1, 2, -1, -1), sample, CONFIG)


def truth(x: float, y: float, label: int = POSITIVE, blocks: int = 3) -> dict[str, torch.Tensor]:
    by_block = (1, blocks, blocks)
    shift = torch.tensor([x, y])[None, :, None, None].expand(1, 2, blocks, blocks).clone()
    return {
        "shift": shift,
        "label": torch.full(by_block, label),
        "label_sigma": torch.full(by_block, 0.5),
        "index": torch.tensor([4]),
    }


def test_the_loss_falls_towards_the_right_answer_in_both_axes():
    at = {
        (x, y): loss_of(one_peak(x, y), truth(4.0, -2.0))
        for x, y in [(4, -2), (5, -2), (4, -4), (-2, 4), (4, 2), (0, 0)]
    }
    right = at.pop((4, -2))
    for loss in at.values():
        assert right.total < loss.total and right.place < loss.place
    assert right.error_px < 0.05 and right.near == 1 and right.shift < 0.01
    assert at[(-2, 4)].near == 0 and at[(5, -2)].error_px == pytest.approx(1.0, abs=0.05)


def test_the_claimed_sigma_is_best_at_the_error():
    losses = {}
    for log_sigma in (-1.5, 0.0, 1.5):
        output = one_peak(5.0, -2.0)
        output.log_sigma = torch.full_like(output.log_sigma, log_sigma)
        losses[log_sigma] = float(loss_of(output, truth(4.0, -2.0)).sigma)
    assert losses[0.0] < min(losses[-1.5], losses[1.5])


def test_ignored_blocks_do_not_matter():
    sample, output = truth(4.0, -2.0), one_peak(4.0, -2.0)
    alone = loss_of(output, sample)
    sample["label"][0, 0] = IGNORE
    output.logits[0, 0] = one_peak(-8.0, 8.0).logits[0, 0]
    output.shift[0, 0] = -8.0
    output.log_sigma[0, 0] = 4.0
    torch.testing.assert_close(loss_of(output, sample).total, alone.total)
    sample["label"][:] = IGNORE
    nothing = loss_of(output, sample)
    assert nothing.total == 0 and nothing.error_px == 0


def test_negative_blocks_are_flattened():
    sample = truth(4.0, -2.0, label=NEGATIVE)
    sure, unsure = (loss_of(one_peak(4.0, -2.0, height=height), sample) for height in (40.0, 0.0))
    assert unsure.total < sure.total and sure.place == 0
    assert float(unsure.total) == pytest.approx(0.1 * np.log(121), rel=1e-4)


def test_a_loss_that_is_not_finite_names_its_tiles():
    module = FlowModule(CONFIG)
    module.log = lambda *_, **__: None
    torch.nn.init.constant_(module.net.encoder.project[-1].bias, float("nan"))
    side = 2 * BLOCK_PX
    sample = {**truth(0.0, 0.0, blocks=2), "optical": torch.rand(1, 3, side, side), "sar": torch.rand(1, 1, side, side)}
    sample |= {"optical_valid": torch.ones(1, side, side), "sar_valid": torch.ones(1, side, side)}
    with pytest.raises(FloatingPointError, match=r"train: the loss is not finite on tiles \[4\]"):
        module.training_step(sample, 0)


def test_gradients_reach_every_weight(net):
    module = FlowModule(CONFIG)
    module.log = lambda *_, **__: None
    rng = torch.Generator().manual_seed(0)
    sample = {
        **truth(2.0, -2.0, blocks=4),
        "optical": torch.rand(1, 3, 64, 64, generator=rng),
        "sar": torch.rand(1, 1, 64, 64, generator=rng),
    }
    sample |= {"optical_valid": torch.ones(1, 64, 64), "sar_valid": torch.ones(1, 64, 64)}
    for weight in module.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)  # what starts at zero holds back the gradient of the layers below
    module.training_step(sample, 0).backward()
    lacking = [name for name, weight in module.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert lacking == []


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    config = replace(CONFIG, steps=100, warmup_steps=10, learning_rate=1.0)
    factor = FlowModule(config).configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    rates = [factor(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == 1.0 and rates[100] == pytest.approx(0, abs=1e-9)
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[10:]) < 0).all()


def test_a_prepared_network_says_the_same():
    torch.manual_seed(1)
    plain, prepared = FlowNet(CONFIG), FlowNet(CONFIG)
    for name, value in plain.encoder.trunk.named_buffers():
        if value.dtype.is_floating_point:
            value.copy_(torch.rand_like(value) + (0.5 if name.endswith("var") else 0.0))
    prepared.load_state_dict(plain.state_dict())
    plain.eval(), prepared.eval().prepare()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in prepared.encoder.trunk.modules())
    image, valid = torch.rand(1, 3, 64, 96), torch.ones(1, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(
            prepared.encoder.optical(image, valid), plain.encoder.optical(image, valid), atol=1e-4, rtol=1e-3
        )
