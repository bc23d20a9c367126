"""A scene of four tie-points, the command line on it, and the cells that it measures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from solution.benchmark import cell
from solution.benchmark import run as benchmarks
from solution.benchmark.methods import METHODS, Method
from solution.proposers import every
from solution.teams import propose
from solution.tests.conftest import Scene, write_tiepoints
from solution.tests.handmade import QUICK_FLOW, coarse_features, handmade_net, proposers_with

SHAPE = (96, 112)
LABELS = [(24, 23, 20, 20), (24, 63, 20, 60), (64, 23, 60, 20), (72, 65, 60, 60)]
"""sar_row, sar_col, optical_row, optical_col: shifts (3, 4) at three corners of a square and (5, 12) at the fourth."""


@pytest.fixture
def launched(monkeypatch) -> list[cell.Request]:
    """Cells are measured in this process, which spares the seconds that a new one takes to start; the requests, in
    order."""
    asked = []

    def measure(request: cell.Request, _: Path) -> dict:
        asked.append(request)
        return cell.measure(request)

    monkeypatch.setattr(benchmarks, "launch", measure)
    return asked


@pytest.fixture
def town(make_scene) -> Scene:
    """Both images on one grid, so that an index difference is a shift."""
    scene = make_scene("07_town", shape=SHAPE, sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0))
    write_tiepoints(scene.tiepoints_csv, np.array(LABELS))
    return scene


@pytest.fixture
def go(run, tmp_path, trained):
    """The command line on labelled folders alone: folders, methods, further options -> exit code, stdout, stderr."""

    def call(
        folders: list[Path], names: tuple[str, ...] = ("zero",), *more: object, folds: Path = trained.folds
    ) -> tuple[int, str, str]:
        rows = [part for name in names for part in ("--method", name)]
        fixed = ("--simulated", "0", "--folds", folds, "--device", "cpu", "--out", tmp_path / "out")
        return run("benchmark", *folders, *fixed, *rows, *more)

    return call


@pytest.fixture
def good_teams(monkeypatch) -> None:
    """One network that finds the truth of the fixture's scenes in one pass, in every team's place."""
    net = handmade_net()
    monkeypatch.setattr(every, "PROPOSERS", proposers_with(QUICK_FLOW))
    monkeypatch.setattr(propose.Networks, "coarse", coarse_features)
    monkeypatch.setattr(propose, "load_family", lambda family, paths: net)


def results(tmp_path: Path) -> dict:
    """What `go` left: scene -> method -> cell."""
    return json.loads((tmp_path / "out" / "benchmark.json").read_text())


def method_that(monkeypatch, name: str, run, **fields) -> None:
    """Put another row into the table for the time of a test."""
    monkeypatch.setitem(METHODS, name, Method(run, **fields))


def slanted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A displacement (dx, dy) at optical positions: an affine."""
    return 6.0 + 0.04 * y, -9.0 + 0.03 * x
