"""What the contest would say of what the stages left: is the zip taken, and the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from solution.benchmark.rehearsal.commands import ZIP, Rehearsal
from solution.benchmark.rehearsal.scenes import SCENES, TRAIN
from solution.core.artefact import read_noted
from solution.data import naming
from solution.data.finding import discover
from solution.data.scene import ScenePair
from solution.scoring import admission, score
from solution.teams.team import SCORES

_PROTOCOL = "leave_one_scene_out"


def out_of_fold(plan: Rehearsal) -> dict[str, dict]:
    """Labelled scene -> mean errors ``error_px`` and ``zero_px`` of the map by the team that never saw it, as score-folds
    left them."""
    rows = read_noted(plan.folds / SCORES).get(_PROTOCOL, {})
    names = [scene.name for scene in SCENES if scene.part == TRAIN]
    return {
        name: {"error_px": rows[name]["pipeline_px"], "zero_px": rows[name]["zero_shift_px"]}
        for name in sorted(names)
        if name in rows
    }


def judged(plan: Rehearsal, part: str) -> tuple[list[str], dict[str, dict]]:
    """What is wrong with the submission of a test part, and its scores, read from the zip.

    Returns:
        Sentences, as `admission.refusals`; and by scene `scores`.

    Raises:
        InputError: unreadable files.
    """
    pairs, archive = discover(plan.hidden(part)), plan.submission(part) / ZIP
    refused = admission.refusals(archive, {pair.name: pair.optical for pair in pairs})
    return refused, {} if refused else {pair.name: scores(pair, archive) for pair in pairs}


def scores(pair: ScenePair, archive: Path) -> dict:
    """The errors of a map of a submission, and of zero shift.

    Returns:
        ``points``, and means in px: ``error_px`` and ``zero_px`` against the clicked tie-points, as the contest scores;
            ``exact_px`` against the exact truth at the same places.
    """
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    found = score.predicted_shift(admission.map_in_zip(archive, pair.name), truth)
    exact = score.predicted_shift(naming.beside(pair.optical, "truth"), truth)
    return {
        "points": len(truth.rows),
        "error_px": float(score.distances_px(found, truth).mean()),
        "zero_px": float(score.distances_px(np.zeros_like(truth.shift), truth).mean()),
        "exact_px": float(np.linalg.norm(found.astype(np.float64) - exact, axis=1).mean()),
    }
