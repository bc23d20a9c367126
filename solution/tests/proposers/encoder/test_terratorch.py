"""TerraTorch's transformers as trunks; with chance for weights, and nothing downloaded."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from solution.core.errors import InputError
from solution.proposers.encoder import terratorch_trunk
from solution.proposers.encoder.features import Encoder
from solution.proposers.encoder.folding import fold
from solution.proposers.encoder.frozen import FrozenMaps, frozen_trunk
from solution.proposers.encoder.trunk import bare_trunk, map_channels
from solution.proposers.encoder.trunk_weights import load_weights

STRIDES = (4, 8, 16)
SIZE = (64, 256)  # 4 x 16 patches, which some would take for 8 x 8
PRITHVI, TERRAMIND = "terratorch:prithvi_eo_tiny", "terratorch:terramind_v1_tiny"

INSTALLED = importlib.util.find_spec("terratorch") is not None
needs_terratorch = pytest.mark.skipif(
    not INSTALLED, reason="TerraTorch is optional: pip install -r requirements-terratorch.txt"
)
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch):
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")


def seeded(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return bare_trunk(name, STRIDES).eval()


def noise(*size: int) -> torch.Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("name", [PRITHVI, TERRAMIND])
def test_without_terratorch_one_sentence_says_what_to_install(monkeypatch, name):
    monkeypatch.setattr(terratorch_trunk.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=f"^trunk {name}: TerraTorch is missing; .*requirements-terratorch.txt"):
        terratorch_trunk.plan_of.__wrapped__(name, STRIDES)


@needs_terratorch
@pytest.mark.parametrize("name", [PRITHVI, TERRAMIND])
def test_maps_of_all_strides(name):
    with torch.inference_mode():
        maps = seeded(name)(noise(*SIZE))
    expected = [
        (1, channels, SIZE[0] // stride, SIZE[1] // stride)
        for channels, stride in zip(map_channels(name, STRIDES), STRIDES, strict=True)
    ]
    assert [tuple(each.shape) for each in maps] == expected and all(each.isfinite().all() for each in maps)
    assert not torch.equal(F.avg_pool2d(maps[0], 4), maps[2])  # of different layers


@needs_terratorch
@pytest.mark.parametrize("name", [PRITHVI, TERRAMIND])
def test_what_changes_in_the_image_changes_at_its_place_in_the_maps(name):
    net, image = seeded(name), noise(*SIZE)
    other = image.clone()
    other[:, :, 16:32, 208:224] *= -1  # patch of row 1, column 13
    with torch.inference_mode():
        for before, after, stride in zip(net(image), net(other), STRIDES, strict=True):
            changed = F.avg_pool2d((after - before).square().sum(dim=1), 16 // stride)
            assert divmod(int(changed.argmax()), 16) == (1, 13)


@needs_terratorch
def test_bands_reach_the_network_as_it_knows_them():
    plan = terratorch_trunk.plan_of(TERRAMIND, STRIDES)
    assert plan.mean == pytest.approx((87.271 / 255, 80.931 / 255, 66.667 / 255))  # red, green, blue
    plan = terratorch_trunk.plan_of(PRITHVI, STRIDES)
    assert plan.mean == pytest.approx((1433 / 3000, 1342 / 3000, 1087 / 3000))
    assert plan.std == pytest.approx((2178 / 3000, 2179 / 3000, 2248 / 3000))


@needs_terratorch
@pytest.mark.parametrize("name", [PRITHVI, TERRAMIND])
def test_features_can_be_trained_and_folding_changes_nothing(name):
    torch.manual_seed(0)
    encoder = Encoder(name, 16, 8).train()
    valid = torch.ones(1, *SIZE)
    sar = encoder.sar(noise(*SIZE).abs()[:, :1], valid)
    assert sar.shape == (1, 8, SIZE[0] // 4, SIZE[1] // 4)
    (sar * sar.roll(1, dims=3)).sum().backward()
    assert encoder.trunk.net.model.state_dict() and all(
        each.grad is not None
        for key, each in encoder.trunk.named_parameters()
        if "blocks.0" in key or "encoder.0" in key
    )
    trunk = seeded(name)
    with torch.no_grad():
        before = trunk(noise(*SIZE))
        assert fold(trunk) == 0
        for one, other in zip(before, trunk(noise(*SIZE)), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


@needs_terratorch
@pytest.mark.parametrize("name", [PRITHVI, TERRAMIND])
def test_a_copy_does_not_call_the_original(name):
    original = frozen_trunk(name).eval()
    copied = FrozenMaps(name, original)
    grey, valid = noise(*SIZE).abs()[:, :1], torch.ones(1, *SIZE)
    with torch.inference_mode():
        before = copied.sar(grey, valid)
        for each in original.parameters():
            each.zero_()
        torch.testing.assert_close(copied.sar(grey, valid), before)


@needs_terratorch
def test_published_weights_of_six_bands_begin_with_red_green_and_blue(tmp_path):
    from terratorch import BACKBONE_REGISTRY

    torch.manual_seed(3)
    whole = BACKBONE_REGISTRY.build("prithvi_eo_tiny", pretrained=False, num_frames=1)
    tensors = {f"encoder.{key}": value + 0.01 * torch.rand(value.shape) for key, value in whole.state_dict().items()}
    tensors["decoder.mask_token"] = torch.zeros(1, 1, 128)
    path = tmp_path / "prithvi.safetensors"
    save_file(tensors, path)
    trunk = seeded(PRITHVI)
    load_weights(trunk, PRITHVI, path)
    state = trunk.net.model.state_dict()
    published = tensors["encoder.patch_embed.proj.weight"]  # blue, green, red, ...
    assert torch.equal(state["patch_embed.proj.weight"], published[:, [2, 1, 0]])
    assert torch.equal(state["blocks.3.mlp.fc1.weight"], tensors["encoder.blocks.3.mlp.fc1.weight"])


@needs_terratorch
@pytest.mark.parametrize("bands", [3, 5])
def test_patches_that_do_not_fit_are_refused(tmp_path, bands):
    tensors = {"patch_embed.proj.weight": torch.zeros(256, bands, 1, 16, 16)}
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(
        InputError, match=r"other.safetensors: holds no patch_embed.proj.weight of \(256, 6, 1, 16, 16\)"
    ):
        load_weights(seeded(PRITHVI), PRITHVI, tmp_path / "other.safetensors")


@needs_terratorch
def test_weights_of_terramind_must_be_whole(tmp_path):
    from terratorch import BACKBONE_REGISTRY

    torch.manual_seed(3)
    whole = BACKBONE_REGISTRY.build("terramind_v1_tiny", pretrained=False, modalities=["S2RGB", "S1GRD"])
    tensors = {key: (value + 0.01 * torch.rand(value.shape)).contiguous() for key, value in whole.state_dict().items()}
    path = tmp_path / "terramind.safetensors"
    save_file(tensors, path)
    trunk = seeded(TERRAMIND)
    load_weights(trunk, TERRAMIND, path)
    for key, value in trunk.net.model.state_dict().items():
        assert torch.equal(value, tensors[key]), key
    save_file({key: value for key, value in tensors.items() if "sen2rgb" not in key}, path)
    with pytest.raises(InputError, match=r"terramind.safetensors: holds no tensor model\.encoder_embeddings"):
        load_weights(trunk, TERRAMIND, path)


@needs_terratorch
@pytest.mark.parametrize(
    "name", ["terratorch:terramind_v1_tiny_tim", "terratorch:resnet18", "terratorch:prithvi_eo_v9"]
)
def test_other_backbones_are_refused(name):
    with pytest.raises(InputError, match=f"^trunk {name}: is no prithvi_eo_... or terramind_v1_"):
        bare_trunk(name, STRIDES)
