"""The direct flow regressor: features of both images, their local correlation, a shift and its doubt for every block.

The network follows the usual correlation-volume recipe (FlowNetC, Dosovitskiy et al. 2015; PWC-Net, Sun et al. 2018)
with two changes that SAR needs. First, the features come from a trunk that knows the world already: what is learned
from nothing on the pairs that there are does not carry over to other sensors. Second, correlations are averaged over
windows of several sizes before the head reads them, because a patch of a few pixels carries next to no signal under
speckle. The head works on the displacement plane alone, so that the search radius is free at prediction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from solution.proposers.encoder.cells import STRIDE_PX, cell_valid
from solution.proposers.encoder.features import Encoder
from solution.proposers.flow.correlation import correlation_volume
from solution.proposers.flow.settings import FlowConfig

HEAD_CHUNK = 2**20  # displacements that the head looks at together in a prediction
_SCALE = 40.0  # by which the correlations, in [-1, 1], become logits before any training; shared among the windows
_PLANE_SCALE = 10.0  # and the output of the convolutions, which starts at zero
_INPUT_SCALE = 4.0  # of the correlations that the layers read
_LOG_SIGMA = (-3.0, 5.0)  # least and largest
PEAK_CELLS = 2  # half side of the window around a peak in which its position and its probability are taken


@dataclass
class FlowOutput:
    """What the head says of each block (B, h, w).

    Attributes:
        logits: (B, h, w, D, D) over displacements in cells.
        shift: (B, h, w, 2) apparent residual shift (x, y) in px of the level.
        log_sigma: (B, h, w) log of its standard deviation in px of the level.
        confidence: (B, h, w) probability that lies around the peak, in [0, 1].
    """

    logits: Tensor
    shift: Tensor
    log_sigma: Tensor
    confidence: Tensor


class Head(nn.Module):
    """From window means to displacement logits, shift and sigma. Convolutions act on the displacement plane only."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        windows = len(config.windows_blocks)
        self.mix = nn.Parameter(torch.full((windows,), _SCALE / windows))
        self.sharpness = nn.Parameter(torch.full((windows,), math.log(_SCALE / 2)))  # logarithms, of one window alone
        self.plane = nn.Sequential(
            nn.Conv2d(windows, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 1, 1),
        )
        nn.init.zeros_(self.plane[-1].weight)
        nn.init.zeros_(self.plane[-1].bias)
        self.spread = nn.Sequential(nn.Linear(3 + windows, 32), nn.ReLU(inplace=True), nn.Linear(32, 1))

    def forward(self, means: Tensor, prior_cells: float = math.inf) -> FlowOutput:
        """Window means (B, h, w, windows, D, D), and a prior as `FlowNet.match` takes it -> FlowOutput."""
        batch, rows, columns, windows, span, _ = means.shape
        flat = means.reshape(-1, windows, span, span)
        # The hidden layers are wide; without gradients to keep, a few blocks at a time are enough.
        chunk = len(flat) if torch.is_grad_enabled() else max(1, HEAD_CHUNK // span**2)
        axis = torch.arange(span, device=flat.device) - span // 2
        prior = -0.5 * (axis[:, None] ** 2 + axis**2) / prior_cells**2
        blocks = [self._blocks(part, prior) for part in flat.split(chunk)]
        parts = [torch.cat(part) for part in zip(*blocks, strict=True)]
        logits, shift, log_sigma, confidence = (part.reshape(batch, rows, columns, *part.shape[1:]) for part in parts)
        return FlowOutput(logits, STRIDE_PX * shift, log_sigma, confidence)

    def by_window(self, means: Tensor) -> Tensor:
        """(B, h, w, windows, D, D) -> logits of each window alone, of the same shape."""
        return means * self.sharpness.exp()[:, None, None]

    def _blocks(self, flat: Tensor, prior: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, windows, D, D), prior (D, D) -> logits (N, D, D), shift in cells (N, 2), log_sigma (N,), confidence (N,)."""
        windows = flat.shape[1]
        logits = (flat * self.mix[:, None, None]).sum(dim=1) + _PLANE_SCALE * self.plane(flat * _INPUT_SCALE).squeeze(1)
        logits = logits + prior
        shift, confidence, deviation, peak = peak_position(logits)
        at_peak = flat.flatten(2).gather(2, peak[:, None, None].expand(-1, windows, 1)).squeeze(2)
        entropy = torch.special.entr(logits.flatten(1).softmax(dim=1)).sum(dim=1)
        features = torch.cat([torch.stack([confidence, entropy, deviation], dim=1), at_peak * _INPUT_SCALE], dim=1)
        log_sigma = self.spread(features.detach()).squeeze(1).clamp(*_LOG_SIGMA)
        return logits, shift, log_sigma, confidence


def peak_position(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sub-cell position of the highest logit by the mean of the probability around it.

    Args:
        logits: (N, D, D), D = 2 radius + 1.

    Returns:
        shift (N, 2) in cells, x before y, from the plane's centre; probability around the peak (N,); its standard
        deviation (N,) in cells; flat index of the peak (N,).
    """
    span = logits.shape[-1]
    radius = span // 2
    probability = logits.flatten(1).softmax(dim=1)
    peak = probability.argmax(dim=1)
    axis = torch.arange(span, device=logits.device)
    near_y = ((axis - (peak // span)[:, None]).abs() <= PEAK_CELLS).to(probability.dtype)
    near_x = ((axis - (peak % span)[:, None]).abs() <= PEAK_CELLS).to(probability.dtype)
    local = probability.reshape(-1, span, span) * near_y[:, :, None] * near_x[:, None, :]
    mass = local.sum(dim=(1, 2)).clamp_min(1e-12)
    position = (axis - radius).to(probability.dtype)
    x = (local.sum(dim=1) * position).sum(dim=1) / mass
    y = (local.sum(dim=2) * position).sum(dim=1) / mass
    variance = (local.sum(dim=1) * position**2).sum(dim=1) / mass - x**2
    variance = variance + (local.sum(dim=2) * position**2).sum(dim=1) / mass - y**2
    return torch.stack([x, y], dim=1), mass, variance.clamp_min(1e-6).sqrt(), peak


class FlowNet(nn.Module):
    """Encoder, block correlation and head. Built without any download.

    Args:
        encoder: makes the features; None = one of its own.
    """

    def __init__(self, config: FlowConfig, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder or Encoder(config.trunk, config.width, config.feature_channels)
        self.head = Head(config)

    def start(self, weights: Path | None = None) -> None:
        """Begin with what the trunk knows, by a file or its package. Raises `InputError` where its weights are missing."""
        self.encoder.start(weights)

    def prepare(self) -> None:
        """Make it fast, in evaluation mode; it can be neither trained nor saved any more."""
        self.encoder.fold()

    def forward(self, optical: Tensor, sar: Tensor, optical_valid: Tensor, sar_valid: Tensor) -> FlowOutput:
        """Match two tiles on one grid, as `means` takes them."""
        return self.head(self.means(optical, sar, optical_valid, sar_valid))

    def means(self, optical: Tensor, sar: Tensor, optical_valid: Tensor, sar_valid: Tensor) -> Tensor:
        """Window means (B, h, w, windows, D, D) of two tiles on one grid.

        Args:
            optical: (B, 3, H, W) in [0, 1]; H and W multiples of a block.
            sar: (B, 1, H, W).
            optical_valid, sar_valid: (B, H, W), 0 or 1.
        """
        features = self.encoder.optical(optical, optical_valid), self.encoder.sar(sar, sar_valid)
        return self.volume(*features, cell_valid(optical_valid), cell_valid(sar_valid), self.config.radius_cells)

    def match(
        self,
        optical: Tensor,
        sar: Tensor,
        optical_valid: Tensor,
        sar_valid: Tensor,
        radius: int,
        prior_cells: float = math.inf,
    ) -> FlowOutput:
        """From features (B, C, H, W) and validity (B, 1, H, W) in cells; SAR cells beyond the border are invalid.

        Args:
            radius: of the search, cells.
            prior_cells: standard deviation per axis of the shift that is believed in beforehand; inf = all are alike.
        """
        return self.head(self.volume(optical, sar, optical_valid, sar_valid, radius), prior_cells)

    def volume(self, optical: Tensor, sar: Tensor, optical_valid: Tensor, sar_valid: Tensor, radius: int) -> Tensor:
        """Window means (B, h, w, windows, D, D), in float32."""
        block, windows = self.config.stride_cells, self.config.windows_blocks
        with torch.autocast(optical.device.type, enabled=False):
            return correlation_volume(optical.float(), sar.float(), optical_valid, sar_valid, block, radius, windows)
