"""Programs that run graphs, and features that come from them. Every image is computed by one thread, for images are worked
on side by side (`core.parallel`), and the bytes do not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from solution.proposers.families import Family
from solution.proposers.runtimes.exporting import FEATURES, IMAGE, VALID, kept
from solution.proposers.runtimes.graphs import KINDS, OPTICAL, SAR, Kind

Run = Callable[[dict[str, np.ndarray]], np.ndarray]
"""The inputs of a graph, by name -> its output; called by several threads at once."""


class GraphFeatures(nn.Module):
    """`runtime.Features` that another program computes. A module, so that it can take the place of an encoder."""

    def __init__(self, kind: Kind, optical: Run, sar: Run) -> None:
        super().__init__()
        self._kind, self._optical, self._sar = kind, optical, sar

    def optical(self, image: Tensor, valid: Tensor) -> Tensor:
        """As `runtime.Features`."""
        return _run(self._optical, image, valid)

    def sar(self, image: Tensor, valid: Tensor) -> Tensor:
        """As `runtime.Features`."""
        return _run(self._sar, self._kind.seen_sar(image), valid)


def _run(graph: Run, image: Tensor, valid: Tensor) -> Tensor:
    inputs = {IMAGE: image, VALID: valid}
    return torch.from_numpy(graph({name: np.ascontiguousarray(value.numpy()) for name, value in inputs.items()}))


class Onnx:
    """ONNX Runtime, on the CPU.

    Args:
        cache: folder that keeps the graphs.
        threads: that share the work on one image.
    """

    def __init__(self, cache: Path, threads: int = 1) -> None:
        self._cache, self._threads = cache, threads

    def features(self, family: Family, weights: Sequence[Path]) -> GraphFeatures:
        """As `runtime.Runtime`."""
        graphs = kept(family, weights, self._cache)
        return GraphFeatures(KINDS[family.name], *(self._session(graphs[name]) for name in (OPTICAL, SAR)))

    def _session(self, path: Path) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        options.enable_cpu_mem_arena = False  # which keeps the most that any image took: 0.6 GB for flow
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda inputs: session.run([FEATURES], inputs)[0]


class OpenVino:
    """OpenVINO, on the CPU.

    Args:
        cache: folder that keeps the graphs.
        precision: in which it computes, ``f32`` or ``bf16``; left to itself it takes the lower one where it can.
    """

    def __init__(self, cache: Path, precision: str = "f32") -> None:
        self._cache, self._precision = cache, precision

    def features(self, family: Family, weights: Sequence[Path]) -> GraphFeatures:
        """As `runtime.Runtime`."""
        graphs = kept(family, weights, self._cache)
        return GraphFeatures(KINDS[family.name], *(self._compiled(graphs[name]) for name in (OPTICAL, SAR)))

    def _compiled(self, path: Path) -> Run:
        import openvino

        workers = torch.get_num_threads()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self._precision,
            "NUM_STREAMS": workers,
            "INFERENCE_NUM_THREADS": workers,
            "ENABLE_CPU_PINNING": False,
        }
        compiled = openvino.Core().compile_model(path, "CPU", settings)
        idle: list[openvino.InferRequest] = []

        def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
            try:
                request = idle.pop()
            except IndexError:
                request = compiled.create_infer_request()
            found = request.infer(inputs, share_inputs=True)[FEATURES]
            idle.append(request)
            return found

        return run
