"""What the contest hands out, and what it keeps: folders of hard links to the simulated files, copies where there can be no
links.

``contest/train`` holds images and tie-points, ``contest/public`` and ``contest/private`` images alone; ``hidden/public`` and
``hidden/private`` hold the tie-points and the exact truth of these, and their images once more, for scores.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from solution.benchmark.rehearsal.scenes import SCENES, TRAIN, Simulated, files
from solution.core.writing import atomic_path, write_text
from solution.data.tiepoints import TIEPOINT_COLUMNS, read_tiepoint_csv

CONTEST, HIDDEN = "contest", "hidden"
TIEPOINTS = (100, 160)
"""How many tie-points a scene of the contest has, at least and at most."""


def lay_out(root: Path) -> None:
    """Lay out ``contest`` and ``hidden`` beside ``scenes``; what is there already stays, what does not belong there goes.

    Raises:
        InputError: a simulated file is missing or unreadable, or the disk refuses a copy.
    """
    wanted: set[Path] = set()
    for scene in SCENES:
        given = files(root / "scenes", scene)
        handed, kept = root / CONTEST / scene.part, root / HIDDEN / scene.part
        for folder in [handed] if scene.part == TRAIN else [handed, kept]:
            wanted |= {_placed(given[kind], folder) for kind in ("optical", "sar")}
        labels = handed if scene.part == TRAIN else kept
        wanted.add(_thinned(given["tiepoints"], labels, scene))
        if scene.part != TRAIN:
            wanted.add(_placed(given["truth"], kept))
    for folder in (root / CONTEST, root / HIDDEN):
        for path in folder.rglob("*"):
            if path.is_file() and path not in wanted:
                path.unlink()


def _placed(source: Path, folder: Path) -> Path:
    """The same file in another folder."""
    target = folder / source.name
    if target.is_file() and _same(source, target):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(target, source.stat().st_size) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copy2(source, temporary)
    return target


def _same(source: Path, target: Path) -> bool:
    """Whether one is a link to, or a finished copy of, the other."""
    one, other = source.stat(), target.stat()
    return os.path.samestat(one, other) or (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _thinned(source: Path, folder: Path, scene: Simulated) -> Path:
    """The tie-points of a scene in another folder, as many as the contest has of it: a draw by the scene's seed."""
    table = read_tiepoint_csv(source)
    rng = np.random.default_rng([scene.seed, 2])
    count = min(int(rng.integers(TIEPOINTS[0], TIEPOINTS[1] + 1)), len(table))
    kept = table.iloc[np.sort(rng.choice(len(table), count, replace=False))]
    text = kept[list(TIEPOINT_COLUMNS)].to_csv(index=False, lineterminator="\n")
    target = folder / source.name
    if not target.is_file() or target.read_text() != text:
        write_text(target, text)
    return target
