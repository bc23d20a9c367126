"""Voices: one team, or several that speak as one.

For a scene of the split the one team that never saw it speaks. For a new pair all may: teams that were fine-tuned from
one base are averaged, weight by weight, which takes a third of the time that three take one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from solution.core.artefact import read_manifest
from solution.proposers.families import FAMILIES, one_start

TOGETHER = -2
"""In the tables of candidates, the fold of several teams that speak as one."""


@dataclass(frozen=True)
class Voice:
    """Who proposes.

    Attributes:
        folders: of the teams, one or more.
    """

    folders: tuple[Path, ...]

    @property
    def name(self) -> str:
        """For messages and names of files."""
        return "+".join(folder.name for folder in self.folders)

    def weights(self, family: str) -> tuple[Path, ...]:
        """Its files of a family, by the family's name; they need not be there."""
        return tuple(folder / FAMILIES[family].file for folder in self.folders)

    def has(self, families: Iterable[str]) -> bool:
        """Whether all files of some families are there."""
        return all(path.is_file() for family in families for path in self.weights(family))

    def fold(self, family: str) -> int:
        """Its number in tables. Raises `InputError` where a file is missing or damaged."""
        folds = [read_manifest(path).fold for path in self.weights(family)]
        return folds[0] if len(folds) == 1 else TOGETHER


def each(folders: Sequence[Path]) -> list[Voice]:
    """Every team for itself."""
    return [Voice((folder,)) for folder in folders]


def together(folders: Sequence[Path], families: Iterable[str]) -> list[Voice]:
    """All teams as one voice where the weights of all `families` that they have can be averaged, else every team for
    itself.

    Raises:
        InputError: a file of weights is damaged.
    """
    all_of_them = Voice(tuple(folders))
    for family in families:
        there = [path for path in all_of_them.weights(family) if path.is_file()]
        if there and (len(there) < len(folders) or not one_start(FAMILIES[family], there)):
            return each(folders)
    return [all_of_them]
