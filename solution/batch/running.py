"""Pairs through workers: no more at once than there are workers, and a pair whose worker dies is tried again.

Dask counts a death against all pairs that wait at the dead worker too. So the count is kept here: a worker leaves a mark when
it begins with a pair (`work.Job.begin`), and only pairs that had begun are suspects.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from distributed import CancelledError, Client, Future, wait
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from solution.batch.table import ERROR
from solution.batch.work import MOST_TRIES, Job, lost
from solution.core.errors import InputError

_LOOK_S = 1.0  # between looks at how many workers there are
_ALONE_S = 900.0  # without any worker, after which none is waited for
_MOST_SENT = 3 * MOST_TRIES  # times that a pair is handed to workers, whether they live to begin with it or not
_MOST_LETTERS = 300  # of an error that is none of ours


def results(client: Client, work: Callable[[Job], dict], jobs: Iterable[Job]) -> Iterator[tuple[Job, dict]]:
    """What came of all jobs, in the order in which they are finished.

    Args:
        work: must raise nothing.

    Yields:
        The job, and what differs from its blank row.

    Raises:
        InputError: the cluster went away, or all its workers did.
    """
    waiting, sent = deque(jobs), Counter()
    at_work: dict[Future, Job] = {}
    seen = time.monotonic()
    while waiting or at_work:
        with _reached():
            workers = len(client.nthreads())
            seen = time.monotonic() if workers else seen
            if time.monotonic() - seen > _ALONE_S:
                raise InputError(
                    f"no worker has been there for {_ALONE_S / 60:.0f} minutes (memory?); give workers more of it, or start"
                    " them again, then give the same command again to go on"
                )
            free = max(1, workers) - len(at_work)
            for _ in range(min(free, len(waiting))):
                job = waiting.popleft()
                sent[job.pair.name] += 1
                at_work[client.submit(work, job, key=f"{job.pair.name}-{uuid4().hex}", pure=False)] = job
            done = _finished(list(at_work))
        for future in done:
            job = at_work.pop(future)
            found = _result(future, job)
            if found is None and sent[job.pair.name] < _MOST_SENT:
                waiting.append(job)
            else:
                yield job, found or lost(job.tries())


@contextmanager
def _reached() -> Iterator[None]:
    """Raise `InputError` where the scheduler is not there any more."""
    try:
        yield
    except (CommClosedError, CancelledError) as error:
        raise InputError(
            "the Dask scheduler went away; start it again, then give the same command again to go on"
        ) from error


def _finished(futures: list[Future]) -> set[Future]:
    try:
        return wait(futures, timeout=_LOOK_S, return_when="FIRST_COMPLETED").done
    except TimeoutError:
        return set()


def _result(future: Future, job: Job) -> dict | None:
    """What came of a job; None where it is to be tried again."""
    try:
        with _reached():
            return future.result()
    except KilledWorker:
        return None if job.tries() < MOST_TRIES else lost(job.tries())
    except InputError:
        raise
    except Exception as error:  # the worker cannot even begin: other packages, no such module
        return {"verdict": ERROR, "error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MOST_LETTERS]}
