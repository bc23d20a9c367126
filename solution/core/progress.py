"""How long work says where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from rich import progress as bars
from rich.console import Console

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is finished, and how much there is."""
Item = TypeVar("Item")


def counted(items: Sequence[Item], what: str, progress: Progress | None) -> Iterator[tuple[int, Item]]:
    """Number and item, one by one, reported as they are finished."""
    for number, item in enumerate(items):
        if progress:
            progress(what, number, len(items))
        yield number, item
    if progress:
        progress(what, len(items), len(items))


@contextmanager
def tile_progress(console: Console) -> Iterator[Progress]:
    """A callback (what, done, total) that draws one bar per job; silent where the output is not a terminal."""
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        tasks = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield update


def bars_on_stderr(quiet: bool = False) -> AbstractContextManager[Progress]:
    """`tile_progress` on the standard error stream."""
    return tile_progress(Console(stderr=True, quiet=quiet))


@contextmanager
def step_progress(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    """A callback without arguments that moves the bar of one job on by one."""
    with tile_progress(console) as progress:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            progress(what, done, total)

        yield step
