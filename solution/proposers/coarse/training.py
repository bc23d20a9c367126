"""What the coarse features are taught: the place of every window, by their correlations alone."""

from __future__ import annotations

from dataclasses import asdict

import lightning
import torch
from torch import Tensor

from solution.core.devices import per_process
from solution.proposers.coarse.network import CoarseFeatures, CoarseHead
from solution.proposers.coarse.settings import CoarseConfig
from solution.proposers.encoder.cells import whole_cells
from solution.proposers.encoder.frozen import FROZEN_PX, FrozenMaps
from solution.proposers.flow.correlation import correlation_volume
from solution.proposers.optimisation import adamw_one_cycle
from solution.proposers.soft_target import soft_target
from solution.samples.settings import CELL_PX
from solution.samples.tiles import POSITIVE

_NEAR_CELLS = 1.5  # a window whose error is less counts as near


def place_loss(
    features: CoarseFeatures, sharpness: Tensor, sample: dict[str, Tensor], config: CoarseConfig
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the displacement of each window size over positive blocks, and the share of windows that are near.

    Args:
        sharpness: (windows,) logarithms of what turns means into logits.
        sample: a batch of `TilePairs`.

    Returns:
        (windows,) and (windows,).
    """
    block = config.block_cells * CELL_PX // FROZEN_PX
    optical, sar = (getattr(features, name)(sample[name], sample[f"{name}_valid"]) for name in ("optical", "sar"))
    valid = [whole_cells(sample[f"{name}_valid"], FROZEN_PX) for name in ("optical", "sar")]
    means = correlation_volume(optical, sar, *valid, block, config.radius_cells, config.windows_blocks)
    span = means.shape[-1]
    truth = sample["shift"].permute(0, 2, 3, 1) / FROZEN_PX
    target = soft_target(truth, sample["label_sigma"] / FROZEN_PX, span, config.label_sigma_cells)
    logits = (means * sharpness.exp()[:, None, None]).flatten(4)
    positive = (sample["label"] == POSITIVE)[..., None]
    count = per_process(positive.sum())
    entropy = -(target[..., None, :] * logits.log_softmax(dim=-1)).sum(dim=-1)
    with torch.no_grad():
        peak = logits.argmax(dim=-1)
        found = torch.stack([peak % span, peak // span], dim=-1) - span // 2
        near = (found - truth[..., None, :]).square().sum(dim=-1).sqrt() < _NEAR_CELLS
    return (entropy * positive).sum(dim=(0, 1, 2)) / count, (near & positive).sum(dim=(0, 1, 2)) / count


class CoarseModule(lightning.LightningModule):
    """The Lightning step around `CoarseHead`. The frozen trunk at work is no part of what is trained, averaged or saved."""

    manual = False
    partial = False
    precision_cuda = "32-true"
    headline = "{val_near:.0%} of the largest windows near"

    def __init__(self, config: CoarseConfig) -> None:
        super().__init__()
        self.save_hyperparameters({"config": asdict(config)})
        self.config = config
        self.net = CoarseHead(config)
        # In a list, lest it be registered; a trunk that the net holds gets its weights later
        self._frozen: list[FrozenMaps] = [] if config.holds_trunk else [self.net.frozen()]

    def _loss(self, sample: dict[str, Tensor], stage: str) -> Tensor:
        if not self._frozen:
            self._frozen.append(self.net.frozen())
        features = CoarseFeatures(self._frozen[0].to(self.device), self.net)
        loss, near = place_loss(features, self.net.sharpness, sample, self.config)
        if not torch.isfinite(loss).all():
            raise FloatingPointError(f"{stage}: the loss is not finite on tiles {sample['index'].tolist()}")
        said = {"batch_size": len(sample["index"]), "on_epoch": True, "on_step": False, "sync_dist": True}
        self.log(f"{stage}_place", loss.mean(), **said)
        self.log(f"{stage}_near", near[-1], prog_bar=True, **said)
        return loss.mean()

    def training_step(self, sample: dict[str, Tensor], index: int) -> Tensor:
        """One batch of `TilePairs`."""
        return self._loss(sample, "train")

    def validation_step(self, sample: dict[str, Tensor], index: int) -> None:
        """One batch of tiles without augmentation."""
        self._loss(sample, "val")

    def configure_optimizers(self):
        """AdamW, one cycle."""
        return adamw_one_cycle(self.parameters(), self.config)
