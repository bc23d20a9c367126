"""What the pixels around candidates say: how both images look there, and how alike they are before and after the
proposed shift.

Patches are cut from blocks of the images, so memory does not grow with the scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from solution.core.geometry import Window
from solution.data.raster import output_grid
from solution.data.scene import ScenePair

LOOKS = ("valid", "mean", "gradient", "edges", "entropy", "speckle")
"""What is measured on one patch: share of pixels with data, mean brightness, mean squared gradient, share of steep
pixels, entropy in [0, 1], standard deviation over mean."""

LIKENESSES = ("ncc", "gradient_ncc", "mutual")
"""What is measured on two patches: zero-mean normalised correlation of values and of gradient magnitudes,
mutual information in nats."""

FACTORS = (1, 4)
"""Levels of resolution at which patches are cut, optical px per level px."""

IMAGE_FEATURES = tuple(
    f"{name}_{factor}"
    for factor in FACTORS
    for name in (
        *(f"{image}_{look}" for image in ("optical", "sar_before", "sar_after") for look in LOOKS),
        *(f"sar_{alike}_{when}" for alike in LIKENESSES for when in ("before", "after", "gain")),
    )
)
"""Names of all features, in order.

``before`` is the geocoded place, ``after`` the shifted one, ``gain`` after less before.
"""

_ReadGrid = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Optical array positions (h, w, 2) -> grey values (h, w) and validity (h, w)."""

_SIDE = 32  # side of a patch, level px
_BLOCK_PX = 512  # side of the blocks, optical px, whose rows are cut from one read
_ROWS_AT_ONCE = 2048
_LEAST_READ_PX = 128  # level px
_STEEP = 0.1  # rise per px, as a share of the scene's range of brightness, from which a pixel is steep
_BINS = 16  # of grey values, in entropy and mutual information
_DEVIATIONS = 2.0  # the bins of the mutual information span this many standard deviations to both sides
_LEAST_SHARE = 0.25  # of pixels with data in both patches; with fewer their likeness means nothing
_TINY = 1e-6


def image_features(pair: ScenePair, xy: np.ndarray, shift: np.ndarray) -> dict[str, np.ndarray]:
    """Features of every row from patches of 32 x 32 px around it, at both `FACTORS`.

    Args:
        xy, shift: (N, 2) optical indices and index shifts, px; a row that is not finite has NaN everywhere.

    Returns:
        `IMAGE_FEATURES` -> (N,) float32.
    """
    features = {name: np.full(len(xy), np.nan, np.float32) for name in IMAGE_FEATURES}
    usable = np.flatnonzero(np.isfinite(xy).all(axis=1) & np.isfinite(shift).all(axis=1))
    for factor in FACTORS:
        for block in _blocks(xy[usable]):
            rows = usable[block]
            for name, value in _of_rows(pair, xy[rows], shift[rows], factor).items():
                features[f"{name}_{factor}"][rows] = value
    return features


def _blocks(xy: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of the rows (N, 2) of one block of `_BLOCK_PX` after the other, at most `_ROWS_AT_ONCE` together."""
    if len(xy) == 0:
        return
    block = np.floor(xy / _BLOCK_PX).astype(np.int64)
    _, number = np.unique(block, axis=0, return_inverse=True)
    order = np.argsort(number, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        yield from (rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE))


def _of_rows(pair: ScenePair, xy: np.ndarray, shift: np.ndarray, factor: int) -> dict[str, np.ndarray]:
    """Features of the rows of one block at one level."""

    def optical(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, valid = pair.sample_optical(grid, factor)
        return values.mean(axis=0), valid

    def sar(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, valid = pair.sample_sar(grid + pair.centre_offset_px, factor)
        return values[0], valid

    xy = _on_pixels(xy, factor)
    # Interpolation blurs, so the geocoded patch is moved by the part of the shift below a pixel:
    # then both are blurred alike.
    places = {"before": xy + shift - np.rint(shift / factor) * factor, "after": xy + shift}
    reference = _Patches(optical, xy, factor)
    features = {f"optical_{name}": value for name, value in reference.looks().items()}
    alike = {}
    for when, place in places.items():
        seen = _Patches(sar, place, factor)
        features.update({f"sar_{when}_{name}": value for name, value in seen.looks().items()})
        alike[when] = reference.likeness(seen)
    for name in LIKENESSES:
        features.update({f"sar_{name}_{when}": alike[when][name] for when in places})
        features[f"sar_{name}_gain"] = alike["after"][name] - alike["before"][name]
    return features


def _on_pixels(xy: np.ndarray, factor: int) -> np.ndarray:
    """Patch centres (N, 2) moved by at most half a level pixel, so that optical patches need no
    interpolation, which blurs."""
    corner = np.rint((xy + 0.5) / factor - 0.5 - (_SIDE - 1) / 2)
    return (corner + _SIDE / 2) * factor - 0.5


class _Patches:
    """Patches of one image, N x 32 x 32, and what can be said of them; pixels without data
    are left out of everything."""

    def __init__(self, read: _ReadGrid, centre: np.ndarray, factor: int) -> None:
        self.values = np.empty((len(centre), _SIDE, _SIDE), np.float32)
        self.valid = np.empty((len(centre), _SIDE, _SIDE), bool)
        # Shifted centres may lie far apart, so they are grouped anew.
        for rows in _blocks(centre):
            self.values[rows], self.valid[rows] = _cut(read, centre[rows], factor)
        rise = (
            self.values[:, 1:-1, 2:] - self.values[:, 1:-1, :-2],
            self.values[:, 2:, 1:-1] - self.values[:, :-2, 1:-1],
        )
        self.gradient = np.sqrt(rise[0] ** 2 + rise[1] ** 2) / 2  # a third of the time of hypot
        across = self.valid[:, 1:-1, 2:] & self.valid[:, 1:-1, :-2]
        self.sloped = across & self.valid[:, 2:, 1:-1] & self.valid[:, :-2, 1:-1] & self.valid[:, 1:-1, 1:-1]

    def looks(self) -> dict[str, np.ndarray]:
        """`LOOKS` -> (N,)."""
        mean, deviation = _moments(self.values, self.valid)
        slope, _ = _moments(self.gradient**2, self.sloped)
        steep, _ = _moments((self.gradient > _STEEP).astype(np.float32), self.sloped)
        return {
            "valid": self.valid.mean(axis=(1, 2)),
            "mean": mean,
            "gradient": slope,
            "edges": steep,
            "entropy": _entropy(
                _histogram(np.minimum(self.values * _BINS, _BINS - 1).astype(np.int64), self.valid, _BINS)
            )
            / np.log(_BINS),
            "speckle": deviation / np.maximum(mean, _TINY),
        }

    def likeness(self, other: _Patches) -> dict[str, np.ndarray]:
        """`LIKENESSES` -> (N,); NaN where too few pixels carry data in both."""
        both = self.valid & other.valid
        enough = both.mean(axis=(1, 2)) >= _LEAST_SHARE
        joint = _histogram(_bins(self.values, both) * _BINS + _bins(other.values, both), both, _BINS**2)
        each = joint.reshape(-1, _BINS, _BINS)
        found = {
            "ncc": _correlation(self.values, other.values, both),
            "gradient_ncc": _correlation(self.gradient, other.gradient, self.sloped & other.sloped),
            "mutual": _entropy(each.sum(axis=2)) + _entropy(each.sum(axis=1)) - _entropy(joint),
        }
        return {name: np.where(enough, value, np.nan) for name, value in found.items()}


def _cut(read: _ReadGrid, centre: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, 32, 32) and validity of patches around optical array positions (n, 2) that lie
    near each other, from one read."""
    corner = (centre + 0.5) / factor - 0.5 - (_SIDE - 1) / 2
    first = np.floor(corner.min(axis=0) + _TINY).astype(np.int64)
    width, height = np.maximum(
        np.floor(corner.max(axis=0) + _TINY).astype(np.int64) - first + _SIDE + 1, _LEAST_READ_PX
    ).tolist()
    window = Window(int(first[0]) * factor, int(first[1]) * factor, width * factor, height * factor)
    values, valid = read(output_grid(window, factor))
    whole = np.floor(corner + _TINY).astype(np.int64)
    u, v = np.moveaxis(np.maximum(corner - whole, 0.0), -1, 0).astype(np.float32)[..., None, None]
    column, row = (whole - first).T
    larger = _windows(values, row, column)
    mixed = (1 - v) * ((1 - u) * larger[:, :-1, :-1] + u * larger[:, :-1, 1:]) + v * (
        (1 - u) * larger[:, 1:, :-1] + u * larger[:, 1:, 1:]
    )
    data = _windows(valid > 0, row, column)
    return mixed, data[:, :-1, :-1] & data[:, :-1, 1:] & data[:, 1:, :-1] & data[:, 1:, 1:]


def _windows(image: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """(n, 33, 33) windows of an image (h, w) at the given corners."""
    return np.lib.stride_tricks.sliding_window_view(image, (_SIDE + 1, _SIDE + 1))[row, column]


def _moments(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n,) of (n, h, w) where the mask is true; NaN where it nowhere is."""
    count = _share_safe(mask)
    kept = values * mask
    mean = kept.sum(axis=(1, 2)) / count
    square = np.einsum("nij,nij->n", kept, kept) / count
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def _share_safe(mask: np.ndarray) -> np.ndarray:
    """(n,) counts of true pixels, NaN instead of 0."""
    count = mask.sum(axis=(1, 2))
    return np.where(count > 0, count, np.nan)


def _correlation(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(n,) zero-mean normalised cross-correlation over the mask; 0 where either is constant."""
    count = _share_safe(mask)
    centred = [np.where(mask, values - _moments(values, mask)[0][:, None, None], 0.0) for values in (first, second)]
    covariance = np.einsum("nij,nij->n", *centred) / count
    power = [np.einsum("nij,nij->n", values, values) / count for values in centred]
    return covariance / np.maximum(np.sqrt(power[0] * power[1]), _TINY)


def _bins(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Bin numbers (n, h, w) that follow each patch's own mean and contrast, as two modalities share neither."""
    mean, deviation = (np.nan_to_num(moment)[:, None, None] for moment in _moments(values, mask))
    place = (values - mean) / np.maximum(deviation, _TINY) * (_BINS / 2 / _DEVIATIONS) + _BINS / 2
    return np.clip(place, 0, _BINS - 1).astype(np.int64)


def _histogram(bins: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """(n, count) frequencies of bin numbers (n, h, w) where the mask is true."""
    offset = np.arange(len(bins))[:, None, None] * count
    waste = len(bins) * count  # one more bin, for what the mask leaves out
    return np.bincount(np.where(mask, bins + offset, waste).ravel(), minlength=waste + 1)[:-1].reshape(-1, count)


def _entropy(frequency: np.ndarray) -> np.ndarray:
    """(n,) entropies, nats, of histograms (n, bins); NaN for an empty one."""
    total = frequency.sum(axis=1, keepdims=True)
    share = frequency / np.where(total > 0, total, np.nan)
    return -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
