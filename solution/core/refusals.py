"""What an operating system says when it will not write, as a sentence that names the output and the mend."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from solution.core.errors import InputError

_FULL = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk quota used up",
    errno.EFBIG: "larger than this disk, or ulimit -f, lets a file be",
}
_REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EIO,
)
_MB = 1_000_000
_ELSEWHERE = "choose another place for it, or mend the permissions"


def refusal(error: OSError, path: Path, needs: int = 0) -> InputError:
    """The sentence for an output that could not be written.

    Args:
        path: the output, by the name that the user knows.
        needs: bytes that it takes, as far as that is known.
    """
    if error.errno in _FULL:
        return disk_full(path, needs, _FULL[error.errno])
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"{path}: its name is too long for this disk; give the output a shorter name")
    return InputError(f"{path}: cannot be written ({error.strerror or error}); {_ELSEWHERE}")


def disk_full(path: Path, needs: int, reason: str = _FULL[errno.ENOSPC], free: int | None = None) -> InputError:
    """The sentence for an output that is larger than what is left; `free` says how many bytes that is."""
    place = path if Path(path).is_dir() else Path(path).parent
    left = "" if free is None else f", where {free // _MB:,} MB are free"
    return InputError(
        f"{path}: {reason}: needs about {max(1, -(-needs // _MB)):,} MB at {place}{left}; "
        "free some or choose another place, then give the same command again"
    )


def is_about(error: OSError, *paths: Path) -> bool:
    """Whether an error of the system is one of writing these: it says so, or names no file at all.

    A full disk is always about what is being written, whatever file the error names: a copy names its source.
    """
    if error.errno is None:
        return False  # not the system's, but something else's that calls itself one
    return error.errno in _FULL or error.filename is None or str(error.filename) in {str(path) for path in paths}


@contextmanager
def refusals_named(folder: Path | None = None) -> Iterator[None]:
    """Around what writes files in its own way: what the system refuses in this block ends in a sentence.

    Args:
        folder: that is written to, for errors that name no file.

    Raises:
        InputError: instead of an `OSError` that names a file, or says that a disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise refusal(error, _named(error, folder)) from error
        if error.filename is None or error.errno not in _REFUSED:
            raise
        raise InputError(f"{error.filename}: cannot be read or written ({error.strerror}); {_ELSEWHERE}") from error


def _named(error: OSError, folder: Path | None) -> Path:
    """The file that a full disk is about: that which is written, of two."""
    name = error.filename2 or error.filename
    return Path(str(name)) if name is not None else (folder or Path())
