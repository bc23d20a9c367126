"""Where training images come from: a scene, or a registered pair, before anything of it was read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol

from solution.core.artefact import digest
from solution.core.code import code_digest
from solution.core.geometry import Window
from solution.data import naming
from solution.data.finding import SceneFiles
from solution.data.opening import files_behind, open_raster
from solution.data.registered import ImagePair
from solution.data.scene import ScenePair, open_pair
from solution.samples import images
from solution.samples.cache import Cache
from solution.samples.decoded import OPTICAL, SAR, PairLevels, SceneLevels
from solution.samples.facts import write_facts
from solution.samples.images import TrainingImage
from solution.samples.index import Row, States, states_of
from solution.samples.levels import level_shapes
from solution.samples.shards import Blocks, is_whole, shard_levels, write_shard
from solution.samples.stored import StoredImage


@dataclass(frozen=True)
class Places:
    """Where what belongs to a row lies.

    Attributes:
        folder: of the index, and of the facts of scenes.
        shards: of the decoded images; None = they are decoded whenever they are needed.
    """

    folder: Path
    shards: Path | None

    def facts(self, key: str) -> Path:
        """The facts of a scene."""
        return self.folder / f"{key}.npz"

    def shard(self, key: str) -> Path | None:
        """The decoded images of a row."""
        return None if self.shards is None else self.shards / f"{key}.blocks"


class Source(Protocol):
    """A scene or a registered pair."""

    optical: Path
    sar: Path

    def states(self, known: Row | None) -> States:
        """The present states of the files that it is read from; those that are found by opening them are `known`."""

    def shape(self) -> tuple[int, int]:
        """(h, w) of the optical image, by its header."""

    def held(self) -> TrainingImage:
        """The image in memory."""

    def is_kept(self, row: Row, places: Places) -> bool:
        """Whether all that belongs to a row is there."""

    def keep(self, places: Places) -> Row:
        """Read it, and write what belongs to its row, where that is missing."""

    def stored(self, row: Row, places: Places, cache: Cache) -> StoredImage:
        """The image on disk."""


@dataclass(frozen=True)
class SceneSource:
    """A labelled scene, or one simulated in a folder.

    Attributes:
        name, optical, sar, tiepoints: of the scene; absolute paths.
        simulated_in: name of that folder, or an empty string.
    """

    name: str
    optical: Path
    sar: Path
    tiepoints: Path | None
    simulated_in: str = ""

    @classmethod
    def of(cls, scene: SceneFiles | ScenePair, simulated_in: str = "") -> SceneSource:
        """Raises `InputError` where half of the scene is missing."""
        if scene.optical is None or scene.sar is None:
            scene.open()  # which says what is missing
        labels = labels_beside(scene)
        labels = None if labels is None else labels.absolute()
        return cls(scene.name, scene.optical.absolute(), scene.sar.absolute(), labels, simulated_in)

    def open(self) -> ScenePair:
        """The scene. Raises `InputError` as `open_pair`."""
        return open_pair(self.optical, self.sar, self.tiepoints, self.name)

    def states(self, known: Row | None) -> States:
        """Of the rasters, what lies beside them under their names, the labels, and the files that VRTs name."""
        told = () if known is None else (Path(path) for path in known.states)
        return states_of([*self._plain_files(), *told])

    def _plain_files(self) -> Iterator[Path]:
        """Files that are found without opening any; the truth counts where it is not there too, for it may come."""
        for raster in (self.optical, self.sar):
            yield raster
            yield from _beside(raster)
        yield naming.beside(self.optical, "truth")
        if self.tiepoints is not None:
            yield self.tiepoints

    def shape(self) -> tuple[int, int]:
        """(h, w) of the optical image. Raises `InputError` as `open_pair`."""
        return self.open().shape

    def held(self) -> TrainingImage:
        """The image in memory. Raises `InputError` as `images.scene_image`."""
        return images.scene_image(self.open(), self.simulated_in)

    def is_kept(self, row: Row, places: Places) -> bool:
        """Whether facts and shard are there."""
        return places.facts(row.key).is_file() and _has_shard(row, places)

    def keep(self, places: Places) -> Row:
        """Read it, write facts and shard. Raises `InputError` as `images.scene_image`, or where the disk refuses them."""
        pair = self.open()
        behind = [file.absolute() for path in (self.optical, self.sar) for file in files_behind(path)]
        states = states_of([*self._plain_files(), *behind])
        key = _key(states)
        if not places.facts(key).is_file():
            write_facts(places.facts(key), pair)
        _write_missing(places.shard(key), pair.shape, _scene_blocks(pair))
        return Row(
            key,
            images.scene_kind(self.simulated_in),
            images.scene_name(self.name, self.simulated_in),
            images.scene_data(pair),
            str(self.optical),
            str(self.sar),
            str(images.labels_of(pair)),
            *pair.shape,
            pair.sar_pixel_px,
            " ".join(f"{value:.17g}" for value in pair.transform[:2, [2, 0, 1]].ravel()),
            pair.crs.to_string(),
            len(pair.tiepoints().xy),
            json.dumps(states),
        )

    def stored(self, row: Row, places: Places, cache: Cache) -> StoredImage:
        """The image on disk, under its present name."""
        facts, shapes = places.facts(row.key), level_shapes(row.shape)
        if places.shards is not None:
            levels = shard_levels(places.shard(row.key), row.shape)
        else:
            levels = (SceneLevels(image, shapes, self.optical, self.sar, facts, cache) for image in (OPTICAL, SAR))
        name, kind = images.scene_name(self.name, self.simulated_in), images.scene_kind(self.simulated_in)
        return StoredImage(name, kind, row.shape, row.sar_pixel_px, row.data, *levels, facts, cache)


@dataclass(frozen=True)
class PairSource:
    """A registered pair.

    Attributes:
        pair: its files.
    """

    pair: ImagePair

    @property
    def optical(self) -> Path:
        """Absolute path."""
        return self.pair.optical.absolute()

    @property
    def sar(self) -> Path:
        """Absolute path."""
        return self.pair.sar.absolute()

    def states(self, known: Row | None) -> States:
        """Of both files."""
        return states_of([self.optical, self.sar])

    def shape(self) -> tuple[int, int]:
        """(h, w). Raises `InputError` for an unreadable image."""
        with open_raster(self.optical) as dataset:
            return dataset.shape

    def held(self) -> TrainingImage:
        """The image in memory. Raises `InputError` as `ImagePair.read`."""
        return images.registered_image(self.pair)

    def is_kept(self, row: Row, places: Places) -> bool:
        """Whether the shard is there."""
        return _has_shard(row, places)

    def keep(self, places: Places) -> Row:
        """Read it, write the shard. Raises `InputError` as `ImagePair.read`, or where the disk refuses it."""
        states = self.states(None)
        key = _key(states)
        optical, sar = images.registered_levels(self.pair)
        shape = sar[0].shape
        _write_missing(places.shard(key), shape, [(Window(0, 0, *shape[::-1]), optical[0], sar[0])])
        data = images.registered_data(self.pair)
        paths = str(self.optical), str(self.sar)
        return Row(key, "registered", self.pair.name, data, *paths, "", *shape, 1.0, "", "", 0, json.dumps(states))

    def stored(self, row: Row, places: Places, cache: Cache) -> StoredImage:
        """The image on disk, under its present name."""
        if places.shards is not None:
            levels = shard_levels(places.shard(row.key), row.shape)
        else:
            levels = (PairLevels(image, level_shapes(row.shape), self.pair, cache) for image in (OPTICAL, SAR))
        return StoredImage(self.pair.name, "registered", row.shape, 1.0, row.data, *levels, None, cache)


def labels_beside(scene: SceneFiles | ScenePair) -> Path | None:
    """The tie-points of a scene, where it has any."""
    return scene.tiepoints_csv if isinstance(scene, ScenePair) else scene.tiepoints


def is_fresh(source: Source, row: Row, places: Places) -> bool:
    """Whether a row still holds: its files and the code are as they were, and what belongs to it is there."""
    return _key(source.states(row)) == row.key and source.is_kept(row, places)


def _key(states: States) -> str:
    return digest([{path: state and list(state) for path, state in states.items()}, _code()])


@cache
def _code() -> str:
    return code_digest(SceneSource)


def _has_shard(row: Row, places: Places) -> bool:
    return places.shards is None or is_whole(places.shard(row.key), row.shape)


def _write_missing(shard: Path | None, shape: tuple[int, int], blocks: Blocks) -> None:
    if shard is not None and not is_whole(shard, shape):
        write_shard(shard, shape, blocks)


def _scene_blocks(pair: ScenePair) -> Blocks:
    for window in images.read_windows(pair.shape):
        yield window, images.read_optical(pair, window), images.read_sar(pair, window)


def _beside(raster: Path) -> list[Path]:
    """Files of the raster's folder that are named after it: masks, overviews, world files."""
    folder = raster.parent
    names = _by_beginning(folder, folder.stat().st_mtime_ns).get(raster.name.partition(".")[0], ())
    return [folder / name for name in names if name.startswith(f"{raster.stem}.")]


@lru_cache(maxsize=64)
def _by_beginning(folder: Path, _changed_ns: int) -> dict[str, list[str]]:
    """Names of a folder by what stands before their first dot; listed once, while the folder stays as it is."""
    found: dict[str, list[str]] = {}
    for name in sorted(path.name for path in folder.iterdir()):
        found.setdefault(name.partition(".")[0], []).append(name)
    return found
