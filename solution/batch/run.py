"""A batch from the list to the table: what is there already is kept, a killed run goes on, no pair stops another."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from solution.batch import cluster, running
from solution.batch.listing import Listed, files_of, read_list
from solution.batch.page import write_page
from solution.batch.table import BAD_INPUT, Row, exit_code, told, totals, write_table
from solution.batch.work import Job, code, work
from solution.core.artefact import WORK
from solution.core.devices import torch_device
from solution.core.errors import InputError
from solution.core.outputs import check_folder, check_outputs
from solution.core.progress import Progress
from solution.core.writing import clear_leftovers, scratch_folder
from solution.data.scene import ScenePair, open_pair
from solution.products.settings import Settings

if TYPE_CHECKING:
    from distributed import Client

FILES = ("batch.parquet", "batch.csv", "index.html")
"""What is written beside the maps."""

_BETWEEN_S = 2.0  # writings of the table, which takes longer the longer it is


@dataclass(frozen=True)
class Asked:
    """What people say of the workers.

    Attributes:
        count: of processes; None = by the machine.
        memory_gb: limit of each, 1e9 bytes; None = an equal share.
        scheduler: address of a Dask cluster; empty = this machine.
    """

    count: int | None = None
    memory_gb: float | None = None
    scheduler: str = ""

    def check(self) -> None:
        """Raise `InputError` where the cluster's workers are spoken of as if they were this machine's."""
        if self.scheduler and (self.count is not None or self.memory_gb is not None):
            raise InputError(
                f"--scheduler {self.scheduler}: its workers are as they were started; leave out --workers and --memory"
            )


class Book:
    """The rows of a batch, in the order of the list, and their files."""

    def __init__(self, folder: Path, source: str, rows: Sequence[Row]) -> None:
        """As many `rows` as there are pairs; `source` is what the list is called."""
        self._folder, self._source = folder, source
        self._rows = {row.name: row for row in rows}
        self._written = 0.0

    @property
    def rows(self) -> list[Row]:
        """All of them."""
        return list(self._rows.values())

    def enter(self, row: Row) -> None:
        """Put a row in the place of that of the same name."""
        self._rows[row.name] = row
        if time.monotonic() - self._written > _BETWEEN_S:
            self.write()

    def write(self) -> None:
        """Write table and page. Raises `InputError` where the disk refuses one."""
        write_table(self._folder, self.rows)
        write_page(self._folder, self.rows, self._source)
        self._written = time.monotonic()


def run(
    listing: Path,
    folder: Path,
    settings: Settings,
    asked: Asked,
    progress: Progress | None,
    say: Callable[[str], None],
) -> int:
    """Predict all pairs of a list.

    Args:
        listing: as `listing.read_list` takes it.
        folder: where maps, table and page go.

    Returns:
        The exit code, see `table.exit_code`.

    Raises:
        InputError: the list is bad, files cannot be written, there are no weights, or the cluster is not there.
    """
    asked.check()
    pairs = read_list(listing)
    folder, settings = folder.absolute(), replace(settings, folds=settings.folds.absolute())  # workers elsewhere
    settings.voices  # noqa: B018 - missing weights are said once, not by every pair
    with _scratch(folder) as scratch:
        marks = scratch / "marks"
        marks.mkdir()
        jobs = [Job(pair, folder, settings, marks, code()) for pair in pairs]
        megapixels = _surveyed(jobs, listing, folder)
        book = Book(folder, listing.name, [_first_row(job) for job in jobs])
        todo = [job for job in jobs if not job.pair.fault]
        workers = _workers(asked, len(todo), megapixels, settings, say)
        jobs = [replace(job, threads=workers.threads) for job in todo]
        if jobs:
            with cluster.client_of(workers, scratch) as client:  # before anything is written: an address may be wrong
                _work(client, jobs, book, progress, say)
        else:
            book.write()
    say(f"{folder / 'index.html'}: {told(totals(book.rows))}")
    return exit_code(book.rows)


def _first_row(job: Job) -> Row:
    fault = job.pair.fault
    return replace(job.blank, verdict=BAD_INPUT, error=fault) if fault else job.blank


def _work(
    client: Client,
    jobs: Sequence[Job],
    book: Book,
    progress: Progress | None,
    say: Callable[[str], None],
) -> None:
    book.write()
    try:
        for number, (job, found) in enumerate(running.results(client, work, jobs), 1):
            row = replace(job.blank, **found)
            book.enter(row)
            say(f"{number} of {len(jobs)}: {_line(row)} ({told(totals(book.rows))})")
            if progress:
                progress("pairs", number, len(jobs))
    finally:
        book.write()


def _line(row: Row) -> str:
    """A pair's result, for people."""
    if row.error:
        return f"{row.name}: {row.verdict}: {row.error}"
    expected = "" if row.error_px is None else f", error to be expected {row.error_px:.1f} px ({row.error_m:.1f} m)"
    took = "up to date" if row.kept else f"{row.seconds:.0f} s"
    return f"{row.name}: {row.verdict}{expected}, {took}"


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder of this run below that of unfinished work; it and what killed workers left half written are gone
    afterwards. Finished parts of unfinished pairs stay."""
    check_folder(folder)
    work_folder = folder / WORK
    _clear(folder)
    try:
        with scratch_folder(work_folder / "batch") as scratch:
            yield scratch
    finally:
        _clear(folder)
        with contextlib.suppress(OSError):
            work_folder.rmdir()


def _clear(folder: Path) -> None:
    for place in (folder, folder / WORK, *(folder / WORK).glob("*/")):
        clear_leftovers(place)


def _surveyed(jobs: Sequence[Job], listing: Path, folder: Path) -> float:
    """Look at all headers -> the size of the largest optical image, megapixels; 0 where none can be opened.

    Raises:
        InputError: a pair's outputs would overwrite an image, or the list, or there is no room for all maps.
    """
    read = {path.resolve(): path for path in [listing, *files_of([job.pair for job in jobs])]}
    needs, megapixels = 0, 0.0
    for job in jobs:
        taken = next((path for path in job.outputs.all() if path.resolve() in read), None)
        if taken is not None:
            raise InputError(
                f"{taken}: is an input ({read[taken.resolve()]}) and would be overwritten by pair {job.pair.name}; choose"
                " another --out, or another name"
            )
        pair = _opened(job.pair)
        if pair is not None:
            megapixels = max(megapixels, pair.shape[0] * pair.shape[1] / 1e6)
            needs += job.outputs.needs(pair) * (not job.map.is_file())
    check_outputs([folder / name for name in FILES], read.values(), needs)
    return megapixels


def _opened(pair: Listed) -> ScenePair | None:
    """The pair; None where it cannot be opened, which its row will say."""
    if pair.fault:
        return None
    with contextlib.suppress(InputError):
        return open_pair(pair.optical, pair.sar, name=pair.name)


def _workers(
    asked: Asked, pairs: int, megapixels: float, settings: Settings, say: Callable[[str], None]
) -> cluster.Workers:
    if asked.scheduler:
        return cluster.Workers(scheduler=asked.scheduler)
    alone = torch_device(settings.device).type != "cpu"
    workers = cluster.local(pairs, megapixels, asked.count, asked.memory_gb, alone)
    needed = cluster.needed_gb(megapixels)
    if megapixels and workers.memory_gb < needed:
        say(
            f"the largest pair ({megapixels:.0f} MP) may need {needed:.1f} GB, and a worker has {workers.memory_gb:.1f};"
            " fewer --workers have more each"
        )
    return workers
