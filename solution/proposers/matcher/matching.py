"""Matching over a whole scene: tiles around a coarse field, or, without one, from geocoding alone and level by level.

Every tile is warped by the field, matched, and cleaned by its own consensus; what is left becomes `Candidates`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np
import pandas as pd
import torch

from solution.core import geometry
from solution.core.geometry import Window
from solution.core.progress import Progress, counted
from solution.data.scene import ScenePair
from solution.field import candidates, fitting
from solution.field.fitting import Fit
from solution.proposers.matcher.keypoints import Matches
from solution.proposers.matcher.network import MatcherNet
from solution.proposers.matcher.settings import MatchingConfig
from solution.proposers.warped import TILES_A_PASS, Translate, WarpedTile, finest_level, read_tile

_LEAST_PX = 32  # of a level: fewer say nothing
_KEPT_FACTOR = 2  # levels up to this much coarser than the finest are proposed too: speckle is averaged down there


def propose_match(
    pair: ScenePair,
    net: MatcherNet,
    fold: int,
    config: MatchingConfig,
    field: Fit | None = None,
    translate: Translate | None = None,
    finest: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Candidates of one matcher for one scene.

    Args:
        net: in evaluation mode, on the device that shall do the work.
        fold: goes into the table.
        field: where to look; None = geocoding alone, with search windows that halve from level to level.
        translate: SAR tiles go through it first; the source is ``match_translated`` then, else ``match``.
        finest: level of the last pass; None chooses by the scene's size.
        progress: called with (what, done, total).
    """
    source = "match_translated" if translate else "match"
    alone = field is None
    levels = plan(pair.shape, config, finest, alone)
    kept = candidates.empty()
    for number, factor in enumerate(levels):
        windows = level_windows(pair.shape, factor, net.config.window_px, config)
        parts = []
        for tile, (window, own) in counted(windows, f"{source} {fold}: level {factor}", progress):
            view = read_tile(pair, window, factor, field)
            if view is not None:
                parts.append(_rows(pair, net, fold, source, number * TILES_A_PASS + tile, view, own, translate, config))
        table = candidates.concat(parts)
        if factor <= _KEPT_FACTOR * levels[-1]:
            kept = candidates.concat([kept, table])
        if factor != levels[-1] and alone:
            found = fitting.quiet_fit(table, pair.shape)
            field = found if found.kind != "zero" else field  # an empty level leaves what the one before it found
    return kept


def plan(shape: tuple[int, int], config: MatchingConfig, finest: int | None, alone: bool) -> list[int]:
    """Levels to match, the coarsest first: the finest one, the one above it, and without a field those above too."""
    finest = finest_level(shape, finest)
    reach = math.inf if alone else _KEPT_FACTOR * finest
    above = sorted({_KEPT_FACTOR * finest, *config.factors}, reverse=True)
    return [*(factor for factor in above if finest < factor <= reach and min(shape) >= factor * _LEAST_PX), finest]


def level_windows(
    shape: tuple[int, int], factor: int, window_px: float, config: MatchingConfig
) -> list[tuple[Window, Window]]:
    """Windows in optical px, margins included, and the part of each that is its own; evenly thinned above `max_tiles`.

    The own parts cover the scene and meet without overlap, so that no ground is matched twice.
    """
    margin = _margin(window_px, config)
    inner = config.tile_px - 2 * margin
    rows, columns = (_cuts(math.ceil(size / factor), inner) for size in shape)
    side = config.tile_px * factor
    windows = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            own = Window(left * factor, top * factor, (right - left) * factor, (bottom - top) * factor)
            windows.append((Window((left - margin) * factor, (top - margin) * factor, side, side), own))
    if len(windows) <= config.max_tiles:
        return windows
    chosen = np.unique(np.round(np.linspace(0, len(windows) - 1, config.max_tiles)).astype(int))
    return [windows[index] for index in chosen]


def _margin(window_px: float, config: MatchingConfig) -> int:
    return int(max(config.margin_px, math.ceil(window_px)))


def _cuts(size: int, inner: int) -> list[int]:
    """Where the tiles' own parts begin and end along one axis: parts of equal size, none above `inner`."""
    count = max(1, math.ceil(size / inner))
    return np.linspace(0, size, count + 1).round().astype(int).tolist()


def _rows(
    pair: ScenePair,
    net: MatcherNet,
    fold: int,
    source: str,
    number: int,
    view: WarpedTile,
    own: Window,
    translate: Translate | None,
    config: MatchingConfig,
) -> pd.DataFrame:
    matches = _match(net, view, translate, config)
    first, residual = matches.first.double().cpu().numpy(), (matches.second - matches.first).double().cpu().numpy()
    score, sigma, cycle = (column.double().cpu().numpy() for column in (matches.score, matches.sigma, matches.cycle))
    margin = _margin(net.config.window_px, config)
    inner = ((first >= margin) & (first < config.tile_px - margin)).all(axis=1)
    good = np.flatnonzero(inner & (score >= config.min_score) & (cycle <= config.max_cycle_px))
    good = good[consensus(first[good], residual[good], config)]
    good = good[own.holds(view.optical_xy(first[good]))]
    if not len(good):
        return candidates.empty()
    columns = {"confidence": np.clip(score[good], 0.0, 1.0), "sigma_px": sigma[good], "cycle_px": cycle[good]}
    return view.rows(pair, fold, source, number, first[good], residual[good], **columns)


@torch.inference_mode()
def _match(net: MatcherNet, view: WarpedTile, translate: Translate | None, config: MatchingConfig) -> Matches:
    device = next(net.parameters()).device

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None].to(device)

    other = translate(view.sar[0], view.sar_valid) if translate else view.sar
    first = net.dense(tensor(view.optical), tensor(view.optical_valid), "optical")
    second = net.dense(tensor(other), tensor(view.sar_valid), "translated" if translate else "sar")
    return net.match(first, second, config.other_cell_px)[0]


def consensus(position: np.ndarray, residual: np.ndarray, config: MatchingConfig) -> np.ndarray:
    """(N,) bool: which matches of a tile agree with its robust affine; none where too few do.

    Args:
        position: (N, 2) tile px.
        residual: (N, 2) tile px.
    """
    nothing = np.zeros(len(position), dtype=bool)
    if len(position) < config.min_consensus:
        return nothing
    landed = position + residual
    matrix, _ = cv2.estimateAffine2D(
        position, landed, method=cv2.USAC_MAGSAC, ransacReprojThreshold=config.consensus_px
    )
    if matrix is None:
        return nothing
    agree = np.hypot(*(geometry.apply(np.vstack([matrix, [0, 0, 1]]), position) - landed).T) <= config.consensus_px
    return agree if agree.sum() >= max(config.min_consensus, config.min_consensus_share * len(position)) else nothing
