"""Matching over a whole scene: tiles around a coarse field, or, without one, from geocoding alone and level by level.

Every tile is warped by the field, matched, and cleaned by its own consensus; what is left becomes `Candidates`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
import torch

from solution import candidates, geometry, offsets
from solution.config import MatchingConfig
from solution.geometry import Window
from solution.matcher import MatcherNet, Matches
from solution.offsets import Fit
from solution.progress import Progress, counted
from solution.scene import ScenePair
from solution.warped import TILES_A_PASS, WarpedTile, finest_level, read_tile

Translate = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""SAR (h, w) in [0, 1] and validity (h, w) -> optical-like (3, h, w) in [0, 1]."""

_LEAST_PX = 32  # of a level: fewer say nothing


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
    levels = plan(pair.shape, config, finest, alone=field is None)
    table = candidates.empty()
    for number, factor in enumerate(levels):
        windows = level_windows(pair.shape, factor, net.config.window_px, config)
        parts = []
        for tile, window in counted(windows, f"{source} {fold}: level {factor}", progress):
            view = read_tile(pair, window, factor, field)
            if view is not None:
                parts.append(_rows(pair, net, fold, source, number * TILES_A_PASS + tile, view, translate, config))
        table = candidates.concat(parts)
        if factor != levels[-1]:
            found = offsets.quiet_fit(table, pair.shape)
            field = found if found.kind != "zero" else field  # an empty level leaves what the one before it found
    return table


def plan(shape: tuple[int, int], config: MatchingConfig, finest: int | None, alone: bool) -> list[int]:
    """Levels to match, the coarsest first: the finest one, and without a field also those that lead to it."""
    finest = finest_level(shape, finest, config.large_scene_px)
    leading = [factor for factor in config.factors if factor > finest and min(shape) >= factor * _LEAST_PX] if alone else []
    return [*leading, finest]


def level_windows(shape: tuple[int, int], factor: int, window_px: float, config: MatchingConfig) -> list[Window]:
    """Windows in optical px, margins included, that cover the scene; evenly thinned above `max_tiles`."""
    margin = _margin(window_px, config)
    inner = config.tile_px - 2 * margin
    starts = [_starts(math.ceil(size / factor), inner) for size in shape]
    side = config.tile_px * factor
    windows = [Window((x - margin) * factor, (y - margin) * factor, side, side) for y in starts[0] for x in starts[1]]
    if len(windows) <= config.max_tiles:
        return windows
    chosen = np.unique(np.round(np.linspace(0, len(windows) - 1, config.max_tiles)).astype(int))
    return [windows[index] for index in chosen]


def _margin(window_px: float, config: MatchingConfig) -> int:
    return int(max(config.margin_px, math.ceil(window_px)))


def _starts(size: int, inner: int) -> list[int]:
    """Starts of the tiles' inner parts along one axis, evenly spread."""
    count = max(1, math.ceil(size / inner))
    return [round(start) for start in np.linspace(0, max(0, size - inner), count)]


def _rows(
    pair: ScenePair,
    net: MatcherNet,
    fold: int,
    source: str,
    number: int,
    view: WarpedTile,
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
    matrix, _ = cv2.estimateAffine2D(position, landed, method=cv2.USAC_MAGSAC, ransacReprojThreshold=config.consensus_px)
    if matrix is None:
        return nothing
    agree = np.hypot(*(geometry.apply(np.vstack([matrix, [0, 0, 1]]), position) - landed).T) <= config.consensus_px
    return agree if agree.sum() >= config.min_consensus else nothing
