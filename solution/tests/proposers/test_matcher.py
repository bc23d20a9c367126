"""The matcher: refinement and assignment on descriptors with known answers, its losses by hand, and what nodata may not
do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from kornia.feature.lightglue import CrossBlock
from torch.nn import functional as F

from solution.proposers.matcher import encoder, network, training
from solution.proposers.matcher.attention import cross_attention
from solution.proposers.matcher.encoder import Stem
from solution.proposers.matcher.keypoints import Dense, Keypoints, lattice_offsets, rows_at, square_offsets
from solution.proposers.matcher.network import MatcherNet
from solution.proposers.matcher.settings import MatcherConfig
from solution.proposers.matcher.training import Truth, glue_loss, place_loss
from solution.samples.tiles import IGNORE, NEGATIVE, POSITIVE
from solution.tests.handmade import handmade_matcher

TINY = replace(
    MatcherConfig(),
    tile_px=64,
    descriptor_dim=16,
    stem_channels=16,
    patch=3,
    patch_step_cells=2,
    glue_dim=16,
    glue_layers=2,
    points=48,
    optical_cell_px=8,
)


@pytest.fixture
def net() -> MatcherNet:
    torch.manual_seed(0)
    return MatcherNet(TINY).eval()


def random_dense(shift: tuple[int, int] = (0, 0), size: int = 32, channels: int = 16, seed: int = 0) -> Dense:
    """Random unit descriptors, smooth enough to have a peak between cells, rolled by a number of cells (x, y)."""
    noise = torch.randn(1, channels, size, size, generator=torch.Generator().manual_seed(seed))
    descriptor = F.normalize(F.avg_pool2d(noise, 3, 1, 1), dim=1).roll((shift[1], shift[0]), (2, 3))
    return Dense(descriptor, descriptor[:, 0].clone(), torch.ones(1, size, size, dtype=torch.bool))


def constant_truth(shift: tuple[float, float], label: int = POSITIVE, size: int = 8, block: int = 8) -> Truth:
    return Truth(
        torch.tensor(shift)[None, :, None, None].expand(1, 2, size, size).clone(),
        torch.full((1, size, size), label),
        block,
    )


def smooth_image(seed: int, channels: int, size: int = 64) -> torch.Tensor:
    noise = torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(F.pad(noise, (3, 3, 3, 3), mode="reflect"), 7, 1)


def test_offsets_go_row_by_row():
    assert square_offsets(1, "cpu").tolist() == [
        [-1, -1],
        [0, -1],
        [1, -1],
        [-1, 0],
        [0, 0],
        [1, 0],
        [-1, 1],
        [0, 1],
        [1, 1],
    ]
    assert lattice_offsets(3, 4, "cpu")[[1, 3]].tolist() == [[0, -4], [-4, 0]]
    assert lattice_offsets(1, 4, "cpu").tolist() == [[0, 0]]


def test_descriptors_are_read_where_they_are_and_are_zero_elsewhere():
    dense = random_dense()
    dense.usable[0, 4, 7] = False
    rows, known = rows_at(dense, torch.tensor([[[5, 2], [-1, 2], [7, 4], [31, 32]]]))
    assert torch.equal(rows[0, 0], dense.descriptor[0, :, 2, 5]) and known.tolist() == [[True, False, False, False]]
    assert not rows[0, 1:].any()


def test_similarity_is_the_mean_over_the_lattice_that_both_images_hold(net):
    a, b = random_dense(), random_dense(seed=1)
    b.usable[0, :, 18] = False
    start, guess = torch.tensor([[[10, 12]]]), torch.tensor([[[16, 9]]])
    similarity, inside, offset = net.similarity(a, b, start, guess, 2)
    for index, (x, y) in enumerate(offset.tolist()):
        products = [
            float(a.descriptor[0, :, 12 + j, 10 + i] @ b.descriptor[0, :, 9 + y + j, 16 + x + i])
            for j in (-2, 0, 2)
            for i in (-2, 0, 2)
            if 16 + x + i != 18
        ]
        assert float(similarity[0, 0, index]) == pytest.approx(np.mean(products), abs=1e-5)
        assert bool(inside[0, 0, index]) == (16 + x != 18)


def test_refinement_finds_the_cell_and_keeps_x_and_y_apart(net):
    a, b = random_dense(), random_dense((3, -2))
    start = torch.tensor([[10, 12], [20, 9]])
    place, sigma = net.refine(a, b, start, start)
    assert (place - start - torch.tensor([3.0, -2.0])).abs().max() < 0.15 and (sigma < 1.0).all()


def test_refinement_sees_half_a_cell(net):
    fine = F.interpolate(random_dense(size=33).descriptor, size=(65, 65), mode="bilinear", align_corners=True)[
        ..., :64, :64
    ]
    a, b = (
        Dense(F.normalize(image, dim=1), image[:, 0], torch.ones(1, 32, 32, dtype=torch.bool))
        for image in (fine[..., ::2, ::2], fine[..., 1::2, 0::2])
    )  # b shows rows that lie half a cell further down
    start = torch.tensor([[x, y] for x in range(8, 24, 3) for y in range(8, 24, 3)])
    place, _ = net.refine(a, b, start, start)
    moved = (place - start).mean(dim=0)
    assert abs(moved[0]) < 0.1 and -0.7 < moved[1] < -0.3


def test_refinement_does_not_enter_nodata(net):
    a, b = random_dense(), random_dense((2, 0))
    b.usable[..., 12:] = False
    start = torch.tensor([[11, 16]])
    place, _ = net.refine(a, b, start, start)
    assert place[0, 0] < 12


def test_every_square_gives_its_hottest_usable_place(net):
    heat = torch.zeros(1, 32, 32)
    heat[0, 3, 5], heat[0, 2, 6], heat[0, 20, 9] = 2.0, 3.0, 5.0
    usable = torch.ones(1, 32, 32, dtype=torch.bool)
    usable[0, 2, 6], usable[0, 8:16, 8:16] = False, False
    points = net.keypoints(Dense(torch.randn(1, 16, 32, 32), heat, usable), 16)  # 8 cells: 4 x 4 squares
    assert points.cell.shape == (1, 16, 2)
    assert points.cell[0, 0].tolist() == [5, 3] and points.xy[0, 0].tolist() == [10.5, 6.5]
    assert points.cell[0, 9].tolist() == [9, 20]
    assert points.usable[0].tolist() == [index != 5 for index in range(16)]


@pytest.mark.parametrize("shift", [(3, -2), (-4, 1)])
def test_matching_gives_the_shift_back(shift):
    hand = handmade_matcher(replace(TINY, glue_layers=1), channels=16)
    found = hand.match(random_dense(), random_dense(shift))[0]
    inner = ((found.first > 16) & (found.first < 47)).all(dim=1)
    error = (found.second - found.first)[inner] - 2.0 * torch.tensor(shift)
    assert inner.sum() >= 3 and error.abs().median() < 0.3
    assert found.cycle[inner].median() < 0.5 and ((found.score >= 0) & (found.score <= 1)).all()


def test_cross_attention_is_kornias_where_everyone_has_a_partner_and_silent_elsewhere():
    torch.manual_seed(0)
    block, x, y = CrossBlock(32, 4).eval(), torch.randn(2, 7, 32), torch.randn(2, 9, 32)
    near = torch.rand(2, 7, 9) < 0.4
    near[:, 2], near[:, :, 4] = False, False
    ours = cross_attention(block, x, y, near)
    for theirs, found in zip(block(x, y, near[:, None]), ours, strict=True):
        torch.testing.assert_close(found, theirs, atol=1e-5, rtol=1e-4)
    changed = y.clone()
    changed[:, 4] += 1.0
    torch.testing.assert_close(
        cross_attention(block, x, changed, near)[0], ours[0]
    )  # nobody hears a point without a partner
    x.requires_grad_()
    sum(part.sum() for part in cross_attention(block, x, y, near)).backward()
    assert x.grad.isfinite().all()


def test_a_partner_beyond_the_window_is_not_found(net):
    near = replace(TINY, window_px=6.0, glue_layers=1)
    hand = handmade_matcher(near, channels=16)
    points = [hand.keypoints(random_dense(shift), 8) for shift in ((0, 0), (8, 0))]
    assignment = hand.assign(*points)[-1][0]
    distance = (points[0].xy[:, :, None] - points[1].xy[:, None]).abs().amax(dim=-1)
    assert (assignment[distance > 6] <= -1e4).all() and (assignment[distance <= 6] > -1e3).all()


def test_the_descriptor_loss_falls_towards_the_truth_and_only_there(net):
    a, b = random_dense(), random_dense((3, -2))
    cell = torch.tensor([[[x, y] for x in range(10, 22, 3) for y in range(10, 22, 3)]])
    known = torch.ones(1, cell.shape[1], dtype=torch.bool)

    def loss(dx: float, dy: float) -> float:
        shift = torch.tensor([dx, dy]).expand(1, cell.shape[1], 2)
        return float(place_loss(net, a, b, cell, shift, known)[0].detach())

    true = loss(6.0, -4.0)
    for wrong in ((-4.0, 6.0), (-6.0, 4.0), (6.0, 4.0), (4.0, -4.0)):
        assert loss(*wrong) > true + 1.0
    found = place_loss(net, a, b, cell, torch.tensor([6.0, -4.0]).expand(1, cell.shape[1], 2), known)[1]
    assert found.all()
    assert not place_loss(net, a, b, cell, torch.tensor([-4.0, 6.0]).expand(1, cell.shape[1], 2), known)[1].any()


def test_the_descriptor_loss_ignores_what_is_not_known_or_has_no_data(net):
    a, b = random_dense(), random_dense((3, -2))
    b.usable[..., 20:] = False
    cell, shift = torch.tensor([[[10, 10], [18, 10], [12, 14]]]), torch.tensor([6.0, -4.0]).expand(1, 3, 2)
    known = torch.tensor([[True, True, False]])
    _, _, counts, _ = place_loss(net, a, b, cell, shift, known)
    assert counts.tolist() == [[True, False, False]]


def test_the_truth_is_read_between_blocks_and_back_from_the_other_image():
    x = (torch.arange(8) + 0.5) * 8 - 0.5
    shift = torch.stack([0.1 * x[None].expand(8, 8), 2.0 - 0.05 * x[:, None].expand(8, 8)])[None]
    truth = Truth(shift, torch.full((1, 8, 8), POSITIVE), 8)
    p = torch.tensor([[[20.0, 30.0], [41.0, 17.5]]])
    expected = torch.stack([0.1 * p[..., 0], 2.0 - 0.05 * p[..., 1]], dim=-1)
    found, label = truth.at(p)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (label == POSITIVE).all()
    back, _ = truth.back_from(p + expected)
    torch.testing.assert_close(back, -expected, atol=1e-2, rtol=0)


def points_at(xy: list[list[float]]) -> Keypoints:
    xy = torch.tensor([xy])
    return Keypoints(xy.long(), xy, torch.zeros(*xy.shape[:2], 4), torch.ones(xy.shape[:2], dtype=torch.bool))


def test_lightglue_learns_from_matches_and_loners_and_leaves_the_rest_alone():
    first = points_at([[10.0, 10.0], [30.0, 30.0], [50.0, 10.0]])
    second = points_at(
        [[15.0, 8.0], [42.0, 28.0], [15.0, 50.0]]
    )  # a match; one 7 px off, neither match nor loner; a loner
    truth = constant_truth((5.0, -2.0))
    both = torch.zeros(1, 3, 3, requires_grad=True)
    z_first, z_second = torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 3, requires_grad=True)
    glue_loss([(both, z_first, z_second)], first, second, truth, TINY).backward()
    assert both.grad[0].nonzero().tolist() == [[0, 0]] and both.grad[0, 0, 0] < 0  # more likely is better
    assert (z_first.grad[0] != 0).tolist() == [False, False, True] and z_first.grad[0, 2] > 0
    assert (z_second.grad[0] != 0).tolist() == [False, False, True]


def test_swapped_axes_are_no_match():
    first, second = points_at([[10.0, 10.0]]), points_at([[15.0, 8.0]])
    both = torch.zeros(1, 1, 1, requires_grad=True)
    z = torch.zeros(1, 1, requires_grad=True)
    glue_loss([(both, z, z)], first, second, constant_truth((-2.0, 5.0)), TINY).backward()
    assert not both.grad.any()


@pytest.mark.parametrize(("label", "alone"), [(NEGATIVE, True), (IGNORE, False)])
def test_a_place_without_sar_data_has_no_match_and_an_unsure_one_says_nothing(label, alone):
    first, second = points_at([[10.0, 10.0]]), points_at([[10.0, 10.0]])
    both = torch.zeros(1, 1, 1, requires_grad=True)
    z_first, z_second = torch.zeros(1, 1, requires_grad=True), torch.zeros(1, 1)
    loss = glue_loss([(both, z_first, z_second)], first, second, constant_truth((0.0, 0.0), label), TINY)
    assert (
        bool(torch.autograd.grad(loss, z_first, allow_unused=True)[0].any()) == alone
        if loss.requires_grad
        else not alone
    )


def test_a_batch_is_its_images_one_by_one(net):
    optical, sar = torch.cat([smooth_image(s, 3) for s in (1, 2)]), torch.cat([smooth_image(s, 1) for s in (3, 4)])
    valid = torch.ones(2, 64, 64)
    with torch.no_grad():
        together = net.match(net.dense(optical, valid, "optical"), net.dense(sar, valid, "sar"))
        for item in range(2):
            one = slice(item, item + 1)
            alone = net.match(net.dense(optical[one], valid[one], "optical"), net.dense(sar[one], valid[one], "sar"))[0]
            for name in ("first", "second", "score", "sigma", "cycle"):
                torch.testing.assert_close(getattr(alone, name), getattr(together[item], name), atol=1e-4, rtol=1e-4)


def test_each_modality_has_first_layers_of_its_own(net):
    image, valid = smooth_image(0, 3), torch.ones(1, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(
            net.dense(image, valid, "optical").descriptor, net.dense(image, valid, "translated").descriptor
        )


def test_what_lies_under_nodata_does_not_matter(net):
    image, valid = smooth_image(0, 1), torch.ones(1, 64, 64)
    valid[..., :30] = 0
    garbage = image.clone()
    garbage[..., :30] = 7.0
    with torch.no_grad():
        clean, dirty = (net.dense(picture, valid, "sar") for picture in (image, garbage))
    assert not clean.usable[..., :15].any() and clean.usable[..., 23:].all()
    torch.testing.assert_close(clean.descriptor, dirty.descriptor)


def test_a_blank_tile_gives_no_match_and_finite_gradients(net):
    optical, sar, valid = smooth_image(1, 3), torch.zeros(1, 1, 64, 64), torch.ones(1, 64, 64)
    nothing = torch.zeros(1, 64, 64)
    with torch.no_grad():
        assert len(net.match(net.dense(optical, valid, "optical"), net.dense(sar, nothing, "sar"))[0].first) == 0
    sample = {
        "optical": optical,
        "shift": torch.zeros(1, 2, 8, 8),
        "label": torch.full((1, 8, 8), NEGATIVE),
        "index": torch.tensor([0]),
    }
    loss = training.matcher_loss(net, net.dense(optical, valid, "optical"), net.dense(sar, nothing, "sar"), sample)
    loss.total.backward()
    assert torch.isfinite(loss.total) and all(
        torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None
    )


def test_a_flat_image_is_finite(net):
    valid = torch.ones(1, 64, 64)
    with torch.no_grad():
        dense = net.dense(torch.full((1, 1, 64, 64), 0.5), valid, "sar")
    assert torch.isfinite(dense.descriptor).all() and torch.isfinite(dense.heat).all()


def test_the_published_sizes_fit_the_published_disk():
    """At stride 1 the image goes into DISK unchanged until training corrects it."""
    net = MatcherNet(replace(MatcherConfig().official(), glue_layers=1, glue_dim=64)).eval()
    assert {name: tuple(value.shape) for name, value in net.disk.state_dict().items()} == {
        name: tuple(value.shape) for name, value in network.DISK().state_dict().items()
    }
    image, valid = smooth_image(0, 1, 32), torch.ones(1, 32, 32)
    assert torch.equal(net.stems["sar"](image, valid), image.expand(-1, 3, -1, -1))


@pytest.fixture(scope="module")
def stem() -> Stem:
    torch.manual_seed(0)
    return Stem(1, 16).eval()


def test_the_stem_survives_a_contrast_inversion_in_its_gradients(stem):
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(1, 1, 64, 64)
    gradients, inverted = (
        stem._inputs(picture, valid)[:, -2 * encoder.ORIENTATIONS :] for picture in (image, 1 - image)
    )
    torch.testing.assert_close(gradients, inverted, atol=1e-4, rtol=1e-4)
    stripes = (torch.arange(64) % 8 / 8.0).expand(1, 1, 64, 64)
    across, along = (stem._gradients(tilt).mean(dim=(0, 2, 3)) for tilt in (stripes, stripes.mT))
    assert across.argmax() == 0 and along.argmax() == encoder.ORIENTATIONS // 2


def test_the_border_of_the_data_is_not_to_be_seen_by_the_stem(stem):
    valid = torch.ones(1, 1, 96, 96)
    valid[..., :40, 30:60] = 0
    flat = stem._inputs(0.3 * valid, valid)
    torch.testing.assert_close(flat, flat[..., :1, :1].expand_as(flat), atol=1e-5, rtol=0)
    rng = torch.Generator().manual_seed(0)
    picture, other = torch.rand(1, 1, 96, 96, generator=rng), torch.rand(1, 1, 96, 96, generator=rng)
    filled = torch.where(valid > 0, picture, other)
    assert torch.equal(stem._inputs(picture, valid), stem._inputs(filled, valid))
