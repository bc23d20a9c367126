"""Signals that wait: an exception that a signal raises in a callback from C is lost, and the callback's work with it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""Those that end a command."""


@contextmanager
def held() -> Iterator[None]:
    """The `STOPPING` signals that come in this block take effect at its end."""
    if threading.current_thread() is not threading.main_thread():  # signals are handled in that one alone
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)
