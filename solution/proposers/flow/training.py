"""What a flow regressor is taught: its loss, and the Lightning step around it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import lightning
import torch
from torch import Tensor
from torch.nn import functional as F

from solution.proposers.flow.network import PEAK_CELLS, FlowNet, FlowOutput
from solution.proposers.flow.settings import FlowConfig
from solution.proposers.optimisation import adamw_one_cycle
from solution.samples.settings import CELL_PX
from solution.samples.tiles import NEGATIVE, POSITIVE

_SIGMA_WEIGHT = 0.2  # of the claimed standard deviation in the loss, beside the place and the shift
_FLAT_WEIGHT = 0.1  # of the cross-entropy that flattens blocks without SAR data
_LABEL_DOUBT = 0.5  # share of the truth's own standard deviation that widens the soft target
_NEAR_PX = 2.0  # a block whose error is less counts as near


@dataclass
class FlowLoss:
    """Parts of the loss (scalars) and what to watch while it falls.

    Attributes:
        total: what is minimised.
        place: cross-entropy of the displacement over positive blocks.
        shift: smooth L1 of the sub-cell shift, px, over blocks whose peak is right.
        sigma: Laplace negative log-likelihood of the error under log_sigma.
        error_px: median error over positive blocks.
        near: share of positive blocks within 2 px of the truth.
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

    spread = (config.label_sigma_cells**2 + (_LABEL_DOUBT * sample["label_sigma"] / CELL_PX) ** 2)[..., None]
    axis = torch.arange(span, device=truth.device) - span // 2
    near_x = torch.exp(-((axis - truth[..., :1] / CELL_PX) ** 2) / (2 * spread))
    near_y = torch.exp(-((axis - truth[..., 1:] / CELL_PX) ** 2) / (2 * spread))
    target = (near_y[..., :, None] * near_x[..., None, :]).flatten(3)
    target = target / target.sum(dim=-1, keepdim=True).clamp_min(1e-12)
    place = (-(target * log_probability).sum(dim=-1) * positive).sum() / count
    flat = (-log_probability.mean(dim=-1) * negative).sum() / negative.sum().clamp_min(1)

    difference = output.shift - truth
    error = difference.square().sum(dim=-1).clamp_min(1e-12).sqrt()
    right = positive & (error.detach() < PEAK_CELLS * CELL_PX)
    shift = (F.smooth_l1_loss(output.shift, truth, reduction="none").sum(dim=-1) * right).sum() / right.sum().clamp_min(
        1
    )
    scaled = error.detach() * torch.exp(-output.log_sigma) + output.log_sigma
    sigma = (scaled * positive).sum() / count
    with torch.no_grad():
        errors = error[positive]
        median = errors.median() if len(errors) else error.new_zeros(())
        near = (errors < _NEAR_PX).float().mean() if len(errors) else error.new_zeros(())
    return FlowLoss(place + shift + _SIGMA_WEIGHT * sigma + _FLAT_WEIGHT * flat, place, shift, sigma, median, near)


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
                f"{stage}_{name}",
                getattr(loss, name),
                batch_size=size,
                prog_bar=name in ("error_px", "near"),
                on_epoch=True,
                on_step=False,
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
