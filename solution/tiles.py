"""Training tiles: sources, one random matrix for pixels and points, photometric augmentation, and a TorchGeo-style dataset.

A tile pair shows an optical tile and the SAR image warped so that a known smooth residual shift is left. The truth is the tie-point field where it is
sure enough, the simulator's exact map, or zero for image pairs that are registered already.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from rasterio.enums import Resampling
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from solution import geometry
from solution.config import CELL_PX, TileConfig
from solution.errors import InputError
from solution.geometry import Matrix, Window
from solution.pairs import ImagePair, find_pairs
from solution.raster import open_raster, output_grid
from solution.scene import ScenePair

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations

POSITIVE, NEGATIVE, IGNORE = 1, 0, -1
_PYRAMID_LEVELS = 4
_STRIP_PX = 1024
_LATTICE = 17
_ROUNDS = 12
_WAVE_LENGTH = (0.7, 2.0)  # of the residual, in tiles
_MAX_TRIM_PX = 40
_TRUTH_STEP_PX = 8
_DENSE_SPLINE = 600  # tie-points up to which one spline over all of them is cheap


class TiePointField:
    """Apparent shift interpolated between tie-points, and how sure it is.

    The shift is a thin-plate spline. Its standard deviation grows linearly with the distance to the nearest tie-point, with coefficients fitted to the
    residuals of ten-fold cross-validation, so that dense labels are used exactly where the tie-points are close enough.
    """

    def __init__(self, xy: np.ndarray, shift: np.ndarray) -> None:
        """xy (N, 2) optical px, shift (N, 2) apparent px."""
        _, first = np.unique(xy, axis=0, return_index=True)
        self._xy, self._shift = xy[np.sort(first)], shift[np.sort(first)]
        self._tree = cKDTree(self._xy)
        self._spline = self._fit(self._xy, self._shift)
        self._sigma_at_zero, self._sigma_per_px = self._error_growth()

    @staticmethod
    def _fit(xy: np.ndarray, shift: np.ndarray) -> RBFInterpolator:
        degree = 1 if len(xy) >= 4 else 0
        kernel = "thin_plate_spline" if degree else "linear"
        return RBFInterpolator(xy / 1000.0, shift, kernel=kernel, degree=degree, neighbors=None if len(xy) <= _DENSE_SPLINE else 64)

    def _error_growth(self) -> tuple[float, float]:
        count = len(self._xy)
        if count < 10:
            return 1.0, 0.05
        fold = np.random.default_rng(0).permutation(count) % 10
        distance, error = np.zeros(count), np.zeros(count)
        for k in range(10):
            kept, left_out = fold != k, fold == k
            distance[left_out] = cKDTree(self._xy[kept]).query(self._xy[left_out])[0]
            predicted = self._fit(self._xy[kept], self._shift[kept])(self._xy[left_out] / 1000.0)
            error[left_out] = np.hypot(*(predicted - self._shift[left_out]).T)
        near = distance <= np.median(distance)
        slope = 0.0
        if not near.all():  # tie-points on a regular grid are all equally far from each other
            further = np.median(distance[~near]) - np.median(distance[near])
            slope = (np.median(error[~near]) - np.median(error[near])) / max(further, 1.0)
        slope = max(float(slope), 0.2 * float(np.median(error) / max(np.median(distance), 1.0)))
        return max(float(np.median(error[near]) - slope * np.median(distance[near])), 0.5), slope

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> apparent shift (N, 2) px."""
        return self._spline(xy / 1000.0)

    def sigma_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> standard deviation (N,) px."""
        return self._sigma_at_zero + self._sigma_per_px * self._tree.query(xy)[0]


class TruthMapField:
    """Apparent shift from a simulator's exact offset map, kept at 1 / 8 of its resolution."""

    def __init__(self, path: Path, centre_offset_px: np.ndarray) -> None:
        with open_raster(path) as dataset:
            shape = (-(-dataset.height // _TRUTH_STEP_PX), -(-dataset.width // _TRUTH_STEP_PX))
            # A mean lies at its cell's centre; GDAL's nearest pixel lies half a pixel beyond.
            self._map = dataset.read([1, 2], out_shape=(2, *shape), resampling=Resampling.average).astype(np.float32)
            self._step = np.array([dataset.width / shape[1], dataset.height / shape[0]])
        self._offset = centre_offset_px

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> apparent shift (N, 2) px; beyond the border the nearest value."""
        position = ((xy + 0.5) / self._step - 0.5).astype(np.float32)
        bands = [
            cv2.remap(band, position[:, :1], position[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0] for band in self._map
        ]
        return np.stack(bands, axis=1).astype(np.float64) + self._offset

    def sigma_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> standard deviation (N,) px."""
        return np.full(len(xy), 0.5)


class RegisteredField:
    """Zero shift, good to about `sigma_px`."""

    def __init__(self, sigma_px: float) -> None:
        self._sigma_px = sigma_px

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> zeros (N, 2)."""
        return np.zeros((len(xy), 2))

    def sigma_at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) -> standard deviation (N,) px."""
        return np.full(len(xy), self._sigma_px)


@dataclass(frozen=True)
class Source:
    """Both images of a place on the optical grid, as uint8 pyramids in memory; 0 stands for nodata.

    Attributes:
        name: scene, or image folder.
        kind: ``labelled`` (a real scene with tie-points), ``simulated``, or ``registered`` (a pair that needs no labels).
        optical: levels (h, w, 3), each half of the one before.
        sar: levels (h, w).
        field: the truth.
        anchors: (N, 2) places to centre tiles on (tie-points), or none.
        sar_pixel_px: side of a pixel of the SAR raster that `sar` was resampled from, optical px.
    """

    name: str
    kind: str
    optical: tuple[np.ndarray, ...]
    sar: tuple[np.ndarray, ...]
    field: TiePointField | TruthMapField | RegisteredField
    anchors: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    sar_pixel_px: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the full resolution."""
        return self.sar[0].shape


def scene_source(pair: ScenePair, simulated_in: str = "") -> Source:
    """Read a labelled scene, or one simulated in a folder, into memory. A file ``AA_truth_NAME.tif`` beside the optical image, as the simulator writes, replaces the tie-points as truth."""
    height, width = pair.shape
    optical, sar = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    for window in geometry.tile_grid(pair.shape, _STRIP_PX):
        clipped = Window(window.x, window.y, min(window.width, width - window.x), min(window.height, height - window.y))
        grid = output_grid(clipped, 1)
        rows, columns = slice(clipped.y, clipped.stop[1]), slice(clipped.x, clipped.stop[0])
        values, valid = pair.sample_optical(grid, 1)
        optical[rows, columns] = np.moveaxis(to_bytes(values, valid), 0, -1)
        values, valid = pair.sample_sar(grid, 1)
        sar[rows, columns] = to_bytes(values, valid)[0]
    tiepoints = pair.tiepoints()
    truth = pair.optical.with_name(pair.optical.name.replace("_optical_", "_truth_"))
    if truth.is_file():
        shift_field = TruthMapField(truth, pair.centre_offset_px)
    else:
        shift_field = TiePointField(tiepoints.xy, tiepoints.shift + pair.centre_offset_px)
    # The folder goes into the name, lest a simulated scene be taken for a real one of the same name.
    name = f"{simulated_in}/{pair.name}" if simulated_in else pair.name
    kind = "simulated" if simulated_in else "labelled"
    return Source(name, kind, _pyramid(optical), _pyramid(sar), shift_field, tiepoints.xy, pair.sar_pixel_px)


def pair_sources(folder: Path, exclude: Sequence[str] = ()) -> list[Source]:
    """The registered image pairs below a folder, in any layout of `pairs.find_pairs`, in memory.

    Args:
        exclude: file stems to leave out (ground that a scene held out elsewhere shows too).

    Raises:
        InputError: as `pairs.find_pairs` and `pairs.ImagePair.read`.
    """
    return [pair_source(pair) for pair in find_pairs(folder, exclude)]


def pair_source(pair: ImagePair) -> Source:
    """Read a registered pair into memory. Raises `InputError` as `pairs.ImagePair.read`."""
    sar, optical = pair.read()
    return Source(pair.name, "registered", _pyramid(np.maximum(optical, 1)), _pyramid(np.maximum(sar, 1)), RegisteredField(1.0))


def to_bytes(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[0, 1] -> 1..255, and 0 where there is no data."""
    return ((1.5 + 254.0 * values) * valid).astype(np.uint8)


def byte_values(image: np.ndarray) -> np.ndarray:
    """The inverse of `to_bytes`: 1..255, and 0 too, -> [0, 1], float32."""
    return np.clip((image.astype(np.float32) - 1.0) / 254.0, 0.0, 1.0)


def _pyramid(image: np.ndarray) -> tuple[np.ndarray, ...]:
    levels = [np.ascontiguousarray(image)]
    while len(levels) < _PYRAMID_LEVELS and min(levels[-1].shape[:2]) >= 2:
        height, width = (size // 2 * 2 for size in levels[-1].shape[:2])
        last = levels[-1][:height, :width]
        half = cv2.resize(last, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        empty = (last if last.ndim == 2 else last[..., 0]).reshape(height // 2, 2, width // 2, 2).min(axis=(1, 3)) == 0
        half[empty] = 0
        levels.append(half)
    return tuple(levels)


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

    def __init__(self, sources: Sequence[Source], config: TileConfig, length: int, seed: int, augment: bool = True) -> None:
        if not sources:
            raise InputError("training: no source is left after holding out; add scenes or pairs")
        self.sources, self.config, self.length, self.seed, self.augment = list(sources), config, length, seed, augment
        shares = {"labelled": config.labelled_share, "simulated": config.simulated_share, "registered": config.registered_share}
        self._groups = [(shares[kind], _weighted([s for s in sources if s.kind == kind])) for kind in sorted({s.kind for s in sources})]
        self._photometric = _optical_augmentation()

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

    def _choose(self, rng: np.random.Generator) -> tuple[Source, float]:
        drawn = np.array([share for share, _ in self._groups])
        group, weights = self._groups[rng.choice(len(self._groups), p=drawn / drawn.sum())][1]
        source = group[rng.choice(len(group), p=weights)]
        fitting = [f for f in self.config.factors if min(source.shape) >= 0.75 * f * self.config.tile_px] or [1]
        # Fine levels hold more tiles than coarse ones; the square root keeps the coarse ones in play.
        shares = 1.0 / np.sqrt(fitting)
        return source, float(rng.choice(fitting, p=shares / shares.sum()))

    def _matrix(self, source: Source, factor: float, rng: np.random.Generator) -> Matrix:
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

    def _cut(self, source: Source, factor: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
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
        sar = _sar_augmentation(sample["sar"][0], rng)
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


def _weighted(sources: list[Source]) -> tuple[list[Source], np.ndarray]:
    """Sources, and how often each is drawn: a large image more often than a small one, but not in proportion."""
    weights = np.sqrt([source.sar[0].size for source in sources])
    return sources, weights / weights.sum()


def take(levels: tuple[np.ndarray, ...], xy: np.ndarray, spacing_px: float, trim_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values in [0, 1] and validity at array positions (h, w, 2) of the full resolution, from the level that fits the spacing.

    Args:
        levels: uint8 pyramid of a `Source`.
        trim_px: what lies within these of the left, top, right and bottom border counts as nodata, px of the full resolution.
    """
    level = int(np.clip(np.floor(np.log2(spacing_px) + 0.3), 0, len(levels) - 1))
    position = ((xy + 0.5) / 2**level - 0.5).astype(np.float32)
    image = levels[level]
    sampled = cv2.remap(image, position[..., 0], position[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    mask = (image if image.ndim == 2 else image[..., 0]) > 0
    valid = cv2.remap(
        mask.astype(np.uint8), position[..., 0], position[..., 1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    last = np.array(levels[0].shape[1::-1]) - 1
    valid = (valid * ((xy >= trim_px[:2]) & (xy <= last - trim_px[2:])).all(axis=-1)).astype(np.float32)
    values = byte_values(sampled)
    return values * (valid if values.ndim == 2 else valid[..., None]), valid


def _on_lattice(shift_field: TiePointField | TruthMapField | RegisteredField, ground: np.ndarray) -> np.ndarray:
    """The field at (h, w, 2) positions, evaluated on a coarse lattice and interpolated: splines are slow and the field is smooth."""
    height, width = ground.shape[:2]
    rows, columns = np.linspace(0, height - 1, _LATTICE), np.linspace(0, width - 1, _LATTICE)
    r, c = np.rint(rows).astype(int), np.rint(columns).astype(int)
    values = shift_field.shift_at(ground[np.ix_(r, c)].reshape(-1, 2)).reshape(_LATTICE, _LATTICE, 2).astype(np.float32)
    x = np.interp(np.arange(width), c, np.arange(_LATTICE)).astype(np.float32)
    y = np.interp(np.arange(height), r, np.arange(_LATTICE)).astype(np.float32)
    return cv2.remap(values, *np.meshgrid(x, y), cv2.INTER_LINEAR).astype(np.float64)


def _optical_augmentation() -> albumentations.Compose:
    return albumentations.Compose(
        [
            albumentations.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.3, p=0.6),
            albumentations.RandomGamma(gamma_limit=(60, 160), p=0.4),
            albumentations.HueSaturationValue(hue_shift_limit=20, sat_shift_limit=40, val_shift_limit=0, p=0.5),
            albumentations.ToGray(p=0.1),
            albumentations.GaussianBlur(blur_limit=(3, 5), p=0.2),
            albumentations.GaussNoise(std_range=(0.01, 0.05), p=0.2),
        ]
    )


def _sar_augmentation(sar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gamma, blur, and extra speckle (Gamma-distributed intensity becomes additive after the logarithm) on (h, w) in [0, 1]."""
    if rng.random() < 0.5:
        sar = sar ** np.float32(2.0 ** rng.uniform(-0.8, 0.8))
    if rng.random() < 0.3:
        sar = cv2.GaussianBlur(sar, (0, 0), rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        looks = 2.0 ** rng.uniform(0, 4)
        noise = np.log(rng.gamma(looks, 1.0 / looks, sar.shape) + 1e-3) / 2.0
        sar = sar + (rng.uniform(0.1, 0.4) * noise).astype(np.float32)
    return np.clip(sar, 0.0, 1.0)
