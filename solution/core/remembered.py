"""Small facts that follow from a content alone and take long to find, remembered between runs in the user's cache folder.

The folder may be deleted, or not be writable: then they are found anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from solution.core.artefact import read_noted
from solution.core.writing import temporary_name

_MOST = 4096  # facts that are kept; beyond, only those that were asked for


def cache_folder() -> Path:
    """Where programs keep what they can do without: as the XDG base directory specification says. Raises `RuntimeError`
    for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "sar2opt"


class Remembered:
    """Facts, whatever JSON can hold, by the content that they follow from."""

    def __init__(self, name: str, salt: bytes) -> None:
        """Nothing is read before the first question.

        Args:
            name: of the file.
            salt: what else the facts follow from; with another one, none is known.
        """
        self._name, self._salt = name, salt
        self._facts: dict[str, object] | None = None
        self._asked: set[str] = set()
        self._learned = False

    def of(self, content: bytes, find: Callable[[bytes], object]) -> object:
        """The fact about a content: what was found once, or what `find` finds."""
        if self._facts is None:
            self._facts = self._read()
        key = hashlib.sha256(self._salt + content).hexdigest()[:32]
        if key not in self._facts:
            self._facts[key], self._learned = find(content), True
        self._asked.add(key)
        return self._facts[key]

    def keep(self) -> None:
        """Write what was learned, if anything was, and if there is where to; no result of the command, so that it neither
        waits for those nor counts among them, as what `atomic_path` writes does."""
        if not self._learned:
            return
        self._learned = False
        facts = self._facts
        if len(facts) > _MOST:
            facts = {key: facts[key] for key in sorted(self._asked)}
        with contextlib.suppress(OSError, RuntimeError):
            path = cache_folder() / self._name
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = temporary_name(path)
            try:
                temporary.write_text(json.dumps(facts))
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _read(self) -> dict[str, object]:
        with contextlib.suppress(RuntimeError):
            return read_noted(cache_folder() / self._name)
        return {}
