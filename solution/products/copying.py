"""A finished prediction under another name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from solution.core.artefact import is_whole
from solution.core.errors import InputError
from solution.core.outputs import check_outputs
from solution.core.writing import atomic_path, together, write_text
from solution.products.outputs import Outputs, say_stale

_COPIED = ("map", "candidates", "uncertainty", "warped_sar")
"""What says the same wherever it lies; others lead to the SAR image from their places, or lie elsewhere already."""


def copy(files: Outputs, report: Mapping, out: Path, inputs: Iterable[Path]) -> Path:
    """Write the rasters and the candidates that a report describes, and the report, beside the map's new path `out` -> `out`.

    Args:
        files: the prediction's.
        inputs: what must not be overwritten.

    Raises:
        InputError: a place that cannot be written to, or a file that is gone or changed since.
    """
    new = Outputs.of(out)
    described = {name: facts for name, facts in report["files"].items() if name in _COPIED}
    if new.map.resolve() == files.map.resolve():
        return new.map
    old = {name: files.map.with_name(facts["name"]) for name, facts in described.items()}
    named = {name: new.map if path == files.map else _renamed(path, files, new) for name, path in old.items()}
    check_outputs(new.all(), [*inputs, *old.values()], sum(facts["bytes"] for facts in described.values()))
    for name, path in old.items():
        if not is_whole(path, described[name]):
            raise InputError(f"{path}: is gone or changed since it was written; register the images again")
    with together() as written:
        for name, path in old.items():
            with atomic_path(named[name], described[name]["bytes"]) as temporary:
                shutil.copyfile(path, temporary)
        told = {name: {**facts, "name": named[name].name} for name, facts in described.items()}
        write_text(new.report, json.dumps({**report, "files": told}, indent=1) + "\n")
        say_stale(written, new.beside(), lambda line: None)
    return new.map


def _renamed(path: Path, files: Outputs, new: Outputs) -> Path:
    """The name of a file beside a map, beside another map."""
    return new.map.with_name(new.stem + path.name.removeprefix(files.stem))
