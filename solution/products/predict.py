"""Prediction: every team proposes, the tables are put together, one fit, one map. Finished parts are kept, so that a
killed run goes on."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from solution import __version__
from solution.core.artefact import WORK, digest, file_hash, read_noted
from solution.core.code import code_digest
from solution.core.devices import torch_device
from solution.core.errors import InputError
from solution.core.memory import forget_peak, peak_gb
from solution.core.outputs import check_outputs
from solution.core.progress import Progress
from solution.core.stopwatch import Stopwatch
from solution.data import naming
from solution.data.finding import discover
from solution.data.scene import ScenePair, open_pair, without_labels
from solution.field import candidates, fitting, verdict
from solution.field.rasters import COG, CONTEST
from solution.products.outputs import Outputs
from solution.products.proposals import Proposals
from solution.products.settings import Settings
from solution.products.tiepoints.files import is_format
from solution.proposers.runtimes import every as runtimes
from solution.reranker import worth
from solution.reranker.model import FILE as RERANKER
from solution.reranker.model import Reranker
from solution.scoring import score, score_tables
from solution.scoring.submission import build_zip, map_name
from solution.surface.ground import Ground, check_model
from solution.surface.network import PatchClassifier, load_classifier
from solution.teams.propose import Networks
from solution.teams.voice import Voice

_FORMS = "predict takes nothing, DATA_DIR, or OPTICAL SAR OUTPUT"
_AS_FITTED = fitting.FitConfig(unseen_m=0.0)
"""How the map stands out from decoys says better what all sources get wrong alike."""


@dataclass(frozen=True)
class Prediction:
    """What a prediction left behind.

    Attributes:
        map_path: the offset map.
        verdict: one of `verdict.WORDS`.
        line: one line for people.
        skipped: whether it was there already.
    """

    map_path: Path
    verdict: str
    line: str
    skipped: bool

    def report(self) -> dict:
        """What the report beside the map says."""
        return read_noted(Outputs.of(self.map_path).report)


def predict_pair(
    pair: ScenePair,
    out: Path,
    settings: Settings,
    progress: Progress | None = None,
    say: Callable[[str], None] = print,
    networks: Networks | None = None,
) -> Prediction:
    """Predict one scene and write its map, unless a finished one with the same inputs, weights, settings and code is
    there and whole.

    Args:
        pair: its labels, if there are any, are not looked at.
        out: path of the offset map; ``NAME.candidates.parquet`` and ``NAME.report.json`` go beside it, and on request
            ``NAME.sar.tif``, ``NAME.sigma.tif``, ``NAME.gcps.vrt``, ``NAME.html``, ``NAME.stac.json`` and tie-points.
        networks: loaded ones of the same weights and device, to be used again; None = loaded for this scene alone.

    Raises:
        InputError: bad images or weights.
    """
    files = outputs_of(out, settings)
    files.check(pair, [settings.surface_model])
    pair, watch = without_labels(pair), Stopwatch()
    judges = _judges(settings)
    surface = _surface_model(pair, settings)
    key = _key(pair, settings, judges)
    before = files.finished(key)
    if before:
        files.renew(before, pair, say)
        return Prediction(
            files.map, before["verdict"], f"{files.map}: up to date, skipped; its verdict is {before['verdict']}", True
        )

    for line in _looked_at(pair):
        say(line)
    with watch.part("surface"):
        ground = Ground.of(pair, surface, progress, by_statistics=not settings.keep_water)
    work = files.map.parent / WORK / f"{files.map.stem}_{key}"
    proposals = Proposals(pair, ground, settings, work, watch, progress, say, networks)
    table = candidates.concat([proposals.of_voice(voice, judges.get(voice)) for voice in settings.voices])
    with watch.part("fit"):
        fit, table = fitting.fit(table, pair.shape, pair.gsd_m, _AS_FITTED, ground.moves(table))
    fit = proposals.detailed(fit)
    standing = proposals.contrast().of(fit)
    fit = standing.widened(fit)
    found = verdict.judge(fit, table, pair.shape, settings.asked(), standing, pair.masked)
    with watch.part("write"):
        facts = {**_about(pair, settings, key), **told(fit, found, table), **_made(watch)}
        files.write(found.known(fit), table, pair, facts, say)
    _tidy(work)
    say(f"{pair.name}: {fit.summary()}, {found.line()}")
    line = f"{files.map}: written in {watch.total_s:.0f} s ({watch.line()}; peak memory {peak_gb():.1f} GB)"
    return Prediction(files.map, found.word, line, False)


class _UnusableError(InputError):
    """The images of one pair are broken, or of no use together, which says nothing of other pairs."""


def _looked_at(pair: ScenePair) -> list[str]:
    """Check both images -> what people should know of how they are read. Raises `_UnusableError`."""
    try:
        pair.check()
        return pair.remarks()
    except InputError as error:
        raise _UnusableError(str(error)) from error


def _judges(settings: Settings) -> dict[Voice, Reranker]:
    """The rerankers that are asked for. Raises `InputError` where they are missing, or do harm."""
    if not settings.rerank:
        return {}
    worth.check(settings.folds)
    return {one: Reranker.load(one.folders[0] / RERANKER) for one in settings.voices}


def outputs_of(out: Path, settings: Settings) -> Outputs:
    """The files of a prediction with these settings, by the path of its map. Raises `InputError` as `Outputs.of`."""
    more = {
        "wants_gcps": settings.gcps,
        "wants_page": settings.report,
        "wants_item": settings.stac,
        "layout": settings.layout or COG,
        "resampling": settings.resampling,
    }
    return Outputs.of(out, settings.warped_sar, settings.uncertainty, settings.tiepoints, **more)


def prediction_key(pair: ScenePair, settings: Settings) -> str:
    """What the report of a prediction without rerankers holds as its key: it changes with all that the map depends on.

    Raises:
        InputError: missing or unreadable weights.
    """
    return _key(without_labels(pair), settings, {})


def _surface_model(pair: ScenePair, settings: Settings) -> PatchClassifier | None:
    if not settings.surface_model:
        return None
    model = load_classifier(settings.surface_model, torch_device(settings.device))[0]
    check_model(pair, model)
    return model


def _about(pair: ScenePair, settings: Settings, key: str) -> dict:
    """What the report says of the run."""
    extras = {
        "layout": settings.layout or COG,
        "warped_sar": settings.warped_sar,
        "uncertainty": settings.uncertainty,
        "gcps": settings.gcps,
        "runtime": settings.runtime,
    }
    teams = [folder.name for folder in settings.folders()]
    return {"scene": pair.name, "inputs": pair.inputs(), "teams": teams, **extras, "key": key}


def told(fit: fitting.Fit, found: verdict.Verdict, table: pd.DataFrame) -> dict:
    """What the report says of the fit and of what led to it."""
    return {
        "fit": fit.kind,
        **found.facts(),
        "candidates": len(table),
        "inliers": fit.inliers,
        "outliers": {
            str(reason): int(count) for reason, count in sorted(table["outlier"].value_counts().items()) if reason
        },
        "residual_px": round(fit.residual_px, 3) if np.isfinite(fit.residual_px) else None,
        "gsd_m": round(fit.gsd_m, 4),
        "sources": {str(source): int(count) for source, count in table["source"].value_counts().sort_index().items()},
    }


def _made(watch: Stopwatch) -> dict:
    """What the report says of this run; all that differs from one run to the next stands in here."""
    run = {
        "version": __version__,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {part: round(value, 1) for part, value in watch.seconds.items()},
        "peak_memory_gb": round(peak_gb(), 2),
    }
    return {"run": run}


def _tidy(work: Path) -> None:
    """Unfinished parts go; those of other scenes or settings stay."""
    shutil.rmtree(work, ignore_errors=True)
    with contextlib.suppress(OSError):
        work.parent.rmdir()


def _key(pair: ScenePair, settings: Settings, judges: Mapping[Voice, Reranker]) -> str:
    """Hash of all that a prediction depends on: input files, weights, settings, code."""
    voices = [(voice.name, settings.proposing.facts(voice)) for voice in settings.voices]
    form = [settings.layout or COG, settings.resampling]
    facts = [pair.name, pair.fingerprint(), voices, form, code_digest(predict_pair)]
    if judges:
        facts.append([judge.digest() for judge in judges.values()])
    if settings.surface_model:
        facts.append(file_hash(settings.surface_model))
    if settings.keep_water:
        facts.append("keep_water")
    facts += runtimes.facts(settings.runtime)
    return digest(facts)


def submission_pairs(pairs: Sequence[ScenePair], folder: Path) -> list[ScenePair]:
    """The pairs that a submission is about: the named test scenes, or, without any, every unlabelled pair."""
    chosen = [pair for pair in pairs if naming.rest_of(pair.name).startswith(("publictest", "privatetest"))]
    chosen = chosen or [pair for pair in pairs if pair.tiepoints_csv is None]
    if not chosen:
        raise InputError(
            f"{folder}: holds no test pair (AA_optical_publictest.tif, ...) and no unlabelled one; pass --all to predict the labelled ones too"
        )
    return chosen


def run(
    inputs: Sequence[Path],
    out: Path,
    settings: Settings,
    every: bool,
    progress: Progress | None,
    say: Callable[[str], None],
    show: Callable[[Table, Sequence[score.PairScore]], None] = score_tables.show,
) -> list[Prediction]:
    """The three forms of the command.

    Args:
        inputs: nothing (the embedded default), a folder, or optical image, SAR image and output.
        out: folder of the maps in the first two forms.
        every: predict labelled scenes too.
        show: gets the table of scores of labelled scenes.
    """
    if len(inputs) == 3:
        result = predict_pair(open_pair(inputs[0], inputs[1]), inputs[2], settings, progress, say)
        say(result.line)
        return [result]
    if len(inputs) > 1:
        raise InputError(f"{inputs[-1]}: {_FORMS}")
    if not all(map(is_format, settings.tiepoints)):
        raise InputError(
            f"{settings.tiepoints[0]}: is one file for the tie-points of all scenes; name a format alone, for example: --tiepoints gpkg"
        )
    if inputs and inputs[0].is_file():
        raise InputError(f"{inputs[0]}: is a file alone; {_FORMS}")
    folder = inputs[0] if inputs else _embedded(out / "sample", say)
    found = discover(folder)
    pairs = list(found) if every or not inputs else submission_pairs(found, folder)
    results = _predict_folder(pairs, out, settings, progress, say)
    labelled = [pair for pair in pairs if pair.tiepoints_csv]
    if labelled:
        scores = score.score_pairs(labelled, out)
        show(score_tables.folder_table(scores), scores)
    return results


def _embedded(folder: Path, say: Callable[[str], None]) -> Path:
    """The folder with the embedded default."""
    from solution.products import embedded  # not above: most predictions simulate nothing

    return embedded.make(folder, say)


def _check_room(pairs: Sequence[ScenePair], out: Path, archive: Path | None, settings: Settings) -> None:
    """Raise `InputError` where a file of any pair cannot be written, before hours are spent on the first."""
    needs = 0
    for pair in pairs:
        files = outputs_of(out / map_name(pair.name), settings)
        files.check(pair, [settings.surface_model])
        needs += files.needs(pair) * (not files.map.is_file())
    check_outputs([archive], [], needs)


def _predict_folder(
    pairs: Sequence[ScenePair],
    out: Path,
    settings: Settings,
    progress: Progress | None,
    say: Callable[[str], None],
) -> list[Prediction]:
    settings = replace(settings, layout=settings.layout or CONTEST)
    results, archive = {}, out / "submission.zip" if settings.layout == CONTEST else None
    left_out: list[str] = []
    _check_room(pairs, out, archive, settings)
    for number, pair in enumerate(pairs, 1):
        say(f"{pair.name}: scene {number} of {len(pairs)}")
        forget_peak()  # and give back what the scene before has left: it would be more with every scene
        try:
            results[pair.name] = predict_pair(pair, out / map_name(pair.name), settings, progress, say)
            say(results[pair.name].line)
        except _UnusableError as error:
            left_out.append(str(error))
            say(f"{pair.name}: left out: {error}")
    if left_out:
        others = f" ({len(left_out)} of {len(pairs)} scenes are left out, the maps of the others are in {out})"
        raise InputError(left_out[0] + others * (len(pairs) > 1))
    if archive is not None:
        build_zip({name: result.map_path for name, result in results.items()}, archive)
        say(f"{archive}: {len(results)} map(s) in the contest's layout")
    return list(results.values())
