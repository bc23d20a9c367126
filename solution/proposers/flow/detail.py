"""The last stage: the fitted field gets back the relief that it has smoothed away.

Matches of a window err alike, so the fit smooths them, and with them hills of 100 to 200 px. Here the SAR image is read
through the fit, and one joint field of what is left is found by the flow's features, on a lattice far finer than before.
How far it may bend depends on how well these features agree along the fit: where they hardly do, as on sensors that they
never saw, they say little of details either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from solution.core import geometry
from solution.core.geometry import Window
from solution.core.progress import Progress
from solution.data.scene import ScenePair
from solution.field.evidence import Evidence
from solution.field.joint import Stage, evidence_of, joint_field
from solution.field.shiftfield import Fit
from solution.proposers.encoder.cells import STRIDE_PX
from solution.proposers.flow.gathering import Source, all_nodes, gather, places
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.pieces import piecewise
from solution.proposers.flow.search import onto
from solution.proposers.flow.settings import DetailConfig

_LATTICES = ((6.0, 0.25), (3.0, 0.2), (1.5, 0.2))  # pitch and blur, in nodes; chosen on: vhr_check, simulated
_STIFFNESS, _FALL = 1.0, 4  # of trusted evidence, and how steeply it rises below; chosen on the same


def detailed(
    fit: Fit,
    pair: ScenePair,
    nets: Sequence[FlowNet],
    config: DetailConfig,
    finest: int,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
) -> Fit:
    """The fit, on a finer lattice, with what the flow's features see of its error.

    Args:
        fit: of candidates of any sources; only a field, on small enough pixels, is refined, any other is given back.
        nets: of all voices, in evaluation mode, on the device.
        finest: level to work on, 1 = every optical pixel.
    """
    if fit.kind != "field" or not nets or not pair.gsd_m <= config.most_gsd_m:
        return fit
    sources = [Source(net.encoder.optical, net.encoder.sar, STRIDE_PX) for net in nets]
    nodes = all_nodes(pair.shape, finest, config.node_px)

    def left(piece: Window, part: str) -> np.ndarray:
        (evidence,) = gather(
            pair,
            finest,
            config.radius_px,
            fit,
            sources,
            told=f"detail: level {finest}{part}",
            progress=progress,
            device=device,
            node_px=config.node_px,
            within=piece,
        )
        return left_of(evidence, config.trust)

    found = piecewise(nodes, config.tile_px // config.node_px, config.overlap_px // config.node_px, left)
    origin, pitch = places(nodes, finest, config.node_px)
    xy = geometry.lattice(origin, (pitch, pitch), found.shape[:2])
    moved = np.moveaxis(onto(fit, xy, found), -1, 0)
    sigma = None if fit.sigma is None else fit.sigma_at(xy.reshape(-1, 2)).reshape(found.shape[:2])
    return replace(fit, nodes=moved, origin=origin, step=(pitch, pitch), sigma=sigma)


def left_of(evidence: Evidence, trust: float) -> np.ndarray:
    """(rows, columns, 2) what is left of a field's error by the evidence around it, optical px; nothing where there is no
    evidence, or none for the field itself."""
    nothing = np.zeros((*evidence.planes.shape[:2], 2))
    said = evidence_of(evidence, nothing)
    agreement = float(np.nanmean(said)) if np.isfinite(said).any() else 0.0
    if agreement <= 0:
        return nothing
    stiffness = _STIFFNESS * max(1.0, (trust / agreement) ** _FALL)
    return joint_field(evidence, tuple(Stage(pitch, blur, stiffness) for pitch, blur in _LATTICES)).shift
