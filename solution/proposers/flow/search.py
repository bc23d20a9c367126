"""The scene's joint field: found on a coarse level over the whole reach, refined level by level.

Every level reads the SAR image through the field of the one before, so that steep displacements are nearly flat when they
are looked at closely. All levels go by coarse features and oriented gradients, which err elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
import torch

from solution.core import geometry
from solution.core.geometry import Window
from solution.core.parallel import mapped
from solution.core.progress import Progress
from solution.data.scene import ScenePair
from solution.field.contrast import Contrast
from solution.field.joint import SEARCH, Joint, Stage, evidence_of, joint_field, refinements
from solution.field.shiftfield import Fit
from solution.proposers.encoder.cells import STRIDE_PX
from solution.proposers.encoder.frozen import FROZEN_PX
from solution.proposers.encoder.gradients import gradients
from solution.proposers.flow.decoys import DECOYS
from solution.proposers.flow.gathering import NODE_PX, Source, all_nodes, gather, places
from solution.proposers.flow.pieces import piecewise
from solution.proposers.flow.settings import SearchConfig
from solution.proposers.runtimes.runtime import Features
from solution.proposers.warped import read_sar

_REACH_SHARE = 0.4  # of the scene's longer side: no larger shift is looked for, whatever the settings say
_LEVELS = (1, 2, 4, 8, 16)


def levels(shape: tuple[int, int], finest: int, config: SearchConfig) -> list[int]:
    """The levels that the search works on, optical px per level px, coarse to fine."""
    size = shape[0] * shape[1]
    start = 1 if size <= config.alone_px else 2
    first = next((factor for factor in _LEVELS if factor >= start and size <= config.first_px * factor**2), _LEVELS[-1])
    return [factor for factor in reversed(_LEVELS) if finest <= factor <= max(finest, first)]


class Search:
    """The search for one scene's joint field; every part of it is done when it is first asked for, and once."""

    def __init__(
        self,
        pair: ScenePair,
        coarse: Sequence[Features],
        config: SearchConfig,
        finest: int = 1,
        progress: Progress | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Nothing is read yet.

        Args:
            coarse: the coarse features of every voice.
            finest: level beyond which nothing is looked at.
            device: that the features are on.
        """
        self._pair, self._config = pair, config
        self._first_level, *finer = levels(pair.shape, finest, config)
        self._finer = finer or [self._first_level]
        share = config.coarse_weight / len(coarse)
        sources = [
            *(Source(features.optical, features.sar, FROZEN_PX, weight=share) for features in coarse),
            Source(gradients, gradients, STRIDE_PX, weight=config.gradient_weight),
        ]
        self._gather = partial(gather, pair, sources=sources, tile_px=config.tile_px, progress=progress, device=device)

    @cached_property
    def field(self) -> Fit:
        """The joint field."""
        joint, contrast = self._first
        field = _field(joint.shift, contrast.evidence.origin, contrast.evidence.step)
        for level, stages in zip(self._finer, refinements(len(self._finer)), strict=True):
            field = self._refined(field, level, stages)
        return field

    @property
    def start(self) -> tuple[float, float]:
        """(x, y) shift that the field of the first level began with, optical px."""
        return self._first[0].start

    @property
    def contrast(self) -> Contrast:
        """What any map of the scene can be judged by; needs the first level alone."""
        return self._first[1]

    @cached_property
    def _first(self) -> tuple[Joint, Contrast]:
        """The field of the first level, and what it stands out from: the best fields of decoys, found the same way."""
        level, config = self._first_level, self._config
        reach = min(config.reach_px, _REACH_SHARE * max(self._pair.shape)) / level
        found = self._gather(level, reach, None, told=f"field: level {level}", readers=(read_sar, *DECOYS))
        joint, *decoys = mapped(lambda each: joint_field(each, SEARCH, config.starts), found, "", None)
        along = zip(found[1:], decoys, strict=True)
        return joint, Contrast(found[0], tuple(evidence_of(evidence, decoy.shift) for evidence, decoy in along))

    def _refined(self, field: Fit, level: int, stages: tuple[Stage, ...]) -> Fit:
        """A field with what the evidence of a level, around it, sees of its error."""
        config, shape = self._config, self._pair.shape
        nodes = all_nodes(shape, level)

        def left(piece: Window, part: str) -> np.ndarray:
            told = f"field: level {level}{part}"
            (evidence,) = self._gather(level, config.refine_radius_px, field, told=told, within=piece)
            return joint_field(evidence, stages).shift

        whole = shape[0] * shape[1] <= config.whole_px * level**2
        side = max(nodes.height, nodes.width) if whole else config.piece_px // NODE_PX
        found = piecewise(nodes, side, config.overlap_px // NODE_PX, left)
        origin, pitch = places(nodes, level)
        return _field(onto(field, geometry.lattice(origin, (pitch, pitch), found.shape[:2]), found), origin, pitch)


def _field(shift: np.ndarray, origin: tuple[float, float], pitch: float) -> Fit:
    """Shifts (rows, columns, 2) at all nodes of a level, as a field."""
    return Fit("field", np.moveaxis(shift, -1, 0), origin, (pitch, pitch), shift[..., 0].size, np.nan)


def onto(before: Fit, xy: np.ndarray, left: np.ndarray) -> np.ndarray:
    """What was left of a field's error, and the field, as one shift: left(p) + before(p + left).

    Args:
        xy, left: (rows, columns, 2) positions, and what was left there when the SAR image was read through `before`.
    """
    return left + before.shift_at((xy + left).reshape(-1, 2)).reshape(left.shape)
