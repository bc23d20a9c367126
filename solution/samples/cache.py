"""What a process keeps of what it read, within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

Value = TypeVar("Value")


class Cache:
    """The values that were used last, up to a number of bytes together.

    Every process fills its own: what is sent to another one arrives empty, and keeps to the same limit.

    Attributes:
        limit_bytes: most that is held.
        held_bytes: what is held.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.held_bytes = limit_bytes, 0
        self._values: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __getstate__(self) -> dict:
        return {"limit_bytes": self.limit_bytes}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["limit_bytes"])

    def get(self, key: Hashable, make: Callable[[], Value], size: Callable[[Value], int]) -> Value:
        """The value of a key, made where it is not held.

        Args:
            size: bytes that a value takes. One above the limit is handed out, and not held.
        """
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]
        value = make()
        taken = size(value)
        if taken <= self.limit_bytes:
            self._values[key] = value, taken
            self.held_bytes += taken
        while self.held_bytes > self.limit_bytes:
            self.held_bytes -= self._values.popitem(last=False)[1][1]
        return value
