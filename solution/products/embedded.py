"""The embedded default: one simulated pair with exact truth, made on the spot because real sub-metre
imagery may not be passed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from solution.simulate import scene_writer

NAME = "01_publictest"
SIZE_PX = (2000, 2000)
SEED = 20_000_001  # no training command draws it
PRESET = "suburb"


def make(folder: Path, say: Callable[[str], None]) -> Path:
    """Write the sample, unless it is there.

    Args:
        folder: made if missing; gets the pair, its noise-free tie-points and its truth maps.

    Returns:
        `folder`.
    """
    say(f"{folder}: simulating the sample, {SIZE_PX[1]} x {SIZE_PX[0]} px, unless it is there")
    scene_writer.ensure_scene(folder, NAME, SIZE_PX, SEED, PRESET, 0.0)
    return Path(folder)
