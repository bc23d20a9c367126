"""The direct flow regressor: features of both images, their local correlation, and a shift with its standard deviation per block.

The network follows the usual correlation-volume recipe (FlowNetC, Dosovitskiy et al. 2015; PWC-Net, Sun et al. 2018) with two changes that
SAR needs. First, oriented gradient magnitudes are fed in beside the pixels, because they survive a contrast inversion (CFOG, Ye et al.
2019). Second, correlations are averaged over windows of several sizes before the head reads them, because a patch of a few pixels carries
next to no signal under speckle. The head works on the displacement plane alone, so that the search radius is free at prediction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.config import CELL_PX, FlowConfig
from solution.encoder import Features, Stem, cell_valid
from solution.schedule import adamw_one_cycle
from solution.tiles import NEGATIVE, POSITIVE

_HEAD_CHUNK = 2**20  # displacements that the head looks at together in a prediction
_PEAK_CELLS = 2  # half side of the window around a peak in which its position and its probability are taken


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


class _BlockCorrelation(torch.autograd.Function):
    """sum over the cells of a block of <optical feature, SAR feature displaced by d>, for every d: one matrix product per block.

    The product compares all cells with all cells; the wanted ones lie on its displaced diagonals, which `as_strided` reads in place.
    """

    CHUNK = 64

    @staticmethod
    def _diagonals(product: Tensor, block: int, span: int) -> Tensor:
        """(N, block^2, S^2) -> view (N, block, block, span, span), S = block + span - 1."""
        side = block + span - 1
        n, y, x = side * side * block * block, block * side * side, side * side
        return product.as_strided((len(product), block, block, span, span), (n, y + side, x + 1, side, 1))

    @staticmethod
    def forward(ctx, optical: Tensor, sar: Tensor, block: int, span: int) -> Tensor:
        """optical (N, block^2, C), sar (N, C, S^2) -> (N, span, span)."""
        ctx.save_for_backward(optical, sar)
        ctx.sizes = (block, span)
        parts = [
            _BlockCorrelation._diagonals(torch.bmm(a, b), block, span).sum(dim=(1, 2))
            for a, b in zip(optical.split(_BlockCorrelation.CHUNK), sar.split(_BlockCorrelation.CHUNK), strict=True)
        ]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        optical, sar = ctx.saved_tensors
        block, span = ctx.sizes
        chunk = _BlockCorrelation.CHUNK
        left, right = [], []
        for a, b, g in zip(optical.split(chunk), sar.split(chunk), gradient.split(chunk), strict=True):
            product = torch.zeros(len(a), a.shape[1], b.shape[2], dtype=a.dtype, device=a.device)
            _BlockCorrelation._diagonals(product, block, span).copy_(g.to(a.dtype)[:, None, None])
            left.append(torch.bmm(product, b.transpose(1, 2)))
            right.append(torch.bmm(a.transpose(1, 2), product))
        return torch.cat(left), torch.cat(right), None, None


def block_correlation(optical: Tensor, sar: Tensor, block: int, radius: int) -> Tensor:
    """Sums of feature products per block and displacement.

    Args:
        optical: (B, C, H, W) cells, H and W multiples of `block`.
        sar: (B, C, H + 2 radius, W + 2 radius): the same cells with a margin.
        block: side of a block in cells.
        radius: search radius in cells.

    Returns:
        (B, H / block, W / block, 2 radius + 1, 2 radius + 1); the last two axes are the displacement in y and x, from -radius.
    """
    if torch.is_grad_enabled() or optical.shape[2] == block:
        return _correlate_rows(optical, sar, block, radius)
    # The displaced copies of a whole tile would take gigabytes at a large radius; one row of blocks at a time takes megabytes.
    rows = [
        _correlate_rows(optical[:, :, top : top + block], sar[:, :, top : top + block + 2 * radius], block, radius)
        for top in range(0, optical.shape[2], block)
    ]
    return torch.cat(rows, dim=1)


def _correlate_rows(optical: Tensor, sar: Tensor, block: int, radius: int) -> Tensor:
    batch, channels, height, width = optical.shape
    rows, columns, span = height // block, width // block, 2 * radius + 1
    left = optical.reshape(batch, channels, rows, block, columns, block).permute(0, 2, 4, 3, 5, 1)
    left = left.reshape(batch * rows * columns, block * block, channels)
    side = block + 2 * radius
    right = sar.unfold(2, side, block).unfold(3, side, block).permute(0, 2, 3, 1, 4, 5)
    right = right.reshape(batch * rows * columns, channels, side * side)
    return _BlockCorrelation.apply(left, right, block, span).reshape(batch, rows, columns, span, span)


def pair_counts(optical_valid: Tensor, sar_valid: Tensor, block: int, radius: int) -> Tensor:
    """How many valid cell pairs each sum of `block_correlation` holds (same shapes, one channel).

    The count is taken as the product of both valid shares: exact where either is whole, close elsewhere, and far cheaper.
    """
    span = 2 * radius + 1
    optical = F.avg_pool2d(optical_valid, block)[:, 0]
    sar = F.avg_pool2d(sar_valid, block, 1)[:, 0].unfold(1, span, block).unfold(2, span, block)
    return block * block * optical[..., None, None] * sar


def window_means(volume: Tensor, weight: Tensor, windows: tuple[int, ...]) -> Tensor:
    """Weighted means of block correlations over square windows.

    Args:
        volume: (B, h, w, D, D) sums.
        weight: (B, h, w, D, D) how many cell pairs each sum holds.
        windows: odd sides in blocks.

    Returns:
        (B, h, w, len(windows), D, D).
    """
    batch, rows, columns, span, _ = volume.shape
    flat = torch.cat([volume, weight]).reshape(2 * batch, rows, columns, span * span).permute(0, 3, 1, 2)
    means = []
    for side in windows:
        pooled = flat if side == 1 else F.avg_pool2d(flat, side, 1, side // 2)
        total, count = pooled.chunk(2)
        means.append(total / count.clamp_min(1.0))
    stacked = torch.stack(means, dim=1)
    return stacked.permute(0, 3, 4, 1, 2).reshape(batch, rows, columns, len(windows), span, span)


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
        self.mix = nn.Parameter(torch.full((windows,), 40.0 / windows))
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
        chunk = len(flat) if torch.is_grad_enabled() else max(1, _HEAD_CHUNK // span**2)
        parts = [torch.cat(part) for part in zip(*map(self._blocks, flat.split(chunk)), strict=True)]
        logits, shift, log_sigma, confidence = (part.reshape(batch, rows, columns, *part.shape[1:]) for part in parts)
        return FlowOutput(logits, CELL_PX * shift, log_sigma, confidence)

    def _blocks(self, flat: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, windows, D, D) -> logits (N, D, D), shift in cells (N, 2), log_sigma (N,), confidence (N,)."""
        windows = flat.shape[1]
        logits = (flat * self.mix[:, None, None]).sum(dim=1) + 10.0 * self.plane(flat * 4.0).squeeze(1)
        shift, confidence, deviation, peak = peak_position(logits)
        at_peak = flat.flatten(2).gather(2, peak[:, None, None].expand(-1, windows, 1)).squeeze(2)
        entropy = torch.special.entr(logits.flatten(1).softmax(dim=1)).sum(dim=1)
        features = torch.cat([torch.stack([confidence, entropy, deviation], dim=1), at_peak * 4.0], dim=1)
        log_sigma = self.spread(features.detach()).squeeze(1).clamp(-3.0, 5.0)
        return logits, shift, log_sigma, confidence


def peak_position(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sub-cell position of the highest logit by the mean of the probability around it.

    Args:
        logits: (N, D, D), D = 2 radius + 1.

    Returns:
        shift (N, 2) in cells, x before y, from the plane's centre; probability around the peak (N,); its standard deviation (N,) in cells;
        flat index of the peak (N,).
    """
    span = logits.shape[-1]
    radius = span // 2
    probability = logits.flatten(1).softmax(dim=1)
    peak = probability.argmax(dim=1)
    axis = torch.arange(span, device=logits.device)
    near_y = ((axis - (peak // span)[:, None]).abs() <= _PEAK_CELLS).to(probability.dtype)
    near_x = ((axis - (peak % span)[:, None]).abs() <= _PEAK_CELLS).to(probability.dtype)
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
        """From features (B, C, H, W) and validity (B, 1, H, W) in cells; SAR cells beyond the border count as invalid."""
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


@dataclass
class FlowLoss:
    """Parts of the loss (scalars) and what to watch while it falls.

    Attributes:
        total: what is minimised.
        place: cross-entropy of the displacement over positive blocks.
        shift: smooth L1 of the sub-cell shift, px, over blocks whose peak is right.
        sigma: Laplace negative log-likelihood of the error under log_sigma.
        error_px: median error over positive blocks.
        near: share of positive blocks within 2 px.
    """

    total: Tensor
    place: Tensor
    shift: Tensor
    sigma: Tensor
    error_px: Tensor
    near: Tensor


def flow_loss(output: FlowOutput, sample: dict[str, Tensor], config: FlowConfig) -> FlowLoss:
    """Three-state supervision: positive blocks are placed, negative ones are flattened, ignored ones are left alone."""
    span = output.logits.shape[-1]
    log_probability = output.logits.flatten(3).log_softmax(dim=-1)
    positive, negative = sample["label"] == POSITIVE, sample["label"] == NEGATIVE
    truth = sample["shift"].permute(0, 2, 3, 1)
    count = positive.sum().clamp_min(1)

    spread = (config.label_sigma_cells**2 + (0.5 * sample["label_sigma"] / CELL_PX) ** 2)[..., None]
    axis = torch.arange(span, device=truth.device) - span // 2
    near_x = torch.exp(-((axis - truth[..., :1] / CELL_PX) ** 2) / (2 * spread))
    near_y = torch.exp(-((axis - truth[..., 1:] / CELL_PX) ** 2) / (2 * spread))
    target = (near_y[..., :, None] * near_x[..., None, :]).flatten(3)
    target = target / target.sum(dim=-1, keepdim=True).clamp_min(1e-12)
    place = (-(target * log_probability).sum(dim=-1) * positive).sum() / count
    flat = (-log_probability.mean(dim=-1) * negative).sum() / negative.sum().clamp_min(1)

    difference = output.shift - truth
    error = difference.square().sum(dim=-1).clamp_min(1e-12).sqrt()
    right = positive & (error.detach() < _PEAK_CELLS * CELL_PX)
    shift = (F.smooth_l1_loss(output.shift, truth, reduction="none").sum(dim=-1) * right).sum() / right.sum().clamp_min(1)
    scaled = error.detach() * torch.exp(-output.log_sigma) + output.log_sigma
    sigma = (scaled * positive).sum() / count
    with torch.no_grad():
        errors = error[positive]
        median = errors.median() if len(errors) else error.new_zeros(())
        near = (errors < 2.0).float().mean() if len(errors) else error.new_zeros(())
    return FlowLoss(place + shift + 0.2 * sigma + 0.1 * flat, place, shift, sigma, median, near)


class FlowModule(lightning.LightningModule):
    """The Lightning step around `FlowNet`."""

    manual = False
    precision_cuda = "16-mixed"
    headline = "median error {val_error_px:.2f} px on its own tiles"

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.save_hyperparameters({"config": asdict(config)})
        self.config = config
        self.net = FlowNet(config)

    def _loss(self, sample: dict[str, Tensor], stage: str) -> Tensor:
        output = self.net(sample["optical"], sample["sar"], sample["optical_valid"], sample["sar_valid"])
        loss = flow_loss(output, sample, self.config)
        if not torch.isfinite(loss.total):
            raise FloatingPointError(f"{stage}: the loss is not finite on tiles {sample['index'].tolist()}")
        size = len(sample["index"])
        for name in ("place", "shift", "sigma", "error_px", "near"):
            self.log(
                f"{stage}_{name}", getattr(loss, name), batch_size=size, prog_bar=name in ("error_px", "near"), on_epoch=True, on_step=False
            )
        return loss.total

    def training_step(self, sample: dict[str, Tensor], index: int) -> Tensor:
        """One batch of `TilePairs`."""
        return self._loss(sample, "train")

    def validation_step(self, sample: dict[str, Tensor], index: int) -> None:
        """One batch of tiles without augmentation."""
        self._loss(sample, "val")

    def configure_optimizers(self):
        """AdamW, one cycle."""
        return adamw_one_cycle(self.parameters(), self.config)
