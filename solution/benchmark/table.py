"""The tables: methods in rows, scenes in columns; and one per scene with all figures."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from solution.benchmark.cell import DONE, FAILED
from solution.benchmark.run import NOT_INSTALLED, Cells

_FIGURES = {  # heading -> (key, format)
    "mean": ("mean_px", "{:.2f}"),
    "median": ("median_px", "{:.2f}"),
    "<=5": ("within_5px", "{:.1%}"),
    "<=25": ("within_25px", "{:.1%}"),
    "s": ("seconds", "{:.1f}"),
    "GB": ("memory_gb", "{:.2f}"),
}
_CAPTION = (
    "Errors in optical px at the tie-points, as the challenge scores them; <=N: share within N px. affine: least squares on the very labels, an oracle.\n"
    "s: from the open pair to the last shift, loading included. GB: peak memory of the process (of the host, with a GPU)."
)


def summary(cells: Cells) -> Table:
    """Mean error per scene, then the means over scenes, which a method has only where it
    has a result for every scene."""
    scenes = list(cells)
    table = Table(box=box.SIMPLE, pad_edge=False, caption=_CAPTION, caption_justify="left")
    table.add_column("method", no_wrap=True)
    for title in (*scenes, *(f"{title}, all" if title in ("mean", "median") else title for title in _FIGURES)):
        table.add_column(title, justify="right", no_wrap=True)
    for method in _methods(cells):
        answers = [cells[scene][method] for scene in scenes]
        table.add_row(
            method, *(_figure(answer, "mean") for answer in answers), *(_mean(answers, title) for title in _FIGURES)
        )
    return table


def detail(scene: str, answers: dict[str, dict]) -> Table:
    """All figures of one scene, and the teams that judged it."""
    table = Table(title=scene, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for title in (*_FIGURES, "teams"):
        table.add_column(title, justify="right", no_wrap=True)
    for method, answer in answers.items():
        table.add_row(method, *(_figure(answer, title) for title in _FIGURES), " ".join(answer["teams"]))
    return table


def problems(cells: Cells) -> list[str]:
    """A sentence for every cell that failed, and one for every method that is not installed."""
    failed = [
        f"{method} on {scene} failed: {answer['reason']}"
        for scene, answers in cells.items()
        for method, answer in answers.items()
        if answer["status"] == FAILED
    ]
    first = next(iter(cells.values()))
    return [
        f"{method}: {answer['reason']}" for method, answer in first.items() if answer["status"] == NOT_INSTALLED
    ] + failed


def _methods(cells: Cells) -> list[str]:
    return list(next(iter(cells.values())))


def _figure(answer: dict, title: str) -> str:
    key, form = _FIGURES[title]
    return form.format(answer[key]) if answer["status"] == DONE else answer["status"]


def _mean(answers: Sequence[dict], title: str) -> str:
    if any(answer["status"] != DONE for answer in answers):
        return "-"
    key, form = _FIGURES[title]
    return form.format(sum(answer[key] for answer in answers) / len(answers))
