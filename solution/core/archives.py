"""Zip archives from elsewhere: what may be read of them, decided before the first byte is unpacked."""

from __future__ import annotations

import lzma
import stat
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from solution.core.errors import InputError

BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)
"""What reading a broken, encrypted or unknown zip raises."""

MOST_BYTES = 200 * 10**9
"""That an archive may hold; the challenge's largest holds a twentieth of it."""
MOST_RATIO = 100
"""That all it holds may be larger than the archive itself; images take a third to a half off."""
_SMALL_BYTES = 100 * 10**6  # below, a high ratio does no harm

_MEND = "nothing was unpacked, get the archive from its publisher"


def safe_members(opened: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    """The files of an archive, folders left out.

    Raises:
        InputError: a member that would not lie below the folder it is unpacked in, a link or device, two members of one
            name (on disks that do not tell capitals apart too), or far more bytes than an archive of images holds.
    """
    members = [member for member in opened.infolist() if not member.is_dir()]
    for member in members:
        _check_place(member, archive)
    _check_collisions(members, archive)
    _check_bytes(sum(member.file_size for member in members), archive)
    return members


def _check_place(member: zipfile.ZipInfo, archive: Path) -> None:
    """Only plain files below the folder are let in, whatever the system's path syntax."""
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    absolute = posix.is_absolute() or bool(windows.drive or windows.root)
    if absolute or not posix.name or ".." in windows.parts:  # it splits at both slashes
        raise InputError(f"{archive}: member {name!r} does not lie below the folder; {_MEND}")
    if kind not in (0, stat.S_IFREG):
        raise InputError(f"{archive}: member {name!r} is a link or a device; {_MEND}")


def _check_collisions(members: list[zipfile.ZipInfo], archive: Path) -> None:
    found: dict[PurePosixPath, str] = {}
    for member in members:
        path = _plain(member.filename)
        if path in found:
            raise InputError(f"{archive}: members {found[path]!r} and {member.filename!r} are one file; {_MEND}")
        found[path] = member.filename
    for path, name in found.items():
        folder = next((parent for parent in path.parents if parent in found), None)
        if folder is not None:
            raise InputError(f"{archive}: member {found[folder]!r} is a file and the folder of {name!r}; {_MEND}")


def _plain(name: str) -> PurePosixPath:
    """A name as a disk sees it that tells neither capitals nor ways of writing an accent apart."""
    return PurePosixPath(unicodedata.normalize("NFC", name).casefold())


def _check_bytes(total: int, archive: Path) -> None:
    own = archive.stat().st_size
    if total > MOST_BYTES or (total > _SMALL_BYTES and total > MOST_RATIO * own):
        raise InputError(
            f"{archive}: would unpack to {total / 1e9:,.1f} GB from {own / 1e6:,.1f} MB, which no archive of images does; {_MEND}"
        )
