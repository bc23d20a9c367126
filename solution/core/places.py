"""A folder for as long as somebody needs it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from solution.core.errors import InputError


class Place:
    """A temporary folder, made when it is first asked for; it goes with the last one who holds this object."""

    @cached_property
    def _made(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(prefix="sar2opt_")

    @contextmanager
    def unnamed(self) -> Iterator[None]:
        """In this block, sentences about files in it name them without it, for nobody knows where it is."""
        try:
            yield
        except InputError as error:
            if "_made" not in vars(self):
                raise
            raise InputError(str(error).replace(f"{self.folder}{os.sep}", "")) from error

    @property
    def folder(self) -> Path:
        """Its path."""
        return Path(self._made.name)
