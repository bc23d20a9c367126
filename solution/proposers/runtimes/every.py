"""Which runtimes there are, what each needs, and which works unless another is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from solution.core.errors import InputError

if TYPE_CHECKING:
    import torch

    from solution.proposers.runtimes.runtime import Runtime

TORCH, ONNX, OPENVINO = "torch", "onnx", "openvino"
DEFAULT = TORCH
"""What computes the features unless another is asked for."""
PACKAGES = {TORCH: (), ONNX: ("onnx", "onnxruntime"), OPENVINO: ("onnx", "openvino")}
"""Name of a runtime -> the packages that it takes beyond the product's own; those of the first write the graphs."""
PINS = {"onnx": "1.23.2", "onnxruntime": "1.32.0", "openvino": "2026.4.1"}
"""As requirements-benchmark.txt has them."""


def check(name: str) -> None:
    """Raise `InputError` for an unknown runtime, or one whose packages are not installed."""
    if name not in PACKAGES:
        raise InputError(f"--runtime {name}: is none of {', '.join(PACKAGES)}")
    check_packages(f"--runtime {name}", PACKAGES[name])


def check_packages(asked: str, packages: Sequence[str]) -> None:
    """Raise `InputError` where one of the packages is not installed; the sentence begins with what was asked for."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        wanted = " ".join(f"{package}=={PINS[package]}" for package in missing)
        raise InputError(f"{asked}: needs {' and '.join(missing)}; install with: pip install {wanted}")


def facts(name: str) -> list[str]:
    """What a result depends on beside weights and code where a runtime made it; nothing for torch as it is."""
    return [name, *(f"{package} {metadata.version(package)}" for package in PACKAGES[name])] if PACKAGES[name] else []


def runtime(name: str, device: torch.device, cache: Path) -> Runtime | None:
    """The runtime of a name; None = torch as it is.

    Args:
        device: that torch works on.
        cache: folder that keeps the graphs.

    Raises:
        InputError: as `check`, or it would have to work on a GPU.
    """
    check(name)
    if name == TORCH:
        return None
    if device.type != "cpu":
        raise InputError(f"--runtime {name}: works on the CPU; pass --device cpu too, or leave --runtime out")
    from solution.proposers.runtimes.sessions import Onnx, OpenVino

    return Onnx(cache) if name == ONNX else OpenVino(cache)
