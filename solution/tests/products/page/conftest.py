"""A finished prediction whose matches are made by hand, and its page."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from solution.core import geometry
from solution.data.scene import open_pair
from solution.field import candidates, fitting, verdict
from solution.products.outputs import Outputs
from solution.products.page import maps, residuals
from solution.tests.conftest import Recipe, Scene, write_scene

SHAPE = (240, 288)
NAME = "02_publictest"


def leaning(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent displacement in optical px."""
    return 6.0 + 0.01 * x, -4.0 + 0.01 * y


@dataclass(frozen=True)
class Finished:
    """What a prediction left, and the page that was made of it.

    Attributes:
        scene: the images.
        map, report, table, sigma, page: files.
    """

    scene: Scene
    map: Path
    report: Path
    table: Path
    sigma: Path
    page: Path

    def facts(self) -> dict:
        return json.loads(self.report.read_text())

    def copied(self, folder: Path) -> Finished:
        """The same in another folder, for tests that change it; the images stay where they are."""
        shutil.copytree(self.map.parent, folder, dirs_exist_ok=True)
        names = (folder / path.name for path in (self.map, self.report, self.table, self.sigma, self.page))
        return Finished(self.scene, *names)


def finish(folder: Path, scene: Scene, uncertainty: bool = True) -> Finished:
    """Leave in a folder what a prediction would, from matches near the truth: two sources, a tenth of them wrong."""
    pair, rng = open_pair(scene.optical, scene.sar), np.random.default_rng(5)
    xy = geometry.lattice((6.0, 6.0), (12.0, 12.0), (20, 24)).reshape(-1, 2)
    shift = np.column_stack(scene.displacement(*xy.T)) - pair.centre_offset_px + rng.normal(0, 0.4, xy.shape)
    shift[::10] += 40.0
    half = len(xy) // 2
    rows = candidates.concat(
        candidates.make(pair.name, 0, source, xy[part], shift[part], confidence=0.9)
        for source, part in (("flow", slice(half)), ("gradient", slice(half, None)))
    )
    fit, table = fitting.fit(rows, pair.shape, pair.gsd_m)
    facts = {
        "scene": pair.name,
        "inputs": pair.inputs(),
        "teams": ["0"],
        "key": "made by hand",
        "fit": fit.kind,
        **verdict.judge(fit, table, pair.shape).facts(),
        "candidates": len(table),
        "inliers": fit.inliers,
        "outliers": {"neighbours": len(table) - fit.inliers},
        "residual_px": round(fit.residual_px, 3),
        "gsd_m": round(fit.gsd_m, 4),
        "sources": {"flow": half, "gradient": len(xy) - half},
        "run": {
            "version": "0",
            "written_at": "2020-01-01T00:00:00+00:00",
            "seconds": {"fit": 0.1},
            "peak_memory_gb": 0.5,
        },
    }
    files = Outputs.of(folder / "map.tif", False, uncertainty, wants_page=True)
    files.write(fit, table, pair, facts)
    return Finished(scene, files.map, files.report, files.table, files.sigma, files.page)


@pytest.fixture(scope="session")
def kept_finished(tmp_path_factory) -> Finished:
    """Made once; see `finished`."""
    root = tmp_path_factory.mktemp("finished")
    recipe = Recipe(shape=SHAPE, sar_gsd=(1.0, 1.0), points=None, displacement=leaning)
    return finish(root / "out", write_scene(root / "data", NAME, recipe))


@pytest.fixture
def no_drawings(monkeypatch) -> None:
    """Drawing takes most of a page's time; this is for tests of what stands around the figures."""
    for module in (maps, residuals):
        monkeypatch.setattr(module, "drawing", lambda figure: "data:,")


@pytest.fixture
def finished(kept_finished, tmp_path) -> Finished:
    """A copy of its outputs for one test; the images are those of all tests."""
    return kept_finished.copied(tmp_path / "out")


def text_of(page: Path) -> str:
    """What people read of a page, in one line."""
    body = re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]+>", " ", page.read_text(), flags=re.S)
    return " ".join(html.unescape(body).split())
