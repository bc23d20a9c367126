"""Networks of timm as trunks, by name.

What a network is like (its strides, whether images may have any size) is found out once, on torch's meta device, where
nothing is computed and nothing is drawn.
"""

from __future__ import annotations

import functools
import math

import timm
import torch
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import Tensor, nn

from solution.core.errors import InputError
from solution.proposers.encoder.adapted import INPUT_PX, Plan, chosen_layers

_SIZE_OPTIONS: tuple[dict[str, object], ...] = ({}, {"dynamic_img_size": True})
"""With which networks are tried: transformers have to be told that images come in many sizes."""

_PROBE = (9, 11)  # height and width of the image that is tried, in multiples; neither square nor a power of two


def build(name: str, plan: Plan) -> nn.Module:
    """The network without weights; it gives a list of maps."""
    net = timm.create_model(name, pretrained=False, features_only=True, out_indices=plan.layers, **dict(plan.options))
    if isinstance(net, EfficientNetFeatures | MobileNetV3Features):
        last = max(_block(info["module"]) for info in net.feature_info.get_dicts())
        del net.blocks[last + 1 :]  # nothing behind the coarsest map is asked for
    return net


@functools.cache
def plan_of(name: str, strides: tuple[int, ...]) -> Plan:
    """How a network of timm is made a trunk that gives maps of these strides.

    Raises:
        InputError: timm has no such network, it gives no maps, none that is fine enough, or takes images of one size.
    """
    # timm would look for names with a scheme elsewhere, on the network too
    if any(mark in name for mark in ":/\\") or not timm.is_model(name):
        raise InputError(f"trunk {name}: is no network of timm, whose names timm.list_models() gives")
    # Initialising draws nothing on the meta device, but some networks draw while they are built
    with torch.random.fork_rng(devices=[]):
        return _tried(name, strides)


def _tried(name: str, strides: tuple[int, ...]) -> Plan:
    try:
        bare = _on_meta(name)
    except Exception as error:  # whatever timm says of networks that give no maps
        raise InputError(f"trunk {name}: gives no maps ({_first_line(error)}); choose another network") from error
    reductions = [int(info["reduction"]) for info in bare.feature_info.info]
    chosen = chosen_layers(reductions, strides, name)
    layers = tuple(sorted(set(chosen)))
    served = tuple(reductions[layer] for layer in chosen)
    for options in _SIZE_OPTIONS:
        try:
            net = _on_meta(name, out_indices=layers, **options)
        except Exception:  # a network that does not know the option
            continue
        last = "NHWC" in str(getattr(net, "output_fmt", "NCHW"))
        for multiple in dict.fromkeys((INPUT_PX, math.lcm(*served), max(reductions))):
            maps = _maps(net, multiple, last)
            expected = [tuple(side * multiple / reductions[layer] for side in _PROBE) for layer in layers]
            if maps is not None and [tuple(each.shape[2:]) for each in maps] == expected:
                order = tuple(layers.index(layer) for layer in chosen)
                return Plan(
                    layers,
                    order,
                    served,
                    tuple(maps[place].shape[1] for place in order),
                    multiple,
                    tuple(net.pretrained_cfg["mean"]),
                    tuple(net.pretrained_cfg["std"]),
                    tuple(options.items()),
                    last,
                )
    raise InputError(f"trunk {name}: takes images of one size only, or gives maps beside their places; choose another")


def _on_meta(name: str, **options: object) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, features_only=True, **options).eval()


def _maps(net: nn.Module, multiple: int, channels_last: bool) -> list[Tensor] | None:
    """(B, C, h, w) maps of an image without content; None where the network refuses its size."""
    try:
        with torch.no_grad():
            maps = net(torch.zeros(1, 3, *(side * multiple for side in _PROBE), device="meta"))
    except Exception:  # assertions, shapes that do not fit: each network has its own words
        return None
    return [each.permute(0, 3, 1, 2) if channels_last else each for each in maps]


def _block(module: str) -> int:
    """The number in ``blocks.3.1``; -1 for a layer before the blocks."""
    parts = module.split(".")
    return int(parts[1]) if parts[0] == "blocks" else -1


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:80]
