"""The rows of ``benchmark-runtimes``: runtimes that users may ask for, and others that are there to be compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from solution.proposers.runtimes.every import ONNX, OPENVINO, PACKAGES, TORCH

if TYPE_CHECKING:
    from solution.proposers.runtimes.runtime import Runtime


@dataclass(frozen=True)
class Variant:
    """A row.

    Attributes:
        make: folder of graphs -> the runtime; None = torch as it is.
        runtime: whose packages it takes.
        lacks: what is missing for it, beside packages; empty where nothing is.
    """

    make: Callable[[Path], Runtime | None]
    runtime: str = TORCH
    lacks: Callable[[], str] = str

    def missing(self) -> str:
        """What it lacks on this machine; empty where it can be measured."""
        packages = [package for package in PACKAGES[self.runtime] if find_spec(package) is None]
        return f"{' and '.join(packages)} not installed" if packages else self.lacks()

    def versions(self) -> list[str]:
        """Of its packages, where they are installed."""
        from solution.proposers.runtimes.every import facts

        return [] if self.missing() else facts(self.runtime)


def _torch(change: str, layout: bool = False) -> Callable[[Path], Runtime]:
    def make(_: Path) -> Runtime:
        import torch

        from solution.benchmark import torch_variants

        kept = torch.channels_last if layout else torch.preserve_format
        return torch_variants.TorchVariant(getattr(torch_variants, change), kept)

    return make


def _onnx(threads: int) -> Callable[[Path], Runtime]:
    def make(cache: Path) -> Runtime:
        from solution.proposers.runtimes.sessions import Onnx

        return Onnx(cache, threads)

    return make


def _openvino(precision: str) -> Callable[[Path], Runtime]:
    def make(cache: Path) -> Runtime:
        from solution.proposers.runtimes.sessions import OpenVino

        return OpenVino(cache, precision)

    return make


def _no_compiler() -> str:
    from solution.benchmark.torch_variants import no_compiler

    return no_compiler()


VARIANTS = {
    "torch": Variant(lambda _: None),
    "torch-channels-last": Variant(_torch("channels_last", layout=True)),
    "torch-bfloat16": Variant(_torch("bfloat16")),
    "torch-compile": Variant(_torch("compiled"), lacks=_no_compiler),
    "onnx": Variant(_onnx(1), ONNX),
    "onnx-2-threads": Variant(_onnx(2), ONNX),
    "openvino": Variant(_openvino("f32"), OPENVINO),
    "openvino-bfloat16": Variant(_openvino("bf16"), OPENVINO),
}
"""Name of a row -> what it is, in the order of the table; the first is what the others are compared with."""
