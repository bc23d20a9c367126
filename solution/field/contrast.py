"""How much more the images say for a map than mirrored SAR images, which cannot match, say for the best maps of theirs.

Matches that agree with one another prove nothing: in a wrong world they agree too. A mirrored SAR image has the same
texture, speckle and streets, but shows no ground of the optical image where it is looked for. What the best field of
such a decoy gathers is what chance gives away; a map must stand well above it, in the whole scene, and place by place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from solution.core import geometry
from solution.field.evidence import Evidence
from solution.field.fitting import with_unseen
from solution.field.joint import evidence_of
from solution.field.shiftfield import Fit

_CHANCE = 0.25  # at least: a decoy with hardly any data says too little
_REGION_NODES = 1.5  # standard deviation of the window that a place is judged by, nodes of the evidence
_CHANCE_PERCENT = 99  # of a decoy's places that say less than what a place of the map must say
_BLOCK_PX, _BLOCK_NODES = 512.0, 4  # side of a block of the map, and how many nodes it has at least along a side
_UNSEEN_M = 1.8  # chosen on: s12, vhr_check, simulated
"""Standard deviation per axis, on the ground, of what all matches get wrong alike where the margin is 1; it is the larger
the less the images say."""
_UNCLEAR = 1.5  # chosen on the same
"""Times the radius where the images do not speak for the map: there, errors were that much larger."""


@dataclass(frozen=True)
class Standing:
    """How a map stands.

    Attributes:
        margin: its mean evidence less that of the best decoy, in standard deviations of the evidence; NaN without any.
        clear: (rows, columns) bool, places that say more than chance gives away.
        nodes: (rows, columns, 2) those places, optical px.
        block_margin: mean evidence in the block of the map, about 512 px wide, that has least, less that of the median
            block of the better decoy: below 0, a map is likelier wrong there than right. NaN without any.
        block_xy: the block's middle, optical px.
    """

    margin: float
    clear: np.ndarray
    nodes: np.ndarray
    block_margin: float
    block_xy: tuple[float, float]

    def widened(self, fit: Fit) -> Fit:
        """The fit, whose radius holds nothing unseen yet, with a radius that goes by how the map stands."""
        if fit.sigma is None or not self.margin > 0:
            return fit
        xy = geometry.lattice(fit.origin, fit.step, fit.sigma.shape)
        clear = self.clear_at(xy.reshape(-1, 2)).reshape(fit.sigma.shape)
        sigma = with_unseen(fit, _UNSEEN_M / self.margin).sigma
        return replace(fit, sigma=np.where(clear, sigma, _UNCLEAR * sigma))

    def clear_at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) bool at optical positions (N, 2): what the nearest node says."""
        index = [self._nearest(xy[:, axis], axis) for axis in (0, 1)]
        return self.clear[index[1], index[0]]

    def _nearest(self, position: np.ndarray, axis: int) -> np.ndarray:
        along = self.nodes[0, :, 0] if axis == 0 else self.nodes[:, 0, 1]
        step = along[1] - along[0] if len(along) > 1 else 1.0
        return np.clip(np.rint((position - along[0]) / step), 0, len(along) - 1).astype(np.int64)


@dataclass(frozen=True)
class Contrast:
    """What is needed to judge any map of a scene.

    Attributes:
        evidence: of the scene, over all displacements.
        decoys: (rows, columns) evidence along the best field of each decoy, NaN where there is none.
    """

    evidence: Evidence
    decoys: tuple[np.ndarray, ...]

    def of(self, fit: Fit) -> Standing:
        """The standing of a map."""
        nodes = self.evidence.nodes()
        said = evidence_of(self.evidence, fit.shift_at(nodes.reshape(-1, 2)).reshape(nodes.shape))
        if not np.isfinite(said).any():
            return Standing(float("nan"), np.zeros(said.shape, bool), nodes, float("nan"), (0.0, 0.0))
        margin = float(np.nanmean(said)) - self._chance(np.nanmean, _CHANCE)
        clear = smoothed(said) > self._chance(lambda decoy: np.nanpercentile(smoothed(decoy), _CHANCE_PERCENT), _CHANCE)
        side = max(_BLOCK_NODES, round(_BLOCK_PX / self.evidence.step))
        blocks = _of_blocks(said, side)
        least = np.unravel_index(int(np.nanargmin(blocks)), blocks.shape)
        block_chance = self._chance(lambda decoy: np.nanmedian(_of_blocks(decoy, side)), 0.0)
        return Standing(margin, clear, nodes, float(blocks[least]) - block_chance, tuple(nodes[least].tolist()))

    def _chance(self, told: Callable[[np.ndarray], float], least: float) -> float:
        """The most that any decoy tells, or the least that is chance's share."""
        return float(max([least, *(told(decoy) for decoy in self.decoys if np.isfinite(decoy).any())]))


def _of_blocks(said: np.ndarray, side: int) -> np.ndarray:
    """(rows, columns) means over blocks of so many nodes around every node; NaN where less than half of a block, or of
    the fullest one, has any evidence."""
    means, share = _windowed(said, partial(uniform_filter, size=side))
    return np.where(share >= min(0.5, float(share.max())), means, np.nan)


def smoothed(said: np.ndarray) -> np.ndarray:
    """(rows, columns) means over windows of what is there, NaN where the place itself has no evidence."""
    means, _ = _windowed(said, partial(gaussian_filter, sigma=_REGION_NODES))
    return np.where(np.isfinite(said), means, np.nan)


def _windowed(said: np.ndarray, blur: Callable[..., np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Means over the windows of a filter, of what is there, and the share of each window that is."""
    there = np.isfinite(said)
    share = blur(there.astype(np.float64), mode="constant")
    total = blur(np.where(there, said, 0.0), mode="constant")
    return total / np.maximum(share, 1e-9), share
