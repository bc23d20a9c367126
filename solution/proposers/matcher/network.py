"""The matcher: DISK features (Tyszkiewicz et al. 2020) of both images and LightGlue (Lindenberger et al. 2023).

One descriptor space serves optical, SAR and translated SAR images; each modality has first layers of its own, so that
the network knows which is which.

Training. Descriptors learn by a dense contrastive loss: the descriptor of a place in one image is compared with every
descriptor of the other image within the search window, both ways, against a soft target at the true place. The detector
learns what is repeatable across the modalities: a place deserves a keypoint where its own descriptor finds the true
place again (the reliability of R2D2, Revaud et al. 2019, with a hit as its reward, as in DISK). As in DISK's training,
every square of a grid proposes one keypoint. LightGlue learns with deep supervision: the negative log likelihood of its
assignment after every layer, for keypoints that match, that have no match, and that are left alone.

Two places are compared by their descriptors and those on a small lattice around them: under speckle a single cell
carries next to no signal.

Two changes to LightGlue. Its assignment only allows partners within the search window, for the images are roughly
aligned before they are matched; cross attention looks there too, and beyond only where a point has no partner at all.
And the similarity of the DISK descriptors, scaled, is added to its own, so that it starts as a mutual-nearest-neighbour
matcher.
"""

from __future__ import annotations

import math

import torch
from kornia.feature import DISK, LightGlue
from kornia.feature.lightglue import normalize_keypoints
from torch import Tensor, nn
from torch.nn import functional as F

from solution.proposers.encoder.cells import eroded
from solution.proposers.matcher.attention import FAR, cross_attention
from solution.proposers.matcher.encoder import Features, Stem
from solution.proposers.matcher.keypoints import Dense, Keypoints, Matches, lattice_offsets, rows_at, square_offsets
from solution.proposers.matcher.settings import MatcherConfig

CHANNELS = {"optical": 3, "sar": 1, "translated": 3}
SCALE = 40.0
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


class MatcherNet(nn.Module):
    """Stems, DISK and LightGlue. Built without any download."""

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        self.config = config
        plain = not config.trunk
        self.stems = nn.ModuleDict(
            {
                name: PlainStem(channels) if plain else Stem(channels, config.stem_channels)
                for name, channels in CHANNELS.items()
            }
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
        self.log_scale = nn.Parameter(
            torch.tensor(math.log(SCALE))
        )  # of descriptor similarity in the dense loss and in refinement
        self.raw_weight = nn.Parameter(
            torch.tensor(0.0 if plain else SCALE)
        )  # of descriptor similarity in the assignment

    def dense(self, image: Tensor, valid: Tensor, modality: str) -> Dense:
        """Features of (B, channels, H, W) in [0, 1] with validity (B, H, W); H and W multiples of 32."""
        return self._dense(self.stems[modality](image, valid), valid)

    def dense_pair(
        self, optical: Tensor, optical_valid: Tensor, other: Tensor, other_valid: Tensor, modality: str
    ) -> tuple[Dense, Dense]:
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
        heat = dense.heat.masked_fill(~dense.usable, FAR)
        best, index = F.max_pool2d(heat[:, None], side, return_indices=True)
        index = index.flatten(1)
        width = heat.shape[-1]
        cell = torch.stack([index % width, index // width], dim=-1)
        best = best.flatten(1)
        descriptor, known = self.lattice(dense, cell)
        descriptor = descriptor.flatten(2) / known.sum(dim=2, keepdim=True).clamp_min(1).sqrt()
        return Keypoints(cell, self.to_px(cell), descriptor, best > FAR)

    def lattice(self, dense: Dense, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors (B, K, L, D) on the lattice around cells (B, K, 2), zero where there is no data, and whether
        there is (B, K, L)."""
        return rows_at(
            dense, cell[:, :, None] + lattice_offsets(self.config.patch, self.config.patch_step_cells, cell.device)
        )

    def to_px(self, cell: Tensor) -> Tensor:
        """Centres of cells in px."""
        return (cell + 0.5) * self.config.stride - 0.5

    def assign(self, first: Keypoints, second: Keypoints) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Per layer of LightGlue: log assignment (B, M, N), and the logits (B, M), (B, N) of having a match at all."""
        size = first.xy.new_full(
            (1, 2), float(self.config.tile_px)
        )  # one scale whatever the tile, so that distances mean the same
        x, y = (self.glue.input_proj(k.descriptor) for k in (first, second))
        at_x, at_y = (self.glue.posenc(normalize_keypoints(k.xy, size)) for k in (first, second))
        near = (first.xy[:, :, None] - second.xy[:, None]).abs().amax(dim=-1) <= self.config.window_px
        near = near & first.usable[:, :, None] & second.usable[:, None]
        raw = self.raw_weight * first.descriptor @ second.descriptor.transpose(1, 2)
        among_x, among_y = among(first.usable), among(second.usable)
        result = []
        for layer, head in zip(self.glue.transformers, self.glue.log_assignment, strict=True):
            x, y = layer.self_attn(x, at_x, among_x), layer.self_attn(y, at_y, among_y)
            x, y = cross_attention(layer.cross_attn, x, y, near)
            scale = head.dim**-0.25
            similarity = raw + (head.final_proj(x) * scale) @ (head.final_proj(y) * scale).transpose(1, 2)
            similarity = similarity.masked_fill(~near, FAR)
            z_x, z_y = head.matchability(x).squeeze(-1), head.matchability(y).squeeze(-1)
            both = (
                similarity.log_softmax(dim=2)
                + similarity.log_softmax(dim=1)
                + F.logsigmoid(z_x)[:, :, None]
                + F.logsigmoid(z_y)[:, None]
            )
            result.append((both.masked_fill(~near, FAR), z_x, z_y))
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
        mutual = mutual & (best > 0.5 * FAR)
        return [self._refined(first, second, a, b, forward, best, mutual, item) for item in range(len(best))]

    def similarity(
        self, one: Dense, other: Dense, start: Tensor, guess: Tensor, radius: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean similarity of the lattice around one image's cells with those around cells near a guess in the other.

        Args:
            one, other: features of one image and of the other.
            start: (B, N, 2) cells of the one image.
            guess: (B, N, 2) cells of the other image.
            radius: half side of the window around the guess, cells.

        Returns:
            similarity (B, N, S), whether the place holds data (B, N, S), and offsets (S, 2) (x, y) from the guess.
        """
        config, device = self.config, start.device
        reach = config.patch // 2 * config.patch_step_cells
        query, known = self.lattice(one, start)
        around = square_offsets(radius + reach, device)
        region, there = rows_at(other, guess[:, :, None] + around)
        product = query @ region.transpose(2, 3)
        window = square_offsets(radius, device)
        place = window + lattice_offsets(config.patch, config.patch_step_cells, device)[:, None] + radius + reach
        index = place[..., 1] * (2 * (radius + reach) + 1) + place[..., 0]
        inside = there[..., index[len(index) // 2]]  # the lattice's middle is the place itself
        index = index.expand(*product.shape[:2], -1, -1)
        weight = there[:, :, None].expand(-1, -1, index.shape[2], -1).gather(3, index) & known[..., None]
        mean = (product.gather(3, index) * weight).sum(dim=2) / weight.sum(dim=2).clamp_min(1)
        return mean, inside, window

    def refine(self, one: Dense, other: Dense, start: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
        """Sub-cell place in the other image of cells of the one, near a guess.

        Args:
            one, other: features of one image and of the other.
            start: (N, 2) cells of the one image.
            guess: (N, 2) cells of the other image.

        Returns:
            place (N, 2) in cells, from the probability around the peak, and the spread (N,) in cells of the whole
            window.
        """
        similarity, inside, offset = self.similarity(
            one, other, start[None], guess[None], _REFINE_PX // self.config.stride
        )
        probability = (self.log_scale.exp() * similarity[0]).masked_fill(~inside[0], FAR).softmax(dim=1)
        near = (offset - offset[probability.argmax(dim=1)][:, None]).abs().amax(
            dim=-1
        ) <= _PEAK_PX // self.config.stride
        weight = probability * near
        mean = weight @ offset.to(weight.dtype) / weight.sum(dim=1, keepdim=True).clamp_min(1e-12)
        variance = (probability * (offset - mean[:, None]).square().sum(dim=-1)).sum(dim=1) / 2
        return guess + mean, variance.clamp_min(1e-4).sqrt()

    def _refined(
        self,
        first: Dense,
        second: Dense,
        a: Keypoints,
        b: Keypoints,
        forward: Tensor,
        best: Tensor,
        mutual: Tensor,
        item: int,
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


def among(usable: Tensor) -> Tensor:
    """(B, K) -> attention mask (B, 1, K, K): everyone sees the usable ones, and itself, lest a row be empty."""
    own = torch.eye(usable.shape[1], dtype=torch.bool, device=usable.device)
    return (usable[:, None] | own)[:, None]
