"""What a team's table of candidates was made from, noted when it is finished, so that a stale table is never called up
to date."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from solution.core.artefact import WORK, file_facts, file_hash, is_whole, read_noted
from solution.core.writing import write_text
from solution.data.scene import ScenePair


def scene_facts(pair: ScenePair) -> list:
    """What a scene brings to its table: the images, and the tie-points that label the candidates."""
    return [pair.fingerprint(), file_hash(pair.tiepoints_csv) if pair.tiepoints_csv else None]


def note(folds: Path, team: str, made_from: Mapping, table: Path) -> None:
    """Note what a finished table was made from; `made_from` has the keys ``code``, ``scenes`` (by name) and
    ``proposing``."""
    write_text(_stamp(folds, team), json.dumps({**made_from, "table": file_facts(table)}))


def forget(folds: Path, team: str) -> None:
    """The table is about to be replaced."""
    _stamp(folds, team).unlink(missing_ok=True)


def is_current(folds: Path, team: str, made_from: Mapping, table: Path) -> bool:
    """Whether the table is whole, and just these facts would make it again."""
    noted = read_noted(_stamp(folds, team))
    return is_whole(table, noted.pop("table", None)) and noted == json.loads(json.dumps(made_from))


def why_stale(folds: Path, team: str, code: str, scenes: Sequence[ScenePair], table: Path) -> str:
    """What a table no longer agrees with, for people; empty where it is current, whatever it was told to propose.

    Args:
        code: digest of the code that would propose now.
        scenes: those that are about to be judged by the table.
    """
    noted = read_noted(_stamp(folds, team))
    if not is_whole(table, noted.get("table")):
        return "nothing is noted of what it was made from"
    if noted.get("code") != code:
        return "the code has changed since it was proposed"
    known = noted.get("scenes", {})
    changed = [pair.name for pair in scenes if known.get(pair.name) != scene_facts(pair)]
    return f"the files of scene {changed[0]} have changed since it was proposed" if changed else ""


def _stamp(folds: Path, team: str) -> Path:
    return folds / WORK / f"{team}.done"
