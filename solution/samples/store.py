"""The images of a training run: small sets are held in memory, larger ones are read from disk tile by tile.

What is on disk is made once, below the work folder, and used by every later run: an index, small files of facts, and
shards, which are the decoded images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

from solution.core.outputs import check_folder
from solution.core.parallel import mapped
from solution.core.progress import bars_on_stderr
from solution.data.finding import SceneFiles
from solution.data.registered import ImagePair
from solution.data.scene import ScenePair
from solution.samples.cache import Cache
from solution.samples.images import TrainingImage
from solution.samples.index import Index, Row
from solution.samples.shards import shard_bytes
from solution.samples.sources import PairSource, Places, SceneSource, Source, is_fresh
from solution.samples.stored import StoredImage

SomeImage = TrainingImage | StoredImage
"""What tiles are cut from."""
FOLDER = "images"
"""Name of the folder below the work folder."""
_WRITTEN_EACH = 64  # images after which the index is written, so that a killed run keeps them


@dataclass(frozen=True)
class Keeping:
    """How much of the images is in memory, and where the rest is.

    Attributes:
        memory_bytes: most that a process holds of decoded images. Sets that fit are read whole at the start, in the
            order in which they are asked for; of others each process keeps what it used last.
        shards: folder of the decoded images of larger sets, 5.4 bytes a pixel; None = below the work folder.
        decoded: whether there are such; if not, tiles are decoded from the images, which takes many times as long.
    """

    memory_bytes: int = 512 * 2**20
    shards: Path | None = None
    decoded: bool = True


class ImageStore:
    """Hands out training images, and keeps what they need.

    Attributes:
        cache: what this process keeps of images on disk.
    """

    def __init__(self, work: Path, keeping: Keeping | None = None, say: Callable[[str], None] | None = None) -> None:
        """`say` gets a line for every set that is read from disk."""
        keeping = keeping or Keeping()
        folder = work / FOLDER
        self._places = Places(folder, (keeping.shards or folder) if keeping.decoded else None)
        self._room = keeping.memory_bytes
        self._say = say or (lambda line: None)
        self.cache = Cache(keeping.memory_bytes)

    def scenes(self, scenes: Sequence[SceneFiles | ScenePair], simulated_in: str = "") -> list[SomeImage]:
        """Labelled scenes, or those simulated in a folder of that name.

        Raises:
            InputError: a scene that is not whole, or cannot be read, or a disk without room for the shards.
        """
        return self._gathered([SceneSource.of(scene, simulated_in) for scene in scenes])

    def registered(self, pairs: Sequence[ImagePair]) -> list[SomeImage]:
        """Registered pairs. Raises `InputError` as `scenes`."""
        return self._gathered([PairSource(pair) for pair in pairs])

    def _gathered(self, sources: list[Source]) -> list[SomeImage]:
        rows = {source: self._fresh(source) for source in sources}
        sizes = {source: shard_bytes(row.shape if row else source.shape()) for source, row in rows.items()}
        taken = sum(sizes.values())
        if taken <= self._room:
            self._room -= taken
            return [source.held() for source in sources]
        missing = [source for source, row in rows.items() if row is None]
        if missing:
            rows |= self._kept(missing, sum(sizes[source] for source in missing))
        new = f", {len(missing):,} of them read anew" if missing else ""
        self._say(f"{self._index.path}: {len(sources):,} images, {taken / 1e6:,.0f} MB decoded{new}")
        return [source.stored(rows[source], self._places, self.cache) for source in sources]

    @cached_property
    def _index(self) -> Index:
        return Index(self._places.folder)

    def _fresh(self, source: Source) -> Row | None:
        row = self._index.get(source.optical, source.sar)
        return row if row is not None and is_fresh(source, row, self._places) else None

    def _kept(self, missing: list[Source], size: int) -> dict[Source, Row]:
        """Read images and keep what they need, `size` bytes of shards; what is finished counts, whatever ends the rest."""
        check_folder(self._places.folder)
        if self._places.shards is not None:
            check_folder(self._places.shards, size)
        rows: dict[Source, Row] = {}
        try:
            with bars_on_stderr() as progress:
                work = mapped(lambda source: source.keep(self._places), missing, "images", progress)
                for row, source, number in zip(work, missing, count(1), strict=False):
                    rows[source] = row
                    self._put(row)
                    if number % _WRITTEN_EACH == 0:
                        self._index.write()
        finally:
            self._index.write()
        return rows

    def _put(self, row: Row) -> None:
        """Add a row; what belonged to the one before goes."""
        former = self._index.put(row)
        if former is not None and former.key != row.key:
            for path in (self._places.facts(former.key), self._places.shard(former.key)):
                if path is not None:
                    path.unlink(missing_ok=True)
