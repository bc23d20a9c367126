"""Settings of the fit from candidates to the field: what a caller may choose, and the numbers that several files of
this folder share.
"""

from __future__ import annotations

from dataclasses import dataclass

MIN_AFFINE = 6
"""Kept candidates that an affine needs; fewer give one shift for the whole image."""
MIN_FIELD = 16
"""Kept candidates that a field needs; fewer give an affine."""
BLOCK_PX = 96.0  # chosen on: s12, vhr_check, simulated
"""Side of a block within which the rows of a proposer err alike."""
WINDOW_PX = 192.0  # chosen on: s12, vhr_check, simulated
"""Side of a window within which they still err much alike."""
SUPPORT_REACH = 0.1
"""Share of an image's longer side: so near, a kept candidate supports a place."""


@dataclass(frozen=True)
class FitConfig:
    """What a caller may choose.

    Attributes:
        windowed: sources that read their rows off overlapping windows. Neighbouring rows of theirs share most of their
            pixels, and so their errors: beside other sources they have a part of a vote, and held-out rows are taken a
            whole window at a time.
        unseen_m: standard deviation per axis, on the ground, of what all proposers get wrong alike, and what no fit can
            see: a wall is taken for the roof's edge, or a shadow for the house. 0 leaves it to the caller.
    """

    windowed: tuple[str, ...] = ("flow",)
    unseen_m: float = 2.0  # chosen on: s12, vhr_check, simulated
