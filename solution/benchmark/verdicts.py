"""Whether verdicts can be believed: pairs that can be registered and pairs that cannot, by what the product says of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from rich import box
from rich.table import Table

from solution.benchmark.decoys import TRUE, Case, cases
from solution.benchmark.run import teams_for
from solution.core.artefact import read_noted
from solution.core.errors import InputError
from solution.core.writing import scratch_folder, write_text
from solution.data.scene import ScenePair, open_pair
from solution.field.verdict import WORDS
from solution.products.predict import predict_pair, prediction_key
from solution.products.settings import Settings
from solution.scoring.score import distances_px, predicted_shift, reference

RESULTS = "verdicts.json"
REFUSED = "refused"
RADIUS_95 = 1.62
"""Times the 68 % radius, for errors that are normal along both axes."""

Found = dict[str, dict]
"""Name of a case -> its kind, verdict, and, for true pairs, the error."""


def run(pairs: Sequence[ScenePair], settings: Settings, out: Path, say: Callable[[str], None]) -> Found:
    """Predict every case of labelled pairs; what is finished is kept in ``verdicts.json``.

    Args:
        settings: of the prediction; the teams are those that never saw the optical image's scene.
        say: gets one line per case.
    """
    kept, found, everything = read_noted(out / RESULTS), {}, list(cases(pairs))
    for number, case in enumerate(everything, 1):
        with scratch_folder(out / "case") as work:
            found[case.name] = _judged(case, settings, work, kept.get(case.name, {}))
        say(f"{number} of {len(everything)}: {case.name}: {found[case.name]['verdict']}")
        if found[case.name] is not kept.get(case.name):
            write_text(out / RESULTS, json.dumps({**kept, **found}, indent=1) + "\n")
    return found


def _judged(case: Case, settings: Settings, work: Path, before: dict) -> dict:
    """What the product says of a case: `before`, where that is still true."""
    settings = replace(settings, teams=teams_for(case.pair, settings.folds), uncertainty=True)
    try:
        pair = open_pair(case.pair.optical, case.sar(work), name=case.name)
        key = prediction_key(pair, settings)
        if before.get("key") == key:
            return before
        result = predict_pair(pair, work / "map.tif", settings, say=lambda _: None)
    except InputError as error:
        return {"kind": case.kind, "verdict": REFUSED, "reason": str(error)}
    report = read_noted(work / "map.report.json")
    answer = {"kind": case.kind, "verdict": result.verdict, "margin": report["evidence_margin"], "key": key}
    return {**answer, **_errors(case.pair, work)} if case.kind == TRUE else answer


def _errors(pair: ScenePair, work: Path) -> dict:
    """The mean error of a map at the tie-points, px, and the share of them within its radii."""
    truth = reference(pair.tiepoints_csv, pair.optical, pair.sar)
    error = distances_px(predicted_shift(work / "map.tif", truth), truth)
    told = {"mean_px": round(float(error.mean()), 3)}
    if (work / "map.sigma.tif").is_file():
        with rasterio.open(work / "map.sigma.tif") as dataset:
            radius = dataset.read(1)[tuple(truth.xy.astype(int).T[::-1])]
        told |= {"in_68": float(np.mean(error <= radius)), "in_95": float(np.mean(error <= RADIUS_95 * radius))}
    return told


def table(found: Found) -> Table:
    """Kinds of pairs in rows, what was said of them in columns; of the true ones that were called ok, the errors."""
    shown = Table(box=box.SIMPLE, pad_edge=False)
    shown.add_column("pairs", no_wrap=True)
    for title in ("number", *WORDS, REFUSED, "largest margin", "ok: mean px", "ok: worst px", "in 68 %", "in 95 %"):
        shown.add_column(title, justify="right", no_wrap=True)
    for kind in dict.fromkeys(answer["kind"] for answer in found.values()):
        answers = [answer for answer in found.values() if answer["kind"] == kind]
        words = [answer["verdict"] for answer in answers]
        margins = [answer["margin"] for answer in answers if answer.get("margin") is not None]
        errors = [answer["mean_px"] for answer in answers if answer["verdict"] == "ok" and "mean_px" in answer]
        inside = [[answer[name] for answer in answers if name in answer] for name in ("in_68", "in_95")]
        shown.add_row(
            kind,
            str(len(answers)),
            *(str(words.count(word)) for word in (*WORDS, REFUSED)),
            f"{max(margins):.2f}" if margins else "-",
            *((f"{np.mean(errors):.2f}", f"{max(errors):.2f}") if errors else ("-", "-")),
            *(f"{np.mean(shares):.0%}" if shares else "-" for shares in inside),
        )
    return shown
