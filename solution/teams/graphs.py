"""The feature networks of teams as graphs for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from solution.core.errors import InputError
from solution.proposers.families import COARSE, FLOW, one_start
from solution.proposers.runtimes.every import ONNX, PACKAGES, check_packages
from solution.proposers.runtimes.exporting import export as export_family
from solution.teams.voice import Voice


def export(teams: Sequence[Path], out: Path) -> list[Path]:
    """Write the graphs of one team, or of several as one, and what describes them -> the files.

    Raises:
        InputError: what writes graphs is not installed; weights are missing, damaged, or cannot be averaged; or the disk
            refuses a file.
    """
    check_packages("export-onnx", PACKAGES[ONNX][:1])
    voice, written = Voice(tuple(teams)), []
    for family in (FLOW, COARSE):
        weights = voice.weights(family.name)
        if len(weights) > 1 and not one_start(family, weights):
            raise InputError(
                f"{weights[-1]}: did not start from the same weights as {weights[0]}, so that they cannot be averaged; export one team at a time"
            )
    for family in (FLOW, COARSE):
        written += export_family(family, voice.weights(family.name), out)
    return written
