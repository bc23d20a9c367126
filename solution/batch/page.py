"""The batch as one page, without any network: totals, a table that can be sorted, links to maps and reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from solution import __version__
from solution.batch.table import OUTCOMES, Row, totals
from solution.core.writing import write_text

_TEMPLATE = Path(__file__).with_name("index.html.jinja")
_NUMBERS = (
    ("error, px", "error_px", "{:.1f}"),
    ("error, m", "error_m", "{:.1f}"),
    ("shift, px", "shift_px", "{:.1f}"),
    ("largest, px", "shift_most_px", "{:.1f}"),
    ("seconds", "seconds", "{:.0f}"),
    ("GB", "peak_memory_gb", "{:.1f}"),
)
"""Title, column of the table, and how it is shown."""
_LINKS = (
    ("page", ".html"),
    ("map", ".tif"),
    ("report", ".report.json"),
    ("SAR", ".sar.tif"),
    ("sigma", ".sigma.tif"),
    ("matches", ".candidates.parquet"),
    ("STAC", ".stac.json"),
)
"""Title, and how the file's name goes on after that of the pair; linked where it is there."""


def write_page(folder: Path, rows: Sequence[Row], source: str) -> None:
    """Write ``index.html``. Raises `InputError` where the disk refuses it.

    Args:
        source: what the list is called.
    """
    shown = [
        {
            "name": row.name,
            "verdict": row.verdict,
            "rank": OUTCOMES.index(row.verdict),
            "numbers": [_number(getattr(row, name), layout) for _, name, layout in _NUMBERS],
            "links": [
                (title, row.name + end) for title, end in _LINKS if row.map and (folder / (row.name + end)).is_file()
            ],
            "what": row.error or row.reasons,
        }
        for row in rows
    ]
    columns = [
        ("pair", ""),
        ("verdict", ""),
        *((title, "number") for title, _, _ in _NUMBERS),
        ("files", ""),
        ("why", ""),
    ]
    content = (
        _environment()
        .get_template(_TEMPLATE.name)
        .render(
            source=source,
            rows=shown,
            columns=columns,
            totals=totals(rows),
            version=__version__,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    write_text(folder / "index.html", content)


def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(_TEMPLATE.parent), autoescape=True, undefined=StrictUndefined)


def _number(value: float | None, layout: str) -> tuple[object, str]:
    """What it is sorted by, and what is shown."""
    return ("", "") if value is None else (value, layout.format(value))
