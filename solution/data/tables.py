"""Tables that people bring along, in the dialects that tools write: one reader for all of them.

Text is UTF-8 or UTF-16, with a byte-order mark or without, or Latin-1. Cells are separated by commas, semicolons, tabs
or blanks; where not by commas, numbers may have decimal commas. Headers may have capitals, blanks and quotes. Lines of
comment (``#``, and above the header ``;``, ``!`` or ``%``) are passed over. Formats without a header get one
(`solution.data.dialects`), and lines of a GeoPackage or GeoJSON are read too (`solution.data.vectors`).
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from solution.core.errors import InputError
from solution.data import vectors
from solution.data.dialects import BY_SUFFIX
from solution.data.opening import check_file

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SEPARATORS = (";", "\t", ",")
_DECIMAL_COMMA = r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$"
_EMPTY = ("", "na", "n/a", "nan", "null", "none")
_PROBED_BYTES = 64
_MOST_TOLD = 12  # columns of a wrong table


@dataclass(frozen=True)
class GivenTable:
    """A table as it was read.

    Attributes:
        path: where it comes from.
        cells: columns by name, in small letters with underscores; text cells where it was a text file.
        comments: lines of comment, in order.
    """

    path: Path
    cells: pd.DataFrame
    comments: tuple[str, ...] = ()

    def holds(self, names: Sequence[str]) -> bool:
        """Whether it has all these columns."""
        return set(names) <= set(self.cells.columns)

    def lacks(self, *wanted: Sequence[str]) -> InputError:
        """What to say where it has none of the wanted sets of columns."""
        found = [str(name)[:40] for name in self.cells.columns]
        told = ", ".join(found[:_MOST_TOLD]) + (
            f" and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
        )
        missing = [name for name in wanted[0] if name not in found]
        sets = " or ".join(",".join(names) for names in wanted)
        return InputError(
            f"{self.path}: lacks the column(s) {', '.join(missing)}; it has {told}; the header must be {sets}"
        )

    def numbers(self, names: Sequence[str], wanted: str = "a number") -> np.ndarray:
        """(N, len(names)) float64 of columns; NaN for empty cells.

        Args:
            wanted: what the cells shall be, for messages.

        Raises:
            InputError: a cell that is text.
        """
        return np.column_stack([self._column(name, wanted) for name in names]).astype(np.float64)

    def _column(self, name: str, wanted: str) -> np.ndarray:
        column = self.cells[name]
        if pd.api.types.is_numeric_dtype(column):
            return column.to_numpy(np.float64, na_value=np.nan)
        text = column.astype("string").str.strip().str.replace(_DECIMAL_COMMA, r"\1.\2", regex=True)
        empty = text.isna() | text.str.lower().isin(_EMPTY)
        values = pd.to_numeric(text.mask(empty), errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = np.flatnonzero(np.isnan(values) & ~empty.to_numpy(bool))
        if len(wrong):
            raise InputError(
                f"{self.path}: data row {wrong[0] + 1} holds something other than numbers in column {name}:"
                f" {str(column.iloc[wrong[0]])[:40]!r} is not {wanted}; correct or remove it"
            )
        return values


def read_table(path: Path) -> GivenTable:
    """Read a parquet or text table, or lines of a GeoPackage or GeoJSON.

    Raises:
        InputError: no such file, a directory, unreadable, without a header, two columns of one name, a row with more
            cells than the header, or as `vectors.read_lines`.
    """
    path = Path(path)
    check_file(path)
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            with path.open("rb") as file:
                cells, comments = pd.read_parquet(file), ()
        elif suffix in vectors.SUFFIXES:
            cells, comments = vectors.read_lines(path)
        else:
            text = _text(path.read_bytes())
            cells, comments = _parsed(BY_SUFFIX[suffix](text) if suffix in BY_SUFFIX else text, path)
    except (pa.ArrowException, OSError, ValueError, csv.Error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: is not a readable CSV or parquet file ({str(error).splitlines()[0][:120]}); export it again"
        ) from error
    cells.columns = [_plain(name) for name in cells.columns]
    twice = cells.columns[cells.columns.duplicated()]
    if len(twice):
        raise InputError(f"{path}: has two columns {twice[0]}; keep one of them")
    return GivenTable(path, cells, comments)


def _text(content: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    # UTF-16 without a mark: every second byte of plain text is zero
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if content[first:_PROBED_BYTES:2] and not any(content[first:_PROBED_BYTES:2]):
            return content.decode(encoding)
    if b"\0" in content:
        raise ValueError("it holds binary data")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _parsed(text: str, path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    comments, lines = [], []
    for line in text.splitlines():
        above = "#" if lines else "#;!%"
        if line.lstrip()[:1] and line.lstrip()[0] in above:
            comments.append(line.strip())
        elif line.strip():
            lines.append(line)
    if not lines:
        raise InputError(f"{path}: is not a readable CSV (it is empty); export it again")
    # Some programs begin with a line that only names the separator
    if re.fullmatch(r"sep=.", lines[0].strip()):
        lines.pop(0)
    rows = _split(lines)
    header = rows[0]
    wide = next((number for number, row in enumerate(rows) if len(row) > len(header) and any(row[len(header) :])), None)
    if wide is not None:
        raise InputError(
            f"{path}: data row {wide} has {len(rows[wide])} cells where the header names {len(header)} columns;"
            " write decimal points, or separate cells with semicolons"
        )
    filled = [(row + [""] * len(header))[: len(header)] for row in rows[1:]]
    columns = {number: [row[number] for row in filled] for number in range(len(header))}
    cells = pd.DataFrame(columns, dtype=object)
    cells.columns = header
    return cells.loc[:, [bool(name) for name in header]], tuple(comments)


def _split(lines: list[str]) -> list[list[str]]:
    """Rows of stripped cells, by the separator of the first line."""
    counts = {mark: lines[0].count(mark) for mark in _SEPARATORS}
    mark = max(counts, key=counts.get)
    if counts[mark] == 0:
        return [line.split() for line in lines]
    reader = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    return [[cell.strip() for cell in row] for row in reader]


def _plain(name: object) -> str:
    """``Optical Row`` is ``optical_row``."""
    return re.sub(r"[\s-]+", "_", str(name).strip().strip("\"'").strip()).lower()
