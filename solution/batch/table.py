"""The table of a batch: a row for each pair of the list, whatever came of it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from solution.core.writing import write_bytes, write_text
from solution.field.verdict import EXIT_CODES, WORDS

PENDING, BAD_INPUT, ERROR, LOST = "pending", "bad input", "error", "lost"
"""Verdicts of pairs without a map: not yet looked at, an `InputError`, any other error, or a worker that died of it."""
OUTCOMES = (*WORDS, BAD_INPUT, ERROR, LOST, PENDING)
"""All verdicts of the table, in the order in which they are counted."""

_CODES = {ERROR: 1, LOST: 1, BAD_INPUT: 2, "failed": EXIT_CODES["failed"], "weak": EXIT_CODES["weak"]}
"""What a batch ends with, the worst first."""
_TEXT = ("name", "optical", "sar", "verdict", "error", "reasons", "fit", "map", "report")


@dataclass(frozen=True)
class Row:
    """What came of one pair.

    Attributes:
        name: of the pair.
        optical, sar: paths.
        verdict: one of `OUTCOMES`.
        error: one sentence where there is no map: what is wrong, and what to do.
        reasons: what keeps the map from being ok.
        error_px, error_m: the error to be expected: the radius within which the true place lies with a probability of
            68 %, median over the map.
        shift_dx_px, shift_dy_px: medians over the map.
        shift_px, shift_most_px: length of the shifts, its median and the largest, over the map.
        support: share of the map that matches support.
        evidence_margin: as in the report.
        fit: kind of the fit.
        candidates, inliers: matches, and those that the fit kept.
        gsd_m: optical pixel size.
        seconds: that the prediction took; of a pair without a map, that its last try took.
        peak_memory_gb: most that the worker held meanwhile, 1e9 bytes.
        tries: how often a worker began with the pair in this run.
        kept: whether an earlier run's map was up to date.
        map, report: file names in the folder of the batch.
    """

    name: str
    optical: str
    sar: str
    verdict: str = PENDING
    error: str = ""
    reasons: str = ""
    error_px: float | None = None
    error_m: float | None = None
    shift_dx_px: float | None = None
    shift_dy_px: float | None = None
    shift_px: float | None = None
    shift_most_px: float | None = None
    support: float | None = None
    evidence_margin: float | None = None
    fit: str = ""
    candidates: int | None = None
    inliers: int | None = None
    gsd_m: float | None = None
    seconds: float | None = None
    peak_memory_gb: float | None = None
    tries: int = 0
    kept: bool = False
    map: str = ""
    report: str = ""


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """The rows as a table, whose columns have the same types whatever stands in it."""
    table = pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(Row)])
    types = {
        **dict.fromkeys(table.columns, "float64"),
        **dict.fromkeys(_TEXT, "string"),
        **dict.fromkeys(("candidates", "inliers"), "Int64"),
        "tries": "int64",
        "kept": "bool",
    }
    return table.astype(types)


def write_table(folder: Path, rows: Iterable[Row]) -> None:
    """Write ``batch.parquet`` and ``batch.csv``, each whole. Raises `InputError` where the disk refuses one."""
    table, content = frame(rows), io.BytesIO()
    table.to_parquet(content, index=False)
    write_bytes(folder / "batch.parquet", content.getvalue())
    write_text(folder / "batch.csv", table.to_csv(index=False, lineterminator="\n"))


def totals(rows: Iterable[Row]) -> dict[str, int]:
    """How many pairs have each verdict, those that none has left out, in the order of `OUTCOMES`."""
    counts = Counter(row.verdict for row in rows)
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def told(counts: Mapping[str, int]) -> str:
    """``30 ok, 3 weak``."""
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def exit_code(rows: Iterable[Row]) -> int:
    """What the command ends with, by the worst row: 1 where a pair ended in an error or lost its worker, 2 where one was
    bad input, then as `field.verdict.EXIT_CODES`: 3 where a map failed, 4 where one is weak, 0."""
    verdicts = {row.verdict for row in rows}
    return next((code for verdict, code in _CODES.items() if verdict in verdicts), 0)
