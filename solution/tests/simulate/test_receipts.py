"""A simulated scene is made again where its files, its arguments or the code of the simulator changed."""

from __future__ import annotations

import pytest

from solution.simulate import scene_writer
from solution.tests.conftest import truncate

SIZE = (256, 256)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_finished_scene_is_kept_and_a_broken_one_is_made_again(tmp_path):
    def made(seed: int = 3) -> bool:
        return scene_writer.ensure_scene(tmp_path, "01_train_01", SIZE, seed, "city")

    assert made() and not made()
    before = contents(tmp_path)
    truncate(tmp_path / "01_sar_train_01.tif")
    assert made() and contents(tmp_path) == before
    (tmp_path / "01_tiepoints_train_01.csv").unlink()
    assert made() and contents(tmp_path) == before
    (tmp_path / ".01_train_01.json").write_text("[]")
    assert made() and not made()
    assert made(seed=4) and contents(tmp_path) != before


def test_code_that_changed_simulates_again(tmp_path, monkeypatch):
    assert scene_writer.ensure_scene(tmp_path, "01_train_01", SIZE, 3, "city")
    monkeypatch.setattr(scene_writer, "code_digest", lambda *behind: "of other code")
    assert scene_writer.ensure_scene(tmp_path, "01_train_01", SIZE, 3, "city")
