"""What the contest hands out, and what it keeps."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pandas as pd
import pytest

from solution.benchmark.rehearsal import layout, scenes
from solution.benchmark.rehearsal.scenes import SCALES, SCENES


@pytest.fixture
def root(all_scenes, tmp_path):
    """A folder with the scenes and what was laid out of them."""
    shutil.copytree(all_scenes, tmp_path / "scenes")
    layout.lay_out(tmp_path)
    return tmp_path


def _names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_only_images_and_tie_points_are_handed_out_and_no_labels_of_tests(root):
    assert _names(root / "contest/train") == {
        f"{aoi}_{kind}_{rest}"
        for aoi, rest in (("02", "train_01"), ("02", "train_02"), ("03", "train_01"))
        for kind, rest in (("optical", f"{rest}.tif"), ("sar", f"{rest}.tif"), ("tiepoints", f"{rest}.csv"))
    }
    public = {f"{aoi}_{kind}_publictest.tif" for aoi in ("02", "03") for kind in ("optical", "sar")}
    assert _names(root / "contest/public") == public
    assert _names(root / "contest/private") == {"01_optical_privatetest.tif", "01_sar_privatetest.tif"}
    assert _names(root / "hidden") == {"public", "private"}
    labels = {"01_tiepoints_privatetest.csv", "01_truth_privatetest.tif"}
    assert _names(root / "hidden/private") == _names(root / "contest/private") | labels


def test_what_does_not_belong_there_goes_and_the_rest_stays(root):
    image, leaked = root / "contest/train/02_optical_train_01.tif", root / "contest/train/02_truth_train_01.tif"
    shutil.copy(root / "scenes/02_truth_train_01.tif", leaked)
    before = image.stat()
    layout.lay_out(root)
    assert not leaked.exists() and image.stat() == before
    assert image.samefile(root / "scenes/02_optical_train_01.tif")


def test_copies_where_there_can_be_no_links(all_scenes, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    shutil.copytree(all_scenes, tmp_path / "scenes")
    layout.lay_out(tmp_path)
    source, copy = (tmp_path / folder / "03_sar_publictest.tif" for folder in ("scenes", "contest/public"))
    assert copy.read_bytes() == source.read_bytes() and not copy.samefile(source)
    before = copy.stat()
    layout.lay_out(tmp_path)
    assert copy.stat().st_ino == before.st_ino
    source.write_bytes(b"another image")
    layout.lay_out(tmp_path)
    assert copy.read_bytes() == b"another image"


def test_tie_points_are_thinned_to_what_the_contest_has(root):
    counts = {}
    for scene in SCENES:
        given = pd.read_csv(scenes.files(root / "scenes", scene)["tiepoints"])
        folder = root / ("contest" if scene.part == "train" else "hidden") / scene.part
        kept = pd.read_csv(scenes.files(folder, scene)["tiepoints"])
        counts[scene.name] = len(kept)
        assert len(given) > 160 >= len(kept) >= 100
        places = given.merge(kept, how="left", indicator=True)["_merge"] == "both"
        assert places.sum() == len(kept)
        halves = given.loc[places, "optical_col"] < given["optical_col"].median()
        assert 0.35 < halves.mean() < 0.65  # no corner alone
    assert len(set(counts.values())) > 1
    first = root / "contest/train/02_tiepoints_train_01.csv"
    text = first.read_text()
    first.unlink()
    layout.lay_out(root)
    assert first.read_text() == text


def test_all_tie_points_stay_where_there_are_few(root):
    path = root / "scenes/02_tiepoints_train_01.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:31]))
    layout.lay_out(root)
    assert (root / "contest/train" / path.name).read_text() == path.read_text()


def test_sizes_are_those_of_the_contest():
    sizes = {scene.name: SCALES["full"].size(scene) for scene in SCENES}
    assert sizes["01_privatetest"] == sizes["03_train_01"] == (13_000, 13_000)
    assert {size for name, size in sizes.items() if name not in ("01_privatetest", "03_train_01")} == {(3990, 10_155)}
    half = {scene.name: SCALES["half"].size(scene) for scene in SCENES}
    assert all(np.array_equal(np.array(size) // 2, half[name]) for name, size in sizes.items())
    seeds = [scene.seed for scene in SCENES]
    assert len(set(seeds)) == len(seeds)
