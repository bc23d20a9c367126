"""A rehearsal from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from solution.benchmark.rehearsal import commands, layout
from solution.benchmark.rehearsal.commands import SIMULATE, STAGES, Rehearsal
from solution.benchmark.rehearsal.scenes import of_scale
from solution.core.artefact import read_noted
from solution.core.errors import InputError
from solution.core.outputs import check_folder
from solution.core.writing import write_text

if TYPE_CHECKING:
    from solution.benchmark.rehearsal.found import Found

RESULT, TABLE = "rehearsal.json", "rehearsal.md"


def planned(root: Path, scale: str, steps: int | None, models: Sequence[str] = ()) -> Rehearsal:
    """A rehearsal in a folder that is empty, holds simulated scenes alone, or an earlier rehearsal of this scale.

    Raises:
        InputError: unknown scale, a folder that holds something else, or nothing can be written there.
    """
    chosen = of_scale(scale)
    check_folder(root)
    earlier = read_noted(root / RESULT).get("scale")
    others = sorted(path.name for path in root.iterdir() if path.name != SIMULATE) if root.is_dir() else []
    if earlier is None and others:
        raise InputError(
            f"{root}: holds {others[0]}, which is of no rehearsal and might be overwritten; choose an empty folder"
        )
    if earlier not in (None, scale):
        raise InputError(f"{root}: holds a rehearsal of --scale {earlier}; choose another folder, or that scale")
    return Rehearsal(root.absolute(), chosen, chosen.steps if steps is None else steps, tuple(models))


def chosen(only: Sequence[str]) -> tuple[str, ...]:
    """The stages of these names, in order; all without any. Raises `InputError` for an unknown name."""
    for name in only:
        if name not in STAGES:
            raise InputError(f"--only {name}: is none of {', '.join(STAGES)}")
    return tuple(stage for stage in STAGES if stage in only or not only)


def rehearse(plan: Rehearsal, stages: Sequence[str], say: Callable[[str], None]) -> Found:
    """Run what is not done yet of some stages, and judge what is there.

    Returns:
        What is known; ``rehearsal.json`` and ``rehearsal.md`` hold the same.

    Raises:
        InputError: as `commands.ensure`.
    """
    if not (plan.root / RESULT).is_file():
        write_text(plan.root / RESULT, json.dumps({"scale": plan.scale.name}) + "\n")
    for stage in stages:
        if stage != SIMULATE:
            layout.lay_out(plan.root)
        commands.ensure(plan, stage, say)
    # Imported when the scripts are done: with the networks' libraries this process would hold a gigabyte beside them
    from solution.benchmark.rehearsal import table
    from solution.benchmark.rehearsal.found import collect

    found = collect(plan)
    write_text(plan.root / RESULT, json.dumps(found.to_json(), indent=1) + "\n")
    write_text(plan.root / TABLE, table.markdown(found))
    return found
