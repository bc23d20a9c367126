"""One reader for the tables that people bring: whatever the dialect, the same numbers; what is wrong is named."""

from __future__ import annotations

import codecs
import io

import numpy as np
import pandas as pd
import pytest

from solution.core.errors import InputError
from solution.data.tables import read_table
from solution.data.tiepoints import read_tiepoint_csv

VALUES = np.array([[10.5, 20.25, -3.125, 4.0], [1e3, 2e-4, 5.0, -6.5]])
NAMES = ("x", "y", "dx", "dy")


def text(separator: str = ",", decimal: str = ".", header: str = "x,y,dx,dy", end: str = "\n") -> str:
    rows = [separator.join(f"{value:.10g}".replace(".", decimal) for value in row) for row in VALUES]
    return end.join([header.replace(",", separator), *rows, ""])


DIALECTS = {
    "plain": text().encode(),
    "byte-order mark": codecs.BOM_UTF8 + text().encode(),
    "UTF-16, little": text().encode("utf-16"),
    "UTF-16, big": codecs.BOM_UTF16_BE + text().encode("utf-16-be"),
    "UTF-16 without a mark": text().encode("utf-16-le"),
    "Windows": text(end="\r\n").encode(),
    "semicolons": text(";").encode(),
    "tabs": text("\t").encode(),
    "blanks": text("  ").encode(),
    "decimal commas": text(";", ",").encode(),
    "decimal commas, tabs, UTF-16": text("\t", ",").encode("utf-16"),
    "capitals": text(header="X,Y,DX,dY").encode(),
    "blanks in the header": text(header=" x , y ,dx , dy").encode(),
    "quotes": text(header='"x","y","dx","dy"').encode(),
    "Latin-1": ("# Straße\n" + text()).encode("latin-1"),
    "comments": ("; ENVI Image to Image GCP File\n;\n!PCI\n# 1\n\n% 2\n" + text()).encode(),
    "comments above semicolons": ("; base file: a.tif\n" + text(";")).encode(),
    "named separator": ("sep=;\n" + text(";")).encode(),
    "a column without a name": ("\n".join(f"{i},{line}" for i, line in zip(" 12", text().splitlines(), strict=True))).encode(),
    "a comma at the end": text().replace("\n", ",\n").encode(),
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_says_the_same(tmp_path, dialect):
    path = tmp_path / "p.csv"
    path.write_bytes(DIALECTS[dialect])
    table = read_table(path)
    assert table.holds(NAMES)
    np.testing.assert_array_equal(table.numbers(NAMES), VALUES)


def test_headers_of_several_words(tmp_path):
    (tmp_path / "p.csv").write_text("SAR Row;sar-col; Optical  Row ;OPTICAL_COL\n1;2;3;4\n")
    assert read_tiepoint_csv(tmp_path / "p.csv").to_numpy().tolist() == [[1, 2, 3, 4]]


def test_numbers_are_those_of_pandas_to_the_last_bit(tmp_path):
    written = pd.DataFrame(np.random.default_rng(0).normal(0, 1e3, (500, 2)), columns=["x", "y"])
    written.to_csv(tmp_path / "p.csv", index=False)
    read = pd.read_csv(tmp_path / "p.csv", sep=None, engine="python")
    np.testing.assert_array_equal(read_table(tmp_path / "p.csv").numbers(("x", "y")), read.to_numpy())


def test_empty_cells_are_nan_and_other_columns_may_hold_text(tmp_path):
    (tmp_path / "p.csv").write_text("x,note,y\n1,a;b,\nNA,,2\n,,nan\n")
    np.testing.assert_array_equal(
        read_table(tmp_path / "p.csv").numbers(("x", "y")), [[1, np.nan], [np.nan, 2], [np.nan] * 2]
    )


def test_a_parquet_table_has_plain_names_too(tmp_path):
    pd.DataFrame({"X": [1, 2], " Dx": [0.5, None]}).to_parquet(tmp_path / "p.parquet")
    np.testing.assert_array_equal(read_table(tmp_path / "p.parquet").numbers(("x", "dx")), [[1, 0.5], [2, np.nan]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a readable CSV"),
        (b"# only this\n", "is not a readable CSV"),
        (bytes(range(256)), "is not a readable CSV"),
        (b"x,X,y\n1,2,3\n", "has two columns x"),
        (b"x,y\n1,5,2,5\n", "data row 1 has 4 cells where the header names 2 columns"),
    ],
)
def test_what_is_no_table(tmp_path, content, message):
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as stop:
        read_table(path)
    assert str(stop.value).startswith(f"{path}: ") and "\n" not in str(stop.value)


def test_text_among_numbers_is_named_with_its_place(tmp_path):
    (tmp_path / "p.csv").write_text("x,confidence\n1,0.5\n2,high\n")
    with pytest.raises(InputError, match=r"data row 2 .* in column confidence: 'high' is not a number"):
        read_table(tmp_path / "p.csv").numbers(["confidence"])


def test_a_wrong_table_ends_with_what_was_found_and_what_was_wanted(tmp_path):
    (tmp_path / "p.csv").write_text("Lon,Lat,Wert\n1,2,3\n")
    error = str(read_table(tmp_path / "p.csv").lacks(("x", "y"), ("lat", "row")))
    assert "it has lon, lat, wert; the header must be x,y or lat,row" in error
    wide = ",".join(f"column_{number}" for number in range(40))
    (tmp_path / "wide.csv").write_text(wide + "\n")
    assert "and 28 more" in str(read_table(tmp_path / "wide.csv").lacks(("x",)))


def test_a_large_table_is_read_quickly(tmp_path):
    values = np.random.default_rng(0).normal(0, 100, (50_000, 4)).round(3)
    buffer = io.StringIO()
    np.savetxt(buffer, values, fmt="%.3f", delimiter=",", header="x,y,dx,dy", comments="")
    (tmp_path / "p.csv").write_text(buffer.getvalue())
    np.testing.assert_allclose(read_table(tmp_path / "p.csv").numbers(NAMES), values)
