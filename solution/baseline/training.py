"""Training of both networks: 80 % of the tie-points to learn from, 20 % to watch, Adam with
one drop of the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, replace

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from solution.baseline.crops import TiePointCrops
from solution.baseline.heatmap import balanced_mse, gaussian, peak
from solution.baseline.network import NETWORKS, BaselineNets
from solution.baseline.settings import BaselineConfig
from solution.core.errors import InputError
from solution.samples.images import TrainingImage
from solution.training.stage import Samples, Stage
from solution.training.tile_data import dealt, default_workers


class CropData(Samples):
    """The tie-points of all images, split at random, in an order that follows from seed and epoch alone."""

    def __init__(
        self,
        images: Sequence[TrainingImage],
        config: BaselineConfig,
        seed: int,
        validation: Sequence[TrainingImage] = (),
    ) -> None:
        """Read the images.

        Args:
            validation: images to watch the training on; none = a share of the tie-points of `images`.
        """
        super().__init__()
        self.config, self.seed = config, seed
        self._crops = TiePointCrops(images, config, seed)
        order = np.random.default_rng([seed, 1]).permutation(len(self._crops))
        watched = 0 if validation else max(1, round(config.validation_share * len(order)))
        self._learned = order[watched:] if len(order) > watched else order
        self._watched = Subset(_unturned(self._crops), order[:watched])
        if validation:
            self._watched = _unturned(TiePointCrops(validation, config, seed))

    @property
    def epochs(self) -> int:
        """The setting's."""
        return self.config.epochs

    def train_dataloader(self) -> DataLoader:
        """The tie-points to learn from, shuffled for the current epoch."""
        epoch = self.trainer.current_epoch
        self._crops.epoch = epoch
        order = np.random.default_rng([self.seed, 2, epoch]).permutation(self._learned)
        batches = dealt(0, len(order), self.config.batch_size, self.trainer)
        if not batches:
            raise InputError(
                f"training: {len(order)} tie-points are less than a batch of {self.config.batch_size}, which several"
                " devices could share; pass --devices 1 --accumulate 1"
            )
        return self._loader(Subset(self._crops, order), batch_sampler=batches)

    def val_dataloader(self) -> DataLoader:
        """Those to watch, all of them in every process."""
        return self._loader(self._watched, batch_size=self.config.batch_size)

    def _loader(self, dataset: Dataset, **batches: object) -> DataLoader:
        workers = default_workers(self.trainer.world_size)
        return DataLoader(dataset, num_workers=workers, pin_memory=torch.cuda.is_available(), **batches)


def _unturned(crops: TiePointCrops) -> TiePointCrops:
    """The same samples as they lie in the scenes."""
    plain = copy(crops)
    plain.config = replace(crops.config, turns=False)
    return plain


class BaselineModule(lightning.LightningModule):
    """The Lightning steps around `BaselineNets`.

    Both networks learn side by side; they share no weight, and Adam keeps a state for each weight.
    """

    manual = False
    partial = False
    precision_cuda = "16-mixed"
    headline = (
        "validation keypoints {val_optical_to_sar_px:.1f} px (optical to SAR) and {val_sar_to_optical_px:.1f} px (SAR to optical)"
        " from the truth, where the crop's middle is {val_middle_px:.1f} px; in px of the crop"
    )

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.save_hyperparameters({"config": asdict(config)})
        self.config = config
        self.net = BaselineNets(config)

    def training_step(self, sample: dict[str, Tensor], index: int) -> Tensor:
        """The sum of both networks' losses on a batch of `TiePointCrops`."""
        losses = [self._found(name, sample)[0] for name in NETWORKS]
        loss = torch.stack(losses).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"train: the loss is not finite on tie-points {sample['index'].tolist()}")
        size = len(sample["index"])
        self.log("train_loss", loss, prog_bar=True, batch_size=size, on_epoch=True, on_step=False, sync_dist=True)
        return loss

    def validation_step(self, sample: dict[str, Tensor], index: int) -> None:
        """Distance of the found keypoints to the truth, px of the crop, and that of the crop's middle."""
        for name in NETWORKS:
            _, heat = self._found(name, sample)
            self._log_distance(name, peak(heat)[0], sample[f"{name}_xy"])
        middle = torch.full_like(sample[f"{NETWORKS[0]}_xy"], self.config.crop_px // 2)
        self._log_distance("middle", middle, sample[f"{NETWORKS[0]}_xy"])

    def _found(self, name: str, sample: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Loss and heatmaps of one network."""
        heat = self.net[name](sample[name].contiguous(memory_format=torch.channels_last)).float()
        return balanced_mse(heat, gaussian(sample[f"{name}_xy"], heat.shape[-1], self.config.sigma_px)), heat

    def _log_distance(self, name: str, found: Tensor, truth: Tensor) -> None:
        self.log(f"val_{name}_px", (found - truth).norm(dim=1).mean(), batch_size=len(truth), sync_dist=True)

    def configure_optimizers(self) -> dict:
        """Adam, and one drop of the learning rate."""
        config = self.config
        optimizer = torch.optim.Adam(self.net.parameters(), config.learning_rate)
        drop = max(1, round(config.drop_at * config.epochs))
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [drop], config.drop_to),
        }


BASELINE = Stage("baseline", BaselineConfig, BaselineModule, CropData)
