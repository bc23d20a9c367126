"""What is to be predicted: a table, a folder of SN9-named scenes, or a STAC ItemCollection, as one list of named pairs.

What is wrong with one pair (a path that leads nowhere, half a pair) is noted with it, and stops no other. What is wrong with
the list itself (a missing column, two pairs of one name) ends in a sentence before any work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from solution.core.errors import InputError
from solution.data import naming
from solution.data.finding import find_scenes
from solution.data.opening import is_plain
from solution.data.tables import GivenTable, read_table

COLUMNS = ("optical", "sar")
"""That a table must have."""
NAME = "name"
"""The column that it may have."""
RESERVED = ("batch", "index")
"""Names of the batch's own files."""

_UNSAFE = re.compile(r"[^\w-]+")
_MOST_LETTERS = 100
_KINDS = {"optical": "optical", "sar": "SAR"}
_EMPTY = ("", "nan", "none", "<na>")  # cells of text tables and of parquet tables


@dataclass(frozen=True)
class Listed:
    """A pair of the list.

    Attributes:
        name: of its files; safe, and no other pair's.
        optical, sar: as `data.opening` opens them; None where the list names none.
        fault: why it cannot be predicted, as far as the list says so; empty where nothing is wrong.
    """

    name: str
    optical: Path | None
    sar: Path | None
    fault: str = ""


def read_list(path: Path) -> list[Listed]:
    """The pairs of a table (CSV, text or parquet: columns `COLUMNS`, and `NAME` if it likes), of a folder of SN9-named
    scenes, or of a STAC ItemCollection (``.json`` or ``.geojson``: an asset called optical or with that role, and one for
    SAR). Relative paths are relative to the folder of the list.

    Raises:
        InputError: unreadable, empty, a missing column, or names that are not safe or not different.
    """
    path = Path(path)
    if path.is_dir():
        pairs = [_of_scene(scene.name, scene.optical, scene.sar, path) for scene in find_scenes(path.absolute())]
    elif path.suffix.lower() in (".json", ".geojson"):
        pairs = _of_items(path)
    else:
        pairs = _of_table(read_table(path))
    if not pairs:
        raise InputError(f"{path}: lists no pair; give it a row for each, with the header optical,sar,name")
    _check_names(pairs, path)
    return pairs


def files_of(pairs: Iterable[Listed]) -> list[Path]:
    """All images that the list names."""
    return [image for pair in pairs for image in (pair.optical, pair.sar) if image is not None]


def safe(text: str) -> str:
    """A file name that is as near to a text as can be; empty where no letter of it is left."""
    return _UNSAFE.sub("_", text).strip("_")[:_MOST_LETTERS]


def _of_scene(name: str, optical: Path | None, sar: Path | None, folder: Path) -> Listed:
    images = {"optical": optical, "sar": sar}
    missing = [naming.file_name(name, kind) for kind, image in images.items() if image is None]
    fault = f"{folder}: {missing[0]} is missing; add it or remove its partner" if missing else ""
    return Listed(safe(name) or name, optical, sar, fault)


def _of_table(table: GivenTable) -> list[Listed]:
    if not table.holds(COLUMNS):
        raise table.lacks((*COLUMNS, NAME) if table.holds([NAME]) else COLUMNS)
    pairs = []
    for number, row in enumerate(table.cells.to_dict("records"), 1):
        cells = {kind: _text(row[kind]) for kind in COLUMNS}
        lacking = [_KINDS[kind] for kind, cell in cells.items() if not cell]
        fault = (
            f"{table.path}: data row {number} names no {' and no '.join(lacking)} image; fill it in" if lacking else ""
        )
        images = [_place(cell, table.path.parent.absolute()) if cell else None for cell in cells.values()]
        name = _text(row.get(NAME, "")) or _name_of(images[0]) or f"row_{number}"
        pairs.append(Listed(name, *images, fault))
    return pairs


def _text(cell: object) -> str:
    text = str(cell).strip()
    return "" if text.lower() in _EMPTY else text


def _name_of(optical: Path | None) -> str:
    """What an optical image's file says of its scene."""
    if optical is None:
        return ""
    parsed = naming.parse(optical.name)
    return safe(parsed.scene if parsed else optical.stem)


def _place(name: str, folder: Path) -> Path:
    """A file that the list names; archives and addresses stay as they are."""
    if name.startswith("file:"):
        name = unquote(urlsplit(name).path)
    return folder / name if is_plain(name) else Path(name)


def _of_items(path: Path) -> list[Listed]:
    import pystac
    from pystac.errors import STACError, STACTypeError

    try:
        items = pystac.ItemCollection.from_dict(json.loads(path.read_text())).items
    except (OSError, ValueError, TypeError, KeyError, AttributeError, STACError, STACTypeError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: is not a readable STAC ItemCollection ({reason}); pass one, or a CSV with the header optical,sar,name"
        ) from error
    return [_of_item(item.id, item.assets, path) for item in items]


def _of_item(name: str, assets: dict, path: Path) -> Listed:
    """The Item's asset of each kind, by its key, or by its role."""
    images = {}
    for kind in COLUMNS:
        by_role = [asset for asset in assets.values() if kind in (asset.roles or [])]
        found = assets.get(kind) or (by_role[0] if by_role else None)
        images[kind] = _place(found.href, path.parent.absolute()) if found else None
    lacking = [kind for kind, image in images.items() if image is None]
    fault = (
        f"{path}: Item {name} has no asset called {lacking[0]}, nor one with that role; name it so" if lacking else ""
    )
    return Listed(safe(name) or name, images["optical"], images["sar"], fault)


def _check_names(pairs: Iterable[Listed], path: Path) -> None:
    """Raise `InputError` for a name that cannot be a file's on every system, or that two pairs have: capitals do not count,
    nor do they on all disks."""
    seen: dict[str, int] = {}
    for number, pair in enumerate(pairs, 1):
        name = pair.name
        if _UNSAFE.search(name) or not name or len(name) > _MOST_LETTERS or name.startswith("-"):
            raise InputError(
                f"{path}: pair {number} is called {name[:40]!r}, which is no safe file name; use letters, digits, _ and -, "
                f"at most {_MOST_LETTERS}, no - in front"
            )
        if name.lower() in RESERVED:
            raise InputError(f"{path}: pair {number} is called {name}, as a file of the batch is; give it another name")
        if name.lower() in seen:
            raise InputError(
                f"{path}: pairs {seen[name.lower()]} and {number} are both called {name}; give each a name of its own "
                f"(column {NAME})"
            )
        seen[name.lower()] = number
