"""What a page says of itself at its very end: that it is one of ours and whole, and what it was made from.

So a page that speaks of an older map is told from one that does not, and from a file of the user's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from solution.core.artefact import digest, file_hash
from solution.core.code import code_digest
from solution.core.writing import write_text

_END = re.compile(rb"<!-- offset map report ([0-9a-f]{16}) -->\n\Z")
_TAIL_BYTES = 200
_FOLDER = Path(__file__).parent
ASSETS = tuple(_FOLDER / name for name in ("page.html", "page.css", "page.js"))
"""Template, look and behaviour of the page."""
MOST_BYTES = 6_000_000
"""That a page takes, about, whatever the scene."""


def made_of(facts: Mapping) -> str:
    """Digest of what a page depends on: the report, and the code of the page."""
    code = code_digest("products.page.making")
    return digest([dict(facts), code, [file_hash(path) for path in ASSETS]])


def is_page(path: Path, mark: str | None = None) -> bool:
    """Whether a file is a whole page of ours; with a `mark`, one that was made from just that."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            found = _END.search(file.read())
    except OSError:
        return False
    return found is not None and mark in (None, found[1].decode())


def write_marked(path: Path, text: str, mark: str) -> None:
    """Write a page whole or not at all."""
    write_text(path, f"{text.rstrip()}\n<!-- offset map report {mark} -->\n")
