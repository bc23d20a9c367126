"""What happens when a command is stopped from outside: one line that says what was kept and how to go on, and the exit
code that shells expect."""

from __future__ import annotations

import signal
from types import FrameType

from solution.core.signals import STOPPING
from solution.core.writing import FINISHED


class Stopped(BaseException):
    """A signal ended the command. No `Exception`, lest anything that catches those go on instead."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.args[0]).name}: no file is left half written; {_kept()}"


def watch() -> None:
    """From now on these signals raise `Stopped`, so that temporary files are cleared away."""
    for number in STOPPING:
        signal.signal(number, _raise)


def _kept() -> str:
    """What is left of the work, and how to go on."""
    kept = [path for path in dict.fromkeys(FINISHED) if path.exists()]
    if not kept:
        return "nothing was finished yet, so nothing is kept of this run; give the same command again to begin anew, or to go on from what earlier runs finished"
    count = f"{len(kept)} finished files are" if len(kept) > 1 else "1 finished file is"
    return f"{count} kept, the last one {kept[-1]}; give the same command again to go on"


def _raise(number: int, _: FrameType | None) -> None:
    for other in STOPPING:
        signal.signal(other, signal.SIG_DFL)  # a second one ends it at once
    raise Stopped(number)
