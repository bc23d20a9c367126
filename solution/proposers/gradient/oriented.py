"""Oriented gradients and their correlation: what a roof, a field's edge and a coast share in both images.

In the manner of CFOG (Ye et al. 2019). Nothing here is trained.

There is a second bank of oriented gradients in `solution.proposers.matcher.encoder`, and neither can take the other's place.
That one feeds networks: its filters (a derivative of a Gaussian of 1 px, 6 directions, absolute slopes, differentiable
and on a GPU) are a part of what the shipped weights learned from. This one is matched as it is, so that it is smoothed
more, has 8 directions, and is freed from its length and its mean.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

_ORIENTATIONS = 8
_SMOOTH_PX = 1.5  # standard deviation of the blur before the slopes are taken
_SPREAD_PX = 1.0  # and of the one after, which lets edges agree that lie a pixel apart
_BORDER_SIDE_PX = 9  # side of the square that must be valid around a pixel
_LENGTH_FLOOR = 0.25  # of the median length: flat ground is not blown up to an edge
_NORM_FLOOR = 0.25  # of the largest energy of a window
_PEAK_PX = 4  # half side of the square around a peak; what lies outside is a rival
_CONFIDENCE_GAIN = 5  # a peak that stands a fifth of its height above its best rival is sure


def oriented(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(orientations, h, w) float32: how much of the local gradient runs along each direction, whatever its sign, its
    length and the mean over the directions taken off; 0 without data."""
    smooth = cv2.GaussianBlur(image, (0, 0), _SMOOTH_PX)
    x, y = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    angles = [math.pi * step / _ORIENTATIONS for step in range(_ORIENTATIONS)]
    channels = np.stack(
        [cv2.GaussianBlur(np.abs(x * math.cos(angle) + y * math.sin(angle)), (0, 0), _SPREAD_PX) for angle in angles]
    )
    channels -= channels.mean(axis=0)
    length = np.sqrt(np.square(channels).sum(axis=0))
    square = np.ones((_BORDER_SIDE_PX, _BORDER_SIDE_PX), np.uint8)
    inner = cv2.erode(valid.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return channels * (inner / (length + _LENGTH_FLOOR * float(np.median(length)) + 1e-6)).astype(np.float32)


def window_norm(energy: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    """Root of the energy (h, w) summed over every window of `side` (rows, columns), (h - rows + 1, w - columns + 1);
    where a window mostly misses the image a few pixels would decide, so no norm is below half the largest one."""
    total = np.pad(energy.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    rows, columns = side
    covered = total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]
    return np.sqrt(np.maximum(covered, _NORM_FLOOR * covered.max() + 1e-6))


def peak(score: np.ndarray, reach: int) -> tuple[float, float, float]:
    """Place x, y of the maximum relative to the centre, between pixels by a parabola along each axis, and its
    confidence in [0, 1].

    Args:
        score: (2 reach + 1, 2 reach + 1).
    """
    row, column = np.unravel_index(score.argmax(), score.shape)
    near = np.s_[max(row - _PEAK_PX, 0) : row + _PEAK_PX + 1, max(column - _PEAK_PX, 0) : column + _PEAK_PX + 1]
    around, others = score[near], score.copy()
    others[near] = -np.inf
    rival = float(others.max()) if np.isfinite(others).any() else 0.0
    confidence = float(np.clip(_CONFIDENCE_GAIN * (around.max() - rival) / max(around.max(), 1e-6), 0.0, 1.0))
    return column - reach + _vertex(score[row], column), row - reach + _vertex(score[:, column], row), confidence


def _vertex(line: np.ndarray, at: int) -> float:
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = line[at - 1 : at + 2].astype(np.float64)
    return float(0.5 * (before - after) / min(before - 2 * here + after, -1e-12))
