"""What a flow regressor is taught: its loss, and the Lightning step around it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import lightning
import torch
from torch import Tensor
from torch.nn import functional as F

from solution.core.devices import per_process
from solution.proposers.encoder.cells import STRIDE_PX
from solution.proposers.flow.network import PEAK_CELLS, FlowNet, FlowOutput
from solution.proposers.flow.settings import FlowConfig
from solution.proposers.optimisation import adamw_one_cycle
from solution.proposers.soft_target import soft_target
from solution.samples.tiles import NEGATIVE, POSITIVE

_WINDOWS_WEIGHT = 0.7  # of the windows alone, beside the place that the head reads from all of them
_SIGMA_WEIGHT = 0.2  # of the claimed standard deviation in the loss, beside the place and the shift
_FLAT_WEIGHT = 0.1  # of the cross-entropy that flattens blocks without SAR data
_NEAR_PX = 2.0  # a block whose error is less counts as near


@dataclass
class FlowLoss:
    """Parts of the loss (scalars) and what to watch while it falls.

    Attributes:
        total: what is minimised.
        place: cross-entropy of the displacement over positive blocks.
        windows: the same of each window alone, so that the features answer for themselves at every window size.
        shift: smooth L1 of the sub-cell shift, px, over blocks whose peak is right.
        sigma: Laplace negative log-likelihood of the error under log_sigma.
        error_px: median error over positive blocks.
        near: share of positive blocks within 2 px of the truth.
    """

    total: Tensor
    place: Tensor
    windows: Tensor
    shift: Tensor
    sigma: Tensor
    error_px: Tensor
    near: Tensor


def flow_loss(output: FlowOutput, by_window: Tensor, sample: dict[str, Tensor], config: FlowConfig) -> FlowLoss:
    """Three-state supervision: positive blocks are placed, negative ones are flattened, ignored ones are left alone.

    Args:
        by_window: (B, h, w, windows, D, D) logits of each window alone.
    """
    log_probability = output.logits.flatten(3).log_softmax(dim=-1)
    positive, negative = sample["label"] == POSITIVE, sample["label"] == NEGATIVE
    truth = sample["shift"].permute(0, 2, 3, 1)
    count = per_process(positive.sum())
    span = output.logits.shape[-1]
    target = soft_target(truth / STRIDE_PX, sample["label_sigma"] / STRIDE_PX, span, config.label_sigma_cells)
    place = (-(target * log_probability).sum(dim=-1) * positive).sum() / count
    each = -(target[..., None, :] * by_window.flatten(4).log_softmax(dim=-1)).sum(dim=-1).mean(dim=-1)
    windows = (each * positive).sum() / count
    flat = (-log_probability.mean(dim=-1) * negative).sum() / per_process(negative.sum())

    difference = output.shift - truth
    error = difference.square().sum(dim=-1).clamp_min(1e-12).sqrt()
    right = positive & (error.detach() < PEAK_CELLS * STRIDE_PX)
    apart = F.smooth_l1_loss(output.shift, truth, reduction="none").sum(dim=-1)
    shift = (apart * right).sum() / per_process(right.sum())
    scaled = error.detach() * torch.exp(-output.log_sigma) + output.log_sigma
    sigma = (scaled * positive).sum() / count
    with torch.no_grad():
        errors = error[positive]
        median = errors.median() if len(errors) else error.new_zeros(())
        near = (errors < _NEAR_PX).float().mean() if len(errors) else error.new_zeros(())
    total = place + _WINDOWS_WEIGHT * windows + shift + _SIGMA_WEIGHT * sigma + _FLAT_WEIGHT * flat
    return FlowLoss(total, place, windows, shift, sigma, median, near)


class FlowModule(lightning.LightningModule):
    """The Lightning step around `FlowNet`."""

    manual = False
    partial = False
    precision_cuda = "16-mixed"
    headline = "median error {val_error_px:.2f} px"

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.save_hyperparameters({"config": asdict(config)})
        self.config = config
        self.net = FlowNet(config)

    def _loss(self, sample: dict[str, Tensor], stage: str) -> Tensor:
        means = self.net.means(sample["optical"], sample["sar"], sample["optical_valid"], sample["sar_valid"])
        loss = flow_loss(self.net.head(means), self.net.head.by_window(means), sample, self.config)
        if not torch.isfinite(loss.total):
            raise FloatingPointError(f"{stage}: the loss is not finite on tiles {sample['index'].tolist()}")
        size = len(sample["index"])
        for name in ("place", "windows", "shift", "sigma", "error_px", "near"):
            self.log(
                f"{stage}_{name}",
                getattr(loss, name),
                batch_size=size,
                prog_bar=name in ("error_px", "near"),
                on_epoch=True,
                on_step=False,
                sync_dist=True,
            )
        return loss.total

    def training_step(self, sample: dict[str, Tensor], index: int) -> Tensor:
        """One batch of `TilePairs`."""
        return self._loss(sample, "train")

    def validation_step(self, sample: dict[str, Tensor], index: int) -> None:
        """One batch of tiles without augmentation."""
        self._loss(sample, "val")

    def configure_optimizers(self):
        """AdamW, one cycle; the trunk at a rate of its own."""
        trunk = list(self.net.encoder.trunk.parameters())
        known = set(map(id, trunk))
        others = [parameter for parameter in self.parameters() if id(parameter) not in known]
        rate = self.config.trunk_rate * self.config.learning_rate
        return adamw_one_cycle([{"params": others}, {"params": trunk, "lr": rate}], self.config)
