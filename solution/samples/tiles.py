"""Training tiles: cut out of images with one random matrix for pixels and points, and changed in brightness,
as a TorchGeo-style dataset.

A tile pair shows an optical tile and the SAR image warped so that a known smooth residual shift is left. The truth is
the tie-point field where it is sure enough, the simulator's exact map, or zero for image pairs that are registered
already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch

from solution.core import geometry
from solution.core.errors import InputError
from solution.core.geometry import Matrix
from solution.samples.augmentation import OpticalAugmentation, augment_sar
from solution.samples.images import TrainingImage, take
from solution.samples.settings import CELL_PX, TileConfig
from solution.samples.truth import RegisteredField, TiePointField, TruthMapField

POSITIVE, NEGATIVE, IGNORE = 1, 0, -1
_LATTICE = 17  # nodes along each side of a tile at which the truth is evaluated
_ROUNDS = 12
_WAVE_LENGTH = (0.7, 2.0)  # of the residual, in tiles
_MAX_WAVE_SLOPE = 0.3  # of the residual's wave, px per px, so that its fixed point is found
_MAX_TRIM_PX = 40  # that are hidden at a border of an image, px of the tile's level
_ANCHORED_SHARE = 0.5  # of the tiles of an image with tie-points are centred near one
_ANCHOR_REACH = 0.25  # how far from it at most, in tiles
_LEAST_SHARE = 0.75  # of a tile's side that an image must have at a level which is drawn from


@dataclass(frozen=True)
class Residual:
    """The smooth residual that a tile is left with, in tile px, at SAR tile positions: q -> constant + linear (q -
    centre) + a wave.

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

    Each sample is a dict of tensors: ``optical`` (3, H, W) and ``sar`` (1, H, W) float32 in [0, 1]; ``optical_valid``
    and ``sar_valid`` (H, W); ``shift`` (2, h, w) apparent residual shift (x, y) in tile px per block; ``label`` (h, w)
    int64, POSITIVE, NEGATIVE (valid optical ground whose SAR place holds no data) or IGNORE; ``label_sigma`` (h, w) px.
    ``index`` is the sample's number: with the seed it is all that a sample depends on.
    """

    def __init__(
        self, images: Sequence[TrainingImage], config: TileConfig, length: int, seed: int, augment: bool = True
    ) -> None:
        """Tiles of `images`, `length` of them.

        Args:
            augment: turn, mirror, magnify and bend the tiles, hide borders, and change brightness and contrast.

        Raises:
            InputError: no image.
        """
        if not images:
            raise InputError("training: no source is left after holding out; add scenes or pairs")
        self.images, self.config, self.length, self.seed, self.augment = list(images), config, length, seed, augment
        shares = {
            "labelled": config.labelled_share,
            "simulated": config.simulated_share,
            "registered": config.registered_share,
        }
        kinds = sorted({image.kind for image in images})
        self._groups = [(shares[kind], _weighted([image for image in images if image.kind == kind])) for kind in kinds]
        self._augment_optical = OpticalAugmentation()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, index])
        image, factor = self.choose(rng)
        matrix = random_matrix(image, factor, self.config, rng, self.augment)
        residual = random_residual(self.config, rng, self.augment)
        trims = [_random_trim(matrix, rng) if self.augment else np.zeros(4) for _ in range(2)]
        sample = cut_tile(image, matrix, residual, self.config, *trims)
        if self.augment and self.config.photometric != "none":
            if self.config.photometric == "both":
                sample["optical"] = self._augment_optical(
                    sample["optical"], sample["optical_valid"], self.config.inversion_share, rng
                )
            sample["sar"] = augment_sar(sample["sar"], sample["sar_valid"], self.config.inversion_share, rng)
        sample["index"] = np.int64(index)
        return {key: torch.as_tensor(value) for key, value in sample.items()}

    def choose(self, rng: np.random.Generator) -> tuple[TrainingImage, float]:
        """Draw the image that a tile is cut from, and the tile's level."""
        drawn = np.array([share for share, _ in self._groups])
        group, weights = self._groups[rng.choice(len(self._groups), p=drawn / drawn.sum())][1]
        image = group[rng.choice(len(group), p=weights)]
        fitting = [f for f in self.config.factors if min(image.shape) >= _LEAST_SHARE * f * self.config.tile_px] or [1]
        # Fine levels hold more tiles than coarse ones; the square root keeps the coarse ones in play.
        shares = 1.0 / np.sqrt(fitting)
        return image, float(rng.choice(fitting, p=shares / shares.sum()))


def _weighted(images: list[TrainingImage]) -> tuple[list[TrainingImage], np.ndarray]:
    """Images, and how often each is drawn: a large one more often than a small one, but not in proportion."""
    weights = np.sqrt([math.prod(image.shape) for image in images])
    return images, weights / weights.sum()


def random_matrix(
    image: TrainingImage, factor: float, config: TileConfig, rng: np.random.Generator, augment: bool = True
) -> Matrix:
    """Tile px -> optical px, for a tile of a level somewhere in an image; turned, mirrored and magnified unless
    `augment` is false."""
    size = config.tile_px
    middle = ((size - 1) / 2, (size - 1) / 2)
    angle, flip, zoom = (
        (rng.uniform(0, 360), rng.random() < 0.5, rng.uniform(*config.magnify)) if augment else (0.0, False, 0.0)
    )
    matrix = geometry.similarity(angle, factor * 2.0**zoom, flip, middle)
    if len(image.anchors) and rng.random() < _ANCHORED_SHARE:
        place = (
            image.anchors[rng.integers(len(image.anchors))]
            + rng.uniform(-_ANCHOR_REACH, _ANCHOR_REACH, 2) * size * factor
        )
    else:
        place = rng.uniform(0, 1, 2) * np.array(image.shape[::-1])
    margin = np.minimum(0.4 * size * factor, 0.5 * np.array(image.shape[::-1]))
    place = np.clip(place, margin, np.array(image.shape[::-1]) - margin)
    matrix[:2, 2] += place - np.array(middle)
    return matrix


def random_residual(config: TileConfig, rng: np.random.Generator, augment: bool = True) -> Residual:
    """The residual shift that a tile shall be left with; the same all over the tile unless `augment` is true."""
    size = config.tile_px
    reach = max(config.reach_px - 1.0, 0.0)
    linear = rng.normal(0, config.residual_slope, (2, 2)) if augment else np.zeros((2, 2))
    residual = Residual(rng.uniform(-reach, reach, 2), linear, np.full(2, (size - 1) / 2))
    if not (augment and config.residual_wave):
        return residual
    angle, length = rng.uniform(0, 2 * np.pi), size * rng.uniform(*_WAVE_LENGTH)
    number = 2 * np.pi / length
    wave = rng.normal(0, config.residual_wave, 2).clip(-_MAX_WAVE_SLOPE, _MAX_WAVE_SLOPE) / number
    return replace(
        residual,
        wave=wave,
        wave_number=number * np.array([np.cos(angle), np.sin(angle)]),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def _random_trim(matrix: Matrix, rng: np.random.Generator) -> np.ndarray:
    """How much of an image is hidden at its left, top, right and bottom, optical px.

    Drawn for each modality alone: where both images of a pair end on the same ground, their borders would give the
    answer away.
    """
    return rng.uniform(0, _MAX_TRIM_PX * _spacing_px(matrix), 4)


def _spacing_px(matrix: Matrix) -> float:
    """Optical px per tile px."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))


def cut_tile(
    image: TrainingImage,
    matrix: Matrix,
    residual: Residual,
    config: TileConfig,
    optical_trim_px: np.ndarray,
    sar_trim_px: np.ndarray,
) -> dict[str, np.ndarray]:
    """A sample as `TilePairs` describes it, without its index and with its brightness as it is.

    Args:
        matrix: tile px -> optical px.
        residual: what the SAR tile is off by.
        optical_trim_px, sar_trim_px: (4,) how much of an image is hidden at its left, top, right and bottom, optical
            px.
    """
    size, block, spacing = config.tile_px, config.block_cells * CELL_PX, _spacing_px(matrix)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float64)
    ground = geometry.apply(matrix, grid - residual.at(grid))
    optical, optical_valid = take(image.optical, geometry.apply(matrix, grid), spacing, optical_trim_px)
    sar, sar_valid = take(image.sar, ground + _on_lattice(image.field, ground), spacing, sar_trim_px)
    centre = (np.arange(size // block) + 0.5) * block - 0.5
    centres = np.stack(np.meshgrid(centre, centre), axis=-1)
    shift = residual.seen_from(centres)
    sigma = image.field.sigma_at(geometry.apply(matrix, centres).reshape(-1, 2)).reshape(centres.shape[:2]) / spacing
    return {
        "optical": np.moveaxis(optical, -1, 0).copy(),
        "sar": sar[None],
        "optical_valid": optical_valid,
        "sar_valid": sar_valid,
        "shift": np.moveaxis(shift, -1, 0).astype(np.float32),
        "label": _labels(centres, shift, sigma, optical_valid, sar_valid, config),
        "label_sigma": sigma.astype(np.float32),
    }


def _labels(
    centres: np.ndarray,
    shift: np.ndarray,
    sigma: np.ndarray,
    optical_valid: np.ndarray,
    sar_valid: np.ndarray,
    config: TileConfig,
) -> np.ndarray:
    """(h, w) POSITIVE, NEGATIVE or IGNORE of blocks with centres and shifts (h, w, 2) and their standard deviation (h,
    w), all in tile px."""
    size = config.tile_px
    here = np.rint(centres).astype(int)
    there = np.rint(centres + shift).astype(int)
    inside = ((there >= 0) & (there < size)).all(axis=-1)
    there = np.clip(there, 0, size - 1)
    has_sar = inside & (sar_valid[there[..., 1], there[..., 0]] > 0)
    has_optical = optical_valid[here[..., 1], here[..., 0]] > 0
    within = (np.abs(shift) <= config.reach_px).all(axis=-1)
    label = np.full(shift.shape[:2], IGNORE, dtype=np.int64)
    label[has_optical & inside & ~has_sar] = NEGATIVE
    label[has_optical & has_sar & within & (sigma <= config.max_label_sigma_px)] = POSITIVE
    return label


def _on_lattice(shift_field: TiePointField | TruthMapField | RegisteredField, ground: np.ndarray) -> np.ndarray:
    """The field at (h, w, 2) positions, interpolated from a coarse lattice: splines are slow, the field is smooth."""
    height, width = ground.shape[:2]
    rows, columns = np.linspace(0, height - 1, _LATTICE), np.linspace(0, width - 1, _LATTICE)
    r, c = np.rint(rows).astype(int), np.rint(columns).astype(int)
    values = shift_field.shift_at(ground[np.ix_(r, c)].reshape(-1, 2)).reshape(_LATTICE, _LATTICE, 2).astype(np.float32)
    x = np.interp(np.arange(width), c, np.arange(_LATTICE)).astype(np.float32)
    y = np.interp(np.arange(height), r, np.arange(_LATTICE)).astype(np.float32)
    return cv2.remap(values, *np.meshgrid(x, y), cv2.INTER_LINEAR).astype(np.float64)
