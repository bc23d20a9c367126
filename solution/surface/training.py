"""Training the patch classifier: a held-out part of whole groups, class weights,
symmetries and gains, and the artefact.

It runs Lightning itself: `training.run`, which trains the model families of teams, stands above this room.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler, TensorDataset

from solution.core import artefact
from solution.core.artefact import Manifest, needs_work
from solution.core.checkpoints import WholeCheckpoints
from solution.core.code import code_digest
from solution.core.devices import trainer_device
from solution.core.errors import InputError
from solution.core.outputs import check_folder, check_outputs
from solution.core.refusals import refusals_named
from solution.core.weights import compact
from solution.surface import LETTERS, NAMES
from solution.surface.network import STAGE, PatchClassifier, SurfaceConfig
from solution.surface.patchset import PatchSet

_BYTE = 256.0
_WARMUP_SHARE = 0.2  # of the steps, over which the learning rate rises
_GRADIENT_NORM = 1.0  # a longer gradient is cut
_WATCHED_BATCH = 256


@dataclass(frozen=True)
class Split:
    """Masks over the patches of a set; no group is in both."""

    train: np.ndarray
    validation: np.ndarray


def split_groups(patches: PatchSet, share: float, seed: int) -> Split:
    """Hold out whole groups (scenes, or blocks of consecutive ids), drawn at random.

    Raises:
        InputError: fewer than two groups.
    """
    groups = np.unique(patches.groups)
    if len(groups) < 2:
        raise InputError(
            f"{patches.name}: all patches are of one scene or block of ids, so none can be held out; sample more scenes"
        )
    order = np.random.default_rng(seed).permutation(groups)
    held_out = np.isin(patches.groups, order[: int(np.clip(round(share * len(groups)), 1, len(groups) - 1))])
    return Split(~held_out, held_out)


def class_weights(labels: np.ndarray) -> np.ndarray:
    """(3,) float32, inverse to how often a class occurs, mean 1 over the patches; 0 for a class that does not occur."""
    counts = np.bincount(labels, minlength=len(LETTERS))
    present = counts > 0
    return np.where(present, len(labels) / (present.sum() * np.maximum(counts, 1)), 0).astype(np.float32)


class ClassifierModule(lightning.LightningModule):
    """The Lightning steps around `PatchClassifier`."""

    def __init__(self, config: SurfaceConfig, weights: np.ndarray, steps: int, seed: int) -> None:
        super().__init__()
        self.config, self.steps, self.seed = config, steps, seed
        self.net = PatchClassifier(config)
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """One batch of pixels and labels."""
        pixels, labels = batch
        # Seeded by the step, so that a run that was killed and goes on sees what it would have seen.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        loss = self._loss(
            self.net(augmented(pixels, self.config.gain_db, self.config.zoom, generator)), labels, self.config.smoothing
        )
        if not torch.isfinite(loss):
            raise FloatingPointError(f"surface: the loss is not finite in step {self.global_step}")
        self.log("loss", loss.detach(), prog_bar=True, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        """One batch of held-out patches as they are."""
        pixels, labels = batch
        self.log(
            "val_accuracy",
            (self.net(pixels).argmax(dim=1) == labels).float().mean(),
            prog_bar=True,
            batch_size=len(labels),
        )

    def _loss(self, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        return F.cross_entropy(logits, labels, self.weights, label_smoothing=smoothing)

    def configure_optimizers(self) -> dict:
        """AdamW under one cycle."""
        optimizer = torch.optim.AdamW(
            self.net.parameters(), self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, total_steps=self.steps, pct_start=_WARMUP_SHARE
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def augmented(pixels: Tensor, gain_db: float, zoom: float, generator: torch.Generator) -> Tensor:
    """Patches (B, channels, 64, 64) uint8 as they might look too, (B, channels, 64, 64) float32 in [0, 255].

    They are turned and mirrored, half of them are magnified around their middle, and each polarisation gets a
    gain, which the ratio follows.
    """
    turns = torch.randint(8, (len(pixels),), generator=generator)
    out = torch.empty_like(pixels)
    for turn in range(8):
        chosen = (turns == turn).to(pixels.device)
        turned = torch.rot90(pixels[chosen], turn % 4, (2, 3))
        out[chosen] = turned.flip(3) if turn >= 4 else turned
    out = magnified(out, zoom, generator)
    gain = 10 ** (gain_db / 20 * torch.randn((len(pixels), 2), generator=generator))
    gains = (
        gain[:, :1] if pixels.shape[1] == 1 else torch.stack([gain[:, 0], gain[:, 1], gain[:, 1] / gain[:, 0]], dim=1)
    )
    return (out * gains.to(pixels.device)[:, :, None, None]).round().clamp(0, _BYTE - 1)


def magnified(pixels: Tensor, zoom: float, generator: torch.Generator) -> Tensor:
    """(B, channels, h, w) -> float, half of them magnified around their middle, whose class is the
    patch's, by a factor in [1, zoom]."""
    factor = zoom ** torch.rand(len(pixels), generator=generator)
    factor = torch.where(torch.rand(len(pixels), generator=generator) < 0.5, factor, 1.0).to(pixels.device)
    matrix = torch.eye(2, 3, device=pixels.device) / factor[:, None, None]
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)


class Shuffled(Sampler):
    """Another order in every epoch, which follows from the seed and the epoch alone; the
    trainer says which epoch it is."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed, self._epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng([self._seed, self._epoch]).permutation(self._count).tolist())

    def __len__(self) -> int:
        return self._count


class PatchData(lightning.LightningDataModule):
    """Patches from memory, shuffled anew, and repeatably, in every epoch."""

    def __init__(self, patches: PatchSet, split: Split, config: SurfaceConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.parts = {name: _tensors(patches.part(getattr(split, name))) for name in ("train", "validation")}

    def train_dataloader(self) -> DataLoader:
        """All training patches; an incomplete last batch is left out where there are others."""
        data = self.parts["train"]
        return DataLoader(
            data,
            self.config.batch_size,
            sampler=Shuffled(len(data), self.seed),
            drop_last=len(data) >= self.config.batch_size,
        )

    def val_dataloader(self) -> DataLoader:
        """All held-out patches."""
        return DataLoader(self.parts["validation"], _WATCHED_BATCH)


def _tensors(patches: PatchSet) -> TensorDataset:
    return TensorDataset(torch.from_numpy(patches.pixels), torch.from_numpy(patches.labels))


def train(
    patches: PatchSet,
    config: SurfaceConfig,
    out: Path,
    run: Path,
    seed: int = 0,
    device: str = "auto",
    replace: bool = False,
) -> tuple[bool, Split]:
    """Train a classifier and write its weights.

    Args:
        out: the artefact. Where it exists with the same manifest, nothing is done.
        run: folder of checkpoints and logs; a killed run goes on from there.

    Returns:
        Whether anything was done, and the split.
    """
    config = dataclasses.replace(config, channels=patches.pixels.shape[1])
    split = split_groups(patches, config.validation_share, seed)
    facts = {
        **dataclasses.asdict(config),
        "patches": len(patches),
    }
    facts.pop("save_interval")  # it changes nothing of the result
    manifest = Manifest(STAGE, -1, (patches.name,), facts, seed, data=patches.digest(), code=code_digest(train))
    if not needs_work(out, manifest, replace):
        return False, split
    check_outputs([out], [])
    check_folder(run)
    work = run / f"{STAGE}_{manifest.digest()}"
    net = fit(patches, split, config, work, seed, device)
    artefact.save_weights(out, compact(net), manifest)
    shutil.rmtree(work / "checkpoints", ignore_errors=True)
    return True, split


def fit(patches: PatchSet, split: Split, config: SurfaceConfig, work: Path, seed: int, device: str) -> PatchClassifier:
    """Train on one part of the patches and watch the other; a killed run goes on from ``work/checkpoints``."""
    labels = patches.labels[split.train]
    missing = [NAMES[number] for number in range(len(LETTERS)) if not (labels == number).any()]
    if len(missing) == len(LETTERS) - 1:
        raise InputError(f"{patches.name}: its training part holds one class only; sample patches of the others")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it lists absent devices and advertises services
    lightning.seed_everything(seed, workers=True, verbose=False)
    steps = config.epochs * max(1, len(labels) // config.batch_size)
    module = ClassifierModule(config, class_weights(labels), steps, seed)
    accelerator, devices = trainer_device(device)
    folder = work / "checkpoints"
    checkpoint = ModelCheckpoint(
        folder,
        filename="last",
        every_n_epochs=config.save_interval,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=devices if accelerator == "cpu" or isinstance(devices, list) else 1,
        max_epochs=config.epochs,
        num_sanity_val_steps=0,
        gradient_clip_val=_GRADIENT_NORM,
        logger=CSVLogger(work, name="", version=""),
        log_every_n_steps=1,
        callbacks=[checkpoint, TQDMProgressBar(refresh_rate=10)],
        plugins=[WholeCheckpoints()],
        enable_model_summary=False,
    )
    last = folder / "last.ckpt"
    with refusals_named(work):
        trainer.fit(
            module,
            datamodule=PatchData(patches, split, config, seed),
            ckpt_path=last if last.is_file() else None,
            weights_only=True,
        )
    return module.net.cpu().eval()
