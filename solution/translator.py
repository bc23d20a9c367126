"""The translator: a pix2pix network that paints a SAR image as an optical one would look.

Generator, discriminator and loss follow pix2pix (Isola et al. 2017): a U-Net with skip connections, a conditional discriminator that judges
patches of 70 x 70 px, binary cross-entropy as the adversarial loss plus lambda times the mean absolute error. Four things differ. Upsampling
followed by a convolution takes the place of transposed convolutions, which leave chequerboards (Odena et al. 2016). There is no dropout noise,
so the same image always gives the same picture. Pixels without truth are hidden from both losses. And layers near full resolution are thin,
because it must run without a GPU.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.artefact import atomic_path
from solution.config import TranslatorConfig
from solution.errors import InputError
from solution.tiles import POSITIVE

_SAMPLES = 4
_BETAS = (0.5, 0.999)
_NORMS = {"batch": nn.BatchNorm2d, "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True)}


def _norm(kind: str, channels: int) -> nn.Module:
    if kind not in _NORMS:
        raise InputError(f"translator: norm {kind!r} is neither of {', '.join(_NORMS)}")
    return _NORMS[kind](channels)


class Generator(nn.Module):
    """U-Net: SAR and its validity in, three colours in [0, 1] out, for images of any size."""

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        widths = [min(config.channels * 2**level, config.max_channels) for level in range(config.depth)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            innermost = level == config.depth - 1
            # The first layer keeps absolute brightness, and the innermost one may be a single pixel, which has no variance.
            norm = nn.Identity() if level == 0 or innermost else _norm(config.norm, width)
            self.down.append(nn.Sequential(nn.Conv2d(widths[level - 1] if level else 2, width, 4, 2, 1), norm, nn.LeakyReLU(0.2)))
        for level in reversed(range(config.depth - 1)):
            inputs = widths[level + 1] + widths[level]
            self.up.append(
                nn.Sequential(nn.Conv2d(inputs, widths[level], 3, padding=1), _norm(config.norm, widths[level]), nn.LeakyReLU(0.2))
            )
        self.narrow = nn.Conv2d(widths[0], config.full_channels, 1)
        self.fine = nn.Conv2d(config.full_channels + 2, config.full_channels, 3, padding=1)
        self.paint = nn.Conv2d(config.full_channels, 3, 3, padding=1)
        self.stride_px = 2**config.depth

    def forward(self, sar: Tensor, valid: Tensor) -> Tensor:
        """SAR (B, 1, H, W) in [0, 1] and validity (B, H, W) -> (B, 3, H, W) in [0, 1]; what lies below invalid pixels does not matter."""
        height, width = sar.shape[-2:]
        valid = valid[:, None].to(sar.dtype)
        padding = (0, -width % self.stride_px, 0, -height % self.stride_px)
        inputs = F.pad(torch.cat([torch.where(valid > 0, sar, 0.0), valid], dim=1), padding, mode="replicate")
        features, levels = inputs, []
        for layer in self.down:
            features = layer(features)
            levels.append(features)
        for layer, skip in zip(self.up, reversed(levels[:-1]), strict=True):
            features = layer(torch.cat([F.interpolate(features, scale_factor=2.0), skip], dim=1))
        fine = F.interpolate(self.narrow(features), scale_factor=2.0, mode="bilinear", align_corners=False)
        fine = F.leaky_relu(self.fine(torch.cat([fine, inputs], dim=1)), 0.2)
        return self.paint(fine)[..., :height, :width].sigmoid()


class PatchDiscriminator(nn.Module):
    """Says of every 70 x 70 px patch of a picture whether it is a photograph of what the SAR image shows."""

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        width = config.critic_channels
        layers: list[nn.Module] = [nn.Conv2d(4, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for stride in (2, 2, 1):
            layers += [nn.Conv2d(width, 2 * width, 4, stride, 1), _norm(config.norm, 2 * width), nn.LeakyReLU(0.2)]
            width *= 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))

    def forward(self, sar: Tensor, picture: Tensor) -> Tensor:
        """(B, 1, H, W) and (B, 3, H, W) in [0, 1] -> logits (B, 1, H / 8 - 2, W / 8 - 2)."""
        return self.layers(2.0 * torch.cat([sar, picture], dim=1) - 1.0)


def translate(net: Generator, sar: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Paint one tile.

    Args:
        net: on any device; in evaluation mode.
        sar: (h, w) float32 in [0, 1].
        valid: (h, w), 1 where `sar` carries data.

    Returns:
        (3, h, w) float32 in [0, 1], 0 where there is no data.
    """
    device = next(net.parameters()).device
    tensors = (torch.from_numpy(np.ascontiguousarray(image, np.float32)).to(device)[None] for image in (sar, valid))
    with torch.inference_mode():
        sar_tile, valid_tile = tensors
        picture = net(sar_tile[None], valid_tile) * valid_tile[:, None]
    return picture[0].float().cpu().numpy()


def loss_mask(sample: dict[str, Tensor]) -> Tensor:
    """(B, 1, H, W), 1 where both images carry data and the truth of the block is sure enough."""
    sure = (sample["label"] == POSITIVE).float()[:, None]
    sure = F.interpolate(sure, size=sample["sar"].shape[-2:], mode="nearest")
    return sure * (sample["optical_valid"] * sample["sar_valid"])[:, None]


def masked_l1(picture: Tensor, optical: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference (scalar) of (B, 3, H, W) pictures over the pixels of the mask (B, 1, H, W); 0 for an empty mask."""
    return ((picture - optical).abs() * mask).sum() / (3 * mask.sum()).clamp_min(1.0)


def adversarial_loss(logits: Tensor, mask: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy (scalar) of patch logits (B, 1, h, w); a patch counts as much as the mask (B, 1, H, W) covers the middle of it."""
    weight = F.adaptive_avg_pool2d(mask, logits.shape[-2:])
    target = torch.full_like(logits, float(real))
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * weight).sum() / weight.sum().clamp_min(1.0)


@dataclass
class Views:
    """What the losses look at: hidden pixels are zero in all three, so that the discriminator learns nothing from their outline.

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


class TranslatorModule(lightning.LightningModule):
    """The Lightning steps around `Generator`; the discriminator helps in training only and is not saved with it."""

    manual = True
    precision_cuda = "16-mixed"
    headline = "mean absolute error {val_l1:.3f} on validation tiles"

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.save_hyperparameters({"config": asdict(config)})
        self.automatic_optimization = False
        self.config = config
        # Channels last makes a step a sixth faster on a CPU.
        self.net = Generator(config).to(memory_format=torch.channels_last)
        self.critic = PatchDiscriminator(config).to(memory_format=torch.channels_last)

    def training_step(self, sample: dict[str, Tensor], index: int) -> None:
        """One step of the discriminator, then one of the generator, on a batch of `TilePairs`."""
        views = Views.of(sample)
        of_generator, of_critic = self.optimizers()
        picture = self.net(sample["sar"], sample["sar_valid"]) * views.mask
        self.toggle_optimizer(of_critic)
        critic = self.critic_loss(views, picture.detach())
        self._step(of_critic, critic, sample)
        self.untoggle_optimizer(of_critic)
        self.toggle_optimizer(of_generator)
        fooled = adversarial_loss(self.critic(views.sar, picture), views.mask, real=True)
        l1 = masked_l1(picture, views.optical, views.mask)
        self._step(of_generator, fooled + self.config.l1_weight * l1, sample)
        self.untoggle_optimizer(of_generator)
        for scheduler in self.lr_schedulers():
            scheduler.step()
        self._log("train", sample, l1=l1, fooled=fooled, critic=critic)

    def critic_loss(self, views: Views, picture: Tensor) -> Tensor:
        """Half of the cross-entropies of photographs and of `picture` (B, 3, H, W), as published: it slows the discriminator down."""
        real = adversarial_loss(self.critic(views.sar, views.optical), views.mask, real=True)
        painted = adversarial_loss(self.critic(views.sar, picture), views.mask, real=False)
        return 0.5 * (real + painted)

    def _step(self, optimizer: torch.optim.Optimizer, loss: Tensor, sample: dict[str, Tensor]) -> None:
        if not torch.isfinite(loss):
            raise FloatingPointError(f"train: the loss is not finite on tiles {sample['index'].tolist()}")
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def _log(self, stage: str, sample: dict[str, Tensor], **values: Tensor) -> None:
        for name, value in values.items():
            self.log(f"{stage}_{name}", value.detach(), batch_size=len(sample["index"]), prog_bar=True, on_epoch=True, on_step=False)

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
            rows = [(s["sar"][0].numpy(), translate(self.net, s["sar"][0], s["sar_valid"]), s["optical"].numpy()) for s in samples]
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
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), np.moveaxis(grid, 0, -1)[..., ::-1])
