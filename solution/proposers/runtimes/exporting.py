"""Graphs as ONNX files, and the description beside them that says what they are: written for other programs, and kept for
our own runtimes.

Torch's older exporter traces a network in a third of a second; its newer one takes a minute for the same graph, and that
runs slower. Tracing fixes nothing that depends on an image's size, as long as height and width are multiples of 16.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from solution.core.artefact import digest, file_facts, file_hash, is_whole, read_noted
from solution.core.code import code_digest
from solution.core.writing import write_bytes, write_text
from solution.proposers.families import Family
from solution.proposers.runtimes.graphs import BANDS, KINDS, MULTIPLE_PX, Traced, example, torch_features, traced

OPSET = 18
IMAGE, VALID, FEATURES = "image", "valid", "features"
"""Names of the graphs' inputs and of their output."""
_KEY = "sar2opt"  # of the description among an ONNX file's own properties


def graph_name(family: Family, modality: str) -> str:
    """Name of the file of a graph."""
    return f"{family.name}_{modality}.onnx"


def description_name(family: Family) -> str:
    """Name of the file that describes a family's graphs."""
    return f"{family.name}.json"


def export(family: Family, weights: Sequence[Path], folder: Path) -> list[Path]:
    """Write a family's two graphs into a folder, each whole, and the description last.

    Args:
        weights: of one team, or of several, whose mean is written.

    Raises:
        InputError: missing or foreign weights, or the disk refuses a file.
    """
    described = {"key": key(family, weights), **_facts(family, weights), "graphs": {}}
    paths = []
    for modality, module in traced(torch_features(family, weights)).items():
        content, told = _graph(family, modality, module, described)
        paths.append(folder / graph_name(family, modality))
        write_bytes(paths[-1], content)
        described["graphs"][modality] = {"file": file_facts(paths[-1]), **told}
    paths.append(folder / description_name(family))
    write_text(paths[-1], json.dumps(described, indent=1) + "\n")
    return paths


def kept(family: Family, weights: Sequence[Path], cache: Path) -> dict[str, Path]:
    """Modality -> the graph of these weights in a cache, written where it is missing or not whole.

    Raises:
        InputError: as `export`.
    """
    wanted = key(family, weights)
    folder = cache / wanted
    noted = read_noted(folder / description_name(family))
    paths = {modality: folder / graph_name(family, modality) for modality in BANDS}
    graphs = noted.get("graphs", {}) if noted.get("key") == wanted else {}
    if not all(is_whole(path, graphs.get(modality, {}).get("file")) for modality, path in paths.items()):
        export(family, weights, folder)
    return paths


def key(family: Family, weights: Sequence[Path]) -> str:
    """Hash of all that graphs depend on: weights, in order, and what writes them."""
    return digest([family.name, [file_hash(path) for path in weights], code_digest(export), torch.__version__])


def _facts(family: Family, weights: Sequence[Path]) -> dict:
    """What is true of both graphs."""
    kind = KINDS[family.name]
    return {
        "network": family.name,
        "gives": "unit feature vectors: the dot product of an optical and a SAR one says how alike the ground is there",
        "weights": {f"{path.parent.name}/{path.name}": file_hash(path) for path in weights},
        "opset": OPSET,
        "torch": torch.__version__,
        "licence": "Apache-2.0",
        "multiple_px": MULTIPLE_PX,
        "stride_px": kind.stride_px,
    }


def _graph(family: Family, modality: str, module: Traced, described: dict) -> tuple[bytes, dict]:
    """The bytes of a graph, which hold its description too, and what is true of it alone."""
    import onnx

    image, valid = example(modality)
    with torch.inference_mode():
        channels = module(image, valid).shape[1]
    kind, stride = KINDS[family.name], described["stride_px"]
    told = {
        "modality": modality,
        "inputs": {
            IMAGE: {"shape": [1, BANDS[modality], "height", "width"], "dtype": "float32", "range": [0, 1]},
            VALID: {"shape": [1, "height", "width"], "dtype": "float32", "values": [0, 1]},
        },
        "before": kind.told if modality == "sar" else "",
        "outputs": {FEATURES: {"shape": [1, channels, f"height / {stride}", f"width / {stride}"], "dtype": "float32"}},
        "channels": channels,
    }
    model = onnx.load_from_string(_written(module, (image, valid)))
    facts = {name: value for name, value in described.items() if name != "graphs"}
    onnx.helper.set_model_props(model, {_KEY: json.dumps({**facts, **told})})
    return model.SerializeToString(deterministic=True), told


def _written(module: Traced, inputs: tuple[torch.Tensor, torch.Tensor]) -> bytes:
    """What torch's exporter makes of a module."""
    axes = {IMAGE: {2: "height", 3: "width"}, VALID: {1: "height", 2: "width"}, FEATURES: {2: "rows", 3: "columns"}}
    out = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # that it is the older one, and what tracing fixes
        torch.onnx.export(
            module,
            inputs,
            out,
            dynamo=False,
            opset_version=OPSET,
            input_names=[IMAGE, VALID],
            output_names=[FEATURES],
            dynamic_axes=axes,
        )
    return out.getvalue()
