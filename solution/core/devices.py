"""Which device a command works on."""

from __future__ import annotations

import torch

from solution.core.errors import InputError


def trainer_device(device: str) -> tuple[str, int | list[int] | str]:
    """``--device`` to Lightning's accelerator and devices."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return "cpu", 1
    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdigit()):
        raise InputError(f"--device {device}: is none of auto, cpu, cuda, cuda:N")
    if not torch.cuda.is_available():
        raise InputError(f"--device {device}: this machine offers no CUDA device; pass --device cpu")
    return "cuda", [int(number)] if number else "auto"


def torch_device(device: str) -> torch.device:
    """``--device`` for a prediction, which uses one device."""
    accelerator, devices = trainer_device(device)
    return torch.device(f"cuda:{devices[0]}" if isinstance(devices, list) else accelerator)
