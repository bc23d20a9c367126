"""Fixtures of batches: tiny pairs in a table, and workers that are threads of this process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from solution.batch import cluster
from solution.tests.conftest import Recipe, Scene, write_scene
from solution.tests.products.conftest import SHAPE, quick_plan, slanted

__all__ = ["quick_plan"]


def tiny(folder: Path, number: int) -> Scene:
    """A pair of its own."""
    recipe = Recipe(shape=SHAPE, sar_gsd=(1.0, 1.0), points=None, displacement=slanted, seed=number)
    return write_scene(folder, f"02_tiny_{number:03d}", recipe)


def write_list(path: Path, rows: list[tuple[object, ...]], header: str = "optical,sar,name") -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.fixture
def listed(tmp_path) -> Callable[[int], Path]:
    """A function: number of tiny pairs, called p0, p1, ... -> their table."""

    def make(count: int) -> Path:
        scenes = [tiny(tmp_path / "data", number) for number in range(count)]
        return write_list(
            tmp_path / "pairs.csv", [(one.optical, one.sar, f"p{number}") for number, one in enumerate(scenes)]
        )

    return make


@pytest.fixture
def threads(monkeypatch) -> None:
    """One worker in the place of processes, which take seconds to start, a thread of this process."""

    @contextmanager
    def client_of(workers: cluster.Workers, scratch: Path):
        with (
            LocalCluster(
                n_workers=1,
                threads_per_worker=1,
                processes=False,
                dashboard_address="127.0.0.1:0",
                local_directory=str(scratch),
                silence_logs=logging.CRITICAL,
            ) as local,
            Client(local) as client,
        ):
            yield client

    monkeypatch.setattr(cluster, "client_of", client_of)
