"""What is exported: a table of candidates, tie-points of any form, or an offset map; and the pair that they belong to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rasterio.windows import Window

from solution.core.artefact import is_whole, read_noted
from solution.core.errors import InputError
from solution.core.outputs import RASTERS
from solution.data.offsets import why_no_map
from solution.data.opening import check_file, open_raster
from solution.data.scene import ScenePair, open_pair
from solution.data.tables import read_table
from solution.field import candidates
from solution.field.imported import read_given
from solution.products.outputs import Outputs

MAP = "map"
"""The source of tie-points that were read off an offset map."""
_CANDIDATES = ".candidates.parquet"
_LATTICE = 400
"""Points that a map gives where nobody says how many."""


@dataclass(frozen=True)
class Given:
    """What the user named.

    Attributes:
        path: a map, candidates, or tie-points.
        report: what a prediction would have left beside it.
        noted: what it says; empty where there is none.
    """

    path: Path
    report: Path
    noted: dict

    @classmethod
    def of(cls, path: Path) -> Given:
        """Raises `InputError` where there is no such file."""
        check_file(path)
        if path.suffix.lower() in RASTERS:
            report = Outputs.of(path).report
        else:
            stem = path.stem.removesuffix(".tiepoints")  # what was exported knows its images too
            named = path.name.removesuffix(_CANDIDATES) if path.name.endswith(_CANDIDATES) else stem
            report = path.with_name(f"{named}.report.json")
        return cls(path, report, read_noted(report))

    @property
    def is_map(self) -> bool:
        return self.path.suffix.lower() in RASTERS

    @property
    def stem(self) -> Path:
        """Path that the names of its exports begin with."""
        return self.report.with_name(self.report.name.removesuffix(".report.json"))

    def pair(self, optical: Path | None, sar: Path | None) -> ScenePair:
        """The images that were named, or those that the report names.

        Raises:
            InputError: neither does, or the images are not those of the report.
        """
        return open_pair(optical or self._image("optical"), sar or self._image("sar"))

    def _image(self, kind: str) -> Path:
        facts = (self.noted.get("inputs") or {}).get(kind)
        mend = f"name the image with --{kind}"
        if not isinstance(facts, dict) or not isinstance(facts.get("path"), str):
            raise InputError(f"{self.path}: no report beside it says which images it belongs to; {mend}")
        path = Path(facts["path"])
        moved = self.report.with_name(path.name)
        found = path if path.exists() or not moved.is_file() else moved
        if found.is_file() and facts.get("bytes") not in (None, found.stat().st_size):
            raise InputError(f"{found}: is not the image that {self.report.name} was made from; {mend}")
        if not found.exists() and "bytes" in facts:
            raise InputError(f"{found}: is not there any more, but {self.report.name} names it; {mend}")
        return found

    def points(self, pair: ScenePair, from_map: bool, most: int | None, say: Callable[[str], None]) -> pd.DataFrame:
        """The candidates; of a map those beside it, where they led to it and the map itself was not asked for.

        Raises:
            InputError: unreadable, or of other images.
        """
        if not self.is_map:
            return _table(self.path, pair)
        files = Outputs.of(self.path)
        described = self.noted.get("files") or {}
        if not from_map and is_whole(files.table, described.get("candidates")):
            if is_whole(self.path, described.get("map")):
                return _table(files.table, pair)
            say(f"{files.table}: led to another map, passed over")
        return _off_the_map(self.path, pair, most or _LATTICE)


def _table(path: Path, pair: ScenePair) -> pd.DataFrame:
    """Candidates as they are, reasons included, and tie-points of any other form."""
    if path.suffix.lower() != ".parquet" or not read_table(path).holds(list(candidates.SCHEMA)):
        return read_given(path, pair)
    table = candidates.read(path)
    scenes = set(table["scene"])
    if len(scenes) > 1:
        table = table[table["scene"] == pair.name].reset_index(drop=True)
        if table.empty:
            raise InputError(
                f"{path}: holds candidates of {len(scenes)} scenes, and none of {pair.name}; name their own images"
            )
    return table


def _off_the_map(path: Path, pair: ScenePair, most: int) -> pd.DataFrame:
    """An even lattice of at most `most` places, without those where the map or an image has no data."""
    height, width = pair.shape
    rows = max(1, min(height, most, math.floor(math.sqrt(most * height / width))))
    columns = max(1, min(width, most // rows))
    y, x = (((np.arange(count) + 0.5) * size / count).astype(int) for count, size in ((rows, height), (columns, width)))
    with open_raster(path) as dataset:
        wrong = why_no_map(dataset, pair.shape, pair.transform, pair.crs)
        if wrong:
            raise InputError(f"{path}: {wrong}")
        lines = [dataset.read(window=Window(0, int(row), width, 1), masked=True)[:, 0, x] for row in y]
    shift = np.ma.stack(lines, axis=1).astype(np.float64).filled(np.nan).reshape(2, -1).T
    xy = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float64)
    good = np.isfinite(shift).all(axis=1)
    good[good] &= ~pair.masked(xy[good], shift[good])
    return candidates.make(pair.name, -1, MAP, xy[good], shift[good])
