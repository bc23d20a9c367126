"""The scene's joint field: found on a coarse level over the whole reach, refined level by level.

Every level reads the SAR image through the field of the one before, so that steep displacements are nearly flat when they
are looked at closely. All levels go by coarse features and oriented gradients, which err elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from solution.core.progress import Progress
from solution.data.scene import ScenePair
from solution.field.evidence import Evidence
from solution.field.joint import SEARCH, Joint, joint_field, refinements
from solution.field.shiftfield import Fit
from solution.proposers.encoder.cells import STRIDE_PX
from solution.proposers.encoder.frozen import FROZEN_PX
from solution.proposers.encoder.gradients import gradients
from solution.proposers.flow.gathering import Maker, Source, gather
from solution.proposers.flow.settings import SearchConfig

_REACH_SHARE = 0.4  # of the scene's longer side: no larger shift is looked for, whatever the settings say
_LEVELS = (1, 2, 4, 8, 16)


class Features(Protocol):
    """What makes the features of either image."""

    optical: Maker
    sar: Maker


def levels(shape: tuple[int, int], finest: int, config: SearchConfig) -> list[int]:
    """The levels that the search works on, optical px per level px, coarse to fine."""
    size = shape[0] * shape[1]
    first = next((factor for factor in _LEVELS if size <= config.first_px * factor**2), _LEVELS[-1])
    last = 1 if size <= config.whole_px else 2
    return [factor for factor in reversed(_LEVELS) if max(finest, last) <= factor <= max(finest, first)]


def find_field(
    pair: ScenePair,
    coarse: Sequence[Features],
    config: SearchConfig,
    finest: int = 1,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Fit, list[Joint]]:
    """The joint field of a scene, and how it was found, level by level.

    Args:
        coarse: the coarse features of every voice.
        finest: level beyond which nothing is looked at.
        device: that the features are on.
    """
    share = config.coarse_weight / len(coarse)
    sources = [
        *(Source(features.optical, features.sar, FROZEN_PX, weight=share) for features in coarse),
        Source(gradients, gradients, STRIDE_PX, weight=config.gradient_weight),
    ]
    first, *finer = levels(pair.shape, finest, config)
    reach = min(config.reach_px, _REACH_SHARE * max(pair.shape)) / first
    finer = finer or [first]
    plans = zip(finer, refinements(len(finer)), strict=True)
    steps = [(first, reach, SEARCH), *((level, config.refine_radius_px, plan) for level, plan in plans)]
    field, found = None, []
    for level, radius, plan in steps:
        told = f"field: level {level}"
        evidence = gather(pair, level, radius, field, sources, config.tile_px, told, progress, device)
        found.append(joint_field(evidence, plan, config.starts if field is None else 0))
        field = composed(evidence, found[-1], field)
    return field, found


def composed(evidence: Evidence, joint: Joint, before: Fit | None) -> Fit:
    """What is left, and what the SAR image was read through, as one field: r(p) + before(p + r)."""
    xy, shift = evidence.nodes(), joint.shift
    if before is not None:
        landed = (xy + shift).reshape(-1, 2)
        shift = shift + before.shift_at(landed).reshape(shift.shape)
    return Fit("field", np.moveaxis(shift, -1, 0), evidence.origin, (evidence.step,) * 2, shift[..., 0].size, np.nan)
