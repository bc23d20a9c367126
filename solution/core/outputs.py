"""Outputs that would destroy an input, or each other, or that the disk will not take, are refused before any work."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from solution.core.errors import InputError
from solution.core.refusals import disk_full, refusal
from solution.core.writing import atomic_path

RASTERS = (".tif", ".tiff")
"""Suffixes of the rasters that we write."""
PICTURES = (".png", ".jpg", ".jpeg")
"""Suffixes of the pictures that we write."""
VRTS = (".vrt",)
"""Suffix of the GDAL VRTs that we write."""

_ASKS = {RASTERS: "is a GeoTIFF", PICTURES: "with a name that is neither PNG nor JPEG", VRTS: "is an XML file of GDAL"}
_LEAST_BYTES = 1 << 16  # that any output takes
_SPARE_BYTES = 1 << 20  # that the file system needs for itself


class _Probed(Exception):  # noqa: N818 - no error: it lets the probe fail, which leaves nothing behind
    """The probe has seen enough."""


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None], needs: int = 0) -> None:
    """See that every output is a file of its own, and that the disk will take it.

    Args:
        outputs: all that will be written, those whose names follow from others included; None stands for nothing.
        inputs: all that is read.
        needs: bytes that all outputs take together, as far as that is known.

    Raises:
        InputError: an output is a folder or a device, is an input (by another name or through a link too), or two
            outputs are one file; or a file cannot be made there, or there is less room than it takes.
    """
    outputs = [Path(path) for path in outputs if path is not None]
    read = {_identity(path): path for path in inputs if path is not None}
    written: dict[object, Path] = {}
    for path in outputs:
        _check_plain(path)
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
    for path in outputs:
        _probe(path, needs)


def check_folder(folder: Path, needs: int = 0) -> None:
    """See that files can be written into a folder, which need not be there yet.

    Raises:
        InputError: it cannot be made, or none can be made in it, or there is less room than `needs` bytes.
    """
    folder = Path(folder)
    if folder.is_file():
        raise InputError(f"{folder}: is a file, and outputs cannot be written below it; choose another place")
    _probe(folder / "probe", needs, folder)


def check_suffix(path: Path | None, kinds: tuple[str, ...], what: str) -> None:
    """Raise `InputError` for a folder, and for a name that does not end as `RASTERS`, `PICTURES` or `VRTS` do; `what` is written
    there."""
    if path is None:
        return
    _check_plain(Path(path))
    if Path(path).suffix.lower() not in kinds:
        raise InputError(f"{path}: {what} {_ASKS[kinds]}; give it a name that ends in {kinds[0]}")


def _check_plain(path: Path) -> None:
    try:
        is_folder, is_other = path.is_dir(), path.exists() and not path.is_file()
    except OSError as error:
        raise refusal(error, path) from error
    if is_folder:
        raise InputError(f"{path}: is a folder; give the output another name")
    if is_other:
        raise InputError(
            f"{path}: is a device or a pipe, and a file would take its place; give the output another name"
        )


def _probe(path: Path, needs: int, named: Path | None = None) -> None:
    """Make a temporary file where an output will be, and look how much room there is; nothing stays behind."""
    try:
        with atomic_path(path, needs, named) as temporary:
            temporary.write_bytes(bytes(_LEAST_BYTES))
            free = shutil.disk_usage(temporary.parent).free
            raise _Probed
    except _Probed:
        pass
    if needs and free < needs + _SPARE_BYTES:
        raise disk_full(named or path, needs, free=free)


def _identity(path: Path) -> object:
    """The same for all names of a file; of one that is not there yet, its real path."""
    path = Path(path)
    try:
        found = path.stat()
    except OSError:
        return path.resolve()
    return found.st_dev, found.st_ino
