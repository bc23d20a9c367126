"""Workers: processes of one thread each, of this machine or of a Dask cluster that is there already."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Nanny
from distributed.system import MEMORY_LIMIT

from solution.core.environment import variables
from solution.core.errors import InputError

_GB = 1_000_000_000
_ANSWER_S = 30  # within which a scheduler must answer
_WORKERS_S = 120  # within which its first worker must be there
_OWN_GB = 1.0  # that the process which hands out the pairs holds itself
_LEAST_GB, _GB_PER_MP, _MOST_MP = 1.7, 0.13, 25.0
"""What a pair needs: libraries and networks, and for every megapixel up to where a coarser search begins; generous beside
docs/measured.md."""


@dataclass(frozen=True)
class Workers:
    """Who works.

    Attributes:
        count: of processes on this machine.
        memory_gb: limit of each, beyond which it is ended and begun anew.
        threads: of each.
        scheduler: address of a cluster that is there already; empty = this machine.
    """

    count: int = 1
    memory_gb: float = 0.0
    threads: int | None = None
    scheduler: str = ""


def needed_gb(megapixels: float) -> float:
    """Memory that a pair with an optical image of this size needs, about, 1e9 bytes."""
    return _LEAST_GB + _GB_PER_MP * min(megapixels, _MOST_MP)


def local(pairs: int, megapixels: float, count: int | None, memory_gb: float | None, alone: bool) -> Workers:
    """Workers of this machine: as many as there are processors and pairs, and as memory has room for the largest pair.

    Args:
        pairs: how many there are.
        megapixels: of the largest optical image.
        count, memory_gb: what people ask for; None = by the machine.
        alone: whether by default one works alone, because all would share one GPU.
    """
    room = max(MEMORY_LIMIT / _GB - _OWN_GB, _OWN_GB)
    by_memory = int(room // (memory_gb or needed_gb(megapixels)))
    workers = count or (1 if alone else max(1, min(CPU_COUNT, pairs, by_memory)))
    return Workers(workers, memory_gb or room / workers, max(1, CPU_COUNT // workers))


@contextmanager
def client_of(workers: Workers, scratch: Path) -> Iterator[Client]:
    """A client of the workers. Those of this machine end with the block, at once where it ends by an exception.

    Args:
        scratch: folder for what Dask writes.

    Raises:
        InputError: nothing answers at the scheduler's address, or it has no worker, or workers of several threads.
    """
    with _settings(workers):
        if workers.scheduler:
            with _remote(workers.scheduler) as client:
                yield client
            return
        cluster = LocalCluster(
            n_workers=0,  # started below, where a signal finds a cluster that can be ended
            threads_per_worker=1,
            memory_limit=int(workers.memory_gb * _GB),
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            local_directory=str(scratch),
            silence_logs=logging.CRITICAL,
        )
        with _ending(cluster), Client(cluster) as client:
            cluster.scale(workers.count)
            yield client


@contextmanager
def _settings(workers: Workers) -> Iterator[None]:
    """What this needs of Dask, and what it need not say.

    A worker that has held much once keeps the freed pages (``solution/environment``), so that Dask must not pause it for
    them; a lost one's pair is tried again by `running`, which knows whether it had begun. On a busy machine a new worker takes
    longer to begin than Dask waits for it before it gives that place up for good.
    """
    threads = str(workers.threads or 1)
    environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    kept = {name: value for name, value in variables().items() if os.environ.get(name) == value}
    with dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.terminate": 0.95,
            "distributed.nanny.pre-spawn-environ": {**environment, **kept},
            "distributed.deploy.lost-worker-timeout": "1h",
            "distributed.diagnostics.nvml": False,
            "distributed.logging": {"distributed": "critical"},
        }
    ):
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        yield


@contextmanager
def _remote(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=_ANSWER_S)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers there; start one with: dask scheduler"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS_S)
        except TimeoutError as error:
            raise InputError(
                f"--scheduler {address}: has no worker; start some with: dask worker {address} --nthreads 1"
            ) from error
        if max(client.nthreads().values()) > 1:
            raise InputError(
                f"--scheduler {address}: has workers of several threads, and a worker takes one pair at a time; start them"
                f" with: dask worker {address} --nthreads 1"
            )
        yield client


@contextmanager
def _ending(cluster: LocalCluster) -> Iterator[None]:
    """The cluster is gone after this block; where that ends by an exception, its workers are not asked to finish."""
    try:
        yield
    except BaseException:
        _kill(cluster)
        raise
    finally:
        with contextlib.suppress(Exception):
            cluster.close()


def _kill(cluster: LocalCluster) -> None:
    """End the workers at once, and let none begin anew."""
    for nanny in cluster.workers.values():
        if isinstance(nanny, Nanny):
            nanny.auto_restart = False
            with contextlib.suppress(OSError, TypeError, AttributeError):
                os.kill(nanny.pid, signal.SIGKILL)
