"""One training run: Lightning's trainer, checkpoints that a killed run resumes from, and the artefact at the end."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from solution.core import artefact, ranks
from solution.core.artefact import Manifest, needs_work
from solution.core.checkpoints import WholeCheckpoints
from solution.core.code import code_digest
from solution.core.devices import Devices
from solution.core.errors import InputError
from solution.core.outputs import check_folder, check_outputs
from solution.core.refusals import refusals_named
from solution.core.weights import compact, load_network
from solution.samples.images import TrainingImage
from solution.training.stage import Config, Stage
from solution.training.stopping import MixedAverage, Watch, copied, kept_apart


def train_stage(
    stage: Stage,
    images: Sequence[TrainingImage],
    config: Config,
    out: Path,
    fold: int,
    seed: int,
    work: Path,
    init: Path | None = None,
    device: str | Devices = "auto",
    replace: bool = False,
    validation: Sequence[TrainingImage] = (),
    callbacks: Sequence[Callback] = (),
) -> str:
    """Train one model and write its weights.

    On several devices all processes come here with the same arguments; the main one alone writes.

    Args:
        images: what it may see; their names, and a digest of their files, go into the manifest.
        out: the artefact. Where it exists with the same manifest, nothing is done.
        work: folder of checkpoints and logs; a killed run continues from there.
        init: weights to start from; what they were trained on is inherited.
        device: what to work on; the result does not depend on it but for rounding, so that a run may go on elsewhere.
        replace: overwrite an artefact that was made with other settings, data or code.
        validation: images to watch the training on, which it does not learn from; default: those that
            `stopping.kept_apart` takes out of `images`, and where it takes none, `images`.
        callbacks: of Lightning, that look on; they must not change what is trained.

    Returns:
        One line that says what was done.
    """
    inherited: tuple[str, ...] = ()
    start = None
    if init is not None:
        start, init_manifest = artefact.load_weights(init)
        inherited = init_manifest.trained_on
    seen = {image.name for image in images}  # those among them that are only watched decide on the weights, too
    if config.patience and not validation:
        images, validation = kept_apart(images, seed)
    all_images = [*images, *validation]
    trained_on = tuple(sorted(seen | set(inherited) | set(stage.seen)))
    manifest = Manifest(
        stage.name,
        fold,
        trained_on,
        {
            **dataclasses.asdict(config),
            **dict(stage.facts),
            "init": init_manifest.digest() if init else None,
            "kept_apart": sorted(image.name for image in validation),
        },
        seed,
        data=artefact.digest(sorted((image.name, image.data) for image in all_images)),
        code=code_digest(train_stage, stage.module, stage.samples),
    )
    if not needs_work(out, manifest, replace):
        return f"{stage.name} fold {fold}: {out} is up to date, skipped"
    check_outputs([out], [init])
    check_folder(work)
    lightning.seed_everything(seed, workers=True, verbose=False)
    module = stage.module(config)
    if start is None and stage.begin is not None:
        stage.begin(module.net)
    elif start is not None:
        _begin_with(stage, module.net, start, init_manifest, init)
    run = work / f"{stage.name}_{fold}_{manifest.digest()}"
    last = run / "last.ckpt"
    samples = stage.samples(images, config, seed, validation)
    watch = _watch(stage, config, len(validation))
    averaging = _averaging(config, module.net)
    devices = Devices.of(device)
    trainer = _trainer([*averaging, watch, *callbacks], config, samples.epochs, run, devices, module)
    try:
        with refusals_named(run), devices.memory_told(config.batch_size):
            trainer.fit(module, datamodule=samples, ckpt_path=last if last.is_file() else None, weights_only=True)
    except BaseException:
        ranks.end_helpers()  # they would wait for this process in vain, and it, before it ends, for them
        raise
    if trainer.is_global_zero:
        module.net.load_state_dict(watch.kept)
        artefact.save_weights(out, compact(module.net), manifest)
        shutil.rmtree(run, ignore_errors=True)
    trainer.strategy.barrier()  # what comes next may look for the weights
    return f"{stage.name} fold {fold}: wrote {out}, {module.headline.format_map(watch.rows[watch.at])} {watch.told()}"


def _begin_with(stage: Stage, net: nn.Module, tensors: dict[str, np.ndarray], manifest: Manifest, path: Path) -> None:
    """Load the weights to start from."""
    if manifest.stage != stage.name:
        raise InputError(
            f"{path}: holds the weights of a {manifest.stage}, from which a {stage.name} cannot start; pass other weights to --init"
        )
    load_network(net, tensors, path)


def _watch(stage: Stage, config: Config, apart: int) -> Watch:
    decides = stage.watched is not None and config.patience > 0 and apart > 0
    return Watch(f"val_{stage.watched[0]}", config.patience * config.steps, apart) if decides else Watch(None, 0, apart)


def _averaging(config: Config, net: nn.Module) -> list[Callback]:
    """What puts averaged weights, mixed with those that `net` starts from, in place for validation."""
    if config.ema_decay is None:
        return []
    return [MixedAverage(copied(net), config.start_share, avg_fn=warm_average(config.ema_decay))]


def _trainer(
    callbacks: Sequence[Callback],
    config: Config,
    epochs: int,
    run: Path,
    devices: Devices,
    module: lightning.LightningModule,
) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it lists absent devices and advertises services
    accelerator, chosen, count = devices.sharing(config.batch_size)
    module.pieces = devices.accumulate if module.manual else 1
    checkpoint = ModelCheckpoint(
        run, filename="last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
    )
    return lightning.Trainer(
        accelerator=accelerator,
        devices=chosen,
        **(_several(accelerator, module) if count > 1 else {"plugins": [WholeCheckpoints()]}),
        precision=module.precision_cuda if accelerator == "cuda" else "32-true",
        max_epochs=epochs,
        accumulate_grad_batches=1 if module.manual else devices.accumulate,
        use_distributed_sampler=False,  # samples know whose part of a batch is whose
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        gradient_clip_val=None if module.manual else 1.0,
        logger=CSVLogger(run, name="", version=""),
        log_every_n_steps=10,
        callbacks=[checkpoint, *callbacks, TQDMProgressBar(refresh_rate=10), _Stopping()],
        enable_model_summary=False,
    )


def _several(accelerator: str, module: lightning.LightningModule) -> dict:
    """What a trainer is told beside, where several processes work on every batch."""
    ranks.begin()
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    return {
        "strategy": DDPStrategy(find_unused_parameters=module.partial),
        "plugins": [WholeCheckpoints(), LightningEnvironment()],
        "sync_batchnorm": accelerator == "cuda" and _has_batch_statistics(module),
    }


def _has_batch_statistics(module: nn.Module) -> bool:
    """Whether a network is normalised by statistics of its batches, which devices must share then.

    timm's own layers, which torch would put plain ones in place of, are those of trunks.
    """
    kinds = {type(layer) for layer in module.modules() if isinstance(layer, _BatchNorm)}
    return bool(kinds) and kinds <= {nn.BatchNorm1d, nn.BatchNorm2d}


class _Stopping(Callback):
    """Keeps the program's own way to stop: Lightning puts one in its place that waits for other processes."""

    def __init__(self) -> None:
        self._meant = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Called after Lightning's own was put in place."""
        if trainer.world_size > 1 and self._meant is not None:
            signal.signal(signal.SIGTERM, self._meant)


def warm_average(decay: float) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """An exponential moving average that forgets its start.

    With a constant decay of 0.995 a run of 400 steps keeps a seventh of the weights that it began with, and of the
    first steps' batch statistics, which can be a hundred times what they settle at. Here the n-th step keeps at most (1
    + n) / (10 + n) of the average.
    """

    def averaged(average: torch.Tensor, current: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        kept = torch.clamp((1.0 + count) / (10.0 + count), max=decay).to(average.device)
        return current + kept * (average - current)

    return averaged
