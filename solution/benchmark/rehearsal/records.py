"""What is known of every stage, a JSON file each: what it depends on, what it took, and whether it is finished. A stage that
was killed goes on, and its times add up; one whose inputs or code changed begins anew."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from solution.benchmark.rehearsal.measuring import Measured
from solution.core.artefact import read_noted
from solution.core.writing import write_text

FOLDER = "records"


@dataclass
class Record:
    """A stage.

    Attributes:
        key: hash of all that it depends on.
        measured: what it took so far.
        done: whether it is finished.
        facts: more that is told of it.
    """

    key: str
    measured: Measured = field(default_factory=Measured)
    done: bool = False
    facts: dict = field(default_factory=dict)


def read(root: Path, stage: str) -> Record | None:
    """What an earlier run noted of a stage; None where there is nothing, or nothing of this version."""
    noted = read_noted(_path(root, stage))
    try:
        return Record(noted["key"], Measured.of_json(noted["measured"]), noted["done"], noted["facts"])
    except (KeyError, TypeError, AttributeError):
        return None


def write(root: Path, stage: str, record: Record) -> None:
    """Note it, whole or not at all. Raises `InputError` where the disk refuses it."""
    content = {
        "key": record.key,
        "done": record.done,
        "facts": record.facts,
        "measured": record.measured.to_json(),
    }
    write_text(_path(root, stage), json.dumps(content, indent=1) + "\n")


def _path(root: Path, stage: str) -> Path:
    return root / FOLDER / f"{stage}.json"
