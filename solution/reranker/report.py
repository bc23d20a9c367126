"""How good a reranker is on scenes that it never saw: AUC, average precision, calibration, and what the features gain.

All figures weigh each tie-point the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from solution.core.writing import atomic_path
from solution.reranker.features import FAMILIES
from solution.reranker.model import Labelled, Reranker

_BINS = 10  # of the calibration curve
_TOP = 20  # features in the figure


def auc(score: np.ndarray, right: np.ndarray, weight: np.ndarray) -> float:
    """Area under the ROC curve: weighted probability that a right row scores above a wrong one, ties counting half.

    All arguments are (N,); NaN without both kinds of rows.
    """
    _, rank = np.unique(score, return_inverse=True)
    good, bad = (np.bincount(rank, weight * kind, rank.max(initial=0) + 1) for kind in (right, ~right))
    pairs = good.sum() * bad.sum()
    return float((good * (np.cumsum(bad) - bad / 2)).sum() / pairs) if pairs > 0 else float("nan")


def average_precision(score: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean precision over the wanted rows, best scores first, rows of equal score at once.

    All arguments are (N,); NaN without wanted rows.
    """
    _, rank = np.unique(-score, return_inverse=True)
    hit, seen = (np.bincount(rank, weight * kind, rank.max(initial=0) + 1) for kind in (wanted, np.ones_like(wanted)))
    total = hit.sum()
    return float((hit * np.cumsum(hit) / np.cumsum(seen)).sum() / total) if total > 0 else float("nan")


def calibration_curve(quality: np.ndarray, right: np.ndarray, weight: np.ndarray) -> list[dict[str, float]]:
    """Ten bins of equal width: mean quality, share of right rows, share of all weight; empty bins are left out."""
    number = np.minimum((quality * _BINS).astype(np.int64), _BINS - 1)
    curve = []
    for one in np.unique(number):
        rows = number == one
        share = weight[rows] / weight[rows].sum()
        part = float(weight[rows].sum() / weight.sum())
        curve.append(
            {
                "predicted": float(share @ quality[rows]),
                "observed": float(share @ right[rows]),
                "share": part,
                "rows": int(rows.sum()),
            }
        )
    return curve


def evaluate(reranker: Reranker, scenes: Sequence[Labelled]) -> dict:
    """Judge a reranker on labelled scenes that it never saw, without the rows between tau and 2 tau.

    Returns:
        Plain values: ``scenes``, ``rows``, ``tie_points``, ``right`` (share), ``auc``, ``average_precision``
        (of right rows) and ``average_precision_wrong`` (of finding wrong ones), the same three of the proposers' raw
        confidence (``confidence_...``), ``calibration`` (as `calibration_curve`), ``calibration_error`` (mean gap
        between what is predicted and what is observed), ``gain`` (feature -> share) and ``gain_of_family``.

    Raises:
        InputError: the reranker saw a scene.
    """
    for scene in scenes:
        reranker.manifest.guard_held_out(scene.scene)
    used = [scene for scene in (scene.decided(reranker.config) for scene in scenes) if len(scene.error_px)]
    if not used:
        return {"scenes": [scene.scene for scene in scenes], "rows": 0, "tie_points": 0}
    quality, right, weight, confidence = (
        np.concatenate(parts)
        for parts in zip(
            *(
                (reranker.quality(s.features), s.error_px <= reranker.config.tau_px, s.weight(), s.confidence)
                for s in used
            ),
            strict=True,
        )
    )
    curve = calibration_curve(quality, right, weight)
    gains = reranker.gains()
    figures = {
        "right": float(np.average(right, weights=weight)),
        **_separation("", quality, right, weight),
        **_separation("confidence_", confidence, right, weight),
        "calibration_error": sum(row["share"] * abs(row["predicted"] - row["observed"]) for row in curve),
    }
    return {
        "scenes": [scene.scene for scene in used],
        "rows": len(right),
        "tie_points": int(sum(len(np.unique(scene.tie_point)) for scene in used)),
        **{name: _rounded(value) for name, value in figures.items()},
        "calibration": [{name: _rounded(value) for name, value in row.items()} for row in curve],
        "gain": {name: _rounded(value) for name, value in gains.items()},
        "gain_of_family": {family: _rounded(gains[list(names)].sum()) for family, names in FAMILIES.items()},
    }


def _separation(prefix: str, score: np.ndarray, right: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    return {
        f"{prefix}auc": auc(score, right, weight),
        f"{prefix}average_precision": average_precision(score, right, weight),
        f"{prefix}average_precision_wrong": average_precision(-score, ~right, weight),
    }


def _rounded(value: float) -> float | None:
    """JSON knows no NaN."""
    return round(float(value), 4) if np.isfinite(value) else None


def line(report: Mapping) -> str:
    """One line for people."""
    if not report["rows"]:
        return "no labelled candidates to judge it by"
    shown = {
        name: "-" if report[name] is None else f"{report[name]:.3f}"
        for name in ("auc", "confidence_auc", "average_precision", "calibration_error")
    }
    return (
        f"AUC {shown['auc']} (confidence alone {shown['confidence_auc']}), average precision {shown['average_precision']}, "
        f"calibration error {shown['calibration_error']} on {report['rows']} candidates around {report['tie_points']} tie-points"
    )


def save_figure(path: Path, reports: Mapping[str, Mapping]) -> None:
    """Draw the calibration curves of all teams and the features that gain most on average.

    Args:
        path: PNG or JPEG.
        reports: team name -> what `evaluate` returned; teams without rows are left out.
    """
    reports = {name: report for name, report in reports.items() if report["rows"]}
    figure = Figure(figsize=(12, 6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, report in reports.items():
        columns = [[row[key] for row in report["calibration"]] for key in ("predicted", "observed", "share")]
        drawn = left.plot(*columns[:2], linewidth=1, label=f"team {name}, AUC {report['auc']}")
        left.scatter(*columns[:2], s=[200 * share + 5 for share in columns[2]], color=drawn[0].get_color())
    left.set(
        xlabel="quality",
        ylabel="observed share of right candidates",
        title="Calibration on held-out scenes",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    gains: dict[str, float] = {}
    for report in reports.values():
        for name, gain in report["gain"].items():
            gains[name] = gains.get(name, 0.0) + gain / len(reports)
    top = sorted(gains.items(), key=lambda item: item[1])[-_TOP:]
    right.barh([name for name, _ in top], [gain for _, gain in top], color="0.4")
    right.set(xlabel="share of gain", title=f"The {_TOP} features that gain most")
    if reports:
        left.legend(loc="lower right")
    with atomic_path(Path(path)) as temporary:
        figure.savefig(temporary, dpi=110)
