"""The translator: a pix2pix network that paints a SAR image as an optical one would look.

Generator, discriminator and loss follow pix2pix (Isola et al. 2017): a U-Net with skip connections, a conditional
discriminator that judges patches of 70 x 70 px, binary cross-entropy as the adversarial loss plus lambda times the mean
absolute error. Four things differ. Upsampling followed by a convolution takes the place of transposed convolutions,
which leave chequerboards (Odena et al. 2016). There is no dropout noise, so the same image always gives the same
picture. Pixels without truth are hidden from both losses. And layers near full resolution are thin, because it must run
without a GPU.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.core.errors import InputError
from solution.proposers.translator.settings import TranslatorConfig

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
            # The first layer keeps absolute brightness, and the innermost one may be a single pixel, which has no
            # variance.
            norm = nn.Identity() if level == 0 or innermost else _norm(config.norm, width)
            self.down.append(
                nn.Sequential(nn.Conv2d(widths[level - 1] if level else 2, width, 4, 2, 1), norm, nn.LeakyReLU(0.2))
            )
        for level in reversed(range(config.depth - 1)):
            inputs = widths[level + 1] + widths[level]
            self.up.append(
                nn.Sequential(
                    nn.Conv2d(inputs, widths[level], 3, padding=1), _norm(config.norm, widths[level]), nn.LeakyReLU(0.2)
                )
            )
        self.narrow = nn.Conv2d(widths[0], config.full_channels, 1)
        self.fine = nn.Conv2d(config.full_channels + 2, config.full_channels, 3, padding=1)
        self.paint = nn.Conv2d(config.full_channels, 3, 3, padding=1)
        self.stride_px = 2**config.depth

    def forward(self, sar: Tensor, valid: Tensor) -> Tensor:
        """SAR (B, 1, H, W) in [0, 1] and validity (B, H, W) -> (B, 3, H, W) in [0, 1]; what lies below invalid pixels
        does not matter."""
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
