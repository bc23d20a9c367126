"""Folders of registered SAR / optical image pairs: layouts, reading, and parts for training, validation and test.

Layouts, each also one or more folders down: ``sar/NAME.png`` + ``opt/NAME.png``; ``s1/NAME.png`` + ``s2/NAME.png``,
where ``_s1_`` in the name may have become ``_s2_``; SEN1-2's ``ROIs*_s1/s1_N/*_s1_*.png`` +
``ROIs*_s2/s2_N/*_s2_*.png``. Where ``s1`` or ``sar`` lies in a folder of its own below the given one, as in the
re-upload of SEN1-2 by terrain, that folder's name is the pair's class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from solution.core.errors import InputError
from solution.core.writing import write_text

PARTS = ("train", "val", "test")
COLUMNS = ("id", "class", "part")
_OPTICAL_FOLDER = {"sar": "opt", "s1": "s2"}


@dataclass(frozen=True)
class ImagePair:
    """Two images of one ground on one grid.

    Attributes:
        id: path of the SAR image below its folder, without suffix: unique there.
        name: short name for manifests, which begins with that of the folder.
        group: class, or an empty string.
        sar, optical: paths.
    """

    id: str
    name: str
    group: str
    sar: Path
    optical: Path

    @property
    def scene(self) -> str:
        """The patches that SEN1-2 cut out of one scene, with overlap, have this in common."""
        return re.sub(r"_p\d+$", "", self.id)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """SAR (h, w) and optical (h, w, 3), uint8.

        Raises `InputError` for an unreadable image, or two of different size.
        """
        sar, optical = read_image(self.sar, cv2.IMREAD_GRAYSCALE), read_image(self.optical, cv2.IMREAD_COLOR_RGB)
        if sar.shape != optical.shape[:2]:
            raise InputError(f"{self.sar}: differs in size from {self.optical.name}; registered pairs share one grid")
        return sar, optical


def read_image(path: Path, mode: int) -> np.ndarray:
    """uint8 pixels; `mode` is OpenCV's. Raises `InputError` where there are none."""
    image = cv2.imread(str(path), mode)
    if image is None:
        raise InputError(f"{path}: is not a readable image; copy it again or remove the pair")
    return image


def find_pairs(folder: Path, exclude: Sequence[str] = ()) -> list[ImagePair]:
    """Every pair below a folder, sorted by path; opens no file.

    Args:
        exclude: file stems to leave out.

    Raises:
        InputError: no pair at all, or a SAR image without its optical partner.
    """
    folder = Path(folder)
    pairs, alone = [], []
    for sar in sorted(folder.rglob("*.png")):
        partners = _partners(sar)
        if not partners or sar.stem in exclude:
            continue
        optical = next((path for path in partners if path.is_file()), None)
        if optical is None:
            alone.append((sar, partners[-1]))
            continue
        group = _group(sar, folder)
        name = "/".join(part for part in (folder.name, group, sar.stem) if part)
        pairs.append(ImagePair(sar.relative_to(folder).with_suffix("").as_posix(), name, group, sar, optical))
    if not pairs:
        raise InputError(
            f"{folder}: holds no registered pair; expected sar/NAME.png with opt/NAME.png, or s1/ with s2/, or the SEN1-2 layout"
        )
    if alone:
        sar, optical = alone[0]
        raise InputError(
            f"{sar}: has no optical partner {optical}; add it, or remove the SAR image ({len(alone)} such)"
        )
    return pairs


def _partners(path: Path) -> list[Path]:
    """Where the optical image of a SAR file may lie; nothing where the file is not in a SAR folder."""
    parent, swapped = path.parent.name, path.name.replace("_s1_", "_s2_")
    if parent in _OPTICAL_FOLDER:
        beside = path.parent.with_name(_OPTICAL_FOLDER[parent])
        return [beside / name for name in dict.fromkeys([path.name, swapped])]
    if parent.startswith("s1_"):
        group = path.parent.parent
        return [group.with_name(group.name.replace("_s1", "_s2")) / parent.replace("s1_", "s2_") / swapped]
    return []


def _group(sar: Path, folder: Path) -> str:
    """The class of a pair: the folder that holds ``s1`` or ``sar``, unless that is the given folder itself."""
    holder = sar.parent.parent
    return holder.name if sar.parent.name in _OPTICAL_FOLDER and holder != folder else ""


def deal_parts(
    pairs: Sequence[ImagePair], amounts: Sequence[float], seed: int, whole_scenes: bool = False
) -> pd.DataFrame:
    """Deal the pairs out, the same way for the same names and seed.

    Every class is spread evenly: a part's share of a class differs from its share of the folder by one pair at most.
    With shares, no part is left empty where there are three pairs or more.

    Args:
        amounts: of train, val and test: shares that add up to 1, or whole numbers of pairs; pairs beyond those are in
            no part.
        whole_scenes: keep the patches of one scene together, since they overlap; parts then come out as near to the
            amounts as scenes allow.

    Returns:
        Columns id, class, part; sorted by id.

    Raises:
        InputError: amounts that make no sense, or exceed what is there.
    """
    wanted = dict(zip(PARTS, _counts(len(pairs), amounts), strict=True))
    rows, units = [], _shuffled(pairs, seed, whole_scenes)
    for part in reversed(PARTS):  # the small parts first, lest a large scene leave them nothing
        taken = 0
        while units and taken < wanted[part]:
            unit = units.pop(0)
            taken += len(unit)
            rows += [(pair.id, pair.group, part) for pair in unit]
    table = pd.DataFrame(sorted(rows), columns=list(COLUMNS))
    empty = [part for part in PARTS if wanted[part] and part not in set(table["part"])]
    if empty:
        raise InputError(f"the split's part {empty[0]} would be empty; add scenes, or do without --whole-scenes")
    return table


def _counts(total: int, amounts: Sequence[float]) -> list[int]:
    """Pairs in each part: whole numbers as they are, shares by largest remainder.

    A part whose share is not 0 has one pair at least.
    """
    if len(amounts) != len(PARTS) or min(amounts) < 0:
        raise InputError(f"the split takes three amounts, for {', '.join(PARTS)}, none of them below 0")
    if abs(sum(amounts) - 1.0) > 1e-6:
        counts = [int(amount) for amount in amounts]
        if counts != list(amounts) or not 0 < sum(counts) <= total:
            raise InputError(
                f"the split's amounts are {', '.join(f'{amount:g}' for amount in amounts)}; pass shares that add up to 1, "
                f"or whole numbers that add up to {total}, the number of pairs, or less"
            )
        return counts
    exact = np.array(amounts) * total
    counts = np.floor(exact + 1e-9).astype(int)
    for part in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
        counts[part] += 1
    for part in np.flatnonzero((counts == 0) & (exact > 0)):
        if counts.max() > 1:
            counts[part] += 1
            counts[counts.argmax()] -= 1
    return counts.tolist()


def _shuffled(pairs: Sequence[ImagePair], seed: int, whole_scenes: bool) -> list[list[ImagePair]]:
    """Units in random order, every class spread evenly: each stretch holds all classes in proportion."""
    units: dict[str, list[ImagePair]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.id):
        units.setdefault(pair.scene if whole_scenes else pair.id, []).append(pair)
    classes: dict[str, list[list[ImagePair]]] = {}
    for unit in units.values():
        classes.setdefault(unit[0].group, []).append(unit)
    rng = np.random.default_rng(seed)
    placed = []
    for name, members in sorted(classes.items()):
        for position, chosen in enumerate(rng.permutation(len(members))):
            placed.append(((position + 0.5) / len(members), name, members[chosen]))
    return [unit for _, _, unit in sorted(placed, key=lambda item: item[:2])]


def write_parts(table: pd.DataFrame, path: Path, replace: bool) -> bool:
    """Write which pair is in which part, whole or not at all.

    Returns:
        False where the file holds the very same already.

    Raises:
        InputError: it holds other parts, which models may have been trained with, and `replace` is not set.
    """
    text = table[list(COLUMNS)].to_csv(index=False, lineterminator="\n")
    if Path(path).is_file():
        if Path(path).read_bytes() == text.encode():
            return False
        if not replace:
            raise InputError(f"{path}: holds another split; pass --replace to overwrite it, or another --out")
    write_text(path, text)
    return True


def read_parts(path: Path) -> pd.DataFrame:
    """Read and check which pair is in which part: columns id, class, part.

    Raises `InputError` where the file is missing or malformed.
    """
    if not Path(path).is_file():
        raise InputError(
            f"{path}: no such split; make it with: python -m solution translate split PAIRS_DIR --out {path}"
        )
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: is not a readable CSV ({str(error).splitlines()[0]}); its header must be {','.join(COLUMNS)}"
        ) from error
    if list(table.columns) != list(COLUMNS):
        raise InputError(f"{path}: has the columns {','.join(table.columns)}; the header must be {','.join(COLUMNS)}")
    wrong = table.index[~table["part"].isin(PARTS)]
    if len(wrong):
        raise InputError(
            f"{path}: data row {wrong[0] + 1} has the part {table['part'][wrong[0]]!r}; it must be one of {', '.join(PARTS)}"
        )
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: names {twice.iloc[0]} twice; keep one row of it")
    return table


def part_of(pairs: Sequence[ImagePair], split: Path, part: str) -> list[ImagePair]:
    """The pairs of one part, in the order of the pairs.

    Args:
        split: file that `write_parts` wrote.

    Raises:
        InputError: an unknown part, or ids in it that are not among the pairs.
    """
    if part not in PARTS:
        raise InputError(f"--part {part}: is none of {', '.join(PARTS)}")
    table = read_parts(split)
    ids = set(table["id"][table["part"] == part])
    missing = sorted(ids - {pair.id for pair in pairs})
    if missing:
        raise InputError(
            f"{split}: names {missing[0]}, which is not in the folder ({len(missing)} such); pass the split of this folder"
        )
    return [pair for pair in pairs if pair.id in ids]


def parted(folders: Sequence[Path], splits: Sequence[Path], exclude: Sequence[str] = ()) -> dict[str, list[ImagePair]]:
    """Pairs of several folders by part.

    Args:
        splits: files that `write_parts` wrote, the n-th for the n-th folder; folders without one go into training
            whole.
        exclude: file stems to leave out.

    Raises:
        InputError: more splits than folders, or as `find_pairs` and `part_of`.
    """
    if len(splits) > len(folders):
        raise InputError(
            f"{splits[-1]}: there are {len(splits)} splits for {len(folders)} folder(s); pass at most one --split for each"
        )
    parts: dict[str, list[ImagePair]] = {part: [] for part in PARTS}
    for number, folder in enumerate(folders):
        found = find_pairs(folder)
        chosen = (
            {part: part_of(found, splits[number], part) for part in PARTS} if number < len(splits) else {"train": found}
        )
        for part, members in chosen.items():
            parts[part] += [pair for pair in members if pair.sar.stem not in exclude]
    return parts
