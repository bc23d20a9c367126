"""One table, for people and for a page: every stage, what it took, and what it scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from solution.benchmark.rehearsal.commands import SIMULATE, STAGES
from solution.benchmark.rehearsal.found import LIMITS_S, Found
from solution.benchmark.rehearsal.measuring import Measured, Part
from solution.benchmark.rehearsal.scenes import PRIVATE, PUBLIC, TRAIN
from solution.scoring.score import leaderboard

_NAMES = {
    SIMULATE: "scenes (no part of the contest)",
    TRAIN: "train.sh",
    PUBLIC: "test.sh, public",
    PRIVATE: "test.sh, private",
}
_INDENT = "\u2003"  # a space that Markdown keeps


@dataclass(frozen=True)
class Row:
    """What the table says of a stage; None where there is nothing to say.

    Attributes:
        name: of the stage.
        wall_s: time that it took.
        cpu_s: time of processors that it took.
        all_s: time with the configured steps, where there were fewer.
        t4_s: the same with a T4.
        mp_s: time a megapixel.
        peak_gb, disk_gb: memory and disk.
        error_px, exact_px, zero_px: mean errors against the clicked tie-points, the exact truth, and of zero shift.
    """

    name: str
    wall_s: float | None = None
    cpu_s: float | None = None
    all_s: float | None = None
    t4_s: float | None = None
    mp_s: float | None = None
    peak_gb: float | None = None
    disk_gb: float | None = None
    error_px: float | None = None
    exact_px: float | None = None
    zero_px: float | None = None

    def cells(self) -> list[str]:
        """As text, in the order of `HEADINGS`."""
        times = [_time(seconds) for seconds in (self.wall_s, self.cpu_s, self.all_s, self.t4_s)]
        sizes = [_number(value, 1) for value in (self.mp_s, self.peak_gb)] + [_number(self.disk_gb, 2)]
        errors = [_number(value, 2) for value in (self.error_px, self.exact_px, self.zero_px)]
        scores = [_number(None if px is None else leaderboard(px), 2) for px in (self.error_px, self.zero_px)]
        return [self.name, *times, *sizes, *errors, *scores]


HEADINGS = (
    "stage",
    "time",
    "CPU",
    "all steps",
    "4 x T4",
    "s/MP",
    "GB",
    "disk GB",
    "px",
    "exact px",
    "zero px",
    "score",
    "zero's",
)
CAPTION = (
    "time: measured here, CPU: the processors' time in it; all steps: with the configured steps, where fewer were made, and 4 x T4: the same there, both"
    " estimates. GB: peak memory of all processes. px: mean error at the clicked tie-points, exact px: against the exact truth there, zero px: of zero"
    " shift; score, zero's: 100 / (1 + 0.01 px)."
)


def rows(found: Found) -> list[Row]:
    """All that is known, stage by stage."""
    making = {SIMULATE: _of_scenes, TRAIN: _of_training, PUBLIC: _of_test, PRIVATE: _of_test}
    return [row for stage in STAGES if stage in found.measured for row in making[stage](found, stage)]


def _of_scenes(found: Found, stage: str) -> Iterator[Row]:
    yield _row(_NAMES[stage], found.measured[stage])


def _of_training(found: Found, stage: str) -> Iterator[Row]:
    measured = found.measured[stage]
    whole = _estimates(found, measured.wall_s, found.train_s(), found.train_s(found.faster()))
    yield _row(_NAMES[stage], measured, **whole)
    for name, part in measured.parts.items():
        steps = f", {found.trained(name)} of {found.configured[name]} steps" if name in found.configured else ""
        estimates = _estimates(found, part.wall_s, found.part_s(name), found.part_s(name, found.faster()))
        yield _row(f"{_INDENT}{name}{steps}", part, **estimates)
    for name, errors in found.out_of_fold.items():
        yield Row(f"{_INDENT}out of fold: {name}", **errors)
    if found.out_of_fold:
        yield Row("out of fold, mean", **_means(list(found.out_of_fold.values())))


def _of_test(found: Found, stage: str) -> Iterator[Row]:
    names = found.scenes(stage)
    scored = [found.scores[name] for name in names if name in found.scores]
    means = _means(scored) if scored and len(scored) == len(names) else {}
    yield _row(_NAMES[stage], found.measured[stage], **means)
    for name, part in found.measured[stage].parts.items():
        speed = {"mp_s": part.wall_s / found.megapixels[name]} if name in found.megapixels else {}
        yield _row(f"{_INDENT}{name}", part, **speed, **_errors(found.scores.get(name, {})))


def _estimates(found: Found, wall_s: float, all_s: float, t4_s: float) -> dict[str, float | None]:
    """The columns of estimates: only what was not measured."""
    return {"all_s": None if all_s == wall_s else all_s, "t4_s": None if found.devices else t4_s}


def _row(name: str, took: Measured | Part, **more: float | None) -> Row:
    disk_gb = took.disk_gb if isinstance(took, Measured) else None
    return Row(name, took.wall_s, took.cpu_s, peak_gb=took.peak_gb, disk_gb=disk_gb, **more)


def _errors(scores: dict) -> dict[str, float]:
    return {key: value for key, value in scores.items() if key.endswith("_px")}


def _means(scores: Sequence[dict]) -> dict[str, float]:
    return {key: sum(one[key] for one in scores) / len(scores) for key in _errors(scores[0])}


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 36_000 else f"{seconds / 3600:.1f} h"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def words(found: Found) -> list[str]:
    """What the table cannot say: on what, within which limits, whether the zips are taken."""
    where = (
        ", ".join(found.devices)
        or f"no GPU, {found.gflops:.0f} GFLOP/s in convolutions; a T4 is taken to be {found.faster():.0f} times as fast"
    )
    lines = [f"scale {found.scale}; {found.cores} cores, {where}"]
    tests = [stage for stage in (PUBLIC, PRIVATE) if stage in found.measured]
    if TRAIN in found.measured:
        lines.append(
            f"limit of train.sh: {LIMITS_S[TRAIN] / 3600:.0f} h, {found.measured[TRAIN].wall_s / 3600:.2f} h taken"
        )
    if tests:
        longest = max(found.prediction_s(stage, name) for stage in tests for name in found.scenes(stage))
        lines.append(
            f"limit of a prediction: {LIMITS_S[PUBLIC] / 60:.0f} min, {longest / 60:.1f} min taken at most, the program's start included"
        )
    lines += [f"OVER THE LIMIT: {sentence}" for sentence in found.exceeded()]
    lines += [f"REFUSED: {sentence}" for sentence in found.refused]
    if tests and not found.refused:
        lines.append(f"zips that the contest would take: {', '.join(tests)}")
    missing = [stage for stage in STAGES if stage not in found.measured]
    return lines + ([f"not rehearsed yet: {', '.join(missing)}"] if missing else [])


def printed(found: Found) -> Table:
    """For a terminal."""
    shown = Table(box=box.SIMPLE, pad_edge=False, caption=CAPTION, caption_justify="left")
    for number, heading in enumerate(HEADINGS):
        shown.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in rows(found):
        shown.add_row(*row.cells(), style=None if row.name.startswith(_INDENT) else "bold")
    return shown


def markdown(found: Found) -> str:
    """For a page."""
    lines = [HEADINGS, ["---", *["---:"] * (len(HEADINGS) - 1)], *(row.cells() for row in rows(found))]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([table, "", CAPTION, "", *(f"- {line}" for line in words(found))]) + "\n"
