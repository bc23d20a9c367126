"""Training samples: for every tie-point a crop around its optical point and one around its SAR point, and where
the other point lies in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from solution.baseline.common import HeldScene, around
from solution.baseline.network import NETWORKS
from solution.baseline.settings import BaselineConfig
from solution.core.errors import InputError
from solution.samples.images import TrainingImage


class TiePointCrops(Dataset):
    """The two data sets of the paper in one, since each tie-point has a crop in both.

    A sample holds, for each name of `NETWORKS`, the crop (4, S, S) float32 as `HeldScene.crop` gives it, and under
    ``NAME_xy`` the point (2,) that is looked for, in px of the crop.

    Attributes:
        points: (N, 5) float64: number of the image, optical position (x, y) in the array grid,
            apparent shift (x, y), optical px.
    """

    def __init__(self, images: Sequence[TrainingImage], config: BaselineConfig, seed: int) -> None:
        """Raises `InputError` where no tie-point has its partner within its crop."""
        self.config, self.seed, self.epoch = config, seed, 0
        self._scenes = [HeldScene(image, config) for image in images]
        rng = np.random.default_rng(seed)
        points = [np.zeros((0, 5))]
        for number, image in enumerate(images):
            xy = _places(image, config, rng)
            shift = image.field.shift_at(xy)
            within = (np.abs(shift) / self._scenes[number].grid.spacing_px < config.crop_px // 2 - 1).all(axis=1)
            points.append(np.column_stack([np.full(len(xy), number), xy, shift])[within])
        self.points = np.concatenate(points)
        if not len(self.points):
            raise InputError(
                "training: no tie-point has its partner within half a crop; pass scenes that are coarsely aligned"
            )

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        number, *rest = self.points[index]
        xy, shift, scene = np.array(rest[:2]), np.array(rest[2:]), self._scenes[int(number)]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        sample = {"index": torch.as_tensor(index)}
        for name, centre, way in zip(NETWORKS, (xy, xy + shift), (shift, -shift), strict=True):
            # The nearest grid px stands for the point itself: next to it the shift is the same.
            crop = scene.crop(around(scene.grid.nearest(centre), self.config.crop_px))
            target = self.config.crop_px // 2 + way / scene.grid.spacing_px
            if self.config.turns:
                crop, target = turned(crop, target, int(rng.integers(8)))
            sample[name] = torch.from_numpy(np.ascontiguousarray(crop))
            sample[f"{name}_xy"] = torch.from_numpy(target.astype(np.float32))
        return sample


def _places(image: TrainingImage, config: BaselineConfig, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) optical positions: the tie-points, and in a simulated scene more of them, drawn evenly."""
    if image.kind != "simulated" or not config.simulated_points:
        return image.anchors
    drawn = rng.uniform(0, 1, (config.simulated_points, 2)) * np.array(image.shape[::-1])
    return np.concatenate([image.anchors, drawn])


def turned(crop: np.ndarray, xy: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """One of the eight ways to turn and mirror a crop (C, S, S) about its pixel
    (S // 2, S // 2), with a point (x, y) in it.

    The first row and column have no partner on the other side of that pixel; they are left blank
    where they would leave the crop.

    Args:
        number: 0 to 7; 1 swaps x and y, 2 flips x, 4 flips y.
    """
    size = crop.shape[-1]
    xy = np.array(xy, np.float64)
    if number & 1:
        crop, xy = crop.swapaxes(1, 2), xy[::-1].copy()
    for bit, axis, coordinate in ((2, 2, 0), (4, 1, 1)):
        if number & bit:
            crop = np.roll(np.flip(crop, axis), 1, axis).copy()
            crop[(slice(None), 0) if axis == 1 else (slice(None), slice(None), 0)] = 0
            xy[coordinate] = 2 * (size // 2) - xy[coordinate]
    return crop, xy
