"""Folded trunks give the same maps, whatever their layers are called and in whatever order they are named."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from solution.proposers.encoder.folding import fold
from solution.proposers.encoder.same_padding import SamePadded
from solution.proposers.encoder.trunk import bare_trunk

STRIDES = (4, 8, 16)


def drawn(net: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics that a normalisation without any would not hide."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.2, 0.2),
            ):
                values.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)
    return net.eval()


def image() -> torch.Tensor:
    return torch.rand(1, 3, 80, 112, generator=torch.Generator().manual_seed(1)) * 2 - 1


def normalisations(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("tf_efficientnet_lite0", 0),
        ("resnet18", 0),
        ("mobilenetv3_large_100", 0),
        ("efficientnet_lite0", 0),
        ("convnext_atto", 0),
        ("resnetv2_18", 6),  # normalised before the convolution, where the sum of two branches comes in
    ],
)
def test_folded_maps_are_those_of_before(name, left):
    torch.manual_seed(0)
    trunk = drawn(bare_trunk(name, STRIDES))
    had = normalisations(trunk)
    with torch.no_grad():
        before = trunk(image())
        assert fold(trunk) == had - left and normalisations(trunk) == left
        for one, other in zip(before, trunk(image()), strict=True):
            assert one.std() > 0
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * float(one.abs().max()))


def test_no_strided_convolution_takes_a_padded_copy():
    trunk = drawn(bare_trunk("tf_efficientnet_lite0", STRIDES))
    fold(trunk)
    strided = [module for module in trunk.modules() if getattr(module, "stride", None) == (2, 2)]
    assert strided and all(isinstance(module, SamePadded) for module in strided)


def test_what_is_folded_already_stays_as_it_is():
    trunk = drawn(bare_trunk("tf_efficientnet_lite0", STRIDES))
    fold(trunk)
    with torch.no_grad():
        before = trunk(image())
        assert fold(trunk) == 0
        assert all(torch.equal(one, other) for one, other in zip(before, trunk(image()), strict=True))


class Backwards(nn.Module):
    """Names its layers in another order than that in which they work: pairs of neighbours by name are wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.norm_of_first = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.first, self.norm_of_second = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.norm_of_first(self.first(x)).relu()
        return [self.norm_of_second(self.second(x))]


class Shared(nn.Module):
    """What the convolution gives is also used as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.conv(x)
        return [self.norm(x) + x]


class Twice(Shared):
    """One convolution, two uses."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.norm(self.conv(x)), self.conv(x)]


def test_the_order_of_work_counts_not_that_of_names():
    torch.manual_seed(0)
    net = drawn(Backwards())
    with torch.no_grad():
        before = net(image())[0]
        assert fold(net) == 2
        torch.testing.assert_close(net(image())[0], before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [Shared, Twice])
def test_what_cannot_be_folded_stays(kind):
    torch.manual_seed(0)
    net = drawn(kind())
    known = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        before = [each.clone() for each in net(image())]
        assert fold(net) == 0
        for one, other in zip(before, net(image()), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert net.state_dict().keys() == known.keys()
    assert all(torch.equal(value, known[name]) for name, value in net.state_dict().items())


def test_folding_draws_nothing():
    torch.manual_seed(1)
    expected = torch.rand(3)
    net = drawn(Backwards())
    torch.manual_seed(1)
    fold(net)
    assert torch.equal(torch.rand(3), expected)
