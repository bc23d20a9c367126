"""Scores of whole folders: one table, its mean, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from solution.cli.app import app
from solution.core.errors import InputError
from solution.scoring import score
from solution.tests.scoring.test_score import SHIFTS, perfect_bands, write_pair, write_raster


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two labelled scenes and one without labels; maps whose errors are 3 px and 0 px."""
    data, maps = tmp_path / "data", tmp_path / "maps"
    maps.mkdir()
    for scene in ("train_01", "train_02", "publictest"):
        write_pair(data, scene=scene)
    (data / "02_tiepoints_publictest.csv").unlink()
    write_raster(maps / "solution_02_train_01.tif", perfect_bands() + np.array([3, 0], np.float32)[:, None, None])
    write_raster(maps / "offset_02_train_02.tif", perfect_bands())
    return data, maps


def test_folder_prints_one_table_with_the_leaderboard_of_the_mean(folders, tmp_path):
    numbers = tmp_path / "n.json"
    result = CliRunner().invoke(app, ["score", *map(str, folders), "--json", str(numbers)])
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line.split() for line in result.output.splitlines() if line.strip()}
    assert rows["02_train_01"][1:3] == ["5", "3.00"]
    assert rows["02_train_02"][1:3] == ["5", "0.00"]
    assert rows["mean"][1:4] == ["10", "1.50", "0.75"]
    assert "publictest" not in result.output
    zero = np.hypot(*SHIFTS.T).mean()
    assert rows["mean"][-3:] == ["98.52", f"{zero:.2f}", f"{100 / (1 + 0.01 * zero):.2f}"]
    assert json.loads(numbers.read_text())["mean"]["map"]["leaderboard"] == 100 / 1.015


def test_folder_table_is_whole_in_a_narrow_terminal(folders, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    output = CliRunner().invoke(app, ["score", *map(str, folders)]).output
    assert "…" not in output
    assert "zero score" in output


def test_missing_and_rejected_maps_are_named_and_the_exit_tells(folders):
    data, maps = folders
    (maps / "offset_02_train_02.tif").unlink()
    result = CliRunner().invoke(app, ["score", str(data), str(maps)])
    assert result.exit_code == 1
    assert f"{maps / 'solution_02_train_02.tif'}: no such map" in result.output
    assert next(line for line in result.output.splitlines() if line.startswith(" mean")).split()[2] == "-"


def test_folders_without_labels_or_maps_are_refused(folders, tmp_path):
    data, maps = folders
    with pytest.raises(InputError, match="no such folder"):
        score.score_folder(data, tmp_path / "none")
    for csv in data.glob("*.csv"):
        csv.unlink()
    with pytest.raises(InputError, match="holds no labelled scene"):
        score.score_folder(data, maps)
