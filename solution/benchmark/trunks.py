"""Trunks beside each other: how large, how fast, and how far off a scene's joint field is that goes by their frozen maps."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.table import Table
from torch import Tensor

from solution.core.artefact import digest, file_hash, read_noted
from solution.core.code import code_digest
from solution.core.devices import torch_device
from solution.core.errors import InputError
from solution.core.writing import write_text
from solution.data.scene import ScenePair, without_labels
from solution.proposers.coarse.network import CoarseFeatures, CoarseHead
from solution.proposers.coarse.settings import CoarseConfig
from solution.proposers.encoder.features import Encoder
from solution.proposers.encoder.trunk_weights import PACKAGES
from solution.proposers.families import COARSE, load_family
from solution.proposers.flow.search import Search
from solution.proposers.flow.settings import FlowConfig, SearchConfig
from solution.scoring import score

TRUNKS = (*PACKAGES, "mobilenetv3_large_100", "resnet18", "convnext_atto", "vit_tiny_patch16_224")
"""What is measured without being told."""

_CAPTION = (
    "M: million parameters as far as the map of 16 px. s/MP: one image, processor seconds (on a GPU by the clock).\n"
    "px: mean error at the tie-points of the joint field by these frozen maps and oriented gradients; none by chance."
)
_BATCHES = 3
_RESULTS = "trunks.json"


@dataclass(frozen=True)
class Row:
    """What was found of a trunk.

    Attributes:
        trunk: its name.
        weights: where they come from.
        parameters_m: million, up to its coarsest map.
        coarse_s, flow_s: seconds for a megapixel of one image, of the frozen maps and of the features of flow.
        errors_px: mean error of every scene, by its name.
    """

    trunk: str
    weights: str
    parameters_m: float
    coarse_s: float
    flow_s: float
    errors_px: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What all trunks are held against.

    Attributes:
        pairs: labelled.
        side_px: of the image that is timed.
        device: as ``--device``.
        out: folder that keeps the errors of scenes, for a run that goes on after a killed one.
        say: gets one line per scene and per trunk.
    """

    pairs: Sequence[ScenePair]
    side_px: int
    device: str
    out: Path
    say: Callable[[str], None]


def of_trunk(name: str, comparison: Comparison) -> Row:
    """A frozen trunk with a head that changes nothing; with weights by chance, and no errors, where no package has them.

    Raises:
        InputError: there is no such trunk, or its package is not installed.
    """
    packaged = name in PACKAGES
    torch.manual_seed(0)
    head = CoarseHead(replace(CoarseConfig(), trunk=name, holds_trunk=not packaged)).eval()
    if not packaged:
        return _measured(head, "chance", replace(comparison, pairs=()), "")
    return _measured(head, "package", comparison, PACKAGES[name][2])


def of_head(path: Path, comparison: Comparison) -> Row:
    """A trained head, with the trunk that it was trained on. Raises `InputError` for other weights."""
    return _measured(load_family(COARSE, [path]), str(path), comparison, file_hash(path))


def table(rows: Sequence[Row]) -> Table:
    """A row a trunk."""
    shown = Table(box=box.SIMPLE, pad_edge=False, caption=_CAPTION, caption_justify="left")
    scenes = list(dict.fromkeys(scene for row in rows for scene in row.errors_px))
    for title in ("trunk", "weights"):
        shown.add_column(title, no_wrap=True)
    for title in ("M", "coarse s/MP", "flow s/MP", *scenes, *(["mean px"] if scenes else [])):
        shown.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        errors = [f"{row.errors_px[scene]:.2f}" if scene in row.errors_px else "" for scene in scenes]
        mean = [f"{np.mean(list(row.errors_px.values())):.2f}" if row.errors_px else ""] if scenes else []
        figures = f"{row.parameters_m:.2f}", f"{row.coarse_s:.2f}", f"{row.flow_s:.2f}"
        shown.add_row(row.trunk, row.weights, *figures, *errors, *mean)
    return shown


def _measured(head: CoarseHead, weights: str, comparison: Comparison, hashed: str) -> Row:
    side_px = comparison.side_px
    if side_px % 32:
        raise InputError(f"--size {side_px}: is no multiple of 32 px; pass 1024, say")
    trunk, place = head.config.trunk, torch_device(comparison.device)
    coarse = CoarseFeatures(head.frozen().to(place), head.to(place))
    config = FlowConfig()
    encoder = Encoder(trunk, config.width, config.feature_channels).eval()
    parameters = sum(each.numel() for each in encoder.trunk.parameters()) / 1e6
    encoder.fold()
    times = [_seconds(make, side_px, place) for make in (coarse.sar, encoder.to(place).sar)]
    comparison.say(f"{trunk}, {weights}: {times[0]:.2f} and {times[1]:.2f} s/MP")
    return Row(trunk, weights, parameters, *times, _errors_px(comparison, coarse, place, [trunk, hashed]))


def _errors_px(comparison: Comparison, coarse: CoarseFeatures, device: torch.device, facts: list[str]) -> dict:
    """Scene -> mean error; what is finished is kept.

    Args:
        facts: what the features depend on.
    """
    found, path, code = {}, comparison.out / _RESULTS, code_digest(_error_px)
    for number, pair in enumerate(comparison.pairs, 1):
        key = digest([*facts, pair.fingerprint(), file_hash(pair.tiepoints_csv), code, comparison.device])
        kept = read_noted(path)
        if key not in kept:
            kept[key] = round(_error_px(pair, coarse, device), 4)
            write_text(path, json.dumps(kept, indent=1) + "\n")
        found[pair.name] = kept[key]
        comparison.say(f"{facts[0]}: {number} of {len(comparison.pairs)}: {pair.name}: {kept[key]:.2f} px")
    return found


@torch.inference_mode()
def _seconds(make: Callable[[Tensor, Tensor], Tensor], side_px: int, device: torch.device) -> float:
    """For a megapixel, of the quickest of some: of the processor, which others that share it do not change much; on a GPU
    by the clock."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    image = torch.rand(1, 1, side_px, side_px, generator=torch.Generator().manual_seed(0)).to(device)
    valid = torch.ones(1, side_px, side_px, device=device)
    found = []
    for _ in range(_BATCHES + 1):  # the first one also allocates
        began = clock()
        make(image, valid).sum().item()  # a number on the host: whatever the device, the work is done
        found.append(clock() - began)
    return min(found[1:]) / (side_px**2 / 1e6)


def _error_px(pair: ScenePair, coarse: CoarseFeatures, device: torch.device) -> float:
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    found = Search(without_labels(pair), [coarse], SearchConfig(), device=device).field
    return float(score.distances_px(found.shift_at(truth.xy), truth).mean())
