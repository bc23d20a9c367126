"""The processes of a training on several devices.

Lightning starts the same command once more for every further device. Those helpers share the work of the main process,
which alone writes files and speaks.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

_MAIN = "SAR2OPT_TRAINING"  # number of the main process; handed down to helpers
_RANK = "LOCAL_RANK"  # Lightning's: 0 in the main process
_LOOKS_S = 1.0


def begin() -> None:
    """Say in the environment that helpers belong to this process; from a helper itself it changes nothing."""
    if is_helper():
        return
    os.environ[_MAIN] = str(os.getpid())
    if sys.flags.safe_path:  # Lightning hands down the command, without the interpreter's own options
        os.environ["PYTHONSAFEPATH"] = "1"


def is_helper() -> bool:
    """Whether this process was started to help another one."""
    return _MAIN in os.environ and os.environ.get(_RANK, "0") != "0"


def end_helpers() -> None:
    """End the helpers of this process, where it has any."""
    if os.environ.get(_MAIN) != str(os.getpid()):
        return
    import psutil  # not at the top, for every command imports this file

    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.environ().get(_MAIN) == str(os.getpid()):
                child.kill()


def end_with_main() -> None:
    """From now on, end this helper as soon as its main process is gone, however that ended: it would wait for it in vain."""
    main = int(os.environ[_MAIN])
    threading.Thread(target=_watch, args=(main,), daemon=True).start()


def _watch(main: int) -> None:
    while os.getppid() == main:
        time.sleep(_LOOKS_S)
    os._exit(1)
