"""What happens when a command is stopped from outside: one line, and the exit code that shells expect."""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal ended the command. No `Exception`, lest anything that catches those go on instead."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number

    def __str__(self) -> str:
        return (
            f"stopped by {signal.Signals(self.args[0]).name}: no file is left half written, and finished parts are kept; "
            "give the same command again to go on"
        )


def watch() -> None:
    """From now on these signals raise `Stopped`, so that temporary files are cleared away."""
    for number in _SIGNALS:
        signal.signal(number, _raise)


def _raise(number: int, _: FrameType | None) -> None:
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_DFL)  # a second one ends it at once
    raise Stopped(number)
