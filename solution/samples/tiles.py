"""Training tiles: sources, one random matrix for pixels and points, photometric augmentation, and a TorchGeo-style dataset.

A tile pair shows an optical tile and the SAR image warped so that a known smooth residual shift is left. The truth is the tie-point field where it is
sure enough, the simulator's exact map, or zero for image pairs that are registered already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch

from solution.core import geometry
from solution.core.errors import InputError
from solution.core.geometry import Matrix
from solution.samples.augmentation import optical_augmentation, sar_augmentation
from solution.samples.images import TrainingImage, take
from solution.samples.settings import CELL_PX, TileConfig
from solution.samples.truth import RegisteredField, TiePointField, TruthMapField

POSITIVE, NEGATIVE, IGNORE = 1, 0, -1
_LATTICE = 17
_ROUNDS = 12
_WAVE_LENGTH = (0.7, 2.0)  # of the residual, in tiles
_MAX_TRIM_PX = 40


@dataclass(frozen=True)
class Residual:
    """The smooth residual that a tile is left with, in tile px, at SAR tile positions: q -> constant + linear (q - centre) + a wave.

    Attributes:
        wave: (2,) amplitude (x, y) of the wave in px.
        wave_number: (2,) its radians per px.
        phase: radians.
    """

    constant: np.ndarray
    linear: np.ndarray
    centre: np.ndarray
    wave: np.ndarray = field(default_factory=lambda: np.zeros(2))
    wave_number: np.ndarray = field(default_factory=lambda: np.zeros(2))
    phase: float = 0.0

    def at(self, q: np.ndarray) -> np.ndarray:
        """(..., 2) -> (..., 2)."""
        return self.constant + (q - self.centre) @ self.linear.T + self._wave_at(q)

    def seen_from(self, p: np.ndarray) -> np.ndarray:
        """The shift r(p) that solves r = at(p + r), for optical tile positions p (..., 2)."""
        inverse = np.linalg.inv(np.eye(2) - self.linear)
        smooth = self.constant + (p - self.centre) @ self.linear.T
        shift = smooth @ inverse.T
        if self.wave.any():
            for _ in range(_ROUNDS):  # the wave is shallow, so that this contracts fast
                shift = (smooth + self._wave_at(p + shift)) @ inverse.T
        return shift

    def _wave_at(self, q: np.ndarray) -> np.ndarray:
        return np.sin((q - self.centre) @ self.wave_number + self.phase)[..., None] * self.wave


class TilePairs(torch.utils.data.Dataset):
    """Random tile pairs with known residual shift.

    Each sample is a dict of tensors: ``optical`` (3, H, W) and ``sar`` (1, H, W) float32 in [0, 1]; ``optical_valid`` and ``sar_valid`` (H, W);
    ``shift`` (2, h, w) apparent residual shift (x, y) in tile px per block; ``label`` (h, w) int64, POSITIVE, NEGATIVE (valid optical ground whose SAR place
    holds no data) or IGNORE; ``label_sigma`` (h, w) px. ``index`` is the sample's number: with the seed it is all that a sample depends on.
    """

    def __init__(self, sources: Sequence[TrainingImage], config: TileConfig, length: int, seed: int, augment: bool = True) -> None:
        if not sources:
            raise InputError("training: no source is left after holding out; add scenes or pairs")
        self.sources, self.config, self.length, self.seed, self.augment = list(sources), config, length, seed, augment
        shares = {"labelled": config.labelled_share, "simulated": config.simulated_share, "registered": config.registered_share}
        self._groups = [(shares[kind], _weighted([s for s in sources if s.kind == kind])) for kind in sorted({s.kind for s in sources})]
        self._photometric = optical_augmentation()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, index])
        source, factor = self._choose(rng)
        sample = self._cut(source, factor, rng)
        if self.augment and self.config.photometric != "none":
            self._photometry(sample, rng)
        sample["index"] = np.int64(index)
        return {key: torch.as_tensor(value) for key, value in sample.items()}

    def _choose(self, rng: np.random.Generator) -> tuple[TrainingImage, float]:
        drawn = np.array([share for share, _ in self._groups])
        group, weights = self._groups[rng.choice(len(self._groups), p=drawn / drawn.sum())][1]
        source = group[rng.choice(len(group), p=weights)]
        fitting = [f for f in self.config.factors if min(source.shape) >= 0.75 * f * self.config.tile_px] or [1]
        # Fine levels hold more tiles than coarse ones; the square root keeps the coarse ones in play.
        shares = 1.0 / np.sqrt(fitting)
        return source, float(rng.choice(fitting, p=shares / shares.sum()))

    def _matrix(self, source: TrainingImage, factor: float, rng: np.random.Generator) -> Matrix:
        """Tile px -> optical px."""
        size = self.config.tile_px
        middle = ((size - 1) / 2, (size - 1) / 2)
        angle, flip, jitter = (rng.uniform(0, 360), rng.random() < 0.5, rng.uniform(-0.25, 0.25)) if self.augment else (0.0, False, 0.0)
        matrix = geometry.similarity(angle, factor * 2.0**jitter, flip, middle)
        if len(source.anchors) and rng.random() < 0.5:
            place = source.anchors[rng.integers(len(source.anchors))] + rng.uniform(-0.25, 0.25, 2) * size * factor
        else:
            place = rng.uniform(0, 1, 2) * np.array(source.shape[::-1])
        margin = np.minimum(0.4 * size * factor, 0.5 * np.array(source.shape[::-1]))
        place = np.clip(place, margin, np.array(source.shape[::-1]) - margin)
        matrix[:2, 2] += place - np.array(middle)
        return matrix

    def _trim(self, spacing: float, rng: np.random.Generator) -> np.ndarray:
        """How much of the image is hidden at its left, top, right and bottom, optical px.

        Drawn for each modality alone: where both images of a pair end on the same ground, their borders would give the answer away.
        """
        return rng.uniform(0, _MAX_TRIM_PX * spacing, 4) if self.augment else np.zeros(4)

    def _residual(self, rng: np.random.Generator) -> Residual:
        size, config = self.config.tile_px, self.config
        reach = max(config.reach_px - 1.0, 0.0)
        linear = rng.normal(0, config.residual_slope, (2, 2)) if self.augment else np.zeros((2, 2))
        residual = Residual(rng.uniform(-reach, reach, 2), linear, np.full(2, (size - 1) / 2))
        if not (self.augment and config.residual_wave):
            return residual
        angle, length = rng.uniform(0, 2 * np.pi), size * rng.uniform(*_WAVE_LENGTH)
        number = 2 * np.pi / length
        wave = rng.normal(0, config.residual_wave, 2).clip(-0.3, 0.3) / number
        return replace(
            residual, wave=wave, wave_number=number * np.array([np.cos(angle), np.sin(angle)]), phase=float(rng.uniform(0, 2 * np.pi))
        )

    def _cut(self, source: TrainingImage, factor: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
        size, block = self.config.tile_px, self.config.block_cells * CELL_PX
        matrix, residual = self._matrix(source, factor, rng), self._residual(rng)
        spacing = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
        grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float64)
        ground = geometry.apply(matrix, grid - residual.at(grid))
        optical, optical_valid = take(source.optical, geometry.apply(matrix, grid), spacing, self._trim(spacing, rng))
        sar, sar_valid = take(source.sar, ground + _on_lattice(source.field, ground), spacing, self._trim(spacing, rng))
        centre = (np.arange(size // block) + 0.5) * block - 0.5
        centres = np.stack(np.meshgrid(centre, centre), axis=-1)
        shift = residual.seen_from(centres)
        sigma = source.field.sigma_at(geometry.apply(matrix, centres).reshape(-1, 2)).reshape(centres.shape[:2]) / spacing
        return {
            "optical": np.moveaxis(optical, -1, 0).copy(),
            "sar": sar[None],
            "optical_valid": optical_valid,
            "sar_valid": sar_valid,
            "shift": np.moveaxis(shift, -1, 0).astype(np.float32),
            "label": self._labels(centres, shift, sigma, optical_valid, sar_valid),
            "label_sigma": sigma.astype(np.float32),
        }

    def _labels(
        self, centres: np.ndarray, shift: np.ndarray, sigma: np.ndarray, optical_valid: np.ndarray, sar_valid: np.ndarray
    ) -> np.ndarray:
        size = self.config.tile_px
        here = np.rint(centres).astype(int)
        there = np.rint(centres + shift).astype(int)
        inside = ((there >= 0) & (there < size)).all(axis=-1)
        there = np.clip(there, 0, size - 1)
        has_sar = inside & (sar_valid[there[..., 1], there[..., 0]] > 0)
        has_optical = optical_valid[here[..., 1], here[..., 0]] > 0
        within = (np.abs(shift) <= self.config.reach_px).all(axis=-1)
        label = np.full(shift.shape[:2], IGNORE, dtype=np.int64)
        label[has_optical & inside & ~has_sar] = NEGATIVE
        label[has_optical & has_sar & within & (sigma <= self.config.max_label_sigma_px)] = POSITIVE
        return label

    def _photometry(self, sample: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        """Change the pixels' values in place, never their positions."""
        if self.config.photometric == "both":
            self._optical_photometry(sample, rng)
        sar = sar_augmentation(sample["sar"][0], rng)
        if rng.random() < self.config.inversion_share:
            sar = 1.0 - sar
        sample["sar"] = (sar * sample["sar_valid"])[None].astype(np.float32)

    def _optical_photometry(self, sample: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        self._photometric.set_random_seed(int(rng.integers(2**31)))
        image = (255 * np.moveaxis(sample["optical"], 0, -1)).astype(np.uint8)
        optical = self._photometric(image=image)["image"].astype(np.float32) / 255.0
        if rng.random() < self.config.inversion_share:
            optical = 1.0 - optical
        sample["optical"] = np.moveaxis(optical, -1, 0) * sample["optical_valid"]

    def plot(self, sample: dict[str, torch.Tensor], show_titles: bool = True, suptitle: str | None = None):
        """A matplotlib figure of one sample: optical, SAR as cut, SAR pulled back by the truth, and the labels with the shift."""
        from matplotlib import pyplot as plt

        optical, sar = sample["optical"].permute(1, 2, 0).numpy(), sample["sar"][0].numpy()
        block = sar.shape[0] // sample["shift"].shape[1]
        shift = cv2.resize(sample["shift"].permute(1, 2, 0).numpy(), sar.shape[::-1], interpolation=cv2.INTER_LINEAR)
        x, y = np.meshgrid(np.arange(sar.shape[1], dtype=np.float32), np.arange(sar.shape[0], dtype=np.float32))
        pulled = cv2.remap(sar, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR)
        figure, axes = plt.subplots(1, 4, figsize=(16, 4.4), layout="constrained")
        titles = ("optical", "SAR", "SAR moved by the truth", "label (1 positive, 0 negative, -1 ignore) and shift")
        for axis, image, title in zip(axes, (optical, sar, pulled, sample["label"].numpy()), titles, strict=True):
            axis.imshow(image, cmap="gray" if image.ndim == 2 and title != titles[3] else None, vmin=-1 if title == titles[3] else None)
            axis.axis("off")
            if show_titles:
                axis.set_title(title)
        rows, columns = np.indices(sample["label"].shape)
        axes[3].quiver(columns, rows, *(sample["shift"].numpy() / block), angles="xy", scale_units="xy", scale=1)
        if suptitle:
            figure.suptitle(suptitle)
        return figure


def _weighted(sources: list[TrainingImage]) -> tuple[list[TrainingImage], np.ndarray]:
    """Sources, and how often each is drawn: a large image more often than a small one, but not in proportion."""
    weights = np.sqrt([source.sar[0].size for source in sources])
    return sources, weights / weights.sum()


def _on_lattice(shift_field: TiePointField | TruthMapField | RegisteredField, ground: np.ndarray) -> np.ndarray:
    """The field at (h, w, 2) positions, evaluated on a coarse lattice and interpolated: splines are slow and the field is smooth."""
    height, width = ground.shape[:2]
    rows, columns = np.linspace(0, height - 1, _LATTICE), np.linspace(0, width - 1, _LATTICE)
    r, c = np.rint(rows).astype(int), np.rint(columns).astype(int)
    values = shift_field.shift_at(ground[np.ix_(r, c)].reshape(-1, 2)).reshape(_LATTICE, _LATTICE, 2).astype(np.float32)
    x = np.interp(np.arange(width), c, np.arange(_LATTICE)).astype(np.float32)
    y = np.interp(np.arange(height), r, np.arange(_LATTICE)).astype(np.float32)
    return cv2.remap(values, *np.meshgrid(x, y), cv2.INTER_LINEAR).astype(np.float64)
