"""The files that tie-points are written to: their formats, which their suffixes say, and what goes into each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from solution.core.errors import InputError
from solution.data.ends import Ends
from solution.data.scene import ScenePair
from solution.products.tiepoints import lines, texts
from solution.products.tiepoints.thinning import evenly

LINES = {".gpkg": lines.write_geopackage, ".geojson": lines.write_geojson}
"""Formats with room for what the fit set aside, and why."""
TEXTS = {".csv": texts.sn9, ".points": texts.qgis, ".pts": texts.envi_points, ".gcp": texts.gdal}
SUFFIXES = (*LINES, *TEXTS)


@dataclass(frozen=True)
class Choice:
    """Which tie-points are written.

    Attributes:
        every: those that the fit set aside too, in formats without room for the reason.
        most: of a file, spread evenly; None = all.
    """

    every: bool = False
    most: int | None = None


ALL = Choice()
"""What the fit kept, and in `LINES` what it set aside too."""


def named(asked: Sequence[str], beside: Path) -> tuple[Path, ...]:
    """The files of what was asked for: names of files, or formats alone (``gpkg``), whose files lie beside another.

    Raises:
        InputError: a suffix of no format, or two files of one format.
    """
    paths = tuple(beside.with_name(f"{beside.name}.tiepoints.{one}") if is_format(one) else Path(one) for one in asked)
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"{path}: tie-points are not written so; give it a name that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
            )
    suffixes = [path.suffix.lower() for path in paths]
    twice = next((path for number, path in enumerate(paths) if suffixes[number] in suffixes[:number]), None)
    if twice is not None:
        raise InputError(f"{twice}: is the second file of tie-points of this format; leave one of them out")
    return paths


def is_format(asked: str) -> bool:
    """Whether a format alone was asked for, and no file."""
    return f".{asked.lower()}" in SUFFIXES


def write(
    paths: Sequence[Path],
    table: pd.DataFrame,
    pair: ScenePair,
    choice: Choice = ALL,
    say: Callable[[str], None] = print,
) -> int:
    """Write candidates of a pair to files, each in the format of its suffix, and say of each what is in it.

    What begins or ends beside the images is left out, for no program could use it.

    Args:
        table: the candidates, `outlier` filled.

    Returns:
        How many of them could be written, whatever was chosen.

    Raises:
        InputError: the disk refuses a file.
    """
    ends = Ends.of(pair, table[["x", "y"]].to_numpy(), table[["dx", "dy"]].to_numpy())
    kept = (table["outlier"] == "").to_numpy()
    for path in paths:
        suffix = path.suffix.lower()
        fits = kept | choice.every | (suffix in LINES)
        rows = np.flatnonzero(ends.inside & fits)
        if choice.most is not None:
            rows = rows[evenly(ends.optical[rows], _rank(table.iloc[rows]), choice.most)]
        if suffix in LINES:
            LINES[suffix](path, pair, ends.rows(rows), table.iloc[rows])
        else:
            texts.write(path, TEXTS[suffix](pair, ends.rows(rows), kept[rows]))
        say(f"{path}: {_told(len(rows), len(table), int((~fits).sum()), int((fits & ~ends.inside).sum()))}")
    return int(ends.inside.sum())


def _rank(table: pd.DataFrame) -> np.ndarray:
    """(N,) kept ones before others, then by confidence, which is at most 1."""
    return np.where(table["outlier"] == "", 2.0, 0.0) + table["confidence"].to_numpy()


def _told(written: int, count: int, aside: int, beside: int) -> str:
    """How many, and why not all."""
    thinned = count - written - aside - beside
    why = {"set aside by the fit": aside, "beside the images": beside, "thinned out": thinned}
    left = ", ".join(f"{number:,} {reason}" for reason, number in why.items() if number)
    return f"{written:,} of {count:,} tie-points" + (f" ({left})" if left else "")
