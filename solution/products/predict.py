"""Prediction: every team proposes, the tables are put together, one fit, one map. Finished parts are kept, so that a killed run goes on."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from solution.core import artefact
from solution.core.devices import torch_device
from solution.core.errors import InputError
from solution.core.progress import Progress
from solution.data.finding import discover
from solution.data.scene import ScenePair, open_pair, without_labels
from solution.field import candidates, fitting, offset_map, verdict
from solution.products import embedded
from solution.reranker.model import FILE as RERANKER
from solution.reranker.model import Reranker, rank
from solution.scoring import score, score_tables
from solution.scoring.submission import build_zip, map_name
from solution.surface.ground import Ground, check_model
from solution.surface.network import load_classifier
from solution.teams.propose import Proposer, Proposing
from solution.training.stages import FLOW

_WORK = ".work"


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


@dataclass(frozen=True)
class Settings:
    """How to predict.

    Attributes:
        folds: folder of the teams.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        teams: names of the teams that propose; empty = all fold teams below `folds`.
        warped_sar: also write the SAR image on the optical grid.
        uncertainty: also write the 68 % radius of the map's error.
        rerank: let each team's reranker judge its candidates before the fit.
        surface_model: weights of a surface classifier, which also says where the SAR image shows water or ice.
        keep_water: do not take smooth dark ground of the SAR image for water.
        proposing: sources and how they work.
    """

    folds: Path
    device: str = "auto"
    teams: tuple[str, ...] = ()
    warped_sar: bool = False
    uncertainty: bool = False
    rerank: bool = False
    surface_model: Path | None = None
    keep_water: bool = False
    proposing: Proposing = field(default_factory=Proposing)

    def folders(self) -> list[Path]:
        """The folders of the teams. Raises `InputError` where there are none."""
        names = self.teams or tuple(sorted(path.parent.name for path in self.folds.glob(f"[0-9]*/{FLOW.file}")))
        if not names:
            raise InputError(
                f"{self.folds}: holds no team (N/{FLOW.file}); train with ./train.sh DATA, or restore the shipped ones with: git checkout -- folds"
            )
        return [self.folds / name for name in names]


def predict_pair(
    pair: ScenePair, out: Path, settings: Settings, progress: Progress | None = None, say: Callable[[str], None] = print
) -> Prediction:
    """Write the offset map of a pair, and beside it its candidates and a report.

    Args:
        pair: labels, if any, are not looked at.
        out: the map, ``NAME.tif``; ``NAME.candidates.parquet`` and ``NAME.report.json`` go beside it, and on request ``NAME.sar.tif`` and
            ``NAME.sigma.tif``.

    Raises:
        InputError: bad images or weights.
    """
    pair, out = without_labels(pair), Path(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{out}: the offset map is a GeoTIFF; give it a name that ends in .tif")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; give the offset map another name")
    started = time.perf_counter()
    folders = settings.folders()
    judges = {folder: Reranker.load(folder / RERANKER) for folder in folders} if settings.rerank else {}
    device = torch_device(settings.device)
    surface = load_classifier(settings.surface_model, device)[0] if settings.surface_model else None
    if surface is not None:
        check_model(pair, surface)
    key = _key(pair, settings, folders, judges)
    report_path, table_path, warped, sigma = (
        out.with_name(out.stem + end) for end in (".report.json", ".candidates.parquet", ".sar.tif", ".sigma.tif")
    )
    extras = {"warped_sar": settings.warped_sar, "uncertainty": settings.uncertainty}
    wanted = [out, table_path, *([warped] if settings.warped_sar else []), *([sigma] if settings.uncertainty else [])]
    before = _finished(report_path, key)
    if before and before["fit"] == "zero":
        wanted = [path for path in wanted if path != sigma]  # nothing is known of its errors
    if before and all(before.get(name, False) >= asked for name, asked in extras.items()) and all(path.is_file() for path in wanted):
        return Prediction(out, before["verdict"], f"{out}: up to date, skipped; its verdict is {before['verdict']}", True)
    pair.check()
    work = out.parent / _WORK / f"{out.stem}_{key}"
    tick = time.perf_counter()
    ground = Ground.of(pair, surface, progress, by_statistics=not settings.keep_water)
    tables, seconds = [], {"surface": time.perf_counter() - tick}
    for folder in folders:
        tables.append(_team_proposes(folder, judges.get(folder), pair, ground, settings, work, seconds, progress, say))
    tick = time.perf_counter()
    table = candidates.concat(tables)
    fit, table = fitting.fit(table, pair.shape, pair.gsd_m, moving=ground.moves(table))
    seconds["fit"] = time.perf_counter() - tick
    tick = time.perf_counter()
    for path in (report_path, sigma):  # they speak of a map that is now replaced
        path.unlink(missing_ok=True)
    candidates.write(table_path, table)
    offset_map.write_map(out, fit, pair)
    if settings.warped_sar:
        offset_map.write_warped_sar(warped, fit, pair)
    if settings.uncertainty and fit.sigma is not None:
        offset_map.write_uncertainty(sigma, fit, pair)
    seconds["write"] = time.perf_counter() - tick
    asked = {source for folder in folders for source in settings.proposing.of_team(folder)} & set(candidates.LEARNED)
    found = verdict.judge(fit, table, pair.shape, asked)
    facts = {"scene": pair.name, "teams": [folder.name for folder in folders], **_told(fit, found, table), **extras, "key": key}
    artefact.write_text(report_path, json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    with contextlib.suppress(OSError):  # parts of other scenes or settings stay
        work.parent.rmdir()
    took = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)  # bytes, or kB
    say(f"{pair.name}: {fit.summary()}, {found.line()}")
    return Prediction(
        out, found.word, f"{out}: written in {time.perf_counter() - started:.0f} s ({took}; peak memory {peak:.1f} GB)", False
    )


def _told(fit: fitting.Fit, found: verdict.Verdict, table: pd.DataFrame) -> dict:
    """What the report says of the fit and of what led to it."""
    return {
        "fit": fit.kind,
        **found.facts(),
        "candidates": len(table),
        "inliers": fit.inliers,
        "outliers": {str(reason): int(count) for reason, count in sorted(table["outlier"].value_counts().items()) if reason},
        "residual_px": round(fit.residual_px, 3) if np.isfinite(fit.residual_px) else None,
        "gsd_m": round(fit.gsd_m, 4),
        "sources": {str(source): int(count) for source, count in table["source"].value_counts().sort_index().items()},
    }


def _team_proposes(
    folder: Path,
    judge: Reranker | None,
    pair: ScenePair,
    ground: Ground,
    settings: Settings,
    work: Path,
    seconds: dict[str, float],
    progress: Progress | None,
    say: Callable[[str], None],
) -> pd.DataFrame:
    """A team's candidates, source by source, judged by its reranker if there is one; what an earlier run left in `work` is kept. Adds to the seconds."""

    def kept(source: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        part, tick = work / f"{source}_{folder.name}.parquet", time.perf_counter()
        if part.is_file():
            say(f"{pair.name}: team {folder.name} proposed ({source}) before the run was stopped, kept")
        else:
            candidates.write(part, make())
        table = candidates.read(part)
        seconds[source] = seconds.get(source, 0.0) + time.perf_counter() - tick
        return table

    table = Proposer(folder, settings.proposing, torch_device(settings.device), progress).propose(pair, kept)
    if judge is None or table.empty:
        return table
    return kept("rerank", lambda: rank(pair, table, judge, ground=ground))


def _key(pair: ScenePair, settings: Settings, folders: Sequence[Path], judges: Mapping[Path, Reranker]) -> str:
    """Hash of all that a prediction depends on: input files, weights, settings."""
    facts = [pair.name, pair.fingerprint(), [(folder.name, settings.proposing.facts(folder)) for folder in folders]]
    if judges:
        facts.append([judges[folder].digest() for folder in folders])
    if settings.surface_model:
        facts.append(artefact.file_hash(settings.surface_model))
    if settings.keep_water:
        facts.append("keep_water")
    return artefact.digest(facts)


def _finished(report_path: Path, key: str) -> dict | None:
    """The report of an earlier run with the same key, or None."""
    try:
        report = json.loads(report_path.read_text())
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) and report.get("key") == key and "verdict" in report else None


def submission_pairs(pairs: Sequence[ScenePair], folder: Path) -> list[ScenePair]:
    """The pairs that a submission is about: the named test scenes, or, without any, every unlabelled pair."""
    chosen = [pair for pair in pairs if pair.name[3:].startswith(("publictest", "privatetest"))]
    chosen = chosen or [pair for pair in pairs if pair.tiepoints_csv is None]
    if not chosen:
        raise InputError(
            f"{folder}: holds no test pair (AA_optical_publictest.tif, ...) and no unlabelled one; pass --all to predict the labelled ones too"
        )
    return chosen


def run(
    inputs: Sequence[Path], out: Path, settings: Settings, every: bool, progress: Progress | None, say: Callable[[str], None]
) -> list[str]:
    """The three forms of the command.

    Args:
        inputs: nothing (the embedded default), a folder, or optical image, SAR image and output.
        out: folder of the maps in the first two forms.
        every: predict labelled scenes too.

    Returns:
        Verdicts.
    """
    if len(inputs) == 3:
        result = predict_pair(open_pair(inputs[0], inputs[1]), inputs[2], settings, progress, say)
        say(result.line)
        return [result.verdict]
    if len(inputs) > 1:
        raise InputError("predict: takes nothing, DATA_DIR, or OPTICAL SAR OUTPUT")
    folder = inputs[0] if inputs else embedded.make(out / "sample", say)
    found = discover(folder)
    pairs = list(found) if every or not inputs else submission_pairs(found, folder)
    return _predict_folder(pairs, folder, out, settings, progress, say)


def _predict_folder(
    pairs: Sequence[ScenePair], folder: Path, out: Path, settings: Settings, progress: Progress | None, say: Callable[[str], None]
) -> list[str]:
    results = {}
    for number, pair in enumerate(pairs, 1):
        say(f"{pair.name}: scene {number} of {len(pairs)}")
        results[pair.name] = predict_pair(pair, out / map_name(pair.name), settings, progress, say)
        say(results[pair.name].line)
    archive = out / "submission.zip"
    build_zip({name: result.map_path for name, result in results.items()}, archive)
    say(f"{archive}: {len(results)} map(s) in the contest's layout")
    if any(pair.tiepoints_csv for pair in pairs):
        scores = score.score_pairs([pair for pair in pairs if pair.tiepoints_csv], out)
        score_tables.show(score_tables.folder_table(scores), scores)
    return [result.verdict for result in results.values()]
