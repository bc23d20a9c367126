"""The fine stage: every block of the finest level says what is left of the joint field's error there.

The SAR image is read through the joint field; a block may move only as far as its evidence outweighs the belief that the
field was right. That belief is the firmer, the less the features agree along the field: where they were never at home, they
would drag a good field away. Its matches become `Candidates`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from solution.core.geometry import Window
from solution.core.parallel import mapped
from solution.core.progress import Progress
from solution.data.scene import ScenePair
from solution.field import candidates
from solution.field.shiftfield import Fit
from solution.proposers.encoder.cells import STRIDE_PX, cell_valid
from solution.proposers.flow.correlation import agreement
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.settings import FineConfig
from solution.proposers.warped import read_tile
from solution.samples.settings import CELL_PX

_LEAST_PRIOR = 0.2  # as a share of what is believed where the features agree well
_LEAST_TILE_BLOCKS = 4  # on a side of a tile within its margin, however wide the margin is


def propose_flow(
    pair: ScenePair,
    net: FlowNet,
    fold: int,
    field: Fit | None,
    config: FineConfig,
    finest: int,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Candidates of one flow regressor for one scene.

    Args:
        pair: the scene.
        net: in evaluation mode, on the device that shall do the work.
        fold: goes into the table.
        field: the joint field; None = geocoding alone.
        finest: level to work on, 1 = every optical pixel.
        progress: called with (what, done, total).

    Returns:
        Candidates (source ``flow``): one row per block, 16 px of its level apart.
    """
    block_px = net.config.block_cells * CELL_PX
    windows = level_tiles(pair.shape, finest, block_px, config)
    device = next(net.parameters()).device

    def match(tile: int) -> pd.DataFrame:
        return _match_tile(pair, net, fold, tile, windows[tile], finest, field, config)

    told = f"flow {fold}: level {finest}"
    return candidates.concat(mapped(match, range(len(windows)), told, progress, device))


def level_tiles(shape: tuple[int, int], factor: int, block_px: int, config: FineConfig) -> list[Window]:
    """Windows in optical px, margins included, of equal size and as few as the largest tile allows."""
    margin = tile_margin(block_px, config)
    inner = [_even_share(math.ceil(size / factor), config.tile_px - 2 * margin, block_px) for size in shape]
    height, width = ((size + 2 * margin) * factor for size in inner)
    rows = range(0, math.ceil(shape[0] / factor), inner[0])
    columns = range(0, math.ceil(shape[1] / factor), inner[1])
    return [Window((x - margin) * factor, (y - margin) * factor, width, height) for y in rows for x in columns]


def _even_share(size: int, largest: int, block_px: int) -> int:
    """The smallest multiple of a block that covers `size` with as many pieces as pieces of `largest` would need."""
    largest = max(largest, _LEAST_TILE_BLOCKS * block_px)
    return block_px * math.ceil(size / math.ceil(size / largest) / block_px)


def tile_margin(block_px: int, config: FineConfig) -> int:
    """Margin of a tile in level px: whole blocks, and no less than the search radius."""
    return block_px * math.ceil(max(config.margin_px, config.radius_cells * STRIDE_PX) / block_px)


def _match_tile(
    pair: ScenePair,
    net: FlowNet,
    fold: int,
    tile: int,
    window: Window,
    factor: int,
    field: Fit | None,
    config: FineConfig,
) -> pd.DataFrame:
    view = read_tile(pair, window, factor, field)
    if view is None:
        return candidates.empty()
    blocks = _match_arrays(net, view.optical, view.sar, view.optical_valid, view.sar_valid, config)
    keep = blocks.inside(tile_margin(net.config.block_cells * CELL_PX, config), config)
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

    def inside(self, margin_px: int, config: FineConfig) -> np.ndarray:
        """(h, w) blocks to propose: away from the margin, with data, confident."""
        inner = ((self.centre > margin_px) & (self.centre < np.array(self.tile_px[::-1]) - margin_px)).all(axis=-1)
        return inner & (self.valid >= config.min_valid) & (self.confidence >= config.min_confidence)


@torch.inference_mode()
def _match_arrays(
    net: FlowNet,
    optical: np.ndarray,
    sar: np.ndarray,
    optical_valid: np.ndarray,
    sar_valid: np.ndarray,
    config: FineConfig,
) -> _Blocks:
    device = next(net.parameters()).device

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None].to(device)

    valid = tensor(optical_valid), tensor(sar_valid)
    features = net.encoder.optical(tensor(optical), valid[0]), net.encoder.sar(tensor(sar), valid[1])
    cells = cell_valid(valid[0]), cell_valid(valid[1])
    radius = config.radius_cells
    means = net.volume(*features, *cells, radius)
    prior = config.prior_px / STRIDE_PX * max(_LEAST_PRIOR, min(1.0, agreement(means) / config.trust))
    forward = net.head(means, prior)
    block = net.config.block_cells * CELL_PX
    shift = forward.shift[0].double().cpu().numpy()
    rows, columns = shift.shape[:2]
    centre = np.stack(
        np.meshgrid((np.arange(columns) + 0.5) * block - 0.5, (np.arange(rows) + 0.5) * block - 0.5), axis=-1
    )
    backward = net.match(features[1], features[0], cells[1], cells[0], radius, prior)
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
