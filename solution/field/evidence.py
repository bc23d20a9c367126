"""Evidence: for every node of a lattice over the scene and every displacement, how well the images agree there.

It is not a decision. Evidence of several kinds adds up; where there is none (water, no data), it weighs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from solution.core import geometry

_LEAST_SHARE = 0.3  # of a window's cells that must be valid in both images for its mean to count


@dataclass(frozen=True)
class Evidence:
    """Standardised agreement at the nodes of a regular lattice.

    Attributes:
        planes: (rows, columns, D, D) float32; the last two axes are the displacement in y and x, from -radius.
        cell_px: optical px between neighbouring displacements.
        origin, step: (x, y) of the first node, and distance of neighbouring nodes, optical px.
    """

    planes: np.ndarray
    cell_px: float
    origin: tuple[float, float]
    step: float

    def nodes(self) -> np.ndarray:
        """(rows, columns, 2) positions of the nodes, optical px."""
        return geometry.lattice(self.origin, (self.step, self.step), self.planes.shape[:2])


def standardised(means: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Means of agreement over windows, relative to what other displacements of the node give.

    Displacements that lead to no data are neither for nor against: to count them as disagreement pulls the field away
    from the borders of the data.

    Args:
        means: (rows, columns, D, D).
        share: of the same shape, share of the window's cells that are valid in both images.

    Returns:
        The same shape, float32: less the node's mean, in standard deviations of the whole scene, times the largest
        share of the node's window that is valid; nodes without any data are 0 everywhere.
    """
    there = share >= _LEAST_SHARE
    count = there.sum(axis=(2, 3), keepdims=True)
    node_mean = np.where(there, means, 0).sum(axis=(2, 3), keepdims=True) / np.maximum(count, 1)
    centred = np.where(there, means - node_mean, np.float32(0))
    deviation = float(np.sqrt(np.square(centred).sum(dtype=np.float64) / max(int(count.sum()), 1)))
    return (centred * (share.max(axis=(2, 3), keepdims=True) / (deviation + 1e-9))).astype(np.float32)


def resampled(planes: np.ndarray, times: int, radius: int) -> np.ndarray:
    """Planes (rows, columns, D, D) with displacements `times` as close, cut to `radius` of the new cells."""
    if times > 1:
        span = (planes.shape[-1] - 1) * times + 1
        planes = F.interpolate(torch.from_numpy(planes), size=(span, span), mode="bilinear", align_corners=True).numpy()
    middle = planes.shape[-1] // 2
    return planes[..., middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
