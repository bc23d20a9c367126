"""A training image whose pixels are not in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solution.samples.cache import Cache
from solution.samples.facts import read_truth
from solution.samples.images import registered_field
from solution.samples.levels import Levels
from solution.samples.truth import RegisteredField, TiePointField, TruthMapField

_NO_ANCHORS = np.zeros((0, 2))


@dataclass(frozen=True)
class StoredImage:
    """What `images.TrainingImage` is, read when it is needed; a few hundred bytes in memory, and quick to send.

    Attributes:
        name, kind, sar_pixel_px, data: as there.
        shape: (h, w) of the full resolution.
        optical, sar: levels of uint8 (h, w, 3) and (h, w).
        facts: see `facts`; None for a registered pair.
        cache: of this process.
    """

    name: str
    kind: str
    shape: tuple[int, int]
    sar_pixel_px: float
    data: str
    optical: Levels
    sar: Levels
    facts: Path | None
    cache: Cache

    @property
    def field(self) -> TiePointField | TruthMapField | RegisteredField:
        """The truth. Raises `InputError` where the file that holds it is gone."""
        return registered_field() if self.facts is None else self._truth()[1]

    @property
    def anchors(self) -> np.ndarray:
        """(N, 2) places to centre tiles on, or none. Raises `InputError` where the file that holds them is gone."""
        return _NO_ANCHORS if self.facts is None else self._truth()[0]

    def _truth(self) -> tuple[np.ndarray, TiePointField | TruthMapField, int]:
        return self.cache.get(("truth", self.facts), lambda: read_truth(self.facts), lambda truth: truth[2])
