"""What a translator is taught: its losses, and the Lightning step around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from solution.core.devices import per_process
from solution.core.pictures import write_picture
from solution.proposers.translator.network import Generator, PatchDiscriminator, translate
from solution.proposers.translator.settings import TranslatorConfig
from solution.samples.tiles import POSITIVE

_SAMPLES = 4
_BETAS = (0.5, 0.999)


def loss_mask(sample: dict[str, Tensor]) -> Tensor:
    """(B, 1, H, W), 1 where both images carry data and the truth of the block is sure enough."""
    sure = (sample["label"] == POSITIVE).float()[:, None]
    sure = F.interpolate(sure, size=sample["sar"].shape[-2:], mode="nearest")
    return sure * (sample["optical_valid"] * sample["sar_valid"])[:, None]


def masked_l1(picture: Tensor, optical: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference (scalar) of (B, 3, H, W) pictures over a mask (B, 1, H, W); 0 where that is empty."""
    return ((picture - optical).abs() * mask).sum() / per_process(3 * mask.sum())


def adversarial_loss(logits: Tensor, mask: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy (scalar) of patch logits (B, 1, h, w); a patch counts as much as the mask (B, 1, H, W)
    covers the middle of it."""
    weight = F.adaptive_avg_pool2d(mask, logits.shape[-2:])
    target = torch.full_like(logits, float(real))
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * weight).sum() / per_process(weight.sum())


@dataclass
class Views:
    """What the losses look at: hidden pixels are zero in all three, lest the discriminator learn from their outline.

    Attributes:
        sar: (B, 1, H, W).
        optical: (B, 3, H, W).
        mask: (B, 1, H, W).
    """

    sar: Tensor
    optical: Tensor
    mask: Tensor

    @classmethod
    def of(cls, sample: dict[str, Tensor]) -> Views:
        """From a batch of `TilePairs`."""
        mask = loss_mask(sample)
        return cls(torch.where(mask > 0, sample["sar"], 0.0), torch.where(mask > 0, sample["optical"], 0.0), mask)


def cut(sample: dict[str, Tensor], pieces: int) -> list[dict[str, Tensor]]:
    """A batch in pieces of equal size."""
    return [
        dict(zip(sample, parts, strict=True))
        for parts in zip(*(value.chunk(pieces) for value in sample.values()), strict=True)
    ]


class TranslatorModule(lightning.LightningModule):
    """The Lightning steps around `Generator`; the discriminator helps in training only and is not saved with it."""

    manual = True
    partial = True
    pieces = 1
    precision_cuda = "16-mixed"
    headline = "mean absolute error {val_l1:.3f}"

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.save_hyperparameters({"config": asdict(config)})
        self.automatic_optimization = False
        self.config = config
        # Channels last makes a step a sixth faster on a CPU.
        self.net = Generator(config).to(memory_format=torch.channels_last)
        self.critic = PatchDiscriminator(config).to(memory_format=torch.channels_last)

    def training_step(self, sample: dict[str, Tensor], index: int) -> None:
        """One step of the discriminator, then one of the generator, on a batch of `TilePairs`, piece by piece."""
        pieces = [(piece, Views.of(piece)) for piece in cut(sample, self.pieces)]
        of_generator, of_critic = self.optimizers()
        # Of several pieces each is painted twice, so that no more than one is in memory.
        once = self._picture(*pieces[0]) if len(pieces) == 1 else None

        def painted() -> Iterator[tuple[Views, Tensor]]:
            for piece, views in pieces:
                yield views, self._picture(piece, views) if once is None else once

        said: list[dict[str, Tensor]] = []
        self.toggle_optimizer(of_critic)
        self._step(of_critic, (self._of_critic(*one, said) for one in painted()), sample)
        self.untoggle_optimizer(of_critic)
        self.toggle_optimizer(of_generator)
        self._step(of_generator, (self._of_generator(*one, said) for one in painted()), sample)
        self.untoggle_optimizer(of_generator)
        for scheduler in self.lr_schedulers():
            scheduler.step()
        for name in ("l1", "fooled", "critic"):
            self._log("train", sample, **{name: torch.stack([one[name] for one in said if name in one]).mean()})

    def _picture(self, piece: dict[str, Tensor], views: Views) -> Tensor:
        return self.net(piece["sar"], piece["sar_valid"]) * views.mask

    def _of_critic(self, views: Views, picture: Tensor, said: list[dict[str, Tensor]]) -> Tensor:
        critic = self.critic_loss(views, picture.detach())
        said.append({"critic": critic.detach()})
        return critic

    def _of_generator(self, views: Views, picture: Tensor, said: list[dict[str, Tensor]]) -> Tensor:
        fooled = adversarial_loss(self.critic(views.sar, picture), views.mask, real=True)
        l1 = masked_l1(picture, views.optical, views.mask)
        said.append({"fooled": fooled.detach(), "l1": l1.detach()})
        return fooled + self.config.l1_weight * l1

    def critic_loss(self, views: Views, picture: Tensor) -> Tensor:
        """Half of the cross-entropies of photographs and of `picture` (B, 3, H, W), as published: it slows the
        discriminator down."""
        real = adversarial_loss(self.critic(views.sar, views.optical), views.mask, real=True)
        painted = adversarial_loss(self.critic(views.sar, picture), views.mask, real=False)
        return 0.5 * (real + painted)

    def _step(self, optimizer: torch.optim.Optimizer, losses: Iterable[Tensor], sample: dict[str, Tensor]) -> None:
        """One step along the mean of the pieces' losses, which are made one by one."""
        optimizer.zero_grad()
        for loss in losses:
            if not torch.isfinite(loss):
                raise FloatingPointError(f"train: the loss is not finite on tiles {sample['index'].tolist()}")
            self.manual_backward(loss / self.pieces)
        optimizer.step()

    def _log(self, stage: str, sample: dict[str, Tensor], **values: Tensor) -> None:
        for name, value in values.items():
            self.log(
                f"{stage}_{name}",
                value.detach(),
                batch_size=len(sample["index"]),
                prog_bar=True,
                on_epoch=True,
                on_step=False,
                sync_dist=True,
            )

    def validation_step(self, sample: dict[str, Tensor], index: int) -> None:
        """One batch of tiles without augmentation."""
        views = Views.of(sample)
        l1 = masked_l1(self.net(sample["sar"], sample["sar_valid"]), views.optical, views.mask)
        if not torch.isfinite(l1):
            raise FloatingPointError(f"val: the loss is not finite on tiles {sample['index'].tolist()}")
        self._log("val", sample, l1=l1)

    def on_train_epoch_end(self) -> None:
        """Write sample pictures of validation tiles: SAR, translated, optical."""
        if self.trainer.is_global_zero and self.logger is not None:
            self.net.eval()
            tiles = self.trainer.datamodule.validation_tiles
            samples = [tiles[index] for index in range(min(_SAMPLES, len(tiles)))]
            rows = [
                (s["sar"][0].numpy(), translate(self.net, s["sar"][0], s["sar_valid"]), s["optical"].numpy())
                for s in samples
            ]
            write_grid(Path(self.logger.log_dir) / f"samples_{self.current_epoch:04d}.png", rows)
            self.net.train()

    def configure_optimizers(self) -> tuple[list, list]:
        """Adam for each of both; linear warm-up, constant for the first half, then linear to zero."""
        config = self.config
        optimizers = [
            torch.optim.Adam(part.parameters(), config.learning_rate, _BETAS, weight_decay=config.weight_decay)
            for part in (self.net, self.critic)
        ]

        def factor(step: int) -> float:
            return min((step + 1) / max(1, config.warmup_steps), 2.0 * (1.0 - step / config.steps), 1.0)

        return optimizers, [torch.optim.lr_scheduler.LambdaLR(optimizer, factor) for optimizer in optimizers]


def write_grid(path: Path, rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    """Write a PNG of rows: SAR (h, w), translated (3, h, w), optical (3, h, w), all in [0, 1] and of one size."""
    cells = [np.concatenate([np.stack([sar] * 3), translated, optical], axis=2) for sar, translated, optical in rows]
    grid = np.rint(255 * np.concatenate(cells, axis=1).clip(0, 1)).astype(np.uint8)
    write_picture(path, np.moveaxis(grid, 0, -1))
