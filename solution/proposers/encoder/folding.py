"""A trunk made ready for prediction: batch normalisation folded into the convolutions before it, no padded copies, channels
last.

It saves passes over memory, which is what depthwise networks spend their time with on a CPU.

Which convolution comes before a normalisation is seen from an image that goes through, not from the order in which a
network names its layers; and where the folded trunk gives other maps for it, the trunk stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from solution.proposers.encoder.same_padding import SamePadded

_PROBE = (1, 3, 64, 96)
_TOLERANCE = 1e-4  # of the largest value of a map


def fold(trunk: nn.Module) -> int:
    """Fold every batch normalisation that directly follows a convolution, and let convolutions pad for themselves, in
    place, where that changes no map.

    Args:
        trunk: in evaluation mode, which it never leaves again; gives a list of maps.

    Returns:
        How many were folded.
    """
    image = torch.rand(_PROBE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    image = image.to(next(trunk.parameters()).device)
    pairs, before = _neighbours(trunk, image)
    undo: list[Callable[[], None]] = []
    for convolution, normalisation in pairs:
        fused = fuse_conv_bn_eval(trunk.get_submodule(convolution), trunk.get_submodule(normalisation))
        undo.append(_put(trunk, convolution, fused))
        undo.append(_put(trunk, normalisation, _rest(trunk.get_submodule(normalisation))))
    undo += _without_copies(trunk)
    if undo and not _alike(before, _maps(trunk, image)):
        for back in undo:
            back()
        pairs = []
    if all(each.ndim != 5 for each in trunk.parameters()):  # torch knows channels last for images, or for volumes
        trunk.to(memory_format=torch.channels_last)
    return len(pairs)


def _neighbours(trunk: nn.Module, image: Tensor) -> tuple[list[tuple[str, str]], list[Tensor]]:
    """Names of the convolutions and the normalisations that take what those give, each at work once; and the maps."""
    from timm.layers import BatchNormAct2d, Conv2dSame  # not above: see `trunk`

    given: list[tuple[str, Tensor]] = []
    taken: list[tuple[str, Tensor]] = []
    with ExitStack() as hooks:
        for name, module in trunk.named_modules():
            # Exactly these types: others, standardised convolutions say, do something else with their weights
            if type(module) in (nn.Conv2d, Conv2dSame):
                note = lambda _module, _input, output, name=name: given.append((name, output))  # noqa: E731
                hooks.callback(module.register_forward_hook(note).remove)
            elif type(module) in (nn.BatchNorm2d, BatchNormAct2d):
                note = lambda _module, arguments, name=name: taken.append((name, arguments[0]))  # noqa: E731
                hooks.callback(module.register_forward_pre_hook(note).remove)
        maps = _maps(trunk, image)
    pairs = [
        (convolution, normalisation)
        for normalisation, one in taken
        for convolution, other in given
        if one is other and _once(normalisation, taken) and _once(convolution, given)
    ]
    return pairs, maps


def _once(name: str, calls: list[tuple[str, Tensor]]) -> bool:
    return sum(other == name for other, _ in calls) == 1


def _maps(trunk: nn.Module, image: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [each.clone() for each in trunk(image)]


def _alike(before: list[Tensor], after: list[Tensor]) -> bool:
    return all(
        bool((one - other).abs().max() <= _TOLERANCE * one.abs().max())
        for one, other in zip(before, after, strict=True)
    )


def _rest(normalisation: nn.BatchNorm2d) -> nn.Module:
    """What a normalisation does besides."""
    from timm.layers import BatchNormAct2d

    if isinstance(normalisation, BatchNormAct2d):
        return nn.Sequential(normalisation.drop, normalisation.act)
    return nn.Identity()


def _without_copies(trunk: nn.Module) -> list[Callable[[], None]]:
    """Let convolutions with TensorFlow's padding pad for themselves -> what puts the other ones back."""
    from timm.layers import Conv2dSame

    padded = [(name, module) for name, module in trunk.named_modules() if type(module) is Conv2dSame]
    return [_put(trunk, name, SamePadded(module)) for name, module in padded]


def _put(trunk: nn.Module, name: str, module: nn.Module) -> Callable[[], None]:
    """Put a module in the place of another -> what puts the other one back."""
    parent, _, own = name.rpartition(".")
    holder, old = trunk.get_submodule(parent), trunk.get_submodule(name)
    setattr(holder, own, module)
    return lambda: setattr(holder, own, old)
