"""How much memory a process held at most, and letting go of what it no longer uses."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from pathlib import Path

_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): sets the peak resident set size to the present one


def peak_gb() -> float:
    """The most that this process held since it began, or since `forget_peak`, 1e9 bytes."""
    unit = 1e9 if sys.platform == "darwin" else 1e6  # bytes there, kB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget_peak() -> None:
    """From now on `peak_gb` counts anew, from what the process holds now, where the system lets a process say so
    (Linux); freed memory is given back before, where the C library can (glibc), for it would count otherwise."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text(_RESET_PEAK)
