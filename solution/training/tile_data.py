"""Tiles in epochs, as every network but the baseline's learns from them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch.utils.data import DataLoader, Subset

from solution.samples.images import TrainingImage
from solution.samples.settings import TileConfig
from solution.samples.tiles import TilePairs
from solution.training.stage import Samples

STEPS_PER_EPOCH = 50
_EPOCHS = 5  # that a short run has at least, so that its curve and its end have something to go by
_LEAST_STEPS = 10  # of an epoch
_VALIDATION_TILES = 48


class TileData(Samples):
    """Tiles in epochs of a fixed number of steps.

    Every epoch takes the next stretch of one seeded sequence, so that a run that was killed and resumed at an epoch's
    start sees the tiles that it would have seen.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        config: TileConfig,
        seed: int,
        validation: Sequence[TrainingImage] = (),
        workers: int | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.train_tiles = TilePairs(images, config, config.steps * config.batch_size, seed)
        self.validation_tiles = TilePairs(
            validation or images,
            config,
            min(_VALIDATION_TILES, config.steps * config.batch_size),
            seed + 1,
            augment=False,
        )
        self.workers = default_workers() if workers is None else workers

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return min(STEPS_PER_EPOCH, max(_LEAST_STEPS, self.config.steps // _EPOCHS))

    @property
    def epochs(self) -> int:
        """As many as hold the steps; the last one may be shorter."""
        return -(-self.config.steps // self.epoch_steps)

    def train_dataloader(self) -> DataLoader:
        """The stretch of the current epoch."""
        stretch = self.epoch_steps * self.config.batch_size
        first = self.trainer.current_epoch * stretch
        tiles = Subset(self.train_tiles, range(first, min(first + stretch, len(self.train_tiles))))
        return DataLoader(tiles, self.config.batch_size, num_workers=self.workers, pin_memory=torch.cuda.is_available())

    def val_dataloader(self) -> DataLoader:
        """Always the same tiles."""
        return DataLoader(self.validation_tiles, self.config.batch_size, num_workers=self.workers)


def default_workers() -> int:
    """Loader processes: none on small machines, where they would take the cores from the network."""
    cores = os.cpu_count() or 1
    return 0 if cores <= 4 else min(cores - 2, 16)
