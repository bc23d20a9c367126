"""An honest word on a map: ok, weak or failed, and why.

It rests on the fit's own error estimate, on how much of the map candidates support, on how many of them agree, and,
where the images were looked at, on how far the map stands out from what mirrored images give (`contrast`). Agreement
alone tells no wrong world from a right one. What all candidates get wrong alike in a right world, it cannot see.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from solution.field.contrast import Standing
from solution.field.settings import SUPPORT_REACH
from solution.field.shiftfield import Fit

WORDS = ("ok", "weak", "failed")
EXIT_CODES = {"ok": 0, "weak": 4, "failed": 3}
"""What the command line ends with; 1 and 2 are errors."""

WARNINGS = {
    "weak": "a map is weak, see its verdict: look at it before you rely on it",
    "failed": "a map failed, see its verdict: do not use it; where there was no match at all it is ZERO SHIFT",
}
_PLACES = 24  # along each side, at which support is looked for
_MOST_WEAK_PX, _MOST_OK_PX = 25.0, 6.0  # radius up to which a map is weak, and ok
_MOST_OK_M = 3.5  # chosen on: s12, vhr_check, simulated
"""Radius up to which a map is ok where that is more than `_MOST_OK_PX`: below half a metre a pixel, people ask for
metres.
"""
_LEAST_WEAK_SHARE, _LEAST_OK_SHARE = 0.25, 0.6  # of the candidates that agree
_LEAST_WEAK_SUPPORT, _LEAST_OK_SUPPORT = 0.1, 0.5  # share of the map that agreeing candidates support
_LEAST_WEAK_MARGIN, _LEAST_OK_MARGIN = 0.3, 0.6  # chosen on: vhr_check and its crossed pairs, simulated
"""How far the map's evidence must stand above that of the best decoy, in standard deviations of the evidence."""
_WRONG_WORLD = (
    "the images match no better than if one of them were mirrored: they may show different places, or nothing that both "
    "sensors see; nothing is known of the errors"
)
_HARDLY = "the images match only a little better than if one of them were mirrored"
_OK, _WEAK, _FAILED = range(len(WORDS))


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of one map.

    Attributes:
        word: one of `WORDS`.
        reasons: what keeps it from being ok, for people.
        radius_px: median over the map of the radius within which the true place lies with a probability of 68 %; NaN
            where nothing is known.
        support: share of the map that has agreeing candidates nearby, and where the images speak for it; ground without
            data does not count.
        agreeing: share of the candidates that the fit kept.
        margin: what the images say for the map beyond what chance gives away, see `contrast`; None where it was not
            looked at.
    """

    word: str
    reasons: tuple[str, ...]
    radius_px: float
    support: float
    agreeing: float
    margin: float | None = None

    @classmethod
    def of_facts(cls, facts: Mapping) -> Verdict:
        """That of a report: of `facts`, and of the numbers of candidates and of those that the fit kept."""
        radius, count = facts["radius_68_px"], facts["candidates"]
        return cls(
            facts["verdict"],
            tuple(facts["reasons"]),
            float("nan") if radius is None else radius,
            facts["support"],
            facts["inliers"] / count if count else 0.0,
            facts["evidence_margin"],
        )

    @property
    def ok(self) -> bool:
        """Whether it is neither weak nor failed."""
        return self.word == "ok"

    def known(self, fit: Fit) -> Fit:
        """The fit, without its radius where nothing is known of the errors."""
        return fit if np.isfinite(self.radius_px) else replace(fit, sigma=None)

    def line(self) -> str:
        """One line for people."""
        return f"verdict: {self.word}" + (f" ({'; '.join(self.reasons)})" if self.reasons else "")

    def facts(self) -> dict:
        """Entries of a report: numbers rounded, None for what is not known."""
        radius = round(self.radius_px, 2) if np.isfinite(self.radius_px) else None
        return {
            "verdict": self.word,
            "reasons": list(self.reasons),
            "radius_68_px": radius,
            "support": round(self.support, 3),
            "evidence_margin": round(self.margin, 3) if self.margin is not None and np.isfinite(self.margin) else None,
        }


def judge(
    fit: Fit,
    table: pd.DataFrame,
    shape: tuple[int, int],
    asked: Collection[str] = (),
    standing: Standing | None = None,
    masked: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Verdict:
    """The verdict on a fit.

    Args:
        fit: with its `sigma`, where it has one.
        table: the candidates, `outlier` filled.
        shape: (height, width) of the optical image.
        asked: sources that were to propose. That one of them found nothing is a bad sign: flow finds something in pure
            noise too, and agrees with itself there, but the matcher finds nothing.
        standing: what the images themselves say; None = they were not asked.
        masked: (N, 2) optical indices and shifts -> (N,) bool, ground without data, which needs no support; None =
            there is none.
    """
    kept = (table["outlier"] == "").to_numpy()
    agreeing = float(kept.mean()) if len(kept) else 0.0
    places = _places(shape)
    if masked is not None:
        places = places[~masked(places, fit.shift_at(places))]
    support = _support(table.loc[kept, ["x", "y"]].to_numpy(), places, SUPPORT_REACH * max(shape), standing)
    margin = standing.margin if standing is not None else None
    if fit.kind == "zero":
        return Verdict(
            "failed",
            ("no candidate to trust: the map is zero shift everywhere",),
            float("nan"),
            support,
            agreeing,
            margin,
        )
    if margin is not None and not margin >= _LEAST_WEAK_MARGIN:
        return Verdict("failed", (_WRONG_WORLD,), float("nan"), support, agreeing, margin)
    radius = float(np.median(fit.sigma)) if fit.sigma is not None else float("nan")
    levels, reasons = [_OK], []

    def weigh(bad: bool, hopeless: bool, reason: str) -> None:
        if bad or hopeless:
            levels.append(_FAILED if hopeless else _WEAK)
            reasons.append(reason)

    most = max(_MOST_OK_PX, _MOST_OK_M / fit.gsd_m) if fit.gsd_m else _MOST_OK_PX
    told = f"errors of {radius:.1f} px are to be expected" if np.isfinite(radius) else "nothing is known of its errors"
    weigh(not radius <= most, radius > _MOST_WEAK_PX, told)
    weigh(margin is not None and margin < _LEAST_OK_MARGIN, False, _HARDLY)
    if standing is not None:
        weigh(standing.block_margin < 0, False, _against(standing, shape))
    weigh(support < _LEAST_OK_SUPPORT, support < _LEAST_WEAK_SUPPORT, f"candidates support {support:.0%} of the map")
    weigh(agreeing < _LEAST_OK_SHARE, agreeing < _LEAST_WEAK_SHARE, f"{agreeing:.0%} of the candidates agree")
    silent = sorted(set(asked) - set(table.loc[kept, "source"]))
    weigh(bool(silent), 0 < len(silent) >= len(set(asked)) - 1 > 0, f"{' and '.join(silent)} found nothing")
    weigh(fit.kind != "field", False, f"there are only enough candidates for one {fit.kind}")
    return Verdict(WORDS[max(levels)], tuple(reasons), radius, support, agreeing, margin)


def _against(standing: Standing, shape: tuple[int, int]) -> str:
    """Where a map is likelier wrong than right, for people."""
    x, y = (min(int(3 * at / size), 2) for at, size in zip(standing.block_xy, shape[::-1], strict=True))
    place = " ".join(filter(None, [("upper", "", "lower")[y], ("left", "", "right")[x]])) or "middle"
    return f"the images speak against the map in its {place} part"


def worst(words: Iterable[str]) -> str:
    """The worst of several verdicts; ok where there is none."""
    return max(words, key=WORDS.index, default="ok")


def _places(shape: tuple[int, int]) -> np.ndarray:
    """(N, 2) a lattice over the map."""
    axes = (np.linspace(0, size - 1, _PLACES) for size in shape[::-1])
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)


def _support(xy: np.ndarray, places: np.ndarray, reach_px: float, standing: Standing | None) -> float:
    """Share of places (N, 2) that lie within reach of a candidate, and where the images speak for the map."""
    if not len(xy) or not len(places):
        return 0.0
    distance, _ = cKDTree(xy).query(places)
    supported = distance <= reach_px
    if standing is not None:
        supported &= standing.clear_at(places)
    return float(supported.mean())
