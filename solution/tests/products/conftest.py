"""Fixtures of predictions (a scene with a known slant, teams that find it, the command line with the smoke run's teams)
and of the translator (image pairs, and what the command line trained on them)."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import rasterio.shutil

from solution.proposers import every, families
from solution.teams import propose
from solution.tests.conftest import Scene, invoke
from solution.tests.handmade import QUICK_FLOW, coarse_features, handmade_net, proposers_with

SHAPE = (96, 112)
LOADED = functools.cache(families.load_family)  # most of a tiny prediction's time would go into building networks


def slanted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent displacement that takes every place between two cells."""
    return 7.0 + 0.04 * x, -5.0 - 0.04 * y


@pytest.fixture
def quick_plan(monkeypatch) -> None:
    """One pass over small tiles: the fixture's shifts are small, and most tests are about the files."""
    monkeypatch.setattr(every, "PROPOSERS", proposers_with(QUICK_FLOW))
    monkeypatch.setattr(propose.Networks, "coarse", coarse_features)
    monkeypatch.setattr(propose, "load_family", LOADED)


@pytest.fixture
def good_teams(quick_plan, monkeypatch) -> None:
    """Networks that find the truth of the fixture's scenes, in the place of the smoke run's."""
    monkeypatch.setattr(propose, "load_family", lambda family, paths: handmade_net())


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
    """Contents by name; of a report without what it says of its own run, which differs each time."""
    return {str(path.relative_to(folder)): _lasting(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _lasting(path: Path) -> bytes:
    if not path.name.endswith(".report.json"):
        return path.read_bytes()
    facts = json.loads(path.read_text())
    assert facts.pop("run", None), path
    return json.dumps(facts).encode()


def speckled(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(h, w) uint8, 1 to 255."""
    rough = np.random.default_rng(seed).integers(1, 256, (height, width), dtype=np.uint8)
    return np.maximum(cv2.GaussianBlur(rough, (0, 0), 1.5), 1)


@dataclass(frozen=True)
class Translators:
    """What the command line made of a few image pairs.

    Attributes:
        pairs: folder of them, in two classes.
        split, weights: files.
        output: what was printed.
    """

    pairs: Path
    split: Path
    weights: Path
    output: str


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Translators:
    """Made once; a test that changes it works on a copy."""
    root = tmp_path_factory.mktemp("sar2optical")
    split, weights = root / "split.csv", root / "folds" / "base" / "translator.safetensors"
    for number in range(8):
        sar = speckled(128, 128, number)
        optical = np.dstack([255 - sar, sar, np.full_like(sar, 90)])
        for kind, image in (("s1", sar), ("s2", optical)):
            path = root / "pairs" / ("agri", "urban")[number % 2] / kind / f"x_{kind}_{number}_p1.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    output = ""
    for arguments in (
        ["split", root / "pairs", "--out", split, "--train", 4, "--val", 2, "--test", 2],
        ["train", root / "pairs", "--split", split, "--out", weights, "--smoke", "--device", "cpu"],
    ):
        output += invoke("translate", *arguments)
    return Translators(root / "pairs", split, weights, output)
