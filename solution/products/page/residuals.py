"""Figures of held-out residuals: how long, along and across the range, and where."""

from __future__ import annotations

import numpy as np
import pandas as pd

from solution.core.geometry import Window
from solution.field.held_out import HeldOut
from solution.products.page.canvas import BLUE, GREEN, ORANGE, SEQUENTIAL, coloured, described, on_scene, plain
from solution.products.page.encoding import drawing
from solution.products.page.statistics import Errors

_BINS = 60
_SHOWN_PER_CENT = 99.5  # of the residuals lie within a histogram's axis
_CLEAR_SHARE = 0.65  # of the variance that lies along one direction, from which it is called the range
_LEAST_IN_BLOCK = 3  # matches


def lengths(held: HeldOut) -> dict:
    """Histogram of the lengths, with median, RMSE and CE90."""
    errors = Errors.of(held.length)
    most = max(float(np.percentile(held.length, _SHOWN_PER_CENT)), 1e-3)
    with plain() as (figure, axes):
        axes.hist(held.length, bins=np.linspace(0, most, _BINS), color=BLUE)
        for value, name, colour, dash in (
            (errors.median, "median", "black", "-"),
            (errors.rmse, "RMSE", ORANGE, "--"),
            (errors.ce90, "CE90", GREEN, ":"),
        ):
            axes.axvline(value, color=colour, linestyle=dash, label=f"{name} {value:.2f} px")
        axes.set(xlabel="length of the residual, px", ylabel="matches", xlim=(0, most))
        axes.legend(frameon=False)
        uri = drawing(figure)
    return described(
        "How long the residuals are",
        "",
        uri,
        f"Histogram of {errors.count:,} residuals: median {errors.median:.2f} px, RMSE {errors.rmse:.2f} px, "
        f"CE90 {errors.ce90:.2f} px.",
    )


def along_and_across(held: HeldOut, axis: np.ndarray, share: float) -> dict:
    """Histograms of the residuals' parts along and across the scene's principal axis."""
    parts = {"along": held.residual @ axis, "across": held.residual @ np.array([-axis[1], axis[0]])}
    most = max(float(np.percentile(np.abs(held.residual), _SHOWN_PER_CENT)), 1e-3)
    told = {name: f"{name}: RMS {_rms(part):.2f} px, mean {part.mean():+.2f} px" for name, part in parts.items()}
    with plain() as (figure, axes):
        for (name, part), colour, dash in zip(parts.items(), (BLUE, ORANGE), ("-", "--"), strict=True):
            bins = np.linspace(-most, most, _BINS)
            axes.hist(part, bins, histtype="step", color=colour, linestyle=dash, linewidth=1.5, label=told[name])
        axes.set(xlabel="part of the residual, px", ylabel="matches", xlim=(-most, most))
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
        uri = drawing(figure)
    return described(
        "Along and across the range",
        "",
        uri,
        f"Histograms of the residuals along and across {range_told(axis, share)}: {'; '.join(told.values())}.",
    )


def range_told(axis: np.ndarray, share: float) -> str:
    """Where the range points, and how surely."""
    angle = np.degrees(np.arctan2(axis[1], axis[0]))
    direction = f"the direction {abs(angle):.0f} degrees {'below' if angle > 0 else 'above'} the x axis"
    if share < _CLEAR_SHARE:
        return f"{direction}, where the shifts scatter hardly more than across it: the range does not stand out here"
    return f"{direction}, along which {share:.0%} of the variance of the shifts lies"


def over_scene(frame: Window, table: pd.DataFrame, held: HeldOut) -> dict:
    """Root mean square of the residuals, block by block."""
    xy = table[["x", "y"]].to_numpy()[held.rows]
    shape = tuple(int(np.ceil(size / held.block_px)) for size in (frame.height, frame.width))
    column, row = np.floor(xy / held.block_px).astype(np.int64).T
    place = np.minimum(row, shape[0] - 1) * shape[1] + np.minimum(column, shape[1] - 1)
    count = np.bincount(place, minlength=shape[0] * shape[1])
    total = np.bincount(place, held.length**2, shape[0] * shape[1])
    mean = np.where(count >= _LEAST_IN_BLOCK, np.sqrt(total / np.maximum(count, 1)), np.nan).reshape(shape)
    whole = Window(0, 0, *(round(size * held.block_px) for size in reversed(shape)))
    with on_scene(frame) as (figure, axes):
        coloured(figure, axes, whole, mean, "RMS of the residuals, px", cmap=SEQUENTIAL, vmin=0)
        axes.set(xlim=(0, frame.width), ylim=(frame.height, 0))
        uri = drawing(figure)
    worst = _worst_place(mean, held.block_px)
    return described(
        "Where the residuals are long",
        f"Blocks of {held.block_px:.0f} px. White: fewer than {_LEAST_IN_BLOCK} held-out matches.",
        uri,
        f"RMS residual of each block.{worst}",
    )


def _worst_place(mean: np.ndarray, side: float) -> str:
    if np.isnan(mean).all():
        return ""
    row, column = np.unravel_index(int(np.nanargmax(mean)), mean.shape)
    return (
        f" The largest is {mean[row, column]:.1f} px, around x {(column + 0.5) * side:.0f}, y {(row + 0.5) * side:.0f}; "
        f"the median block has {np.nanmedian(mean):.1f} px."
    )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
