"""Training a stage: data module, Lightning trainer, checkpoints that a killed run resumes from, and the artefact at the end."""

from __future__ import annotations

import abc
import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar, WeightAveraging
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, Subset

from solution import artefact
from solution.artefact import Manifest
from solution.config import FlowConfig, MatcherConfig, TileConfig, TranslatorConfig
from solution.errors import InputError
from solution.flow import FlowModule
from solution.matcher import MatcherModule, start_from_flow
from solution.tiles import Source, TilePairs
from solution.translator import TranslatorModule

_STEPS_PER_EPOCH = 50
_VALIDATION_TILES = 48


Settings = TypeVar("Settings")
"""A frozen dataclass of settings."""


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
    samples: Callable[[Sequence[Source], Config, int, Sequence[Source]], Samples]
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
        self, sources: Sequence[Source], config: TileConfig, seed: int, validation: Sequence[Source] = (), workers: int | None = None
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


def train_stage(
    stage: Stage,
    sources: Sequence[Source],
    config: Config,
    out: Path,
    fold: int,
    seed: int,
    work: Path,
    init: Path | None = None,
    device: str = "auto",
    replace: bool = False,
    validation: Sequence[Source] = (),
) -> str:
    """Train one model and write its weights.

    Args:
        sources: what it may see; their names go into the manifest.
        out: the artefact. Where it exists with the same manifest, nothing is done.
        work: folder of checkpoints and logs; a killed run continues from there.
        init: weights to start from; what they were trained on is inherited.
        device: ``auto``, ``cpu``, ``cuda`` (all GPUs) or ``cuda:N``.
        replace: overwrite an artefact that was made with other settings or data.
        validation: sources to watch the training on, which it does not learn from; default: its own.

    Returns:
        One line that says what was done.
    """
    inherited: tuple[str, ...] = ()
    start = None
    if init is not None:
        start, init_manifest = artefact.load_weights(init)
        inherited = init_manifest.trained_on
    trained_on = tuple(sorted({source.name for source in sources} | set(inherited) | set(stage.seen)))
    manifest = Manifest(
        stage.name,
        fold,
        trained_on,
        {**dataclasses.asdict(config), **dict(stage.facts), "init": init_manifest.digest() if init else None},
        seed,
    )
    if not needs_work(out, manifest, replace):
        return f"{stage.name} fold {fold}: {out} is up to date, skipped"
    lightning.seed_everything(seed, workers=True, verbose=False)
    module = stage.module(config)
    if start is not None:
        _begin_with(stage, module.net, start, init_manifest, init)
    run = work / f"{stage.name}_{fold}_{manifest.digest()}"
    last = run / "last.ckpt"
    samples = stage.samples(sources, config, seed, validation)
    trainer = _trainer(config.ema_decay, samples.epochs, run, device, module)
    trainer.fit(module, datamodule=samples, ckpt_path=last if last.is_file() else None, weights_only=True)
    if trainer.is_global_zero:
        # A run that was killed after its last epoch has nothing left to fit, so Lightning does not put the averaged weights in place.
        module.load_state_dict(torch.load(last, map_location="cpu", weights_only=True)["state_dict"])
        artefact.save_weights(out, compact(module.net), manifest)
        shutil.rmtree(run, ignore_errors=True)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return f"{stage.name} fold {fold}: wrote {out}, {module.headline.format_map(_Metrics(metrics))}"


def _begin_with(stage: Stage, net: nn.Module, tensors: dict[str, np.ndarray], manifest: Manifest, path: Path) -> None:
    """Load the weights to start from: the stage's own, or for the matcher those of a flow regressor."""
    if manifest.stage == stage.name:
        load_network(net, tensors, path)
    elif (stage.name, manifest.stage) == ("matcher", "flow"):
        try:
            start_from_flow(net, as_floats(tensors))
        except (RuntimeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: its encoder does not fit the matcher's ({str(error).splitlines()[-1].strip()})") from error
    else:
        raise InputError(
            f"{path}: holds the weights of a {manifest.stage}, from which a {stage.name} cannot start; pass other weights to --init"
        )


class _Metrics(dict):
    """A run that was killed after its last epoch knows no metrics any more."""

    def __missing__(self, name: str) -> float:
        return float("nan")


def needs_work(out: Path, manifest: Manifest, replace: bool) -> bool:
    """False where `out` was made by the same run; refuses to overwrite another one unless told to."""
    if not Path(out).is_file():
        return True
    if artefact.read_manifest(out).digest() == manifest.digest():
        return False
    if not replace:
        raise InputError(f"{out}: was trained with other settings or data; pass --replace to overwrite it, or another --folds folder")
    return True


def _trainer(ema_decay: float | None, epochs: int, run: Path, device: str, module: lightning.LightningModule) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it lists absent devices and advertises services
    accelerator, devices = trainer_device(device)
    checkpoint = ModelCheckpoint(run, filename="last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False)
    averaging = [] if ema_decay is None else [WeightAveraging(avg_fn=warm_average(ema_decay))]
    return lightning.Trainer(
        accelerator=accelerator,
        devices=devices,
        precision=module.precision_cuda if accelerator == "cuda" else "32-true",
        max_epochs=epochs,
        reload_dataloaders_every_n_epochs=1,
        check_val_every_n_epoch=min(4, epochs),
        num_sanity_val_steps=0,
        gradient_clip_val=None if module.manual else 1.0,
        logger=CSVLogger(run, name="", version=""),
        log_every_n_steps=10,
        callbacks=[checkpoint, *averaging, TQDMProgressBar(refresh_rate=10)],
        enable_model_summary=False,
    )


def warm_average(decay: float) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """An exponential moving average that forgets its start.

    With a constant decay of 0.995 a run of 400 steps keeps a seventh of the weights that it began with, and of the first steps' batch statistics, which can
    be a hundred times what they settle at. Here the n-th step keeps at most (1 + n) / (10 + n) of the average.
    """

    def averaged(average: torch.Tensor, current: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        kept = torch.clamp((1.0 + count) / (10.0 + count), max=decay).to(average.device)
        return current + kept * (average - current)

    return averaged


def trainer_device(device: str) -> tuple[str, int | list[int] | str]:
    """``--device`` to Lightning's accelerator and devices."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return "cpu", 1
    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdigit()):
        raise InputError(f"--device {device}: is none of auto, cpu, cuda, cuda:N")
    if not torch.cuda.is_available():
        raise InputError(f"--device {device}: this machine offers no CUDA device; pass --device cpu")
    return "cuda", [int(number)] if number else "auto"


def torch_device(device: str) -> torch.device:
    """``--device`` for a prediction, which uses one device."""
    accelerator, devices = trainer_device(device)
    return torch.device(f"cuda:{devices[0]}" if isinstance(devices, list) else accelerator)


def compact(net: nn.Module) -> dict[str, np.ndarray]:
    """Weights for the artefact: matrices in half precision, vectors (biases, normalisation) as they are."""
    state = {name: value.detach().cpu() for name, value in net.state_dict().items()}
    return {name: (value.half() if value.ndim >= 2 else value).numpy() for name, value in state.items()}


def load_network(net: nn.Module, tensors: dict[str, np.ndarray], path: Path) -> None:
    """Strict loading, back in float32."""
    try:
        net.load_state_dict(as_floats(tensors))
    except RuntimeError as error:
        raise InputError(f"{path}: does not fit the configured network ({str(error).splitlines()[-1].strip()})") from error


def as_floats(tensors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Tensors for torch, half precision turned into float32."""
    return {name: torch.from_numpy(value.astype(np.float32) if value.dtype == np.float16 else value) for name, value in tensors.items()}


def config_of(manifest: Manifest, stage: Stage = FLOW) -> Config:
    """The configuration that an artefact was trained with."""
    return settings_of(manifest, stage.config_type)


def settings_of(manifest: Manifest, kind: type[Settings]) -> Settings:
    """The part of a manifest's configuration that belongs to a dataclass."""
    known = {field.name for field in dataclasses.fields(kind)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in manifest.config.items() if name in known}
    return kind(**values)


def load_stage(stage: Stage, path: Path) -> tuple[nn.Module, Manifest]:
    """A trained network, ready to predict. Raises `InputError` where the file holds another stage's."""
    tensors, manifest = artefact.load_weights(path)
    if manifest.stage != stage.name:
        raise InputError(f"{path}: holds the weights of a {manifest.stage}, not of a {stage.name}; pass the right file")
    net = stage.module(config_of(manifest, stage)).net
    load_network(net, tensors, path)
    return net.eval(), manifest
