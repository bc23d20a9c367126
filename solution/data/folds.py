"""The split: which fold holds which labelled scene out. A fold's team never sees the scenes of its own fold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from solution.core.errors import InputError
from solution.core.writing import write_text
from solution.data.naming import FOLDS as FOLDS
from solution.data.naming import SPLIT as SPLIT
from solution.data.scene import ScenePair

COLUMNS = ("scene", "aoi", "fold")
MAX_FOLDS = 5


def make_split(pairs: Iterable[ScenePair], most: int = MAX_FOLDS) -> pd.DataFrame:
    """A fold for every labelled scene, the same for the same names.

    Up to `most` scenes: leave one scene out. More: at most `most` folds of about equal size, made of whole AOIs where
    there are three or more of them (or `most`, where that is less), and else of neighbours in the order of their names.

    Args:
        most: folds, two or more.

    Returns:
        Columns scene, aoi, fold; sorted by scene.

    Raises:
        InputError: fewer than two labelled scenes.
    """
    scenes = sorted((pair.name, pair.aoi) for pair in pairs if pair.tiepoints_csv is not None)
    if len(scenes) < 2:
        found = f"only {scenes[0][0]} has" if scenes else "none has"
        raise InputError(
            f"folds need two scenes with tie-points (AA_tiepoints_NAME.csv) at least, and {found} them; add labelled scenes"
        )
    table = pd.DataFrame(scenes, columns=["scene", "aoi"])
    aois = sorted(table["aoi"].unique())
    if len(table) > most and len(aois) >= min(3, most):
        table["fold"] = table["aoi"].map(_whole_groups(table["aoi"].value_counts().to_dict(), most))
    else:
        table["fold"] = _even_runs(len(table), most)
    return table


def split_for(pairs: Iterable[ScenePair], path: Path, most: int | None = None) -> tuple[pd.DataFrame, bool]:
    """The split of a data set: the file's, where that names all its labelled scenes, and else a new one.

    Args:
        most: folds that a new one may have; None = `MAX_FOLDS`.

    Returns:
        The table, and whether it was made anew.

    Raises:
        InputError: the file's split names all scenes, but has more folds than `most`.
    """
    pairs = list(pairs)
    names = {pair.name for pair in pairs if pair.tiepoints_csv is not None}
    if path.is_file() and names:
        table = read_split(path)
        if names <= set(table["scene"]):
            found = table["fold"].nunique()
            if most is not None and found > most:
                raise InputError(
                    f"{path}: has {found} folds, and no more than {most} are asked for; remove it with the teams beside it,"
                    " or choose another place"
                )
            return table, False
    return make_split(pairs, most or MAX_FOLDS), True


def read_split(path: Path) -> pd.DataFrame:
    """Read and check a split. Raises `InputError` where it is missing or malformed."""
    if not path.is_file():
        raise InputError(f"{path}: no such split; make it with: python -m solution split DATA_DIR")
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: is not a readable CSV ({str(error).splitlines()[0]}); its header must be {','.join(COLUMNS)}"
        ) from error
    if list(table.columns) != list(COLUMNS):
        raise InputError(f"{path}: has the columns {','.join(table.columns)}; the header must be {','.join(COLUMNS)}")
    for row, (scene, aoi, fold) in enumerate(table.itertuples(index=False), start=1):
        if not (re.fullmatch(r"\d+", fold) and re.fullmatch(r"\d{2}", aoi) and scene.startswith(f"{aoi}_")):
            raise InputError(
                f"{path}: data row {row} is {scene},{aoi},{fold}; it must read AA_NAME,AA,FOLD, as in 02_train_01,02,0"
            )
    twice = table["scene"][table["scene"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: names scene {twice.iloc[0]} twice; keep one row of it")
    table["fold"] = table["fold"].astype(int)
    folds = sorted(table["fold"].unique())
    if len(folds) < 2 or folds != list(range(len(folds))):
        raise InputError(
            f"{path}: has the folds {', '.join(map(str, folds)) or 'none'}; number two or more of them from 0 on, without a gap"
        )
    return table


def write_split(table: pd.DataFrame, path: Path) -> None:
    """Write a split whole or not at all."""
    write_text(path, table[list(COLUMNS)].to_csv(index=False, lineterminator="\n"))


def _whole_groups(sizes: dict[str, int], most: int) -> dict[str, int]:
    """Group -> fold, `most` of them: the largest group first, each to the fold that holds least.

    The folds are then numbered by their first group.
    """
    folds: list[list[str]] = [[] for _ in range(min(most, len(sizes)))]
    for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
        min(folds, key=lambda members: sum(sizes[member] for member in members)).append(group)
    ordered = sorted(folds, key=min)
    return {group: number for number, members in enumerate(ordered) for group in members}


def _even_runs(count: int, most: int) -> np.ndarray:
    """Fold of each of `count` scenes in order: `most` runs that differ by one scene at most."""
    runs = np.array_split(np.arange(count), min(most, count))
    return np.repeat(np.arange(len(runs)), [len(run) for run in runs])
