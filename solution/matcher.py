"""The matcher: DISK features (Tyszkiewicz et al. 2020) of both images and LightGlue (Lindenberger et al. 2023) between them.

One descriptor space serves optical, SAR and translated SAR images; each modality has first layers of its own, so that the network knows which is which.

Training. Descriptors learn by a dense contrastive loss: the descriptor of a place in one image is compared with every descriptor of the other image
within the search window, both ways, against a soft target at the true place. The detector learns what is repeatable across the modalities: a place
deserves a keypoint where its own descriptor finds the true place again (the reliability of R2D2, Revaud et al. 2019, with a hit as its
reward, as in DISK). As in DISK's training, every square of a grid proposes one keypoint. LightGlue learns with deep supervision: the negative log
likelihood of its assignment after every layer, for keypoints that match, that have no match, and that are left alone.

Two places are compared by their descriptors and those on a small lattice around them: under speckle a single cell carries next to no signal.

Two changes to LightGlue. Its assignment only allows partners within the search window, for the images are roughly aligned before they are matched; cross attention looks there too,
and beyond only where a point has no partner at all. And the similarity of the DISK descriptors, scaled, is added to its own, so that it starts as a mutual-nearest-neighbour matcher.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import lightning
import torch
from kornia.feature import DISK, LightGlue
from kornia.feature.lightglue import normalize_keypoints
from torch import Tensor, nn
from torch.nn import functional as F

from solution.config import MatcherConfig
from solution.encoder import Features, Stem, eroded
from solution.schedule import adamw_one_cycle
from solution.tiles import NEGATIVE, POSITIVE

CHANNELS = {"optical": 3, "sar": 1, "translated": 3}
_FAR = -1e4  # logit of what is out of the question: finite, so that an empty row has gradients
_SCALE = 40.0
_REFINE_PX = 8  # half side of the window in which a match is refined
_PEAK_PX = 4  # half side of the window around the peak that gives the sub-cell position


class PlainStem(nn.Module):
    """First layers for the published DISK: the image itself on three channels, and a correction that starts at zero."""

    def __init__(self, image_channels: int) -> None:
        super().__init__()
        self.correction = nn.Conv2d(image_channels, 3, 3, padding=1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """(B, image_channels, H, W) in [0, 1] and (B, H, W) -> (B, 3, H, W)."""
        return (image.expand(-1, 3, -1, -1) + self.correction(image)) * valid[:, None]


@dataclass
class Dense:
    """What DISK says of every cell of a batch of images.

    Attributes:
        descriptor: (B, D, h, w), unit length.
        heat: (B, h, w) logit of being worth a keypoint.
        usable: (B, h, w) bool, away from nodata.
    """

    descriptor: Tensor
    heat: Tensor
    usable: Tensor

    def part(self, items: slice) -> Dense:
        """Some images of the batch."""
        return Dense(self.descriptor[items], self.heat[items], self.usable[items])


@dataclass
class Keypoints:
    """A fixed number K of keypoints an image, one a grid square.

    Attributes:
        cell: (B, K, 2) int64 (x, y).
        xy: (B, K, 2) px, pixel centres at integers.
        descriptor: (B, K, L D), of the lattice around it; products are mean similarities.
        usable: (B, K) bool; others only fill up.
    """

    cell: Tensor
    xy: Tensor
    descriptor: Tensor
    usable: Tensor


@dataclass
class Matches:
    """Refined matches of one image pair.

    Attributes:
        first, second: (N, 2) px in the optical and in the other image; the second is sub-pixel.
        score: (N,) in [0, 1].
        sigma: (N,) px, spread of the refined position.
        cycle: (N,) px, forward-backward error.
    """

    first: Tensor
    second: Tensor
    score: Tensor
    sigma: Tensor
    cycle: Tensor


class MatcherNet(nn.Module):
    """Stems, DISK and LightGlue. Built without any download."""

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        self.config = config
        plain = not config.trunk
        self.stems = nn.ModuleDict(
            {name: PlainStem(channels) if plain else Stem(channels, config.stem_channels) for name, channels in CHANNELS.items()}
        )
        trunk = None if plain else Features(config.trunk, config.stem_channels, config.descriptor_dim + 1)
        self.disk = DISK(config.descriptor_dim, trunk)
        self.glue = LightGlue(
            features=None,
            input_dim=config.descriptor_dim * config.patch**2,
            descriptor_dim=config.glue_dim,
            n_layers=config.glue_layers,
            num_heads=config.glue_heads,
            depth_confidence=-1,
            width_confidence=-1,
            flash=False,
        )
        del self.glue.token_confidence  # of the adaptive depth, which is not used
        self.log_scale = nn.Parameter(torch.tensor(math.log(_SCALE)))  # of descriptor similarity in the dense loss and in refinement
        self.raw_weight = nn.Parameter(torch.tensor(0.0 if plain else _SCALE))  # of descriptor similarity in the assignment

    def dense(self, image: Tensor, valid: Tensor, modality: str) -> Dense:
        """Features of (B, channels, H, W) in [0, 1] with validity (B, H, W); H and W multiples of 32."""
        return self._dense(self.stems[modality](image, valid), valid)

    def dense_pair(self, optical: Tensor, optical_valid: Tensor, other: Tensor, other_valid: Tensor, modality: str) -> tuple[Dense, Dense]:
        """Both images in one batch, so that batch normalisation sees in training what it is used on later."""
        stems = [self.stems["optical"](optical, optical_valid), self.stems[modality](other, other_valid)]
        both, batch = self._dense(torch.cat(stems), torch.cat([optical_valid, other_valid])), len(optical)
        return both.part(slice(None, batch)), both.part(slice(batch, None))

    def _dense(self, stem: Tensor, valid: Tensor) -> Dense:
        heat, descriptor = self.disk.heatmap_and_dense_descriptors(stem)
        usable = -F.max_pool2d(-eroded(valid[:, None]), self.config.stride)[:, 0] > 0
        return Dense(F.normalize(descriptor, dim=1), heat[:, 0], usable)

    def keypoints(self, dense: Dense, cell_px: int) -> Keypoints:
        """The best place of every square of `cell_px` px."""
        side = cell_px // self.config.stride
        heat = dense.heat.masked_fill(~dense.usable, _FAR)
        best, index = F.max_pool2d(heat[:, None], side, return_indices=True)
        index = index.flatten(1)
        width = heat.shape[-1]
        cell = torch.stack([index % width, index // width], dim=-1)
        best = best.flatten(1)
        descriptor, known = self.lattice(dense, cell)
        descriptor = descriptor.flatten(2) / known.sum(dim=2, keepdim=True).clamp_min(1).sqrt()
        return Keypoints(cell, self.to_px(cell), descriptor, best > _FAR)

    def lattice(self, dense: Dense, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors (B, K, L, D) on the lattice around cells (B, K, 2), zero where there is no data, and whether there is (B, K, L)."""
        return rows_at(dense, cell[:, :, None] + lattice_offsets(self.config.patch, self.config.patch_step_cells, cell.device))

    def to_px(self, cell: Tensor) -> Tensor:
        """Centres of cells in px."""
        return (cell + 0.5) * self.config.stride - 0.5

    def assign(self, first: Keypoints, second: Keypoints) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Per layer of LightGlue: log assignment (B, M, N), and the logits (B, M), (B, N) of having a match at all."""
        size = first.xy.new_full((1, 2), float(self.config.tile_px))  # one scale whatever the tile, so that distances mean the same
        x, y = (self.glue.input_proj(k.descriptor) for k in (first, second))
        at_x, at_y = (self.glue.posenc(normalize_keypoints(k.xy, size)) for k in (first, second))
        near = (first.xy[:, :, None] - second.xy[:, None]).abs().amax(dim=-1) <= self.config.window_px
        near = near & first.usable[:, :, None] & second.usable[:, None]
        raw = self.raw_weight * first.descriptor @ second.descriptor.transpose(1, 2)
        among_x, among_y = _among(first.usable), _among(second.usable)
        result = []
        for layer, head in zip(self.glue.transformers, self.glue.log_assignment, strict=True):
            x, y = layer.self_attn(x, at_x, among_x), layer.self_attn(y, at_y, among_y)
            x, y = cross_attention(layer.cross_attn, x, y, near)
            scale = head.dim**-0.25
            similarity = raw + (head.final_proj(x) * scale) @ (head.final_proj(y) * scale).transpose(1, 2)
            similarity = similarity.masked_fill(~near, _FAR)
            z_x, z_y = head.matchability(x).squeeze(-1), head.matchability(y).squeeze(-1)
            both = (
                similarity.log_softmax(dim=2) + similarity.log_softmax(dim=1) + F.logsigmoid(z_x)[:, :, None] + F.logsigmoid(z_y)[:, None]
            )
            result.append((both.masked_fill(~near, _FAR), z_x, z_y))
        return result

    def match(self, first: Dense, second: Dense, other_cell_px: int | None = None) -> list[Matches]:
        """Mutual best matches of LightGlue's last layer, each refined on the dense descriptors, and back again.

        Args:
            first, second: of the optical and of the other image.
            other_cell_px: instead of the configured grid of keypoints in the other image.
        """
        a = self.keypoints(first, self.config.optical_cell_px)
        b = self.keypoints(second, other_cell_px or self.config.other_cell_px)
        assignment = self.assign(a, b)[-1][0]
        best, forward = assignment.max(dim=2)
        backward = assignment.argmax(dim=1)
        mutual = backward.gather(1, forward) == torch.arange(forward.shape[1], device=forward.device)
        mutual = mutual & (best > 0.5 * _FAR)
        return [self._refined(first, second, a, b, forward, best, mutual, item) for item in range(len(best))]

    def similarity(self, source: Dense, target: Dense, start: Tensor, guess: Tensor, radius: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean similarity of the lattice around cells of the source with that around every cell near a guess.

        Args:
            start: (B, N, 2) cells of the source.
            guess: (B, N, 2) cells of the target.
            radius: half side of the window around the guess, cells.

        Returns:
            similarity (B, N, S), whether the place holds data (B, N, S), and offsets (S, 2) (x, y) from the guess.
        """
        config, device = self.config, start.device
        reach = config.patch // 2 * config.patch_step_cells
        query, known = self.lattice(source, start)
        around = square_offsets(radius + reach, device)
        region, there = rows_at(target, guess[:, :, None] + around)
        product = query @ region.transpose(2, 3)
        window = square_offsets(radius, device)
        place = window + lattice_offsets(config.patch, config.patch_step_cells, device)[:, None] + radius + reach
        index = place[..., 1] * (2 * (radius + reach) + 1) + place[..., 0]
        inside = there[..., index[len(index) // 2]]  # the lattice's middle is the place itself
        index = index.expand(*product.shape[:2], -1, -1)
        weight = there[:, :, None].expand(-1, -1, index.shape[2], -1).gather(3, index) & known[..., None]
        mean = (product.gather(3, index) * weight).sum(dim=2) / weight.sum(dim=2).clamp_min(1)
        return mean, inside, window

    def refine(self, source: Dense, target: Dense, start: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
        """Sub-cell place in one image of cells of the other, near a guess.

        Args:
            source, target: of one image each.
            start: (N, 2) cells of the source.
            guess: (N, 2) cells of the target.

        Returns:
            place (N, 2) in cells, from the probability around the peak, and the spread (N,) in cells of the whole window.
        """
        similarity, inside, offset = self.similarity(source, target, start[None], guess[None], _REFINE_PX // self.config.stride)
        probability = (self.log_scale.exp() * similarity[0]).masked_fill(~inside[0], _FAR).softmax(dim=1)
        near = (offset - offset[probability.argmax(dim=1)][:, None]).abs().amax(dim=-1) <= _PEAK_PX // self.config.stride
        weight = probability * near
        mean = weight @ offset.to(weight.dtype) / weight.sum(dim=1, keepdim=True).clamp_min(1e-12)
        variance = (probability * (offset - mean[:, None]).square().sum(dim=-1)).sum(dim=1) / 2
        return guess + mean, variance.clamp_min(1e-4).sqrt()

    def _refined(
        self, first: Dense, second: Dense, a: Keypoints, b: Keypoints, forward: Tensor, best: Tensor, mutual: Tensor, item: int
    ) -> Matches:
        keep = mutual[item].nonzero()[:, 0]
        start, there = a.cell[item, keep], b.cell[item, forward[item, keep]]
        first, second = (dense.part(slice(item, item + 1)) for dense in (first, second))
        place, sigma = self.refine(first, second, start, there)
        landed = place.round().long().clamp_min(0)
        landed = torch.minimum(landed, landed.new_tensor([second.heat.shape[-1] - 1, second.heat.shape[-2] - 1]))
        returned, _ = self.refine(second, first, landed, start)
        # The way back starts at a whole cell: what was rounded off must not count as an error.
        cycle = (returned - start - (landed - place)).norm(dim=1)
        stride = self.config.stride
        return Matches(self.to_px(start), self.to_px(place), best[item, keep].exp(), stride * sigma, stride * cycle)


def square_offsets(radius: int, device: torch.device) -> Tensor:
    """((2 radius + 1)^2, 2) offsets (x, y), row by row."""
    axis = torch.arange(-radius, radius + 1, device=device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)


def lattice_offsets(patch: int, step: int, device: torch.device) -> Tensor:
    """(patch^2, 2) offsets (x, y) of a lattice around zero."""
    return step * square_offsets(patch // 2, device)


def rows_at(dense: Dense, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Descriptors (B, ..., D) at cells (B, ..., 2), zero outside the image and in nodata, and whether there is one (B, ...)."""
    height, width = dense.heat.shape[-2:]
    inside = (cell >= 0).all(dim=-1) & (cell[..., 0] < width) & (cell[..., 1] < height)
    index = cell[..., 1].clamp(0, height - 1) * width + cell[..., 0].clamp(0, width - 1)
    image = torch.arange(len(cell), device=cell.device).reshape(-1, *[1] * (index.ndim - 1))
    index = index + image * height * width
    known = inside & dense.usable.flatten()[index]
    rows = dense.descriptor.permute(0, 2, 3, 1).reshape(-1, dense.descriptor.shape[1])
    # Whole rows are copied, which a gather along the channels would do one number at a time.
    return rows.index_select(0, index.flatten()).reshape(*index.shape, rows.shape[1]) * known[..., None], known


def pick(field: Tensor, cell: Tensor) -> Tensor:
    """(B, C, h, w) at cells (B, K, 2) -> (B, K, C)."""
    index = cell[..., 1] * field.shape[-1] + cell[..., 0]
    return field.flatten(2).gather(2, index[:, None].expand(-1, field.shape[1], -1)).transpose(1, 2)


def _among(usable: Tensor) -> Tensor:
    """(B, K) -> attention mask (B, 1, K, K): everyone sees the usable ones, and itself, lest a row be empty."""
    own = torch.eye(usable.shape[1], dtype=torch.bool, device=usable.device)
    return (usable[:, None] | own)[:, None]


def cross_attention(block: nn.Module, x: Tensor, y: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """LightGlue's cross attention (bidirectional, shared queries and keys) with kornia's weights; points without a partner get no message.

    kornia takes one mask for both directions, in which a point without a partner must see everyone, lest its attention be empty, and is then seen by
    everyone too. Here each direction has its own.

    Args:
        block: kornia's ``CrossBlock``.
        x, y: (B, M, D) and (B, N, D).
        near: (B, M, N), True where two points may be partners.
    """
    query_x, query_y, value_x, value_y = (
        projected.unflatten(-1, (block.heads, -1)).transpose(1, 2)
        for projected in (block.to_qk(x), block.to_qk(y), block.to_v(x), block.to_v(y))
    )
    messages = (_message(query_x, query_y, value_y, near), _message(query_y, query_x, value_x, near.transpose(1, 2)))
    return tuple(
        points + block.ffn(torch.cat([points, block.to_out(message)], dim=-1)) for points, message in zip((x, y), messages, strict=True)
    )


def _message(query: Tensor, key: Tensor, value: Tensor, near: Tensor) -> Tensor:
    """(B, M, D): what each of M points hears of the N points near it; nothing where there are none."""
    anyone = near.any(dim=2, keepdim=True)
    heard = F.scaled_dot_product_attention(query, key, value, attn_mask=(near | ~anyone)[:, None])
    return heard.transpose(1, 2).flatten(-2) * anyone


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
        shift = F.grid_sample(self.shift, grid[:, :, None], padding_mode="border", align_corners=False)[..., 0].transpose(1, 2)
        cell = torch.minimum(position.round().long().clamp_min(0), size - 1)
        return shift, pick(self.label[:, None], cell)[..., 0]

    def back_from(self, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Shift (B, N, 2) from positions of the other image back to the optical one, and the label (B, N) there."""
        shift = torch.zeros_like(xy)
        for _ in range(4):  # the shift changes slowly, so that this contracts
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
    net: MatcherNet, source: Dense, target: Dense, cell: Tensor, shift: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cross-entropy of the true place of cells of the source among the target's cells in the window, and what the detector should say.

    Args:
        cell: (B, N, 2) cells of the source.
        shift: (B, N, 2) px to their place in the target.
        known: (B, N) bool, whether that is known.

    Returns:
        mean loss, whether each was found within `reliable_px` (B, N) bool, which ones count (B, N) bool, and the detector's loss.
    """
    config = net.config
    similarity, inside, offset = net.similarity(source, target, cell, cell, math.ceil(config.window_px / config.stride))
    logits = (net.log_scale.exp() * similarity).masked_fill(~inside, _FAR)
    away = offset - (shift / config.stride)[:, :, None]
    soft = torch.exp(-away.square().sum(dim=-1) / (2 * config.label_sigma_cells**2)) * inside
    mass = soft.sum(dim=-1)
    counts = known & pick(source.usable[:, None], cell)[..., 0] & (mass > 0.5)
    loss = -(soft * logits.log_softmax(dim=-1)).sum(dim=-1) / mass.clamp_min(1e-6)
    number = counts.sum().clamp_min(1)
    found = away.gather(2, logits.argmax(dim=-1)[..., None, None].expand(-1, -1, 1, 2))[:, :, 0].norm(dim=-1)
    found = found * config.stride <= config.reliable_px
    heat = pick(source.heat[:, None], cell)[..., 0]
    detect = (F.binary_cross_entropy_with_logits(heat, found.float(), reduction="none") * counts).sum() / number
    return (loss * counts).sum() / number, found, counts, detect


def glue_loss(
    layers: list[tuple[Tensor, Tensor, Tensor]], first: Keypoints, second: Keypoints, truth: Truth, config: MatcherConfig
) -> Tensor:
    """LightGlue's negative log likelihood, mean over its layers; keypoints that neither match nor clearly lack a match are left alone."""
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
    total = shift.new_zeros(())
    for both, z_first, z_second in layers:
        chosen = both.gather(2, near_first.indices[..., None])[..., 0]
        total = total - (chosen * positive).sum() / positive.sum().clamp_min(1)
        for z, alone in ((z_first, alone_first), (z_second, alone_second)):
            total = total - 0.5 * (F.logsigmoid(-z) * alone).sum() / alone.sum().clamp_min(1)
    return total / len(layers)


def matcher_loss(net: MatcherNet, optical: Dense, other: Dense, sample: dict[str, Tensor]) -> MatcherLoss:
    """All parts, from the features of both images and the sample that they were made of."""
    config = net.config
    truth = Truth.of(sample)
    random = torch.Generator().manual_seed(int(sample["index"].sum()))
    batch, height, width = optical.heat.shape
    high = torch.tensor([width, height])
    cells = [(torch.rand(batch, config.points, 2, generator=random) * high).long().to(optical.heat.device) for _ in range(2)]
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
    place, detect = 0.5 * (place + place_back), 0.5 * (detect + detect_back)
    hit = (found & counts).sum() / counts.sum().clamp_min(1)
    return MatcherLoss(place + detect + 0.3 * glue, place, detect, glue, hit)


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


def start_from_flow(net: MatcherNet, tensors: dict[str, Tensor]) -> None:
    """Take over the encoder of a flow regressor: its stems, its trunk, and its features as the first channels of the descriptor.

    Raises:
        RuntimeError: another trunk or width.
    """
    project = net.disk.unet.project
    with torch.no_grad():
        project.weight.mul_(0.1)  # channels that the regressor does not have start low, and the heat map nearly flat
        project.bias.zero_()
        features = tensors["encoder.project.weight"]
        project.weight[: len(features)], project.bias[: len(features)] = features, tensors["encoder.project.bias"]
    for name, stem in (("optical", "optical_stem"), ("translated", "optical_stem"), ("sar", "sar_stem")):
        net.stems[name].load_state_dict(_below(tensors, f"encoder.{stem}."))
    for name in ("trunk", "laterals", "smooth"):
        getattr(net.disk.unet, name).load_state_dict(_below(tensors, f"encoder.{name}."))


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class MatcherModule(lightning.LightningModule):
    """The Lightning step around `MatcherNet`."""

    manual = False
    precision_cuda = "32-true"  # positions are never in half precision
    headline = "{val_right:.0%} of the matches within 3 px on its own tiles"

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
        optical, other = self.net.dense_pair(sample["optical"], sample["optical_valid"], other, sample["sar_valid"], modality)
        loss = matcher_loss(self.net, optical, other, sample)
        if not torch.isfinite(loss.total):
            raise FloatingPointError(f"{stage}: the loss is not finite on tiles {sample['index'].tolist()}")
        watched = {name: getattr(loss, name) for name in ("place", "detect", "glue", "hit")}
        if stage == "val":
            errors = match_errors(self.net, optical, other, sample)
            near = (errors <= self.config.reliable_px).float()
            watched |= {"right": near.mean() if len(near) else near.sum(), "matches": near.new_tensor(len(near) / len(sample["index"]))}
        for name, value in watched.items():
            shown = name in ("place", "hit", "right", "matches")
            self.log(f"{stage}_{name}", value, batch_size=len(sample["index"]), prog_bar=shown, on_epoch=True, on_step=False)
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
