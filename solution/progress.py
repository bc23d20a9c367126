"""How long work says where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is finished, and how much there is."""
Item = TypeVar("Item")


def counted(items: Sequence[Item], what: str, progress: Progress | None) -> Iterator[tuple[int, Item]]:
    """Number and item, one by one, reported as they are finished."""
    for number, item in enumerate(items):
        if progress:
            progress(what, number, len(items))
        yield number, item
    if progress:
        progress(what, len(items), len(items))
