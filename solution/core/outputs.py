"""Outputs that would destroy an input, or each other, are refused before any work."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from solution.core.errors import InputError


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """See that every output is a file of its own.

    Args:
        outputs: all that will be written, those whose names follow from others included; None stands for nothing.
        inputs: all that is read.

    Raises:
        InputError: an output is a folder, is an input (by another name or through a link too), or two outputs are one
            file.
    """
    read = {_identity(path): path for path in inputs if path is not None}
    written: dict[object, Path] = {}
    for path in (Path(path) for path in outputs if path is not None):
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the output another name")
        own = _identity(path)
        if own in read:
            raise InputError(
                f"{path}: is an input too ({read[own]}) and would be overwritten; give the output another name"
            )
        if own in written:
            raise InputError(
                f"{path}: two outputs would be written to this file ({written[own]}); give one of them another name"
            )
        written[own] = path


def remove_stale(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Remove what an earlier run left beside an output that is now written anew, unless it is read; None stands for
    nothing."""
    read = {_identity(path) for path in inputs if path is not None}
    for path in outputs:
        if path is not None and _identity(path) not in read:
            path.unlink(missing_ok=True)


def _identity(path: Path) -> object:
    """The same for all names of a file; of one that is not there yet, its real path."""
    path = Path(path)
    try:
        found = path.stat()
    except OSError:
        return path.resolve()
    return found.st_dev, found.st_ino
