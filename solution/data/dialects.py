"""Tables whose columns have no header, because the format says which they are: they get one before they are read."""

from __future__ import annotations

import re
from collections.abc import Callable

ENVI_COLUMNS = ("base_x", "base_y", "warp_x", "warp_y")
"""Of ``.pts`` (`solution.data.envi`)."""
GDAL_COLUMNS = ("pixel", "line", "easting", "northing")
"""Of ``.gcp`` (`solution.data.gdal_points`)."""
_SRS = re.compile(r'-a_srs\s+("(?:\\.|[^"\\])*"|\S+)')
_NUMBERS = re.compile(r"[\s\d.eE+-]+")


def _envi(text: str) -> str:
    """Lines of comment, a header, and the rows; unchanged where it has a header of its own."""
    lines = [line for line in text.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if not line.lstrip().startswith((";", "#"))), len(lines))
    if first == len(lines) or not _NUMBERS.fullmatch(lines[first]):
        return text
    return "\n".join([*lines[:first], " ".join(ENVI_COLUMNS), *lines[first:]])


def _gdal(text: str) -> str:
    """A comment that tells the CRS, a header, and a row for every ``-gcp``; unchanged where there is no option."""
    options = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    told = [_unquoted(word) for word in _SRS.findall(options)]
    points = re.split(r"-gcp\s", _SRS.sub(" ", options))[1:]
    if not points and not told:
        return text
    rows = (" ".join(point.split()[: len(GDAL_COLUMNS)]) for point in points)  # an elevation may follow
    return "\n".join([*(f"#CRS: {crs}" for crs in told), " ".join(GDAL_COLUMNS), *rows])


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word[:1] == word[-1:] == '"' else word


BY_SUFFIX: dict[str, Callable[[str], str]] = {".pts": _envi, ".gcp": _gdal}
"""What gives the text of a file its header."""
