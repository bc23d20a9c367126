"""Signals that wait: an exception that a signal raises in a callback from C is lost, and the callback's work with it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""Those that end a command."""


@contextmanager
def held_in(callbacks: Collection[CodeType]) -> Iterator[Callable[[], None]]:
    """In this block, the `STOPPING` signals that come while one of these functions runs wait.

    Yields:
        What lets those that wait take effect; the end of the block does so too.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are handled in that one alone
        yield lambda: None
        return
    waiting: list[int] = []
    before = {number: signal.getsignal(number) for number in STOPPING}

    def take(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code in callbacks:
                waiting.append(number)
                return
            frame = frame.f_back
        deliver(number)

    def deliver(number: int) -> None:
        """To whom it was meant for, who may put others in that place, or end the process."""
        _install(before)
        try:
            signal.raise_signal(number)
        finally:
            if all(signal.getsignal(one) == before[one] for one in STOPPING):
                _install(dict.fromkeys(STOPPING, take))

    def release() -> None:
        while waiting:
            deliver(waiting.pop(0))

    _install(dict.fromkeys(STOPPING, take))
    try:
        yield release
    finally:
        if all(signal.getsignal(number) == take for number in STOPPING):  # nobody else's by now
            _install(before)
        for number in waiting[:1]:
            signal.raise_signal(number)


def _install(handlers: dict) -> None:
    for number, handler in handlers.items():
        if handler is not None:  # None stands for one that C code installed, which cannot be put back
            signal.signal(number, handler)
