"""Named features of candidates, for the reranker: all relative, none says where a candidate lies or in which scene.

Families: ``proposer`` (what the proposer itself claims), ``neighbours`` (`solution.reranker.neighbours`), ``field``
(distance to the coarse field of the whole table), ``image`` (`solution.reranker.appearance`) and ``surface``
(`solution.surface.ground`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from solution.core.geometry import affine_of_shifts
from solution.data.scene import ScenePair
from solution.field import candidates, fitting
from solution.proposers.every import LEARNED
from solution.reranker import neighbours
from solution.reranker.appearance import IMAGE_FEATURES, image_features
from solution.surface.ground import GROUND_FEATURES, Ground

FAMILIES: dict[str, tuple[str, ...]] = {
    "proposer": (
        *(f"source_{source}" for source in LEARNED),
        "confidence",
        "confidence_rank",
        "sigma",
        "sigma_relative",
        "cycle",
        "cycle_relative",
    ),
    "neighbours": tuple(f"{name}_{measure}" for name in neighbours.NEIGHBOURHOODS for measure in neighbours.MEASURES),
    "field": ("field_residual", "field_along", "field_across", "field_relative"),
    "image": IMAGE_FEATURES,
    "surface": GROUND_FEATURES,
}
FEATURES = tuple(name for names in FAMILIES.values() for name in names)
"""Names of all features in the order of the columns. Errors are in optical px, distances between
candidates in their typical distance."""

_LEAST_PX = 0.5  # no error is divided by less


def candidate_features(
    pair: ScenePair, table: pd.DataFrame, rows: np.ndarray | None = None, ground: Ground | None = None
) -> pd.DataFrame:
    """Features of the candidates of one scene.

    Args:
        pair: the scene; its labels are not looked at.
        table: candidates of one scene and one team (another team's rows would be neighbours that agree too easily).
        rows: (N,) bool, which rows' features are wanted; all rows remain their neighbours. None = all.
        ground: what the SAR image of the pair shows, if the caller has read it already;
            None = read it, by its statistics.

    Returns:
        float32, columns `FEATURES`, one row per wanted row of the table, in its order and
        with its index; NaN = unknown.
    """
    table = candidates.check(table)
    wanted = np.ones(len(table), bool) if rows is None else np.asarray(rows, bool)
    values = {name: np.full(len(table), np.nan, np.float32) for name in FEATURES}
    finite = np.isfinite(table[["x", "y", "dx", "dy"]].to_numpy()).all(axis=1)
    # A canonical order, in which equally near neighbours are the same ones however the table is sorted.
    order = np.flatnonzero(finite)[
        np.lexsort([table[name].to_numpy()[finite] for name in ("source", "dy", "dx", "y", "x")])
    ]
    seen = table.iloc[order]
    if len(order):
        for name, column in _of_table(seen, pair.shape).items():
            values[name][order] = column
    image = wanted & finite
    xy, shift = table[["x", "y"]].to_numpy(), table[["dx", "dy"]].to_numpy()
    for name, column in image_features(pair, xy[image], shift[image]).items():
        values[name][image] = column
    if image.any():
        for name, column in (ground or Ground.of(pair)).features(table[image]).items():
            values[name][image] = column
    return pd.DataFrame(values, index=table.index)[wanted]


def _of_table(table: pd.DataFrame, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The features that need no image, of a table whose rows are all finite."""
    xy, shift = table[["x", "y"]].to_numpy(), table[["dx", "dy"]].to_numpy()
    field, typical_px = _coarse_field(table, shape)
    axis = _main_axis(xy, field)
    around = neighbours.agreement(xy, shift, table["source"].to_numpy(), table["confidence"].to_numpy(), axis)
    return {**_claims(table), **around, **_to_field(shift - field, axis, typical_px)}


def _claims(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The proposer's own claims, as they are and against the other rows of their source:
    sources are not equally modest."""
    by_source = table.groupby("source")
    relative = {
        name: table[name] / by_source[name].transform("median").clip(lower=_LEAST_PX)
        for name in ("sigma_px", "cycle_px")
    }
    claims = {
        "confidence": table["confidence"],
        "confidence_rank": by_source["confidence"].rank(pct=True),
        "sigma": table["sigma_px"],
        "sigma_relative": relative["sigma_px"],
        "cycle": table["cycle_px"],
        "cycle_relative": relative["cycle_px"],
        **{f"source_{source}": table["source"] == source for source in LEARNED},
    }
    return {name: column.to_numpy(np.float32) for name, column in claims.items()}


def _coarse_field(table: pd.DataFrame, shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Shifts (N, 2) at the candidates of the field fitted to all of them, and its typical error, px.

    Positions are counted from the first candidate and shifts from their median, so that neither a place nor a common
    shift matters.
    """
    start = table[["x", "y"]].min()
    common = table[["dx", "dy"]].median()
    moved = table.assign(
        x=table["x"] - start["x"],
        y=table["y"] - start["y"],
        dx=table["dx"] - common["dx"],
        dy=table["dy"] - common["dy"],
    )
    field = fitting.quiet_fit(moved, shape)
    typical = field.residual_px if np.isfinite(field.residual_px) else 0.0
    return field.shift_at(moved[["x", "y"]].to_numpy()) + common.to_numpy(), max(typical, _LEAST_PX)


def _main_axis(xy: np.ndarray, field: np.ndarray) -> np.ndarray:
    """(2,) unit vector along which the coarse field departs most from an affine: that of the SAR range, along which
    terrain and buildings lean."""
    departure = field - affine_of_shifts(xy, field)
    return np.linalg.eigh(departure.T @ departure)[1][:, 1]


def _to_field(residual: np.ndarray, axis: np.ndarray, typical_px: float) -> dict[str, np.ndarray]:
    """How far shifts lie from the coarse field: (N, 2) residuals, px, as lengths, along and across the main axis."""
    length = np.hypot(*residual.T)
    along, across = np.abs(residual @ axis), np.abs(residual @ np.array([-axis[1], axis[0]]))
    return {
        "field_residual": length,
        "field_along": along,
        "field_across": across,
        "field_relative": length / typical_px,
    }
