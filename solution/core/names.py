"""File names that are not UTF-8, as old archives hold them: the libraries that read images take none, so they get an
alias. And names as a shell takes them."""

from __future__ import annotations

import os
import shlex
import tempfile
from functools import lru_cache
from itertools import count
from pathlib import Path

_NUMBERS = count()


def is_utf8(text: str) -> bool:
    """Whether a name can be written as UTF-8; Python marks bytes that cannot by surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_utf8(text: str) -> str:
    """The name itself, or, for people and tables, its bytes as Latin-1, which is what they mostly are."""
    return text if is_utf8(text) else os.fsencode(text).decode("latin-1")


def quoted(path: Path) -> str:
    """The name of a file in its folder, for a command that people can paste."""
    return shlex.quote(Path(path).name)


def alias(path: Path) -> Path:
    """The path itself, or, where it is not UTF-8, one that is and leads to the same file.

    Files beside it whose names begin with its stem, such as masks and statistics, lie beside the alias too. Aliases
    last as long as the process.
    """
    path = Path(path)
    if is_utf8(str(path)):
        return path
    folder = alias_of_folder(path.parent)
    return folder / path.name if is_utf8(path.name) else _linked(path.absolute())


def alias_of_folder(folder: Path) -> Path:
    """As `alias`, of a folder that files can be written into."""
    return folder if is_utf8(str(folder)) else _linked_folder(folder.absolute())


@lru_cache
def _room() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="names_")


@lru_cache
def _linked_folder(folder: Path) -> Path:
    link = Path(_room().name) / str(next(_NUMBERS))
    link.symlink_to(folder, target_is_directory=True)
    return link


def _linked(path: Path) -> Path:
    room = _room_of(path)
    for beside in path.parent.iterdir():
        link = room / as_utf8(beside.name)
        if beside.name.startswith(path.stem) and not link.is_symlink():
            link.symlink_to(beside)
    return room / as_utf8(path.name)


@lru_cache
def _room_of(path: Path) -> Path:
    room = Path(_room().name) / str(next(_NUMBERS))
    room.mkdir()
    return room
