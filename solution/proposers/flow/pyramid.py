"""Flow over a whole scene: a coarse pass that finds large shifts, robust smoothing, then finer passes around it.

Every pass reads the SAR image through the field of the pass before, matches what is left, and adds it up. The last pass
becomes `Candidates`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from solution.core.geometry import Window
from solution.core.progress import Progress, counted
from solution.data.scene import ScenePair
from solution.field import candidates, fitting
from solution.field.fitting import Fit
from solution.proposers.encoder import cell_valid
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.settings import PyramidConfig
from solution.proposers.warped import TILES_A_PASS, finest_level, read_tile
from solution.samples.settings import CELL_PX

_BLOCK_PX = 16  # for the estimate of the coarse pass's size only
_REACH_SHARE = 0.4  # of the scene's longer side: no larger shift is looked for, whatever `reach_px` says
_COARSE_LEVELS = (1, 2, 4, 8)  # among which the coarse pass chooses
_LEAST_TILE_BLOCKS = 4  # on a side of a tile within its margin, however wide the margin is


@dataclass(frozen=True)
class Pass:
    """One pass over the scene.

    Attributes:
        factor: level, optical px per level px.
        radius: search radius in cells.
        emit: whether its matches are proposed.
    """

    factor: int
    radius: int
    emit: bool


def plan(shape: tuple[int, int], config: PyramidConfig, finest: int | None = None) -> list[Pass]:
    """The passes for a scene of `shape` px; `finest` overrides the automatic finest level."""
    finest = finest_level(shape, finest)
    reach = min(config.reach_px, _REACH_SHARE * max(shape))

    def volume(factor: int) -> float:
        blocks = shape[0] * shape[1] / (_BLOCK_PX * factor) ** 2
        return blocks * (2 * reach / factor / CELL_PX) ** 2

    coarse = max(finest, next((f for f in _COARSE_LEVELS if volume(f) <= config.max_coarse_volume), _COARSE_LEVELS[-1]))
    factors = []
    while coarse >> (len(factors) + 1) >= finest:
        factors.append(coarse >> (len(factors) + 1))
    factors += [finest] * (config.fine_passes - bool(factors))
    passes = [Pass(coarse, math.ceil(reach / coarse / CELL_PX), False)]
    passes += [
        Pass(f, config.finest_radius_cells if f == finest else config.refine_radius_cells, False) for f in factors
    ]
    return [*passes[:-1], replace(passes[-1], emit=True)]  # coarser ones smear terrain


def propose_flow(
    pair: ScenePair,
    net: FlowNet,
    fold: int,
    config: PyramidConfig,
    finest: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Candidates of one flow regressor for one scene.

    Args:
        pair: the scene.
        net: in evaluation mode, on the device that shall do the work.
        fold: goes into the table.
        finest: level of the last pass, 1 = every optical pixel; None chooses by the scene's size.
        progress: called with (what, done, total).

    Returns:
        Candidates (source ``flow``): one row per block, 16 px of its level apart.
    """
    field, proposed = None, candidates.empty()
    passes = plan(pair.shape, config, finest)
    for number, step in enumerate(passes):
        parts = []
        windows = level_tiles(pair.shape, step, net.config.block_cells * CELL_PX, config)
        for tile, window in counted(windows, f"flow {fold}: level {step.factor}", progress):
            parts.append(_match_tile(pair, net, fold, number * TILES_A_PASS + tile, window, step, field, config))
        table = candidates.concat(parts)
        if step.emit:
            proposed = table
        else:
            field = fitting.quiet_fit(table, pair.shape)  # an empty pass leaves zero shift to the next one
    return proposed


def level_tiles(shape: tuple[int, int], step: Pass, block_px: int, config: PyramidConfig) -> list[Window]:
    """Windows in optical px, margins included, of equal size and as few as the largest tile allows."""
    margin = tile_margin(step, block_px, config)
    inner = [_even_share(math.ceil(size / step.factor), config.tile_px - 2 * margin, block_px) for size in shape]
    height, width = ((size + 2 * margin) * step.factor for size in inner)
    rows = range(0, math.ceil(shape[0] / step.factor), inner[0])
    columns = range(0, math.ceil(shape[1] / step.factor), inner[1])
    return [
        Window((x - margin) * step.factor, (y - margin) * step.factor, width, height) for y in rows for x in columns
    ]


def _even_share(size: int, largest: int, block_px: int) -> int:
    """The smallest multiple of a block that covers `size` with as many pieces as pieces of `largest` would need."""
    largest = max(largest, _LEAST_TILE_BLOCKS * block_px)
    return block_px * math.ceil(size / math.ceil(size / largest) / block_px)


def tile_margin(step: Pass, block_px: int, config: PyramidConfig) -> int:
    """Margin of a tile in level px: whole blocks, and no less than the search radius."""
    return block_px * math.ceil(max(config.margin_px, step.radius * CELL_PX) / block_px)


def _match_tile(
    pair: ScenePair,
    net: FlowNet,
    fold: int,
    tile: int,
    window: Window,
    step: Pass,
    field: Fit | None,
    config: PyramidConfig,
) -> pd.DataFrame:
    view = read_tile(pair, window, step.factor, field)
    if view is None:
        return candidates.empty()
    blocks = _match_arrays(net, view.optical, view.sar, view.optical_valid, view.sar_valid, step)
    keep = blocks.inside(tile_margin(step, net.config.block_cells * CELL_PX, config), config)
    if not keep.any():
        return candidates.empty()
    return view.rows(
        pair,
        fold,
        "flow",
        tile,
        blocks.centre[keep],
        blocks.shift[keep],
        confidence=np.clip(blocks.confidence[keep], 0.0, 1.0),
        sigma_px=blocks.sigma[keep],
        cycle_px=blocks.cycle[keep],
    )


@dataclass(frozen=True)
class _Blocks:
    """Matches of one tile, (h, w) blocks, in px of the level.

    Attributes:
        centre: (h, w, 2) block centres in the tile's array coordinates.
        shift: (h, w, 2) residual shift.
        sigma, confidence, cycle: (h, w).
        valid: (h, w) share of px with optical data.
        tile_px: (height, width) of the tile.
    """

    centre: np.ndarray
    shift: np.ndarray
    sigma: np.ndarray
    confidence: np.ndarray
    cycle: np.ndarray
    valid: np.ndarray
    tile_px: tuple[int, int]

    def inside(self, margin_px: int, config: PyramidConfig) -> np.ndarray:
        """(h, w) blocks to propose: away from the margin, with data, confident."""
        inner = ((self.centre > margin_px) & (self.centre < np.array(self.tile_px[::-1]) - margin_px)).all(axis=-1)
        return inner & (self.valid >= config.min_valid) & (self.confidence >= config.min_confidence)


@torch.inference_mode()
def _match_arrays(
    net: FlowNet, optical: np.ndarray, sar: np.ndarray, optical_valid: np.ndarray, sar_valid: np.ndarray, step: Pass
) -> _Blocks:
    device = next(net.parameters()).device

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None].to(device)

    valid = tensor(optical_valid), tensor(sar_valid)
    features = net.encoder(tensor(optical), tensor(sar), *valid)
    cells = cell_valid(valid[0]), cell_valid(valid[1])
    forward = net.match(*features, *cells, step.radius)
    block = net.config.block_cells * CELL_PX
    shift = forward.shift[0].double().cpu().numpy()
    rows, columns = shift.shape[:2]
    centre = np.stack(
        np.meshgrid((np.arange(columns) + 0.5) * block - 0.5, (np.arange(rows) + 0.5) * block - 0.5), axis=-1
    )
    cycle = np.full((rows, columns), np.nan)
    if step.emit:  # the way back costs as much as the way there, and only proposals need it
        backward = net.match(features[1], features[0], cells[1], cells[0], step.radius)
        returned = _at_blocks(backward.shift[0].double().cpu().numpy(), centre + shift, block)
        cycle = np.hypot(*np.moveaxis(shift + returned, -1, 0))
    share = torch.nn.functional.avg_pool2d(valid[0][:, None], block)[0, 0]
    return _Blocks(
        centre,
        shift,
        forward.log_sigma[0].exp().double().cpu().numpy(),
        forward.confidence[0].double().cpu().numpy(),
        cycle,
        share.cpu().numpy(),
        optical.shape[-2:],
    )


def _at_blocks(values: np.ndarray, position: np.ndarray, block: int) -> np.ndarray:
    """Block values (h, w, 2) at array positions (h, w, 2), from the nearest block (neighbouring blocks may disagree; a
    mean of both helps nobody)."""
    column = np.clip(np.floor((position[..., 0] + 0.5) / block).astype(int), 0, values.shape[1] - 1)
    row = np.clip(np.floor((position[..., 1] + 0.5) / block).astype(int), 0, values.shape[0] - 1)
    return values[row, column]
