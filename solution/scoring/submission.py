"""The contest's zip: ``solution/solution_02_publictest.tif`` and so on, equal maps giving equal bytes."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from solution.core.errors import InputError
from solution.core.writing import atomic_path

FOLDER = "solution"
"""That the contest's zip holds the maps in."""
MAP_PREFIXES = ("solution", "offset")
"""What a map's file name may begin with: the contest's own, and one that the scorer takes in its place."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
_CHUNK = 1 << 20


def map_name(scene: str, prefix: str = MAP_PREFIXES[0]) -> str:
    """File name of a scene's map, in the submission folder and in the zip."""
    return f"{prefix}_{scene}.tif"


def build_zip(maps: Mapping[str, Path], zip_path: Path) -> None:
    """Pack the maps in the contest's layout, streamed, whole and checked, or not at all.

    Args:
        maps: scene name (``02_publictest``) -> its offset map.

    Raises:
        InputError: no maps, a scene name that is no file name, a missing or empty map, or a zip that does not read back
            as written.
    """
    if not maps:
        raise InputError(f"{zip_path}: there is no map to pack; predict at least one scene first")
    for scene, path in maps.items():
        if not _NAME.match(scene):
            raise InputError(
                f"{zip_path}: scene name {scene!r} cannot be a file name; use letters, digits, dot, dash and underscore"
            )
        if not Path(path).is_file() or Path(path).stat().st_size == 0:
            raise InputError(f"{path}: the map of scene {scene} is missing or empty; predict the scene again")
    with atomic_path(Path(zip_path)) as temporary:
        checksums = {}
        # Stored, not deflated: the maps are deflated already, and a second pass would cost minutes for nothing.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for scene in sorted(maps):
                entry = _entry(scene)
                checksums[entry.filename] = _add(archive, entry, Path(maps[scene]))
        _verify(temporary, zip_path, checksums)


def _entry(scene: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{FOLDER}/{map_name(scene)}", _EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def _add(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> int:
    """Stream one file in; its checksum is taken from what was read."""
    checksum = 0
    entry.file_size = path.stat().st_size  # lets zipfile choose 64-bit sizes before it streams
    with path.open("rb") as source, archive.open(entry, "w") as target:
        while chunk := source.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
            target.write(chunk)
    return checksum


def _verify(temporary: Path, zip_path: Path, checksums: Mapping[str, int]) -> None:
    """Read everything back: names and order, and each file against its own checksum and that of its source."""
    with zipfile.ZipFile(temporary) as archive:
        found = {entry.filename: entry.CRC for entry in archive.infolist()}
        if found != dict(checksums) or archive.testzip() is not None:
            raise InputError(
                f"{zip_path}: what was read back differs from what was packed; check the disk and pack again"
            )
