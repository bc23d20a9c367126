"""Tiles in epochs, as every network but the baseline's learns from them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import lightning
import torch
from torch.utils.data import DataLoader, Sampler

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
    start sees the tiles that it would have seen, and several processes see together what one would have seen.
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
        self.workers = workers
        self._drawn = Drawn()
        self._loader: DataLoader | None = None

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return min(STEPS_PER_EPOCH, max(_LEAST_STEPS, self.config.steps // _EPOCHS))

    @property
    def epochs(self) -> int:
        """As many as hold the steps; the last one may be shorter."""
        return -(-self.config.steps // self.epoch_steps)

    def train_dataloader(self) -> DataLoader:
        """This process's part of the stretch of the current epoch. Its workers stay, with what they have read."""
        stretch = self.epoch_steps * self.config.batch_size
        first = self.trainer.current_epoch * stretch
        last = min(first + stretch, len(self.train_tiles))
        self._drawn.batches = dealt(first, last, self.config.batch_size, self.trainer)
        if self._loader is None:
            workers = self._workers()
            self._loader = DataLoader(
                self.train_tiles,
                batch_sampler=self._drawn,
                num_workers=workers,
                persistent_workers=workers > 0,
                pin_memory=torch.cuda.is_available(),
            )
        return self._loader

    def val_dataloader(self) -> DataLoader:
        """Always the same tiles, all of them in every process, so that all judge alike."""
        batch = self.config.batch_size // self.trainer.accumulate_grad_batches
        return DataLoader(self.validation_tiles, batch, num_workers=self._workers())

    def _workers(self) -> int:
        return default_workers(self.trainer.world_size) if self.workers is None else self.workers


class Drawn(Sampler[list[int]]):
    """Hands out the batches of sample numbers that it is given for an epoch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def dealt(first: int, last: int, batch: int, trainer: lightning.Trainer) -> list[list[int]]:
    """Samples `first` to `last` - 1 of a sequence in batches: what this process draws of them.

    Every step takes the next `batch` samples of the sequence, whoever draws them: each process a piece of its own, or
    several where gradients are accumulated. Where there is more than one piece, a last batch that is not full is left out.
    """
    pieces = trainer.world_size * trainer.accumulate_grad_batches
    if pieces == 1:
        return [list(range(start, min(start + batch, last))) for start in range(first, last, batch)]
    size = batch // pieces
    starts = [start for start in range(first, last, batch) if start + batch <= last]
    own = range(trainer.global_rank, pieces, trainer.world_size)
    return [list(range(start + piece * size, start + (piece + 1) * size)) for start in starts for piece in own]


def default_workers(processes: int = 1) -> int:
    """Loader processes for each of those that train on this machine: none where there are few cores, which the network
    needs."""
    cores = (os.cpu_count() or 1) // processes
    return 0 if cores <= 4 else min(cores - 2, 16)
