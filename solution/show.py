"""What people see while they wait: progress bars with a total, and plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from solution import progress as reports


@contextmanager
def tile_progress(console: Console) -> Iterator[reports.Progress]:
    """A callback (what, done, total) that draws one bar per job; silent where the output is not a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        tasks = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield update


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
