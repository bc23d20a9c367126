"""The patch classifier: a small timm residual network, its settings, and how a trained one is loaded and asked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.core.weights import built
from solution.surface import LETTERS

STAGE = "surface"
_BATCH = 256  # patches that are asked about at once
_LOG_SCALE, _LOG_MIDDLE = 0.5, 2.0  # bring the logarithm of uint8 pixels to about -2 to 1


@dataclass(frozen=True)
class SurfaceConfig:
    """The classifier and its training.

    Attributes:
        channels: 1 (HH) or 3 (HH, HV, ratio).
        trunk, widths, stem_width: timm's residual network and its channels by stage.
        epochs, batch_size, learning_rate, weight_decay: AdamW, one cycle.
        save_interval: epochs between checkpoints, from which a killed run goes on.
        validation_share: share of the groups of patches that are held out.
        gain_db: standard deviation of the random gain of each polarisation, for every product is stretched differently.
        zoom: half of the patches are magnified by up to this factor, for products differ
            in resolution and in smoothing.
        smoothing: label smoothing, for charts are not exact.
    """

    channels: int = 3
    trunk: str = "resnet10t"
    widths: tuple[int, ...] = (16, 32, 64, 128)
    stem_width: int = 8
    epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 2e-2
    save_interval: int = 1
    validation_share: float = 0.2
    gain_db: float = 1.0
    zoom: float = 6.0  # chosen on: the public polar patches
    smoothing: float = 0.05

    def smoke(self) -> SurfaceConfig:
        """Runs in seconds, to see that it runs."""
        return dataclasses.replace(self, widths=(8, 8, 16, 16), stem_width=8, epochs=1, batch_size=16)


class PatchClassifier(nn.Module):
    """uint8 pixels in, one logit a class out."""

    def __init__(self, config: SurfaceConfig) -> None:
        import timm  # not above: see `proposers.encoder.trunk.bare_trunk`

        super().__init__()
        self.channels = config.channels
        self.trunk = timm.create_model(
            config.trunk,
            pretrained=False,
            in_chans=config.channels,
            num_classes=len(LETTERS),
            channels=config.widths,
            stem_width=config.stem_width,
        ).to(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, channels, 64, 64) uint8 -> (B, 3).

        The logarithm turns a gain into an offset, and speckle into additive noise of one strength.
        """
        values = torch.log1p(pixels.float()) * _LOG_SCALE - _LOG_MIDDLE
        return self.trunk(values.contiguous(memory_format=torch.channels_last))


def probabilities(net: PatchClassifier, pixels: np.ndarray) -> np.ndarray:
    """(N, channels, 64, 64) uint8 -> (N, 3) float32, in batches, on the network's device."""
    device = next(net.parameters()).device
    out = np.empty((len(pixels), len(LETTERS)), np.float32)
    with torch.inference_mode():
        for first in range(0, len(pixels), _BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(pixels[first : first + _BATCH])).to(device)
            out[first : first + _BATCH] = net(batch).softmax(dim=1).float().cpu().numpy()
    return out


def load_classifier(path: Path, device: str | torch.device = "cpu") -> tuple[PatchClassifier, Manifest]:
    """A trained classifier in evaluation mode, and its manifest.

    Raises:
        InputError: the file is missing, broken, or another stage's.
    """
    tensors, manifest = artefact.load_weights(path)
    if manifest.stage != STAGE:
        raise InputError(
            f"{path}: holds the weights of a {manifest.stage}, not of a {STAGE} classifier; pass a file that surface train made"
        )
    return built(path, manifest, SurfaceConfig, PatchClassifier, tensors).to(device), manifest


def check_channels(net: PatchClassifier, channels: int, place: Path | str) -> None:
    """Raise `InputError` where a network does not take images of so many channels; `place` is what they come from."""
    if net.channels != channels:
        kinds = {1: "one band (HH)", 3: "two bands or three (HH, HV, their ratio)"}
        mend = (
            "take its first band alone with --bands 1 (surface sample, surface segment), or other weights"
            if channels > net.channels
            else "take weights for one band, such as folds/surface_hh.safetensors, or those that surface train makes of surface sample --bands 1"
        )
        raise InputError(
            f"{place}: has {kinds[channels]} and the weights were trained on {kinds[net.channels]}; {mend}"
        )
