"""Backbones of TerraTorch as trunks: the transformers of Prithvi-EO and TerraMind, fed with red, green and blue.

TerraTorch is optional (requirements-terratorch.txt), and its import takes half a minute, so that it is imported where it
is needed. Its registry builds the network, its neck turns tokens into maps; nothing is downloaded.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from solution.core.errors import InputError
from solution.proposers.encoder.adapted import Plan, chosen_layers

PREFIX = "terratorch:"

_PRITHVI, _TERRAMIND = "prithvi_eo_", "terramind_v1_"
_SIZES = ("tiny", "small", "base", "large")  # of TerraMind; its other variants also generate modalities
_BANDS = ("RED", "GREEN", "BLUE")
_WHITE = 3000.0  # reflectance, in 1 / 10,000, that shows as 1 in [0, 1]: the usual stretch of true-colour images
_EMBEDDING = "patch_embed.proj.weight"


class Backbone(nn.Module):
    """A registered transformer; called with (B, 3, H, W), H and W multiples of its patches, it gives a list of maps.

    Args:
        model: as TerraTorch's registry builds it.
        layers: which give maps.
        patch: side of a patch, px.
        class_token: whether a token that is no patch comes first.
    """

    def __init__(self, model: nn.Module, layers: tuple[int, ...], patch: int, class_token: bool) -> None:
        super().__init__()
        # Where the registry put a function of its own in the place of the method, a copy would call the original
        vars(model).pop("forward", None)
        self.model, self.layers, self.patch, self.class_token = model, layers, patch, class_token

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> maps (B, C, H / patch, W / patch)."""
        from terratorch.models.necks import ReshapeTokensToImage

        tokens = self.model.forward_features(image) if self.class_token else self.model(image)
        chosen = [tokens[layer] for layer in self.layers]
        # With the height told: the neck takes 4 x 16 tokens for 8 x 8 otherwise
        to_image = ReshapeTokensToImage(
            [each.shape[-1] for each in chosen], remove_cls_token=self.class_token, h=image.shape[-2] // self.patch
        )
        return to_image(chosen)


def build(name: str, plan: Plan) -> nn.Module:
    """The network without weights. Raises `InputError` as `plan_of`."""
    return Backbone(_registered(name), plan.layers, plan.multiple, _has_class_token(name))


@functools.cache
def plan_of(name: str, strides: tuple[int, ...]) -> Plan:
    """How a backbone of TerraTorch is made a trunk that gives maps of these strides.

    Raises:
        InputError: TerraTorch is not installed, has no such backbone, or one that is no transformer of the two families.
    """
    # TerraMind reads numbers while it is built, which the meta device has none of
    with torch.random.fork_rng(devices=[]), torch.device("meta" if _has_class_token(name) else "cpu"):
        model = _registered(name)
    channels = list(model.out_channels)
    patch = next(_side(module.patch_size) for module in model.modules() if hasattr(module, "patch_size"))
    chosen = chosen_layers([patch] * len(channels), strides, name)
    layers = tuple(sorted(set(chosen)))
    order = tuple(layers.index(layer) for layer in chosen)
    reductions = (patch,) * len(strides)
    mean, std = _statistics(_bare(name))
    return Plan(layers, order, reductions, tuple(channels[layer] for layer in chosen), patch, mean, std)


def converted(tensors: Mapping[str, Tensor], backbone: Backbone, path: Path) -> dict[str, Tensor]:
    """The tensors of a published checkpoint by the names of the backbone's model, those of the patches for its bands.

    Args:
        path: for messages.

    Raises:
        InputError: the patches of a Prithvi-EO have another size, or other bands than those that it was published with.
    """
    if not backbone.class_token:
        return dict(tensors)
    from terratorch.models.backbones.prithvi_vit import checkpoint_filter_fn_vit

    model = backbone.model
    own = model.state_dict()[_EMBEDDING].shape
    expected = (own[0], len(model.pretrained_bands), *own[2:])
    found = [value for key, value in tensors.items() if key.endswith(_EMBEDDING)]
    # TerraTorch would begin the patches by chance
    if len(found) != 1 or found[0].shape != expected:
        raise InputError(f"{path}: holds no {_EMBEDDING} of {expected}; pass the published weights of that Prithvi-EO")
    return checkpoint_filter_fn_vit(dict(tensors), model, model.pretrained_bands, model.model_bands)


def _registered(name: str) -> nn.Module:
    if importlib.util.find_spec("terratorch") is None:
        raise InputError(
            f"trunk {name}: TerraTorch is missing; pip install -r requirements-terratorch.txt"  # short: it is quoted
        )
    from terratorch import BACKBONE_REGISTRY

    bare = _bare(name)
    known = bare.startswith(_PRITHVI) or bare in {_TERRAMIND + size for size in _SIZES}
    if not known or bare not in BACKBONE_REGISTRY:
        raise InputError(
            f"trunk {name}: is no {_PRITHVI}... or {_TERRAMIND}{{{', '.join(_SIZES)}}} of TerraTorch; choose one of these"
        )
    options = {"bands": list(_BANDS), "num_frames": 1} if _has_class_token(name) else {"modalities": ["S2RGB"]}
    return BACKBONE_REGISTRY.build(bare, pretrained=False, **options)


def _statistics(bare: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of red, green and blue that a network was trained with, in [0, 1]."""
    if bare.startswith(_PRITHVI):
        from terratorch.models.backbones.prithvi_vit import prithvi_cfgs

        config = prithvi_cfgs[bare]
        places = [[band.value for band in config["bands"]].index(band) for band in _BANDS]
        return tuple(tuple(config[name][place] / _WHITE for place in places) for name in ("mean", "std"))
    from terratorch.models.backbones.terramind.model import terramind_register as register

    both = register.v1_pretraining_mean, register.v1_pretraining_std
    return tuple(tuple(value / 255 for value in each["untok_sen2rgb@224"]) for each in both)


def _bare(name: str) -> str:
    return name.removeprefix(PREFIX).removeprefix("terratorch_")


def _has_class_token(name: str) -> bool:
    return _bare(name).startswith(_PRITHVI)


def _side(patch: int | tuple[int, ...] | list[int]) -> int:
    return int(patch if isinstance(patch, int) else patch[-1])
