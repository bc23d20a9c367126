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
ErrorsOfScenes = Mapping[str, Mapping[str, float]]
"""Scene -> mean error of its map in px, by what the fit goes by (``confidence``, ``reranker``, ...)."""


def note(folds: Path, team_of: Mapping[str, str], errors: ErrorsOfScenes) -> None:
    """Add the errors of maps to the report of the teams that held the scenes out.

    Args:
        folds: folder of the teams, with their report.
        team_of: scene -> name of its team.
    """
    path = folds / REPORT
    reports = json.loads(path.read_text())
    for scene, found in errors.items():
        reports[team_of[scene]].setdefault(_MAPS, {})[scene] = dict(found)
    write_text(path, json.dumps(reports, indent=1) + "\n")


def harm(errors: ErrorsOfScenes) -> str | None:
    """One clause that says how rerankers make maps worse; None where they do not, or where nothing was measured."""
    if not errors:
        return None
    without, judged = (float(np.mean([of[way] for of in errors.values()])) for way in ("confidence", "reranker"))
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
        found = harm({scene: of for report in reports.values() for scene, of in report.get(_MAPS, {}).items()})
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is not a report of this version; make it anew with: python -m solution train-reranker DATA_DIR"
        ) from error
    if found:
        raise InputError(f"{folds}: has {found}; leave out --rerank, or train them on more scenes")
