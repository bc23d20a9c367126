"""A training-free peer: template matching on oriented gradients (in the manner of CFOG, Ye et al. 2019), coarse
to fine, and our own robust fit.

It says what the learned proposers add: the fit is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import fft

from solution.benchmark.peers import Level, read_level
from solution.data.scene import ScenePair
from solution.field import candidates, fitting
from solution.proposers.gradient.oriented import oriented, peak, window_norm

WINDOW_PX = 300  # side of a template, optical px
# Longest side beyond which all levels are coarser, for the features of a whole level must fit into memory
_LARGEST_PX = 6000
_MIN_VALID = 0.5  # share of a template's pixels that must carry data


@dataclass(frozen=True)
class Round:
    """One pass over the scene.

    Attributes:
        factor: its level.
        spacing_px, reach_px: distance of the templates and search radius, optical px.
        together: whether all templates vote on one shift, lest single ones be lost over a wide search.
    """

    factor: int
    spacing_px: int
    reach_px: int
    together: bool = False


PASSES = (Round(4, 100, 200, together=True), Round(4, 75, 100), Round(2, 75, 40))


def register(pair: ScenePair, xy: np.ndarray) -> np.ndarray:
    """Index shifts (N, 2) in optical px at positions (N, 2)."""
    field = fitting.fit(_candidate(pair, np.zeros((1, 2)), np.zeros((1, 2)), 1.0), pair.shape)[0]
    coarser = -(-max(pair.shape) // _LARGEST_PX)
    for step in (replace(step, factor=step.factor * coarser) for step in PASSES):

        def apparent(grid: np.ndarray, field: fitting.Fit = field) -> np.ndarray:
            return field.shift_at(grid.reshape(-1, 2)).reshape(grid.shape) + pair.centre_offset_px

        level = read_level(pair, step.factor, apparent)
        centre, shift, confidence = _matches(level, step)
        # The SAR image was read through the field, so what is left adds to the field's shift where the match landed.
        field = fitting.fit(_candidate(pair, centre, shift + field.shift_at(centre + shift), confidence), pair.shape)[0]
    return field.shift_at(xy)


def _candidate(pair: ScenePair, xy: np.ndarray, shift: np.ndarray, confidence: np.ndarray | float) -> pd.DataFrame:
    return candidates.make(pair.name, -1, "match", xy, shift, confidence=confidence)


def _matches(level: Level, step: Round) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (N, 2) and shifts (N, 2) in optical px, and confidences (N,): how far the best
    peak stands above the others."""
    size, reach = (round(px / step.factor) for px in (WINDOW_PX, step.reach_px))
    size = min(size, *level.optical.shape)
    optical = oriented(level.optical, level.optical_valid)
    sar = np.pad(oriented(level.sar, level.sar_valid), ((0, 0), (reach, reach), (reach, reach)))
    energy = np.square(sar).sum(axis=0)
    rows, columns = (_places(length, size, step.spacing_px / step.factor) for length in level.optical.shape)
    found, total = [], np.zeros((2 * reach + 1,) * 2)
    for top in rows:
        for left in columns:
            here = np.s_[top : top + size, left : left + size]
            if level.optical_valid[here].mean() < _MIN_VALID or level.sar_valid[here].mean() < _MIN_VALID:
                continue
            there = np.s_[top : top + size + 2 * reach, left : left + size + 2 * reach]
            score = correlate(optical[:, *here], sar[:, *there], energy[there])
            total += score
            found.append((left, top, *peak(score, reach)))
    if step.together and found:
        found = [(*np.mean(found, axis=0)[:2], *peak(total, reach))]
    left, top, dx, dy, confidence = np.array(found, dtype=np.float64).reshape(-1, 5).T
    centre = (np.column_stack([left, top]) + (size - 1) / 2) * step.factor + level.origin
    return centre, np.column_stack([dx, dy]) * step.factor, np.ones_like(dx) if step.together else confidence


def _places(length: int, size: int, spacing: float) -> np.ndarray:
    """First pixels of windows of `size` that cover `length` px about evenly."""
    return np.rint(np.linspace(0, length - size, int((length - size) / spacing) + 1)).astype(int)


def correlate(template: np.ndarray, search: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Normalised correlation (2 r + 1, 2 r + 1) of a template at every place.

    Args:
        template: (c, h, w).
        search: (c, h + 2 r, w + 2 r).
        energy: (h + 2 r, w + 2 r) sum over the channels of the squares of `search`.
    """
    shape = [fft.next_fast_len(size, real=True) for size in search.shape[1:]]
    spectrum = (fft.rfft2(template, shape).conj() * fft.rfft2(search, shape)).sum(axis=0)
    places = [outer - inner + 1 for outer, inner in zip(search.shape[1:], template.shape[1:], strict=True)]
    norm = window_norm(energy, template.shape[1:]) * np.sqrt(max(float(np.square(template).sum()), 1e-6))
    return fft.irfft2(spectrum, shape)[: places[0], : places[1]] / norm
