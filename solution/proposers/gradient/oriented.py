"""Oriented gradients and their correlation: what a roof, a field's edge and a coast share in an optical and a SAR image.

In the manner of CFOG (Ye et al. 2019). Nothing here is trained.
"""

from __future__ import annotations

import cv2
import numpy as np

_ORIENTATIONS = 8


def oriented(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(orientations, h, w) float32: how much of the local gradient runs along each direction, whatever its sign, its length and the mean over
    the directions taken off; 0 without data."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1.5)
    x, y = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    angles = np.arange(_ORIENTATIONS) * np.pi / _ORIENTATIONS
    channels = np.stack([cv2.GaussianBlur(np.abs(x * np.cos(angle) + y * np.sin(angle)), (0, 0), 1.0) for angle in angles])
    channels -= channels.mean(axis=0)
    length = np.sqrt(np.square(channels).sum(axis=0))
    inner = cv2.erode(valid.astype(np.uint8), np.ones((9, 9), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return channels * (inner / (length + 0.25 * np.median(length) + 1e-6)).astype(np.float32)


def window_norm(energy: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    """Root of the energy (h, w) summed over every window of `side` (rows, columns), (h - rows + 1, w - columns + 1); where a window mostly misses
    the image a few pixels would decide, so no norm is below half the largest one."""
    total = np.pad(energy.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    rows, columns = side
    covered = total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]
    return np.sqrt(np.maximum(covered, 0.25 * covered.max() + 1e-6))


def peak(score: np.ndarray, reach: int) -> tuple[float, float, float]:
    """Place x, y of the maximum relative to the centre, between pixels by a parabola along each axis, and its confidence in [0, 1].

    Args:
        score: (2 reach + 1, 2 reach + 1).
    """
    row, column = np.unravel_index(score.argmax(), score.shape)
    around = score[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5]
    others = score.copy()
    others[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5] = -np.inf
    rival = float(others.max()) if np.isfinite(others).any() else 0.0
    confidence = float(np.clip(5 * (around.max() - rival) / max(around.max(), 1e-6), 0.0, 1.0))
    return column - reach + _vertex(score[row], column), row - reach + _vertex(score[:, column], row), confidence


def _vertex(line: np.ndarray, at: int) -> float:
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = line[at - 1 : at + 2].astype(np.float64)
    return float(0.5 * (before - after) / min(before - 2 * here + after, -1e-12))
