"""What rerankers are worth to the map: measured when they are trained, and asked before they are used.

Few scenes teach a reranker to doubt nearly every match of a scene unlike them, and a fit of what it leaves is worse than
none. So rerankers that made the maps of scenes they never saw worse are not used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from solution.core.errors import InputError
from solution.core.writing import write_text

REPORT = "reranker.json"
"""Team -> what is known of its reranker, beside the teams."""
_MAPS = "map_px"
_HARM = 1.1  # times the error without them: beyond what chance does to a map
Errors = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Team -> scene that it held out -> mean error of the map in px, by what the fit goes by (``confidence``, ``reranker``, ...)."""


def note(folds: Path, errors: Errors) -> None:
    """Add the errors of maps to the report that lies beside the teams."""
    path = folds / REPORT
    reports = json.loads(path.read_text())
    for team, found in errors.items():
        reports[team][_MAPS] = found
    write_text(path, json.dumps(reports, indent=1) + "\n")


def harm(errors: Errors) -> str | None:
    """One clause that says how rerankers make maps worse; None where they do not, or where nothing was measured."""
    maps = [of for scenes in errors.values() for of in scenes.values()]
    if not maps:
        return None
    without, judged = (float(np.mean([of[way] for of in maps])) for way in ("confidence", "reranker"))
    if judged <= _HARM * without:
        return None
    return f"rerankers that make the maps of scenes they never saw worse ({judged:.2f} px, {without:.2f} without them)"


def check(folds: Path) -> None:
    """That the rerankers of a folder of teams did no harm, as far as that was measured.

    Raises:
        InputError: they did.
    """
    path = folds / REPORT
    if not path.is_file():
        return
    try:
        reports = json.loads(path.read_text())
        found = harm({team: report.get(_MAPS, {}) for team, report in reports.items()})
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is not a report of this version; make it anew with: python -m solution train-reranker DATA_DIR"
        ) from error
    if found:
        raise InputError(f"{folds}: has {found}; leave out --rerank, or train them on more scenes")
