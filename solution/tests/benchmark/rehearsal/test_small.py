"""The small rehearsal as it is: its scenes simulated, the real scripts run, the real networks trained for one step."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from solution.benchmark.rehearsal import found, scenes
from solution.core.artefact import read_manifest
from solution.core.code import PACKAGE
from solution.data.naming import FOLDS
from solution.proposers.families import FAMILIES
from solution.simulate import scene_writer

TEAMS = {"0": ["02_train_01"], "1": ["02_train_02"], "2": ["03_train_01"], "aoi_02": ["02_train_01", "02_train_02"]}


def test_scenes_are_made_by_the_simulators_own_call(monkeypatch, tmp_path):
    """So that a folder which it has filled with the same arguments is found whole."""
    asked = []
    monkeypatch.setattr(scene_writer, "ensure_scene", lambda *arguments: asked.append(arguments))
    scenes.simulate(tmp_path, scenes.of_scale("full"), print)
    big, strip = (13000, 13000), (3990, 10155)
    assert asked == [
        (tmp_path, "01_privatetest", big, 7006, "city", 4.0, "uint8"),
        (tmp_path, "03_train_01", big, 7003, "suburb", 4.0, "uint8"),
        (tmp_path, "02_train_01", strip, 7001, "gaziantep", 4.0, "uint8"),
        (tmp_path, "02_train_02", strip, 7002, "gaziantep", 4.0, "uint8"),
        (tmp_path, "02_publictest", strip, 7004, "gaziantep", 4.0, "uint8"),
        (tmp_path, "03_publictest", strip, 7005, "suburb", 4.0, "uint8"),
    ]


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    facts = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {str(path): (fact.st_size, fact.st_mtime_ns) for path, fact in facts.items()}


@pytest.mark.slow
@pytest.mark.skipif(
    "SMALL_REHEARSAL" not in os.environ, reason="takes minutes of both cores; SMALL_REHEARSAL=1 runs it"
)
def test_all_of_it(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SN9_SET_UP", "done")  # what runs this is set up
    shipped, runs = _state(FOLDS), _state(PACKAGE.parent / "runs")
    root = tmp_path / "rehearsal"
    code, out, err = run("rehearse", root, "--scale", "small")
    assert code == 0, (out, err)
    assert (_state(FOLDS), _state(PACKAGE.parent / "runs")) == (shipped, runs)
    _check_teams(root / "folds")
    result = json.loads((root / "rehearsal.json").read_text())
    assert sorted(result["measured"]) == ["private", "public", "scenes", "train"] and result["refused"] == []
    stages = ["start", "data", "split", "simulate", *found.FAMILIES, "propose", "train-reranker", "score-folds"]
    assert [name for name in result["measured"]["train"]["parts"] if name in stages] == stages
    for name in found.FAMILIES:
        assert len(result["measured"]["train"]["parts"][name]["models_s"]) == len(TEAMS) - 1
    assert result["teams"] == len(TEAMS) and sorted(result["out_of_fold"]) == [
        "02_train_01",
        "02_train_02",
        "03_train_01",
    ]
    for scores in result["scores"].values():
        assert scores["error_px"] < scores["zero_px"] and scores["exact_px"] < scores["zero_px"]
    took = result["measured"]["public"]
    assert (
        took["peak_gb"] > 0.5
        and took["disk_gb"] > 0
        and set(took["parts"]) == {"start", "02_publictest", "03_publictest"}
    )

    again = run("rehearse", root, "--scale", "small")
    assert again[0] == 0 and again[1].count("done already") == 4


def _check_teams(folds: Path) -> None:
    """One step from the shipped base, and no scene seen that is held out."""
    for team, held_out in TEAMS.items():
        for family in FAMILIES.values():
            base, manifest = (read_manifest(place / family.file) for place in (FOLDS / "base", folds / team))
            assert manifest.config["steps"] == 1 and manifest.config["init"] == base.digest()
            assert not set(held_out) & set(manifest.trained_on)
