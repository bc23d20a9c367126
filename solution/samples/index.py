"""The index: what is known of every image of a data set, so that a run begins without opening them.

One parquet file, one row an image. A row holds as long as the files that it was read from keep their sizes and times, and
the code that read them is the same.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from solution.core.errors import InputError
from solution.core.writing import write_bytes

NAME = "images.parquet"

States = dict[str, tuple[int, int] | None]
"""Path -> size in bytes and time of the last change in ns; None where nothing is."""


@dataclass(frozen=True)
class Row:
    """An image in the index.

    Attributes:
        key: of the files that belong to it: digest of the states of its files, and of the code that read them.
        kind, name, data: as of `images.TrainingImage`.
        optical, sar, labels: paths; no labels = an empty string.
        height, width: of the optical image, px.
        sar_pixel_px: side of a SAR pixel, optical px.
        optical_to_crs: geotransform of the optical image, GDAL's six numbers as text; empty without one.
        crs: as text.
        tiepoints: how many there are.
        files: JSON of the states of all files that it was read from.
    """

    key: str
    kind: str
    name: str
    data: str
    optical: str
    sar: str
    labels: str
    height: int
    width: int
    sar_pixel_px: float
    optical_to_crs: str
    crs: str
    tiepoints: int
    files: str

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w)."""
        return self.height, self.width

    @property
    def states(self) -> States:
        """Of the files that it was read from."""
        return {path: None if state is None else tuple(state) for path, state in json.loads(self.files).items()}


def states_of(paths: Iterable[Path]) -> States:
    """The present state of files."""
    return {str(path): _state(path) for path in sorted(set(paths))}


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


class Index:
    """The rows of one file, by the paths of both images."""

    def __init__(self, folder: Path) -> None:
        """Read it, where it is there.

        Raises:
            InputError: it is no index.
        """
        self.path = folder / NAME
        self._rows = {(row.optical, row.sar): row for row in _read(self.path)}

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def get(self, optical: Path, sar: Path) -> Row | None:
        """The row of two images, whether it still holds or not."""
        return self._rows.get((str(optical), str(sar)))

    def put(self, row: Row) -> Row | None:
        """Add a row -> the one whose place it takes."""
        place = row.optical, row.sar
        former = self._rows.get(place)
        self._rows[place] = row
        return former

    def write(self) -> None:
        """Write it whole. Raises `InputError` where the disk refuses it."""
        content = io.BytesIO()
        pd.DataFrame([asdict(row) for row in self], columns=[field.name for field in fields(Row)]).to_parquet(content)
        write_bytes(self.path, content.getvalue())


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no readable index of images; remove it, and it is made anew") from error
    names = [field.name for field in fields(Row)]
    if list(table.columns) != names:  # of another version
        return []
    return [Row(*values) for values in zip(*(table[name].tolist() for name in names), strict=True)]
