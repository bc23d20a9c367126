"""A network's weights: out of a network, small enough to ship, and back into one."""

from __future__ import annotations

import dataclasses
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
    state = {name: value.detach().cpu() for name, value in net.state_dict().items()}
    return {name: (value.half() if value.ndim >= 2 else value).numpy() for name, value in state.items()}


def load_network(net: nn.Module, tensors: dict[str, np.ndarray], path: Path) -> None:
    """Strict loading, back in float32."""
    try:
        net.load_state_dict(as_floats(tensors))
    except RuntimeError as error:
        raise InputError(
            f"{path}: does not fit the configured network ({str(error).splitlines()[-1].strip()})"
        ) from error


def as_floats(tensors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Tensors for torch, half precision turned into float32."""
    return {
        name: torch.from_numpy(value.astype(np.float32) if value.dtype == np.float16 else value)
        for name, value in tensors.items()
    }


def settings_of(manifest: Manifest, kind: type[Settings]) -> Settings:
    """The part of a manifest's configuration that belongs to a dataclass."""
    known = {field.name for field in dataclasses.fields(kind)}
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in manifest.config.items()
        if name in known
    }
    return kind(**values)
