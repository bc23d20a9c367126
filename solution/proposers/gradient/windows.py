"""Template matching on oriented gradients around a field that is nearly right: the one proposer that is not trained.

At 10 m a coast, a road and a field's edge are the same lines in both images, and this finds them to a fraction of a
pixel; at less than a metre walls lean, shadows fall, and it adds noise. So it speaks on coarse scenes only
(`GradientConfig.least_gsd_m`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from solution.core.geometry import Window
from solution.core.progress import Progress, counted
from solution.data.scene import ScenePair
from solution.field import candidates
from solution.field.fitting import Fit
from solution.proposers.gradient.oriented import oriented, peak, window_norm
from solution.proposers.gradient.settings import GradientConfig
from solution.proposers.warped import WarpedTile, finest_level, read_tile

_RIM_PX = 1  # a maximum this near to the rim of the search is none


def propose_gradient(
    pair: ScenePair,
    fold: int,
    config: GradientConfig,
    around: Callable[[], Fit | None],
    device: torch.device,
    finest: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Candidates from windows of one scene on a regular grid.

    Args:
        fold: goes into the table.
        around: gives the field to look around, right to about `reach_px`; asked only where there is something to do.
            None proposes nothing.
        device: that correlates.
        finest: level to work on; None chooses by the scene's size.
        progress: called with (what, done, total).
    """
    field = around() if pair.gsd_m >= config.least_gsd_m else None
    if field is None:
        return candidates.empty()
    factor = finest_level(pair.shape, finest)
    parts = []
    for number, window in counted(_tiles(pair.shape, factor, config), f"gradient {fold}: level {factor}", progress):
        view = read_tile(pair, window, factor, field)
        if view is not None:
            parts.append(_rows(pair, fold, number, view, config, device))
    return candidates.concat(parts)


def _tiles(shape: tuple[int, int], factor: int, config: GradientConfig) -> list[Window]:
    """Windows in optical px whose cores cover the scene; the search and half a template reach beyond every core."""
    margin, core = config.margin_px * factor, config.core_px * factor
    side = core + 2 * margin
    return [
        Window(left - margin, top - margin, side, side)
        for top in range(0, shape[0], core)
        for left in range(0, shape[1], core)
    ]


def _rows(
    pair: ScenePair, fold: int, number: int, view: WarpedTile, config: GradientConfig, device: torch.device
) -> pd.DataFrame:
    optical, sar = oriented(view.optical.mean(axis=0), view.optical_valid), oriented(view.sar[0], view.sar_valid)
    both = view.optical_valid * view.sar_valid
    size, margin = config.window_px, config.margin_px
    places = np.arange(margin, margin + config.core_px, config.spacing_px) + (config.spacing_px - size) // 2
    found = []
    for top in places:
        lefts = [left for left in places if both[top : top + size, left : left + size].mean() >= config.min_valid]
        for left, score in zip(lefts, _scores(optical, sar, top, lefts, config, device), strict=True):
            found.append((left, top, *peak(score, config.reach_px)))
    left, top, dx, dy, confidence = np.array(found, dtype=np.float64).reshape(-1, 5).T
    inner = np.maximum(np.abs(dx), np.abs(dy)) < config.reach_px - _RIM_PX
    centre, residual = np.column_stack([left, top])[inner] + (size - 1) / 2, np.column_stack([dx, dy])[inner]
    return view.rows(
        pair, fold, "gradient", number, centre, residual, confidence=confidence[inner], sigma_px=np.nan, cycle_px=np.nan
    )


def _scores(
    optical: np.ndarray, sar: np.ndarray, top: int, lefts: list[int], config: GradientConfig, device: torch.device
) -> list[np.ndarray]:
    """Normalised correlations (2 r + 1, 2 r + 1) of the windows of one row, r = `reach_px`."""
    if not lefts:
        return []
    size, reach = config.window_px, config.reach_px
    outer = size + 2 * reach
    strip = sar[:, top - reach : top - reach + outer]
    norm = window_norm(np.square(strip).sum(axis=0), (size, size))
    templates = torch.stack([torch.from_numpy(optical[:, top : top + size, left : left + size]) for left in lefts]).to(
        device
    )
    searches = torch.stack([torch.from_numpy(strip[:, :, left - reach : left - reach + outer]) for left in lefts]).to(
        device
    )
    length = templates.square().sum(dim=(1, 2, 3)).clamp(min=1e-6).sqrt().cpu().numpy()
    spectrum = (torch.fft.rfft2(templates, s=(outer, outer)).conj() * torch.fft.rfft2(searches)).sum(dim=1)
    score = torch.fft.irfft2(spectrum, s=(outer, outer))[:, : 2 * reach + 1, : 2 * reach + 1].cpu().numpy()
    return [
        part / (norm[:, left - reach : left + reach + 1] * long)
        for left, part, long in zip(lefts, score, length, strict=True)
    ]
