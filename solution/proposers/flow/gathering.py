"""The evidence of a level: both images tile by tile, their features, and how well these agree at every node."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from solution.core.geometry import Window
from solution.core.parallel import mapped
from solution.core.progress import Progress
from solution.data.raster import output_grid
from solution.data.scene import ScenePair
from solution.field.evidence import Evidence, resampled, standardised
from solution.field.shiftfield import Fit
from solution.proposers.encoder.cells import whole_cells
from solution.proposers.flow.correlation import block_correlation, pair_counts
from solution.proposers.warped import read_sar

NODE_PX = 32
"""Distance of neighbouring nodes, px of the level."""
_ALIGN_PX = 32  # tiles begin and end on whole nodes, and on whole cells of every stride
_SHARED_JOBS = 3  # a tile for one of the readers each: enough for a few processors
_CONTEXT_PX = 64  # beyond a tile, that features see

Maker = Callable[[Tensor, Tensor], Tensor]
"""Image (1, bands, H, W) in [0, 1] and validity (1, H, W) -> unit features (1, C, H / cell, W / cell)."""
Reader = Callable[[ScenePair, Window, int, Fit | None], tuple[np.ndarray, np.ndarray]]
"""As `warped.read_sar`, which is the usual one."""


@dataclass(frozen=True)
class Source:
    """A kind of features, and how its evidence is taken.

    Attributes:
        optical, sar: make the features of either image.
        cell_px: side of their cells, px of the level.
        weight: of its standardised evidence.
    """

    optical: Maker
    sar: Maker
    cell_px: int
    weight: float = 1.0


@dataclass(frozen=True)
class View:
    """An image over a window at a level.

    Attributes:
        image: (1, bands, h, w) in [0, 1].
        valid: (1, h, w), 0 or 1.
    """

    image: Tensor
    valid: Tensor

    @classmethod
    def on(cls, device: torch.device, image: np.ndarray, valid: np.ndarray) -> View:
        """An image (bands, h, w) and its validity (h, w), on a device."""
        return cls(*(torch.from_numpy(np.ascontiguousarray(part))[None].to(device) for part in (image, valid)))

    def features(self, make: Maker, cell_px: int) -> tuple[Tensor, Tensor]:
        """(1, C, h, w) and validity (1, 1, h, w) in cells; nothing is computed where nothing is valid."""
        height, width = (size // cell_px for size in self.valid.shape[-2:])
        box = _bounds(self.valid[0].cpu().numpy())
        if box is None:
            nothing = self.valid.new_zeros(1, 1, height, width)
            return nothing, nothing
        rows, columns = box
        valid = self.valid[:, rows, columns]
        found = make(self.image[:, :, rows, columns].contiguous(memory_format=torch.channels_last), valid)
        whole = whole_cells(valid, cell_px)
        place = [columns.start, self.valid.shape[-1] - columns.stop, rows.start, self.valid.shape[-2] - rows.stop]
        pad = [side // cell_px for side in place]
        return F.pad(found * whole, pad), F.pad(whole, pad)


def _bounds(valid: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns that hold anything, widened to whole nodes."""
    out = []
    for axis in (1, 0):
        there = np.flatnonzero(valid.any(axis=axis))
        if not len(there):
            return None
        start, stop = there[0] // _ALIGN_PX * _ALIGN_PX, -(-(there[-1] + 1) // _ALIGN_PX) * _ALIGN_PX
        out.append(slice(int(start), int(min(stop, valid.shape[1 - axis]))))
    return out[0], out[1]


def gather(
    pair: ScenePair,
    factor: int,
    radius_px: float,
    field: Fit | None,
    sources: Sequence[Source],
    tile_px: int = 1024,
    told: str = "",
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
    readers: Sequence[Reader] = (read_sar,),
    node_px: int = NODE_PX,
    within: Window | None = None,
) -> list[Evidence]:
    """Evidence of all sources, their weighted mean, at the nodes of a level.

    Args:
        factor: level, optical px per level px.
        radius_px: displacements that are looked at around the field, px of the level.
        field: what the SAR image is read through; None = geocoding alone.
        tile_px: side of the tiles that are held in memory, px of the level, without what is around them.
        told: what `progress` is told.
        device: that the sources work on.
        readers: of the SAR image; for each of them there is one evidence.
        node_px: distance of neighbouring nodes, px of the level; 32 is a multiple of it.
        within: only these nodes; they begin at a multiple of 32 px of the level. None = all of the scene.
    """
    finest = min(source.cell_px for source in sources)
    radius = math.ceil(radius_px / finest)
    within = within or all_nodes(pair.shape, factor, node_px)
    size = within.height, within.width
    planes = [[np.zeros((*size, *(2 * radius + 1,) * 2), np.float32) for _ in sources] for _ in readers]
    share = [[np.zeros_like(plane) for plane in each] for each in planes]
    step = _tile_nodes(size, tile_px // node_px, len(readers))
    corners = [(row, column) for row in range(0, size[0], step) for column in range(0, size[1], step)]
    at_work = {corner: Lock() for corner in corners}

    @lru_cache(maxsize=1)
    def optical_of(ground: Window) -> list[tuple[Tensor, Tensor]]:
        view = _optical_view(pair, ground, factor, device)
        return [view.features(source.optical, source.cell_px) for source in sources]

    @torch.inference_mode()
    def look(job: tuple[tuple[int, int], int]) -> None:
        (row, column), number = job
        rows, columns = min(step, size[0] - row), min(step, size[1] - column)
        place = slice(row, row + rows), slice(column, column + columns)
        ground = Window(*(node_px * at for at in (within.x + column, within.y + row, columns, rows)))
        with at_work[row, column]:  # another thread may be about to make the same features
            optical = optical_of(ground)
        sar, reach = _sar_view(pair, ground, factor, radius_px, field, readers[number], device)
        for at, source in enumerate(sources):
            found = _agreement(optical[at], sar, reach, source, radius * finest, node_px)
            if found is not None:
                parts = (resampled(part, source.cell_px // finest, radius) for part in found)
                planes[number][at][place], share[number][at][place] = parts

    jobs = [(corner, number) for corner in corners for number in range(len(readers))]
    for _ in mapped(look, jobs, told, progress, device):
        pass
    weights = np.array([source.weight for source in sources], np.float64)
    origin, pitch = places(within, factor, node_px)
    return [
        Evidence(_mean(weights / weights.sum(), *both), float(finest * factor), origin, pitch)
        for both in zip(planes, share, strict=True)
    ]


def all_nodes(shape: tuple[int, int], factor: int, node_px: int = NODE_PX) -> Window:
    """The nodes of a scene of `shape` px at a level."""
    height, width = (-(-length // (factor * node_px)) for length in shape)
    return Window(0, 0, width, height)


def places(nodes: Window, factor: int, node_px: int = NODE_PX) -> tuple[tuple[float, float], float]:
    """(x, y) of the first of a level's nodes, and the distance of neighbours, optical px."""
    pitch = float(node_px * factor)
    return (pitch * nodes.x + (pitch - 1) / 2, pitch * nodes.y + (pitch - 1) / 2), pitch


def _mean(weights: np.ndarray, planes: list[np.ndarray], share: list[np.ndarray]) -> np.ndarray:
    """The weighted mean of the sources' evidence, each standardised for itself."""
    return sum(
        np.float32(weight) * standardised(means, shares)
        for weight, means, shares in zip(weights, planes, share, strict=True)
    )


def _tile_nodes(size: tuple[int, int], step: int, readers: int) -> int:
    """Side of a tile in nodes, `step` or half of that where there would be too few tiles to share out: the margins of four
    small tiles take three times the time of those of a large one."""
    few = readers * math.prod(-(-count // step) for count in size) < _SHARED_JOBS
    return max(step // 2, 1) if few else step


def _optical_view(pair: ScenePair, ground: Window, factor: int, device: torch.device | str) -> View:
    """The optical image around a window of the level."""
    return View.on(device, *pair.sample_optical(output_grid(_around(ground, _CONTEXT_PX, factor), factor), factor))


def _sar_view(
    pair: ScenePair,
    ground: Window,
    factor: int,
    radius_px: float,
    field: Fit | None,
    read: Reader,
    device: torch.device | str,
) -> tuple[View, int]:
    """The SAR image around a window of the level, with a wider margin -> and what that is wider by, px of the level."""
    reach = _ALIGN_PX * math.ceil(radius_px / _ALIGN_PX)
    return View.on(device, *read(pair, _around(ground, _CONTEXT_PX + reach, factor), factor, field)), reach


def _around(ground: Window, margin: int, factor: int) -> Window:
    """A window of the level and a margin, as a window of optical px."""
    x, y = (factor * (start - margin) for start in (ground.x, ground.y))
    width, height = (factor * (size + 2 * margin) for size in (ground.width, ground.height))
    return Window(x, y, width, height)


def _agreement(
    optical: tuple[Tensor, Tensor], sar: View, reach: int, source: Source, radius_px: int, node_px: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Means over the nodes' squares and shares of valid cells, (rows, columns, D, D) in the source's own cells; None
    where an image shows nothing."""
    cell, block = source.cell_px, node_px // source.cell_px
    fo, vo = optical
    if not vo.any():
        return None
    fs, vs = sar.features(source.sar, cell)
    if not vs.any():
        return None
    radius = math.ceil(radius_px / cell)
    fo, vo = (_inner(part, _CONTEXT_PX // cell) for part in (fo, vo))
    fs, vs = (_inner(part, (_CONTEXT_PX + reach) // cell - radius) for part in (fs, vs))
    sums, counts = block_correlation(fo, fs, block, radius), pair_counts(vo, vs, block, radius)
    return (sums / counts.clamp_min(1.0))[0].cpu().numpy(), (counts / block**2)[0].cpu().numpy()


def _inner(cells: Tensor, margin: int) -> Tensor:
    """(B, C, h, w) without a margin all around."""
    return cells[:, :, margin : cells.shape[2] - margin, margin : cells.shape[3] - margin]
