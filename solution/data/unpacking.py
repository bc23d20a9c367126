"""Unpack a zip below a folder: every member is checked before the first one is written."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from rich.filesize import decimal

from solution.core.archives import BROKEN, safe_members
from solution.core.errors import InputError
from solution.core.refusals import refusal

Advance = Callable[[int, int | None], None]
"""Reports bytes done, and how many there are (None where that is not known)."""

_CHUNK = 1 << 20
_SPARE_BYTES = 64 << 20  # left free on the disk


def unpack(archive: Path, folder: Path, advance: Advance) -> dict[str, int]:
    """Unpack a zip below `folder`.

    Returns:
        Size in bytes of every file, by its path below `folder`.

    Raises:
        InputError: an unsafe archive, as `core.archives.safe_members`; a link below the folder that leads out of it, a
            broken archive, too little disk.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = safe_members(opened, archive)
            targets = [_target(member, folder, archive) for member in members]
            total = sum(member.file_size for member in members)
            check_disk(folder, total, archive)
            done = 0
            for member, target in zip(members, targets, strict=True):
                done = _extract(opened, member, target, done, total, advance)
    except BROKEN as error:
        raise InputError(
            f"{archive}: is not a readable zip archive ({error}); delete it and run the command again, it continues where it stopped"
        ) from error
    return {member.filename: member.file_size for member in members}


def check_disk(folder: Path, needed: int, what: Path) -> None:
    """Raise `InputError` where the disk of a folder has less room than so many bytes for `what`."""
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise InputError(
            f"{what}: needs {decimal(needed)} on the disk of {folder}, where {decimal(free)} are free; free some or choose another DIR"
        )


def _target(member: zipfile.ZipInfo, folder: Path, archive: Path) -> Path:
    """Where a member goes."""
    target = folder / PurePosixPath(member.filename)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{target}: leads out of {folder} through a link; remove the link and run the command again")
    if target.resolve() == archive.resolve():
        raise InputError(
            f"{archive}: member {member.filename!r} would replace the archive itself; nothing was unpacked, get the archive from its publisher"
        )
    return target


def _extract(
    opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, done: int, total: int, advance: Advance
) -> int:
    """Write one member under a temporary name and rename it; the total of bytes done."""
    temporary = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # so that a link of that name is not written through
        with opened.open(member) as source, temporary.open("wb") as out:
            while chunk := source.read(_CHUNK):
                out.write(chunk)
                done += len(chunk)
                advance(done, total)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise refusal(error, target, total - done) from error
    return done
