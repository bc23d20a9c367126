"""Images on disk give the tiles that images in memory give; what is kept of them is made once, and its memory is bounded."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import psutil
import pytest
from rasterio.transform import Affine

from solution.core.errors import InputError
from solution.data import registered
from solution.data.finding import find_scenes
from solution.proposers.coarse.settings import CoarseConfig
from solution.samples import images, index, sources, store
from solution.samples.shards import shard_bytes
from solution.samples.store import ImageStore, Keeping
from solution.samples.tiles import TilePairs
from solution.samples.truth import TiePointField, TruthMapField
from solution.tests.conftest import ORIGIN, Recipe, retag, write_raster, write_scene

CONFIG = dataclasses.replace(CoarseConfig(), tile_px=64, magnify=(-0.5, 0.5), factors=(1, 2, 4, 8))
SHARDS, NONE = Keeping(0), Keeping(2_000_000, decoded=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A labelled scene that is read in more than one block, another one, and two registered pairs."""
    folder = tmp_path_factory.mktemp("made")
    write_scene(folder / "data", "02_train_01", Recipe((1030, 301), speckle=0.2))
    write_scene(folder / "data", "03_train_01", Recipe((200, 240), seed=1, points=(4, 4)))
    rng = np.random.default_rng(0)
    for name, shape in (("a", (257, 300)), ("b", (129, 301))):
        for kind, channels in (("s1", ()), ("s2", (3,))):
            (folder / "pairs" / kind).mkdir(parents=True, exist_ok=True)
            pixels = cv2.GaussianBlur(rng.integers(0, 256, (*shape, *channels), dtype=np.uint8), (0, 0), 1)
            cv2.imwrite(str(folder / "pairs" / kind / f"{name}.png"), pixels)
    return folder


@pytest.fixture
def data(made, tmp_path) -> Path:
    """A copy, to be changed."""
    return shutil.copytree(made, tmp_path / "copy")


def gathered(folder: Path, images_: ImageStore) -> list:
    scenes, pairs = find_scenes(folder / "data"), registered.find_pairs(folder / "pairs")
    return images_.scenes(scenes) + images_.scenes(scenes[1:], "simulated") + images_.registered(pairs)


def with_truth(folder: Path) -> None:
    """A simulator's map beside the second scene."""
    truth = np.stack([np.full((200, 240), 4.75), np.tile(np.linspace(-3, 3, 240), (200, 1))]).astype(np.float32)
    affine = Affine(0.5, 0, ORIGIN[0], 0, -0.5, ORIGIN[1])
    write_raster(folder / "data" / "03_truth_train_01.tif", truth, affine, "EPSG:32637")


@pytest.mark.parametrize("keeping", [SHARDS, NONE], ids=["shards", "decoded"])
def test_tiles_from_disk_are_those_from_memory(data, tmp_path, keeping):
    with_truth(data)
    held = gathered(data, ImageStore(tmp_path / "held"))
    stored = gathered(data, ImageStore(tmp_path / "work", keeping))
    assert all(isinstance(image, images.TrainingImage) for image in held) and not (tmp_path / "held").exists()
    for one, other in zip(held, stored, strict=True):
        for name in ("name", "kind", "shape", "sar_pixel_px", "data"):
            assert getattr(one, name) == getattr(other, name)
        assert type(one.field) is type(other.field)
        np.testing.assert_array_equal(one.anchors, other.anchors)
    assert [type(image.field) for image in stored[:3]] == [TiePointField, TruthMapField, TruthMapField]
    tiles, others = (TilePairs(found, CONFIG, 30, 3) for found in (held, stored))
    for number in range(30):
        for key, value in tiles[number].items():
            assert value.numpy().tobytes() == others[number][key].numpy().tobytes(), (number, key)


def refuse(*_: object) -> None:
    raise AssertionError("opened")


def test_a_second_run_opens_nothing(made, tmp_path, monkeypatch):
    said = []
    gathered(made, ImageStore(tmp_path, SHARDS, said.append))
    assert ["2 of them read anew" in line for line in said] == [
        True,
        False,
        True,
    ]  # the second set is a part of the first
    table = pd.read_parquet(tmp_path / store.FOLDER / index.NAME)
    assert list(table["kind"]).count("registered") == 2 and set(table["tiepoints"]) >= {0, 16}
    row = table[table["name"] == "02_train_01"].iloc[0]
    assert (row["height"], row["width"], row["crs"]) == (1030, 301, "EPSG:32637")
    assert [float(value) for value in row["optical_to_crs"].split()][:3] == [ORIGIN[0], 0.5, 0.0]
    for place, name in ((sources, "open_pair"), (sources, "open_raster"), (registered.ImagePair, "read")):
        monkeypatch.setattr(place, name, refuse)
    for image in gathered(made, ImageStore(tmp_path, SHARDS)):
        assert image.anchors.shape[1] == 2 and image.data
        images.take(image.sar, np.full((2, 2, 2), 50.0), 1.0, np.zeros(4))


def test_what_changed_is_read_anew_and_nothing_else(data, tmp_path):
    def files() -> set[str]:
        return {path.name for path in (tmp_path / "work" / store.FOLDER).iterdir()}

    def read_anew() -> int:
        said = []
        ImageStore(tmp_path / "work", SHARDS, said.append).scenes(find_scenes(data / "data"))
        (line,) = said
        return int(line.rpartition(", ")[2].split()[0]) if "of them read anew" in line else 0

    assert read_anew() == 2 and read_anew() == 0
    first = files()
    retag(data / "data" / "03_sar_train_01.tif")
    assert read_anew() == 1 and read_anew() == 0
    assert len(files()) == len(first) and len(files() & first) == 3  # the index, and what belongs to the other scene
    with_truth(data)  # no file that was read has changed
    assert read_anew() == 1 and read_anew() == 0
    images_ = ImageStore(tmp_path / "work", SHARDS).scenes(find_scenes(data / "data"))
    assert isinstance(images_[1].field, TruthMapField)
    next((tmp_path / "work" / store.FOLDER).glob("*.blocks")).unlink()
    assert read_anew() == 1 and read_anew() == 0


def test_other_code_reads_anew(made, tmp_path, monkeypatch):
    pairs = registered.find_pairs(made / "pairs")
    said = []
    ImageStore(tmp_path, SHARDS).registered(pairs)
    monkeypatch.setattr(sources, "_code", lambda: "other")
    ImageStore(tmp_path, SHARDS, said.append).registered(pairs)
    assert "2 of them read anew" in said[0]


def test_small_sets_are_held_and_the_limit_counts_for_all_of_them(made, tmp_path):
    scenes, pairs = find_scenes(made / "data"), registered.find_pairs(made / "pairs")
    room = shard_bytes((257, 300)) + shard_bytes((129, 301))
    images_ = ImageStore(tmp_path, Keeping(room))
    assert not isinstance(images_.scenes(scenes)[0], images.TrainingImage)
    assert all(isinstance(image, images.TrainingImage) for image in images_.registered(pairs))
    assert not any(isinstance(image, images.TrainingImage) for image in images_.registered(pairs))


@pytest.mark.parametrize("keeping", [SHARDS, NONE], ids=["shards", "decoded"])
def test_dozens_of_images_take_the_memory_of_a_few(made, tmp_path, keeping):
    folder = tmp_path / "links"
    folder.mkdir()
    for number in range(36):
        for path in (made / "data").glob("03_*"):
            (folder / path.name.replace("train_01", f"link_{number:02d}")).symlink_to(path)
    images_ = ImageStore(tmp_path / "work", dataclasses.replace(keeping, memory_bytes=300_000))
    found = images_.scenes(find_scenes(folder))
    assert len({image.name for image in found}) == 36
    assert max(len(pickle.dumps(image)) for image in found) < 2000
    tiles, open_files = TilePairs(found, CONFIG, 90, 0), psutil.Process().num_fds()
    drawn = set()
    for number in range(90):
        drawn.add(tiles.choose(np.random.default_rng([0, number]))[0].name)
        tiles[number]
        assert images_.cache.held_bytes <= 300_000
    assert len(drawn) > 25 and psutil.Process().num_fds() == open_files
    assert len(images_.cache) > 0 and sum(shard_bytes(image.shape) for image in found) > 20 * 300_000


class KilledError(Exception):
    """Stands for a killed process."""


def test_a_killed_run_goes_on(made, tmp_path, monkeypatch):
    pairs, whole = registered.find_pairs(made / "pairs"), registered.ImagePair.read

    def dying(self):
        if self.sar.stem == "b":
            raise KilledError
        return whole(self)

    with monkeypatch.context() as patch:
        patch.setattr(registered.ImagePair, "read", dying)
        with pytest.raises(KilledError):
            ImageStore(tmp_path, SHARDS).registered(pairs)
    said = []
    ImageStore(tmp_path, SHARDS, said.append).registered(pairs)
    assert "2 images" in said[0] and "1 of them read anew" in said[0]


def test_shards_go_where_they_are_told_and_need_room(made, tmp_path, monkeypatch):
    pairs = registered.find_pairs(made / "pairs")
    ImageStore(tmp_path / "work", Keeping(0, tmp_path / "fast")).registered(pairs)
    assert len(list((tmp_path / "fast").iterdir())) == 2
    assert [path.name for path in (tmp_path / "work" / store.FOLDER).iterdir()] == [index.NAME]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"other: disk full: needs about 1 MB"):
        ImageStore(tmp_path / "work", Keeping(0, tmp_path / "other")).registered(pairs)
    assert not (tmp_path / "other").exists()


def test_half_a_scene_and_a_broken_one_end_in_a_sentence(data, tmp_path):
    (data / "data" / "03_sar_train_01.tif").unlink()
    with pytest.raises(InputError, match=r"03_sar_train_01\.tif is missing beside"):
        ImageStore(tmp_path, SHARDS).scenes(find_scenes(data / "data"))
    (data / "data" / "03_sar_train_01.tif").write_bytes(b"no raster")
    with pytest.raises(InputError, match="unreadable or truncated raster"):
        ImageStore(tmp_path, SHARDS).scenes(find_scenes(data / "data"))


def test_an_index_of_another_version_is_made_anew_and_none_at_all_is_told(made, tmp_path):
    pairs = registered.find_pairs(made / "pairs")
    ImageStore(tmp_path, SHARDS).registered(pairs)
    path = tmp_path / store.FOLDER / index.NAME
    pd.read_parquet(path).drop(columns="crs").to_parquet(path)
    said = []
    ImageStore(tmp_path, SHARDS, said.append).registered(pairs)
    assert "2 of them read anew" in said[0]
    path.write_bytes(b"no table")
    with pytest.raises(InputError, match=r"images\.parquet: is no readable index"):
        ImageStore(tmp_path, SHARDS).registered(pairs)
