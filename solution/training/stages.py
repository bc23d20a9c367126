"""Stages: what training and prediction need to know of a model family."""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.core.weights import load_network, settings_of
from solution.proposers.flow.settings import FlowConfig
from solution.proposers.flow.training import FlowModule
from solution.proposers.matcher.settings import MatcherConfig
from solution.proposers.matcher.training import MatcherModule
from solution.proposers.translator.settings import TranslatorConfig
from solution.proposers.translator.training import TranslatorModule
from solution.samples.images import TrainingImage
from solution.samples.settings import TileConfig
from solution.samples.tiles import TilePairs

_STEPS_PER_EPOCH = 50
_VALIDATION_TILES = 48


class Config(Protocol):
    """What training needs to know of a stage's settings, a dataclass; see `TileConfig`."""

    SIZES: ClassVar[tuple[str, ...]]

    @property
    def ema_decay(self) -> float | None:
        """Of the averaged weights that are kept; None = the last ones are."""


class Samples(lightning.LightningDataModule, abc.ABC):
    """What a run learns from and is watched on, in epochs."""

    @property
    @abc.abstractmethod
    def epochs(self) -> int:
        """How many a run has."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A model family, as far as training is concerned.

    Attributes:
        name: in manifests, messages and file names.
        config_type: its settings.
        module: makes the Lightning module from the settings. Its ``net`` is what is saved; ``manual`` says that it steps its optimisers itself, gradient
            clipping included; ``precision_cuda`` is its precision on a GPU; ``headline`` is a format string over the trainer's metrics, for people.
        samples: makes those of a run, from the sources to learn from, the settings, the seed, and the sources to watch.
        facts: more that the result depends on, for the manifest.
        seen: what frozen networks that help in training were trained on.
    """

    name: str
    config_type: type[Config]
    module: Callable[[Config], lightning.LightningModule]
    samples: Callable[[Sequence[TrainingImage], Config, int, Sequence[TrainingImage]], Samples]
    facts: tuple[tuple[str, str], ...] = ()
    seen: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of the weights file in a team's folder."""
        return f"{self.name}.safetensors"


class TileData(Samples):
    """Tiles in epochs of a fixed number of steps.

    Every epoch takes the next stretch of one seeded sequence, so that a run that was killed and resumed at an epoch's start sees the tiles that it
    would have seen.
    """

    def __init__(
        self,
        sources: Sequence[TrainingImage],
        config: TileConfig,
        seed: int,
        validation: Sequence[TrainingImage] = (),
        workers: int | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.train_tiles = TilePairs(sources, config, config.steps * config.batch_size, seed)
        self.validation_tiles = TilePairs(
            validation or sources, config, min(_VALIDATION_TILES, config.steps * config.batch_size), seed + 1, augment=False
        )
        self.workers = default_workers() if workers is None else workers

    @property
    def epochs(self) -> int:
        """As many as hold the steps; the last one may be shorter."""
        return -(-self.config.steps // _STEPS_PER_EPOCH)

    def train_dataloader(self) -> DataLoader:
        """The stretch of the current epoch."""
        stretch = _STEPS_PER_EPOCH * self.config.batch_size
        first = self.trainer.current_epoch * stretch
        tiles = Subset(self.train_tiles, range(first, min(first + stretch, len(self.train_tiles))))
        return DataLoader(tiles, self.config.batch_size, num_workers=self.workers, pin_memory=torch.cuda.is_available())

    def val_dataloader(self) -> DataLoader:
        """Always the same tiles."""
        return DataLoader(self.validation_tiles, self.config.batch_size, num_workers=self.workers)


FLOW = Stage("flow", FlowConfig, FlowModule, TileData)
MATCHER = Stage("matcher", MatcherConfig, MatcherModule, TileData)
TRANSLATOR = Stage("translator", TranslatorConfig, TranslatorModule, TileData)


def matcher_with(translator: Path | None) -> Stage:
    """The matcher's stage, a part of whose training tiles go through a translator."""
    if translator is None:
        return MATCHER
    net, manifest = load_stage(TRANSLATOR, translator)
    module = partial(MatcherModule, translate=net.requires_grad_(False))
    return dataclasses.replace(MATCHER, module=module, facts=(("translator", manifest.digest()),), seen=manifest.trained_on)


def default_workers() -> int:
    """Loader processes: none on small machines, where they would take the cores from the network."""
    cores = os.cpu_count() or 1
    return 0 if cores <= 4 else min(cores - 2, 16)


def chosen_config(stage: Stage, steps: int | None, smoke: bool, fine_tune: bool) -> TileConfig:
    """The stage's settings: the defaults, a fold's own run, or the smoke run; `steps` replaces the number of steps."""
    config = stage.config_type().fine_tuned() if fine_tune else stage.config_type()
    config = config.smoke() if smoke else config
    return config if steps is None else dataclasses.replace(config, steps=steps)


def sized_like(config: Config, stage: Stage, start: Path) -> Config:
    """The settings with the sizes of the network that a run starts from, where that is one of the stage's own."""
    manifest = artefact.read_manifest(start)
    if manifest.stage != stage.name:
        return config
    own = config_of(manifest, stage)
    return dataclasses.replace(config, **{name: getattr(own, name) for name in config.SIZES})


def config_of(manifest: Manifest, stage: Stage = FLOW) -> Config:
    """The configuration that an artefact was trained with."""
    return settings_of(manifest, stage.config_type)


def load_stage(stage: Stage, path: Path) -> tuple[nn.Module, Manifest]:
    """A trained network, ready to predict. Raises `InputError` where the file holds another stage's."""
    tensors, manifest = artefact.load_weights(path)
    if manifest.stage != stage.name:
        raise InputError(f"{path}: holds the weights of a {manifest.stage}, not of a {stage.name}; pass the right file")
    net = stage.module(config_of(manifest, stage)).net
    load_network(net, tensors, path)
    return net.eval(), manifest
