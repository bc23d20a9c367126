"""Keypoints of a scene: optical ones found from a uniform grid, and for each of them the SAR
one, found in crops around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from solution.baseline.common import ScenePixels, around
from solution.baseline.heatmap import peak
from solution.baseline.network import BaselineNets, HeatmapNet
from solution.baseline.settings import BaselineConfig, SearchConfig
from solution.core.progress import Progress
from solution.data.scene import ScenePair

COLUMNS = ("x", "y", "dx", "dy", "confidence")


@dataclass(frozen=True)
class Found:
    """What a network found around points.

    Attributes:
        index: (N,) int64, numbers of the points.
        place: (N, 2) int64, grid px (x, y) of the heatmaps' peaks.
        confidence: (N,) their values, [0, 1].
    """

    index: np.ndarray
    place: np.ndarray
    confidence: np.ndarray


def grid_points(shape: tuple[int, int], gsd_m: float, search: SearchConfig) -> np.ndarray:
    """(N, 2) optical positions (x, y) in the middle of an image of `shape` (h, w).

    They are `SearchConfig.grid_m` apart; there is at least one, and at most `SearchConfig.max_points`.
    """
    step = max(search.grid_m / gsd_m, float(np.sqrt(shape[0] * shape[1] / search.max_points)))
    axes = []
    for size in reversed(shape):
        count = max(1, int(size / step + 1e-9))
        axes.append((size - 1) / 2 + (np.arange(count) - (count - 1) / 2) * step)
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)


def find_keypoints(
    pair: ScenePair, nets: BaselineNets, config: BaselineConfig, search: SearchConfig, progress: Progress | None = None
) -> pd.DataFrame:
    """Both networks over a scene, one after the other.

    Args:
        nets: in evaluation mode, on any device.

    Returns:
        `COLUMNS`: optical keypoint, index shift to the SAR keypoint, both in optical px, and the value of the SAR
        keypoint's peak. There is no row where the images carry no data, and a single one where several grid points
        gave the same optical keypoint.
    """
    pixels = ScenePixels(pair, config)
    grid = pixels.grid.nearest(grid_points(pair.shape, pair.gsd_m, search))
    found = look(
        nets["sar_to_optical"], pixels, grid, config, search.batch_size, progress, f"{pair.name}: optical keypoints"
    )
    optical = np.unique(found.place[:, ::-1], axis=0)[:, ::-1]  # row by row, as the images are read
    sar = look(
        nets["optical_to_sar"], pixels, optical, config, search.batch_size, progress, f"{pair.name}: SAR keypoints"
    )
    optical = optical[sar.index]
    shift = (sar.place - optical) * pixels.grid.spacing_px - pair.centre_offset_px
    return pd.DataFrame(
        np.column_stack([pixels.grid.to_optical(optical), shift, sar.confidence]), columns=list(COLUMNS)
    )


def look(
    net: HeatmapNet,
    pixels: ScenePixels,
    centres: np.ndarray,
    config: BaselineConfig,
    batch_size: int,
    progress: Progress | None,
    what: str,
) -> Found:
    """The peak of a network's heatmap in the crop around each grid px (N, 2); crops without data
    at their centre are left out."""
    kept, places, confidences = [np.zeros(0, np.int64)], [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for first in range(0, len(centres), batch_size):
        if progress:
            progress(what, first, len(centres))
        batch = centres[first : first + batch_size]
        crops = [pixels.crop(around(centre, config.crop_px)) for centre in batch]
        seen = np.array([valid[config.crop_px // 2, config.crop_px // 2] for _, valid in crops])
        if not seen.any():
            continue
        heat = heatmaps(net, [crop for (crop, _), good in zip(crops, seen, strict=True) if good])
        place, confidence = peak(heat)
        kept.append(first + np.flatnonzero(seen))
        places.append(batch[seen] + place.numpy() - config.crop_px // 2)
        confidences.append(confidence.numpy().astype(np.float64))
    if progress:
        progress(what, len(centres), len(centres))
    return Found(np.concatenate(kept), np.concatenate(places), np.concatenate(confidences))


def heatmaps(net: HeatmapNet, crops: Sequence[np.ndarray]) -> torch.Tensor:
    """(N, S, S) float32 on the CPU, of crops (4, S, S)."""
    device = next(net.parameters()).device
    with torch.inference_mode():
        stacked = (
            torch.from_numpy(np.stack(crops).astype(np.float32))
            .to(device)
            .contiguous(memory_format=torch.channels_last)
        )
        return net(stacked).float().cpu()
