"""What the rows around a candidate say of it: how far it is from them, how far they are from
each other, and how many agree.

Every feature compares rows with rows, so none changes when all positions or all shifts move by a constant.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from solution.core.geometry import spacing

NEIGHBOURHOODS = ("same8", "same24", "other8", "within2", "within4")
"""The nearest 8 and 24 rows of the same source, the nearest 8 of other sources, and all rows
within 2 and 4 typical spacings."""

MEASURES = ("count", "distance", "residual", "along", "across", "spread", "surprise", "affine", "agree", "confidence")
"""What is measured on a neighbourhood of a row, in this order.

- How many rows it holds, and their median distance, in typical spacings.
- Distance of the row's shift to their median shift, px; the same along and across the main axis.
- Median distance of their own shifts to the median shift, px; the first distance over this one.
- Distance of the row's shift to what a robust local affine predicts, px.
- Share of rows within 3 px of the row's shift; their mean confidence.
"""

_NEAREST = {"same8": 8, "same24": 24, "other8": 8}
_WITHIN = {"within2": 2.0, "within4": 4.0}
_LARGEST = 48  # rows looked at within a radius; on a regular grid 4 spacings hold as many
_OTHER_REACH = 6.0  # spacings; a row of another source farther away says nothing
_AGREE_PX = 3.0  # rows agree whose shifts differ by no more
_LEAST_SPREAD_PX = 1.0  # added to the spread, which may be 0
_RIDGE = 0.5  # weight of the belief that a neighbourhood has no slope, in rows: keeps borders from extrapolating
_TINY = 1e-9


def agreement(
    xy: np.ndarray, shift: np.ndarray, source: np.ndarray, confidence: np.ndarray, axis: np.ndarray
) -> dict[str, np.ndarray]:
    """Features of every row.

    Args:
        xy, shift: (N, 2) in optical px, finite.
        source: (N,) whatever tells the sources apart.
        confidence: (N,).
        axis: (2,) unit vector of the scene's main axis.

    Returns:
        ``NEIGHBOURHOOD_MEASURE`` -> (N,); NaN where a neighbourhood is empty (its count is 0).
    """
    step = spacing(xy)
    features: dict[str, np.ndarray] = {}
    for name in NEIGHBOURHOODS:
        index, distance = _neighbours(name, xy, source, step)
        measured = _measure(index, distance / step, xy / step, shift, confidence, axis)
        features.update({f"{name}_{measure}": measured[measure] for measure in MEASURES})
    return features


def _neighbours(name: str, xy: np.ndarray, source: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """(N, k) row numbers and distances in px, nearest first; a distance is infinite where there is no such row."""
    if name in _WITHIN:
        return _nearest(xy, np.arange(len(xy)), np.arange(len(xy)), _LARGEST, _WITHIN[name] * step)
    count = _NEAREST[name]
    index, distance = np.zeros((len(xy), count), np.int64), np.full((len(xy), count), np.inf)
    for one in np.unique(source):
        asking = np.flatnonzero(source == one)
        asked = asking if name.startswith("same") else np.flatnonzero(source != one)
        limit = np.inf if name.startswith("same") else _OTHER_REACH * step
        index[asking], distance[asking] = _nearest(xy, asking, asked, count, limit)
    return index, distance


def _nearest(
    xy: np.ndarray, asking: np.ndarray, asked: np.ndarray, count: int, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` rows of `asked` nearest to each row of `asking`, except the row itself;
    shapes as of `_neighbours`."""
    if len(asked) == 0:
        return np.zeros((len(asking), count), np.int64), np.full((len(asking), count), np.inf)
    distance, place = cKDTree(xy[asked]).query(xy[asking], k=range(1, count + 2), distance_upper_bound=limit)
    index = asked[np.minimum(place, len(asked) - 1)]
    own = (index == asking[:, None]) & np.isfinite(distance)
    distance = np.where(own, np.inf, distance)
    # The row itself goes to the end, behind rows that do not exist, and is cut off with them.
    order = np.argsort(np.isinf(distance), axis=1, kind="stable")[:, :count]
    return np.take_along_axis(index, order, axis=1), np.take_along_axis(distance, order, axis=1)


def _measure(
    index: np.ndarray,
    distance: np.ndarray,
    place: np.ndarray,
    shift: np.ndarray,
    confidence: np.ndarray,
    axis: np.ndarray,
) -> dict[str, np.ndarray]:
    """`MEASURES` -> (N,), from row numbers and distances (N, k) and positions (N, 2);
    distances and positions in spacings."""
    there = np.isfinite(distance)
    count = there.sum(axis=1)
    theirs = shift[index]
    centre = np.stack([_median(theirs[..., c], there) for c in (0, 1)], axis=-1)
    off_centre = np.hypot(*np.moveaxis(theirs - centre[:, None], -1, 0))
    own = shift - centre
    spread, residual = _median(off_centre, there), np.hypot(*own.T)
    with np.errstate(invalid="ignore", divide="ignore"):
        agree = there & (np.hypot(*np.moveaxis(theirs - shift[:, None], -1, 0)) <= _AGREE_PX)
        weight = np.where(there, 1.0 / (1.0 + (off_centre / (spread[:, None] + _LEAST_SPREAD_PX)) ** 2), 0.0)
        return {
            "count": count.astype(np.float64),
            "distance": _median(distance, there),
            "residual": residual,
            "along": np.abs(own @ axis),
            "across": np.abs(own @ np.array([-axis[1], axis[0]])),
            "spread": spread,
            "surprise": residual / (spread + _LEAST_SPREAD_PX),
            "affine": np.hypot(
                *(shift - _predicted(place[index] - place[:, None], theirs - centre[:, None], weight) - centre).T
            ),
            "agree": agree.sum(axis=1) / np.where(count, count, np.nan),
            "confidence": np.where(there, confidence[index], 0.0).sum(axis=1) / np.where(count, count, np.nan),
        }


def _median(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(N,) medians over the entries of (N, k) that are there; NaN without any. `nanmedian` is twenty times slower."""
    count = there.sum(axis=1)
    ordered = np.sort(np.where(there, values, np.inf), axis=1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, values.shape[1] - 1)
    middle = [np.take_along_axis(ordered, at[:, None], axis=1)[:, 0] for at in (low, high)]
    return np.where(count > 0, (middle[0] + middle[1]) / 2, np.nan)


def _predicted(offset: np.ndarray, value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(N, 2) values at the rows themselves of ridged affines through values (N, k, 2) at offsets
    (N, k, 2), with weights (N, k)."""
    weighted = weight > 0
    design = np.concatenate([np.ones((*offset.shape[:2], 1)), offset], axis=-1)
    heavy = design * weight[..., None]
    normal = np.matmul(heavy.transpose(0, 2, 1), design) + np.diag([_TINY, _RIDGE, _RIDGE])
    right = np.matmul(heavy.transpose(0, 2, 1), np.where(weighted[..., None], value, 0.0))
    return np.linalg.solve(normal, right)[:, 0]
