"""Fixtures of predictions: a scene with a known slant, teams that find it, and the command line with the smoke run's teams."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from solution.proposers import every
from solution.teams import propose
from solution.tests.conftest import Scene
from solution.tests.handmade import QUICK_FLOW, handmade_net, proposers_with
from solution.training import stages

SHAPE = (96, 112)
LOADED = functools.cache(stages.load_stage)  # most of a tiny prediction's time would go into building networks


def slanted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent displacement that takes every place between two cells."""
    return 7.0 + 0.04 * x, -5.0 - 0.04 * y


@pytest.fixture
def quick_plan(monkeypatch) -> None:
    """One pass over small tiles: the fixture's shifts are small, and most tests are about the files."""
    monkeypatch.setattr(every, "PROPOSERS", proposers_with(QUICK_FLOW))
    monkeypatch.setattr(propose, "load_stage", LOADED)


@pytest.fixture
def good_teams(quick_plan, monkeypatch) -> None:
    """Networks that find the truth of the fixture's scenes, in the place of the smoke run's."""
    monkeypatch.setattr(propose, "load_stage", lambda stage, path: (handmade_net(), stages.load_stage(stage, path)[1]))


@pytest.fixture
def scene(make_scene) -> Scene:
    return make_scene("02_publictest", shape=SHAPE, sar_gsd=(1.0, 1.0), points=None, displacement=slanted)


@pytest.fixture
def go(trained, run):
    """The command line with the smoke run's teams."""
    return lambda *arguments: run("predict", *arguments, "--folds", trained.folds, "--device", "cpu")


def read_map(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
