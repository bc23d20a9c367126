"""Who works: as many workers as the machine has room for, or those of a cluster that is there already."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import LocalCluster

from solution.batch import cluster
from solution.core.errors import InputError


@pytest.fixture
def machine(monkeypatch):
    """A function: processors and GB of this machine."""

    def make(processors: int, gb: float) -> None:
        monkeypatch.setattr(cluster, "CPU_COUNT", processors)
        monkeypatch.setattr(cluster, "MEMORY_LIMIT", int(gb * 1e9))

    return make


@pytest.mark.parametrize(
    ("processors", "gb", "pairs", "megapixels", "asked", "count", "memory", "threads"),
    [
        (8, 65, 100, 1, (None, None, False), 8, 8, 1),  # processors; 1 GB stays for the process that hands out
        (8, 65, 2, 1, (None, None, False), 2, 32, 4),  # pairs
        (8, 16, 100, 100, (None, None, False), 3, 5, 2),  # memory: 1.7 + 25 * 0.13 GB a pair, whatever is beyond
        (8, 3, 100, 100, (None, None, False), 1, 2, 8),  # one in any case
        (8, 65, 100, 1, (None, 20, False), 3, 20, 2),
        (8, 65, 100, 1, (5, None, False), 5, 12.8, 1),
        (8, 65, 100, 1, (None, None, True), 1, 64, 8),  # a GPU
    ],
)
def test_workers_of_this_machine(machine, processors, gb, pairs, megapixels, asked, count, memory, threads):
    machine(processors, gb)
    found = cluster.local(pairs, megapixels, *asked)
    assert (found.count, found.threads) == (count, threads) and found.memory_gb == pytest.approx(memory, rel=1e-6)


@contextmanager
def elsewhere(workers: int, threads: int):
    """Address of a scheduler with workers, which are threads of this process."""
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as found:
        yield found.scheduler_address


def test_a_cluster_that_is_there_already_works_and_stays(tmp_path):
    with elsewhere(2, 1) as address:
        for _ in range(2):
            with cluster.client_of(cluster.Workers(scheduler=address), tmp_path) as client:
                assert client.submit(sum, [1, 2]).result() == 3 and len(client.nthreads()) == 2


@pytest.mark.parametrize(
    ("workers", "threads", "sentence"),
    [(0, 1, "has no worker; start some with"), (1, 2, "start them with: dask worker")],
)
def test_a_cluster_that_will_not_do(tmp_path, monkeypatch, workers, threads, sentence):
    monkeypatch.setattr(cluster, "_WORKERS_S", 0.2)
    with elsewhere(workers, threads) as address, pytest.raises(InputError) as error:
        reach(address, tmp_path)
    assert sentence in str(error.value) and address in str(error.value)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "gibberish://x:1", "tcp://127.0.0.1:port"])
def test_nothing_answers(tmp_path, monkeypatch, address):
    monkeypatch.setattr(cluster, "_ANSWER_S", 0.5)
    with pytest.raises(InputError, match="no Dask scheduler answers there"):
        reach(address, tmp_path)


def reach(address: str, folder: Path) -> None:
    with cluster.client_of(cluster.Workers(scheduler=address), folder):
        pass


def test_a_wrong_address_leaves_nothing(run, trained, listed, tmp_path):
    out = tmp_path / "out"
    code, _, err = run("batch", listed(1), "--out", out, "--folds", trained.folds, "--scheduler", "nobody")
    assert code == 2 and "no Dask scheduler answers there" in err and len(err.splitlines()) == 1
    assert not out.exists() or not list(out.iterdir())
