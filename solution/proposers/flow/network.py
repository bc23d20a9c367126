"""The direct flow regressor: features of both images, their local correlation, a shift and its doubt for every block.

The network follows the usual correlation-volume recipe (FlowNetC, Dosovitskiy et al. 2015; PWC-Net, Sun et al. 2018)
with two changes that SAR needs. First, oriented gradient magnitudes are fed in beside the pixels, because they survive
a contrast inversion (CFOG, Ye et al. 2019). Second, correlations are averaged over windows of several sizes before the
head reads them, because a patch of a few pixels carries next to no signal under speckle. The head works on the
displacement plane alone, so that the search radius is free at prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.proposers.encoder import Features, Stem, cell_valid
from solution.proposers.flow.correlation import block_correlation, pair_counts, window_means
from solution.proposers.flow.settings import FlowConfig
from solution.samples.settings import CELL_PX

HEAD_CHUNK = 2**20  # displacements that the head looks at together in a prediction
_SCALE = 40.0  # by which the correlations, in [-1, 1], become logits before any training; shared among the windows
_PLANE_SCALE = 10.0  # and the output of the convolutions, which starts at zero
_INPUT_SCALE = 4.0  # of the correlations that the layers read
_LOG_SIGMA = (-3.0, 5.0)  # least and largest
PEAK_CELLS = 2  # half side of the window around a peak in which its position and its probability are taken


class Encoder(Features):
    """Two stems before the shared features."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config.trunk, config.stem_channels, config.feature_channels)
        self.optical_stem = Stem(3, config.stem_channels)
        self.sar_stem = Stem(1, config.stem_channels)

    def forward(self, optical: Tensor, sar: Tensor, optical_valid: Tensor, sar_valid: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W), (B, 1, H, W) and their validity (B, H, W) -> two sets of unit features (B, C, H / 2, W / 2)."""
        # One batch for both modalities, so that batch normalisation sees in training what it is used on later.
        stems = torch.cat([self.optical_stem(optical, optical_valid), self.sar_stem(sar, sar_valid)])
        return tuple(F.normalize(self.features(stems), dim=1).chunk(2))


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

    def forward(self, means: Tensor) -> FlowOutput:
        """(B, h, w, windows, D, D) -> FlowOutput."""
        batch, rows, columns, windows, span, _ = means.shape
        flat = means.reshape(-1, windows, span, span)
        # The hidden layers are wide; without gradients to keep, a few blocks at a time are enough.
        chunk = len(flat) if torch.is_grad_enabled() else max(1, HEAD_CHUNK // span**2)
        parts = [torch.cat(part) for part in zip(*map(self._blocks, flat.split(chunk)), strict=True)]
        logits, shift, log_sigma, confidence = (part.reshape(batch, rows, columns, *part.shape[1:]) for part in parts)
        return FlowOutput(logits, CELL_PX * shift, log_sigma, confidence)

    def _blocks(self, flat: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, windows, D, D) -> logits (N, D, D), shift in cells (N, 2), log_sigma (N,), confidence (N,)."""
        windows = flat.shape[1]
        logits = (flat * self.mix[:, None, None]).sum(dim=1) + _PLANE_SCALE * self.plane(flat * _INPUT_SCALE).squeeze(1)
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
    """Encoder, block correlation and head. Built without any download."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = Head(config)

    def forward(self, optical: Tensor, sar: Tensor, optical_valid: Tensor, sar_valid: Tensor) -> FlowOutput:
        """Match two tiles on one grid.

        Args:
            optical: (B, 3, H, W) in [0, 1]; H and W multiples of block_cells * CELL_PX.
            sar: (B, 1, H, W).
            optical_valid, sar_valid: (B, H, W), 0 or 1.
        """
        features = self.encoder(optical, sar, optical_valid, sar_valid)
        return self.match(*features, cell_valid(optical_valid), cell_valid(sar_valid), self.config.radius_cells)

    def match(self, optical: Tensor, sar: Tensor, optical_valid: Tensor, sar_valid: Tensor, radius: int) -> FlowOutput:
        """From features (B, C, H, W) and validity (B, 1, H, W) in cells; SAR cells beyond the border are invalid."""
        return self.head(self.volume(optical, sar, optical_valid, sar_valid, radius))

    def volume(self, optical: Tensor, sar: Tensor, optical_valid: Tensor, sar_valid: Tensor, radius: int) -> Tensor:
        """Window means (B, h, w, windows, D, D), in float32."""
        block = self.config.block_cells
        margin = (radius,) * 4
        with torch.autocast(optical.device.type, enabled=False):
            optical, sar = optical.float() * optical_valid, F.pad(sar.float() * sar_valid, margin)
            sums = block_correlation(optical, sar, block, radius)
            weight = pair_counts(optical_valid, F.pad(sar_valid, margin), block, radius)
            return window_means(sums, weight, self.config.windows_blocks)
