"""How long methods take as scenes grow: whole processes, from a cold start to the last shift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from solution.benchmark import PRESET, SEED, scenes
from solution.benchmark.cell import DONE
from solution.benchmark.run import Cells, Plan, run

SIZES_PX = (1000, 3000, 10_000)
METHODS = ("pipeline", "template", "simpleitk", "gefolki")
_CAPTION = (
    "s: of the whole process, Python's start included; s/MP: by the optical image; GB: its peak memory; px: mean error."
)


def measure(
    methods: Sequence[str],
    sizes: Sequence[int],
    folds: Path,
    device: str,
    out: Path,
    fresh: bool,
    say: Callable[[str], None],
) -> dict[int, Cells]:
    """One simulated scene of each size, by every method -> side of the scene in px -> its cells.

    Args:
        out: a folder for each size goes below it; a killed run goes on there.

    Raises:
        InputError: as `benchmark.run.run` and `benchmark.scenes.simulated`.
    """
    found = {}
    for size in sizes:
        folder = out / f"{size}px"
        pairs = tuple(scenes.simulated(folder, 1, (size, size), SEED, PRESET, say))
        found[size] = run(Plan(tuple(methods), pairs, folds, device, folder), fresh, say)
    return found


def table(found: Mapping[int, Cells]) -> Table:
    """Methods in rows, and for every size what one scene of it takes."""
    shown = Table(box=box.SIMPLE, pad_edge=False, caption=_CAPTION, caption_justify="left")
    shown.add_column("method", no_wrap=True)
    for size in found:
        for title in (f"{_megapixels(size):g} MP: s", "s/MP", "GB", "px"):
            shown.add_column(title, justify="right", no_wrap=True)
    answers = {size: next(iter(cells.values())) for size, cells in found.items()}
    for method in next(iter(answers.values())):
        shown.add_row(method, *(text for size, cells in answers.items() for text in _figures(cells[method], size)))
    return shown


def _figures(answer: dict, size: int) -> tuple[str, str, str, str]:
    if answer["status"] != DONE:
        return answer["status"], "", "", ""
    seconds = answer["process_s"]
    return (
        f"{seconds:.0f}",
        f"{seconds / _megapixels(size):.1f}",
        f"{answer['memory_gb']:.1f}",
        f"{answer['mean_px']:.1f}",
    )


def _megapixels(size: int) -> float:
    return size * size / 1e6
