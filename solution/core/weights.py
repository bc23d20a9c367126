"""A network's weights: out of a network, small enough to ship, and back into one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from solution.core.artefact import Manifest
from solution.core.errors import InputError

Settings = TypeVar("Settings")
"""A frozen dataclass of settings."""


def compact(net: nn.Module) -> dict[str, np.ndarray]:
    """Weights for the artefact: matrices in half precision, vectors (biases, normalisation) as they are."""
    return halved({name: value.detach().cpu().numpy() for name, value in net.state_dict().items()})


def halved(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights by name, matrices in half precision, vectors as they are."""
    return {name: value.astype(np.float16) if value.ndim >= 2 else value for name, value in tensors.items()}


def load_network(net: nn.Module, tensors: dict[str, np.ndarray], path: Path) -> None:
    """Strict loading, back in float32."""
    try:
        net.load_state_dict(as_floats(tensors))
    except RuntimeError as error:
        raise InputError(
            f"{path}: does not fit the configured network ({str(error).splitlines()[-1].strip()})"
        ) from error


def built(
    path: Path, manifest: Manifest, kind: type[Settings], build: Callable[[Settings], nn.Module], tensors: dict
) -> nn.Module:
    """The network that a file of weights describes, with its weights, in evaluation mode.

    Args:
        path: for messages.
        kind: the network's settings.
        build: makes it from them.

    Raises:
        InputError: settings of a wrong type, a network that this version does not know, or weights of another one.
    """
    settings = settings_of(manifest, kind, path)
    try:
        net = build(settings)
    except Exception as error:  # whatever torch and timm make of numbers and names from elsewhere
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InputError(
            f"{path}: its manifest asks for a network that this version cannot make ({reason}); pass weights that this version trained"
        ) from error
    load_network(net, tensors, path)
    return net.eval()


def as_floats(tensors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Tensors for torch, half precision turned into float32."""
    return {
        name: torch.from_numpy(value.astype(np.float32) if value.dtype == np.float16 else value)
        for name, value in tensors.items()
    }


def settings_of(manifest: Manifest, kind: type[Settings], path: Path | None = None) -> Settings:
    """The part of a manifest's configuration that belongs to a dataclass. Raises `InputError`, which names the file
    where its path is told, for a value of another type than the dataclass has."""
    known = {field.name: field.default for field in dataclasses.fields(kind)}
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in manifest.config.items()
        if name in known
    }
    for name, value in values.items():
        if not _alike(value, known[name]):
            raise InputError(
                f"{path or manifest.stage}: its manifest says that {name} is {value!r:.40}; pass weights that this version trained"
            )
    return kind(**values)


def _alike(value: object, default: object) -> bool:
    """Whether a value has the type of a setting's default; any will do where there is none, or None."""
    if default is None or default is dataclasses.MISSING:
        return True
    if isinstance(default, tuple):
        return isinstance(value, tuple) and (not default or all(_alike(one, default[0]) for one in value))
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
