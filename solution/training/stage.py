"""What a training run needs to know of a model family."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import lightning
from torch import nn

from solution.samples.images import TrainingImage


class Config(Protocol):
    """What training needs to know of a stage's settings, a dataclass; see `TileConfig`."""

    SIZES: ClassVar[tuple[str, ...]]
    batch_size: int

    @property
    def ema_decay(self) -> float | None:
        """Of the averaged weights that are kept; None = the last ones are."""

    @property
    def start_share(self) -> float:
        """Of the weights that a run started from in those that it keeps."""

    @property
    def patience(self) -> float:
        """Share of the steps after which a run ends whose development error does not fall; 0 = it never ends early."""


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
        module: makes the Lightning module from the settings. Its ``net`` is what is saved; ``manual`` says that it
            steps its optimisers itself, gradient clipping and the ``pieces`` of a batch included; ``partial`` that a step need not
            reach all weights; ``precision_cuda`` is its precision on a GPU;
            ``headline`` is a format string over the trainer's metrics, for people.
        samples: makes those of a run, from the images to learn from, the settings, the seed, and the images to watch.
        facts: more that the result depends on, for the manifest.
        seen: what frozen networks that help in training were trained on.
        begin: puts what a network knows before any training into it, where there is such a thing.
        watched: the metric that is the development error (``val_`` is left out; less is better), and what people call
            it; None where a run is not watched.
    """

    name: str
    config_type: type[Config]
    module: Callable[[Config], lightning.LightningModule]
    samples: Callable[[Sequence[TrainingImage], Config, int, Sequence[TrainingImage]], Samples]
    facts: tuple[tuple[str, str], ...] = ()
    seen: tuple[str, ...] = ()
    begin: Callable[[nn.Module], None] | None = None
    watched: tuple[str, str] | None = None

    @property
    def file(self) -> str:
        """Name of the weights file in a team's folder."""
        return f"{self.name}.safetensors"
