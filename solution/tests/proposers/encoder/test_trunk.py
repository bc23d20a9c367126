"""The trunk by name: its maps lie where the ground lies, and the shipped one is what it always was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from solution.core import artefact
from solution.core.errors import InputError
from solution.data.naming import FOLDS
from solution.proposers.encoder import timm_trunk, trunk
from solution.proposers.encoder.adapted import AdaptedTrunk, Plan, chosen_layers
from solution.proposers.encoder.features import Encoder
from solution.proposers.encoder.trunk import bare_trunk, map_channels

STRIDES = (4, 8, 16)
SIZE = (96, 160)
HALF = (0.5, 0.5, 0.5)


def seeded(name: str, strides: tuple[int, ...] = STRIDES) -> nn.Module:
    torch.manual_seed(0)
    return bare_trunk(name, strides).eval()


def noise(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_shipped_trunk_has_the_names_of_its_weights():
    tensors, _ = artefact.load_weights(FOLDS / "base" / "flow.safetensors")
    net = Encoder("tf_efficientnet_lite0", 48, 32)
    assert {f"encoder.{name}" for name in net.state_dict()} == {name for name in tensors if name.startswith("encoder.")}


@pytest.mark.parametrize("strides", [STRIDES, (8, 16)])
def test_what_is_known_of_the_shipped_trunk_is_what_would_be_found(strides):
    name = "tf_efficientnet_lite0"
    known, found = trunk._plan(name, strides), timm_trunk.plan_of(name, strides)
    assert known == found and known.is_plain(strides)
    assert [each.shape[1] for each in bare_trunk(name, strides)(noise(*SIZE))] == map_channels(name, strides)


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_convnext", "test_vit", "test_mambaout", "test_efficientnet", "mobilenetv3_small_050"]
)
def test_maps_of_all_strides(name):
    with torch.inference_mode():
        maps = seeded(name)(noise(*SIZE))
    expected = [
        (1, channels, SIZE[0] // stride, SIZE[1] // stride)
        for channels, stride in zip(map_channels(name, STRIDES), STRIDES, strict=True)
    ]
    assert [tuple(each.shape) for each in maps] == expected and all(each.isfinite().all() for each in maps)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_mambaout"])
def test_what_changes_in_the_image_changes_at_its_place_in_the_maps(name):
    net, image = seeded(name), noise(*SIZE)
    other = image.clone()
    other[:, :, 16:32, 128:144] *= -1  # one cell of 16 px: row 1, column 8
    with torch.inference_mode():
        for before, after, stride in zip(net(image), net(other), STRIDES, strict=True):
            changed = (after - before).square().sum(dim=1)[0]
            row, column = divmod(int(F.avg_pool2d(changed[None], 16 // stride).argmax()), 10)
            # Strided convolutions, padded by one, look half a cell aside, at both images alike
            assert abs(row - 1) <= 1 and abs(column - 8) <= 1, stride


class Pooled(nn.Module):
    """A network whose map is the mean of every patch."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch, self.seen = patch, None

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        self.seen = image
        return [F.avg_pool2d(image, self.patch)]


@pytest.mark.parametrize("patch", [2, 7, 14, 16])
def test_a_map_of_any_stride_lies_where_the_ground_lies(patch):
    plan = Plan(None, (0, 0, 0), (patch,) * 3, (3,) * 3, patch, HALF, HALF)
    net = AdaptedTrunk(Pooled(patch), plan, STRIDES)
    y, x = torch.meshgrid(torch.arange(112.0), torch.arange(176.0), indexing="ij")
    maps = net(torch.stack([x, y, x + y])[None])
    for found, stride in zip(maps, STRIDES, strict=True):
        assert found.shape == (1, 3, 112 // stride, 176 // stride)
        inner = slice(32 // stride, -32 // stride)  # the image ends beyond it, and so do ramps
        centres = [torch.arange(side // stride) * stride + (stride - 1) / 2 for side in (176, 112)]
        right, down = torch.broadcast_tensors(centres[0][None, :], centres[1][:, None])
        np.testing.assert_allclose(found[0, 0, inner, inner], right[inner, inner], atol=1e-3)
        np.testing.assert_allclose(found[0, 1, inner, inner], down[inner, inner], atol=1e-3)


def test_images_reach_a_network_as_it_knows_them():
    mean, std = (0.5, 0.25, 0.0), (0.5, 0.2, 1.0)
    pooled = Pooled(4)
    net = AdaptedTrunk(pooled, Plan(None, (0,), (4,), (3,), 4, mean, std), (4,))
    net(torch.full((1, 3, 16, 16), -0.5))  # 0.25 in [0, 1]
    np.testing.assert_allclose(pooled.seen[0, :, 0, 0], [-0.5, 0.0, 0.25], atol=1e-6)
    assert not net.state_dict()


def test_maps_with_channels_last_are_turned():
    class Last(nn.Module):
        def forward(self, image):
            return [F.avg_pool2d(image, 8).permute(0, 2, 3, 1)]

    plan = Plan(None, (0,), (8,), (3,), 8, HALF, HALF, channels_last=True)
    image = noise(*SIZE)
    torch.testing.assert_close(AdaptedTrunk(Last(), plan, (8,))(image)[0], F.avg_pool2d(image, 8))


@pytest.mark.parametrize(
    ("reductions", "strides", "expected"),
    [
        ([2, 4, 8, 16, 32], (4, 8, 16), [1, 2, 3]),
        ([4, 8, 16, 32], (8, 16), [1, 2]),
        ([16] * 12, (4, 8, 16), [3, 7, 11]),
        ([14] * 12, (8, 16), [5, 11]),
        ([8, 16, 32], (4, 8, 16), [0, 0, 1]),
        ([4, 16], (4, 8, 16), [0, 0, 1]),  # 4 and 16 are as near to 8: the finer one
        ([16], (4, 8, 16), [0, 0, 0]),
    ],
)
def test_layers_that_serve_the_strides(reductions, strides, expected):
    assert chosen_layers(reductions, strides, "some") == expected


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("resnet_of_tomorrow", "is no network of timm"),
        ("hf-hub:timm/resnet18.a1_in1k", "is no network of timm"),
        ("local-dir:/tmp", "is no network of timm"),
        ("vit_base_patch32_224", "its finest map has a stride of 32 px"),
        ("test_maxvit", "takes images of one size only"),
    ],
)
def test_a_network_that_cannot_be_a_trunk(name, sentence):
    with pytest.raises(InputError, match=f"^trunk {name}: {sentence}") as caught:
        bare_trunk(name, STRIDES)
    assert len(str(caught.value).splitlines()) == 1


def test_looking_at_a_network_draws_nothing():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    timm_trunk.plan_of.__wrapped__("test_vit", STRIDES)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_features_of_any_trunk_are_unit_vectors_and_can_be_trained(name):
    torch.manual_seed(0)
    encoder = Encoder(name, 16, 8).train()
    valid = torch.ones(1, *SIZE)
    optical, sar = encoder.optical(noise(*SIZE).abs(), valid), encoder.sar(noise(*SIZE).abs()[:, :1], valid)
    assert optical.shape == sar.shape == (1, 8, SIZE[0] // 4, SIZE[1] // 4)
    torch.testing.assert_close(sar.norm(dim=1), torch.ones(1, SIZE[0] // 4, SIZE[1] // 4))
    (optical * sar.roll(1, dims=3)).sum().backward()
    parameters = dict(encoder.trunk.named_parameters())
    without = [name for name, each in parameters.items() if each.grad is None]
    assert parameters and not without
