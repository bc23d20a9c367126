"""What a matcher is taught: its losses, and the Lightning step around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.core.devices import per_process
from solution.proposers.matcher.attention import FAR
from solution.proposers.matcher.keypoints import Dense, Keypoints, pick
from solution.proposers.matcher.network import MatcherNet
from solution.proposers.matcher.settings import MatcherConfig
from solution.proposers.optimisation import adamw_one_cycle
from solution.samples.tiles import NEGATIVE, POSITIVE

_GLUE_WEIGHT = 0.3  # of LightGlue in the loss, beside the place and the detector
# Of each image's keypoints without a match, as published: both images' weigh as much as the matches
_LONER_WEIGHT = 0.5
# Sum of the soft target within the window; with less, the partner lies outside, and the place teaches nothing
_LEAST_MASS = 0.5
_BACK_ROUNDS = 4


@dataclass
class Truth:
    """The known residual shift of a batch of tiles, on the block grid.

    Attributes:
        shift: (B, 2, h, w) px, seen from the optical image.
        label: (B, h, w).
        block: side of a block in px.
    """

    shift: Tensor
    label: Tensor
    block: int

    @classmethod
    def of(cls, sample: dict[str, Tensor]) -> Truth:
        """The truth of a batch of `TilePairs`."""
        return cls(sample["shift"], sample["label"], sample["optical"].shape[-1] // sample["shift"].shape[-1])

    def at(self, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Shift (B, N, 2) and label (B, N) at optical positions (B, N, 2) px."""
        position = (xy + 0.5) / self.block - 0.5
        size = torch.tensor([self.shift.shape[-1], self.shift.shape[-2]], device=xy.device)
        grid = (2 * position + 1) / size - 1
        shift = F.grid_sample(self.shift, grid[:, :, None], padding_mode="border", align_corners=False)[
            ..., 0
        ].transpose(1, 2)
        cell = torch.minimum(position.round().long().clamp_min(0), size - 1)
        return shift, pick(self.label[:, None], cell)[..., 0]

    def back_from(self, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Shift (B, N, 2) from positions of the other image back to the optical one, and the label (B, N) there."""
        shift = torch.zeros_like(xy)
        for _ in range(_BACK_ROUNDS):  # the shift changes slowly, so that this contracts
            shift, label = self.at(xy - shift)
        return -shift, label


@dataclass
class MatcherLoss:
    """Parts of the loss (scalars) and what to watch while it falls.

    Attributes:
        total: what is minimised.
        place: cross-entropy of the true place over the window, both ways.
        detect: of the heat map.
        glue: of LightGlue, mean over its layers.
        hit: share of places whose best partner is within `reliable_px`.
    """

    total: Tensor
    place: Tensor
    detect: Tensor
    glue: Tensor
    hit: Tensor


def place_loss(
    net: MatcherNet, one: Dense, other: Dense, cell: Tensor, shift: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cross-entropy of the true place of one image's cells in the window of the other, and the loss of the detector.

    Args:
        one, other: features of one image and of the other.
        cell: (B, N, 2) cells of the one image.
        shift: (B, N, 2) px to their place in the other.
        known: (B, N) bool, whether that is known.

    Returns:
        mean loss, whether each was found within `reliable_px` (B, N) bool, which ones count (B, N) bool, and the
        detector's loss.
    """
    config = net.config
    similarity, inside, offset = net.similarity(one, other, cell, cell, math.ceil(config.window_px / config.stride))
    logits = (net.log_scale.exp() * similarity).masked_fill(~inside, FAR)
    away = offset - (shift / config.stride)[:, :, None]
    soft = torch.exp(-away.square().sum(dim=-1) / (2 * config.label_sigma_cells**2)) * inside
    mass = soft.sum(dim=-1)
    counts = known & pick(one.usable[:, None], cell)[..., 0] & (mass > _LEAST_MASS)
    loss = -(soft * logits.log_softmax(dim=-1)).sum(dim=-1) / mass.clamp_min(1e-6)
    number = per_process(counts.sum())
    found = away.gather(2, logits.argmax(dim=-1)[..., None, None].expand(-1, -1, 1, 2))[:, :, 0].norm(dim=-1)
    found = found * config.stride <= config.reliable_px
    heat = pick(one.heat[:, None], cell)[..., 0]
    detect = (F.binary_cross_entropy_with_logits(heat, found.float(), reduction="none") * counts).sum() / number
    return (loss * counts).sum() / number, found, counts, detect


def glue_loss(
    layers: list[tuple[Tensor, Tensor, Tensor]],
    first: Keypoints,
    second: Keypoints,
    truth: Truth,
    config: MatcherConfig,
) -> Tensor:
    """LightGlue's negative log likelihood, mean over its layers; keypoints that neither match nor clearly lack a match
    are left alone."""
    shift, label = truth.at(first.xy)
    distance = (first.xy + shift)[:, :, None] - second.xy[:, None]
    distance = distance.norm(dim=-1).masked_fill(~(first.usable[:, :, None] & second.usable[:, None]), math.inf)
    known = (label == POSITIVE) & first.usable
    distance_known = distance.masked_fill(~known[:, :, None], math.inf)
    near_first, near_second = distance_known.min(dim=2), distance_known.min(dim=1)
    mutual = near_second.indices.gather(1, near_first.indices) == torch.arange(first.xy.shape[1], device=shift.device)
    positive = mutual & (near_first.values <= config.positive_px)
    alone_first = first.usable & ((known & (near_first.values > config.negative_px)) | (label == NEGATIVE))
    _, there = truth.back_from(second.xy)
    alone_second = second.usable & (there == POSITIVE) & (near_second.values > config.negative_px)
    matches, loners_first, loners_second = (per_process(ones.sum()) for ones in (positive, alone_first, alone_second))
    total = shift.new_zeros(())
    for both, z_first, z_second in layers:
        chosen = both.gather(2, near_first.indices[..., None])[..., 0]
        total = total - (chosen * positive).sum() / matches
        for z, alone, loners in ((z_first, alone_first, loners_first), (z_second, alone_second, loners_second)):
            total = total - _LONER_WEIGHT * (F.logsigmoid(-z) * alone).sum() / loners
    return total / len(layers)


def matcher_loss(net: MatcherNet, optical: Dense, other: Dense, sample: dict[str, Tensor]) -> MatcherLoss:
    """All parts, from the features of both images and the sample that they were made of."""
    config = net.config
    truth = Truth.of(sample)
    random = torch.Generator().manual_seed(int(sample["index"].sum()))
    batch, height, width = optical.heat.shape
    high = torch.tensor([width, height])
    cells = [
        (torch.rand(batch, config.points, 2, generator=random) * high).long().to(optical.heat.device) for _ in range(2)
    ]
    shift, label = truth.at(net.to_px(cells[0]))
    back, back_label = truth.back_from(net.to_px(cells[1]))
    place, found, counts, detect = place_loss(net, optical, other, cells[0], shift, label == POSITIVE)
    place_back, _, _, detect_back = place_loss(net, other, optical, cells[1], back, back_label == POSITIVE)
    # LightGlue costs as much as DISK, so that it learns from a part of the batch.
    some = slice(0, math.ceil(config.glue_share * batch))
    part = Truth(truth.shift[some], truth.label[some], truth.block)
    first = net.keypoints(optical.part(some), config.optical_cell_px)
    second = net.keypoints(other.part(some), config.other_cell_px)
    glue = glue_loss(net.assign(first, second), first, second, part, config)
    place, detect = (place + place_back) / 2, (detect + detect_back) / 2
    hit = (found & counts).sum() / per_process(counts.sum())
    return MatcherLoss(place + detect + _GLUE_WEIGHT * glue, place, detect, glue, hit)


@torch.no_grad()
def match_errors(net: MatcherNet, optical: Dense, other: Dense, sample: dict[str, Tensor]) -> Tensor:
    """Errors (N,) in px of a batch's matches where the truth is known."""
    truth, errors = Truth.of(sample), []
    for item, matches in enumerate(net.match(optical, other)):
        one = Truth(truth.shift[item : item + 1], truth.label[item : item + 1], truth.block)
        shift, label = one.at(matches.first[None].to(truth.shift.dtype))
        error = (matches.second - matches.first - shift[0]).norm(dim=1)
        errors.append(error[label[0] == POSITIVE])
    return torch.cat(errors)


class MatcherModule(lightning.LightningModule):
    """The Lightning step around `MatcherNet`."""

    manual = False
    partial = True
    precision_cuda = "32-true"  # positions are never in half precision
    headline = "{val_right:.0%} of the matches within 3 px"

    def __init__(self, config: MatcherConfig, translate: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        """`translate`: SAR (B, 1, H, W) and validity (B, H, W) -> optical-like (B, 3, H, W); it is not trained."""
        super().__init__()
        self.save_hyperparameters({"config": asdict(config)})
        self.config = config
        self.net = MatcherNet(config)
        self._translate = [translate]  # in a list, lest it be a part of this module and of its checkpoints

    def _loss(self, sample: dict[str, Tensor], stage: str, translated: bool) -> Tensor:
        other, modality = sample["sar"], "sar"
        if translated:
            with torch.no_grad():
                other, modality = self._painted(sample), "translated"
        optical, other = self.net.dense_pair(
            sample["optical"], sample["optical_valid"], other, sample["sar_valid"], modality
        )
        loss = matcher_loss(self.net, optical, other, sample)
        if not torch.isfinite(loss.total):
            raise FloatingPointError(f"{stage}: the loss is not finite on tiles {sample['index'].tolist()}")
        watched = {name: getattr(loss, name) for name in ("place", "detect", "glue", "hit")}
        if stage == "val":
            errors = match_errors(self.net, optical, other, sample)
            near = (errors <= self.config.reliable_px).float()
            watched |= {
                "right": near.mean() if len(near) else near.sum(),
                "matches": near.new_tensor(len(near) / len(sample["index"])),
            }
        for name, value in watched.items():
            shown = name in ("place", "hit", "right", "matches")
            self.log(
                f"{stage}_{name}",
                value,
                batch_size=len(sample["index"]),
                prog_bar=shown,
                on_epoch=True,
                on_step=False,
                sync_dist=True,
            )
        return loss.total

    def _painted(self, sample: dict[str, Tensor]) -> Tensor:
        translate = self._translate[0]
        if isinstance(translate, nn.Module):
            translate.to(sample["sar"].device)
        return translate(sample["sar"], sample["sar_valid"]) * sample["sar_valid"][:, None]

    def training_step(self, sample: dict[str, Tensor], index: int) -> Tensor:
        """One batch of `TilePairs`, its SAR images translated in a fixed share of the batches."""
        share = self.config.translated_share if self._translate[0] is not None else 0.0
        # Spread evenly over the run, and the same again after a kill.
        step = self.global_step
        return self._loss(sample, "train", math.floor((step + 1) * share) > math.floor(step * share))

    def validation_step(self, sample: dict[str, Tensor], index: int) -> None:
        """One batch of tiles without augmentation."""
        self._loss(sample, "val", False)

    def configure_optimizers(self):
        """AdamW, one cycle."""
        return adamw_one_cycle(self.parameters(), self.config)
