"""Figures of the held-out matches, as the page tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from solution.field.held_out import FOLDS, HeldOut
from solution.products.page.words import length

_NINETY = 90


@dataclass(frozen=True)
class Errors:
    """Of some held-out matches.

    Attributes:
        count: how many.
        median, rmse, ce90: of the lengths of their residuals, px. CE90 is the radius that holds 90 % of them
            (circular error), read off the sample.
    """

    count: int
    median: float
    rmse: float
    ce90: float

    @classmethod
    def of(cls, length: np.ndarray) -> Errors:
        """From lengths (N,), px; N is at least 1."""
        return cls(
            len(length),
            float(np.median(length)),
            float(np.sqrt(np.mean(length**2))),
            float(np.percentile(length, _NINETY)),
        )


def table_of_errors(table: pd.DataFrame, held: HeldOut, gsd_m: float | None) -> list[dict]:
    """A row for all held-out matches, and one for each source where there are several."""
    source = table["source"].to_numpy()[held.rows]
    groups = {"all": np.ones(len(source), bool)}
    if len(names := sorted(set(source))) > 1:
        groups |= {name: source == name for name in names}
    rows = []
    for name, chosen in groups.items():
        errors = Errors.of(held.length[chosen])
        rows.append(
            {"source": name, "count": errors.count}
            | {key: length(getattr(errors, key), gsd_m) for key in ("median", "rmse", "ce90")}
        )
    return rows


def how_held_out(held: HeldOut) -> str:
    """How the residuals came about."""
    part = "all of them" if held.folds == FOLDS or held.blocks < FOLDS else f"{held.folds} of them"
    text = (
        f"Blocks of {held.block_px:.0f} px, {held.blocks} of them, dealt to {min(FOLDS, held.blocks)} folds; {part} held out in "
        f"turn, and the scene fitted anew without them: {len(held.rows):,} matches that the map keeps."
    )
    if held.shared:
        text += " The blocks are smaller than the windows of the matching: neighbours err alike, and the true errors are larger."
    return text


def shares(table: pd.DataFrame, facts: Mapping) -> list[dict]:
    """What each source proposed, and what of it was kept; the kept ones are not known without the table."""
    total = sum(facts["sources"].values())
    kept = table.loc[table["outlier"] == "", "source"].value_counts()
    return [
        {
            "source": name,
            "proposed": count,
            "kept": int(kept.get(name, 0)) if len(table) else None,
            "share": f"{kept.get(name, 0) / max(len(table) and kept.sum(), 1):.0%}" if len(table) else "not known",
            "of_all": f"{count / total:.0%}" if total else "0%",
        }
        for name, count in facts["sources"].items()
    ]
