"""The trunk: a pretrained network, by name, that gives maps at the strides that are asked for.

A name is timm's (``tf_efficientnet_lite0``, ``resnet18``, ``convnext_atto.d2_in1k``, ...), or ``terratorch:NAME`` for a
backbone of TerraTorch. Where its weights come from is said in `trunk_weights`.
"""

from __future__ import annotations

from types import ModuleType

from torch import Tensor, nn

from solution.proposers.encoder import terratorch_trunk
from solution.proposers.encoder.adapted import AdaptedTrunk, Plan

_SHIPPED = "tf_efficientnet_lite0"
_SHIPPED_CHANNELS = {2: 16, 4: 24, 8: 40, 16: 112}
"""Stride -> channels of its maps, the finest first, as timm gives them."""


def bare_trunk(name: str, strides: tuple[int, ...]) -> nn.Module:
    """The network without its weights; called with (B, 3, H, W) in [-1, 1], H and W multiples of 16, it gives a list of
    maps (B, C, H / stride, W / stride), one for each of `strides`.

    Args:
        strides: ascending, powers of two, px.

    Raises:
        InputError: there is no such network, or none that could be a trunk.
    """
    plan = _plan(name, strides)
    net = _maker(name).build(name, plan)
    # A network that needs nothing stays as it is: the names of its tensors are those of the shipped weights.
    return net if plan.is_plain(strides) else AdaptedTrunk(net, plan, strides)


def map_channels(name: str, strides: tuple[int, ...]) -> list[int]:
    """Channels of the maps of a `bare_trunk`, those of the coarsest last. Raises `InputError` as that."""
    return list(_plan(name, strides).channels)


def centred(image: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], which every trunk is called with."""
    return (image - 0.5) / 0.5


def _maker(name: str) -> ModuleType:
    if name.startswith(terratorch_trunk.PREFIX):
        return terratorch_trunk
    # timm takes half as long to import as all else, and only whoever makes a network needs it
    from solution.proposers.encoder import timm_trunk

    return timm_trunk


def _plan(name: str, strides: tuple[int, ...]) -> Plan:
    if name != _SHIPPED:
        return _maker(name).plan_of(name, strides)
    # Known, so that no prediction with shipped weights pays for finding it out
    layers = tuple(list(_SHIPPED_CHANNELS).index(stride) for stride in strides)
    channels = tuple(_SHIPPED_CHANNELS[stride] for stride in strides)
    half = (0.5, 0.5, 0.5)
    return Plan(layers, tuple(range(len(strides))), strides, channels, strides[-1], half, half)
