"""What the simulated instrument adds: incidence angles, the noise floor with its steps between sub-swaths,
scalloping, speckle and quantisation."""

from __future__ import annotations

import numpy as np

from solution.surface.backscatter import Rows, speckled

ANGLES_DEG = (19.0, 47.0)
"""Incidence angles at both ends of the swath."""

_SWATHS = (0.0, 0.21, 0.42, 0.6, 0.8, 1.0)
"""Where the five sub-swaths of the extra-wide mode meet, as shares of the swath."""

_FLOORS_DB = ((-36.0, -29.0), (-40.0, -27.0))
"""Limits of the noise floor of a scene in HH and HV: low where most of the noise was subtracted
from the product, else high."""


class Instrument:
    """The instrument of one scene.

    Its noise floor falls and rises within each sub-swath and jumps from one to the next, as what
    is left of it in real products.
    """

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        width = shape[1]
        # A small scene is a cut out of the swath, a large one the whole of it.
        span = float(np.clip(width / 10_000, 0.15, 1.0))
        first = rng.uniform(0, 1 - span)
        self.across = first + span * (np.arange(width, dtype=np.float32) + 0.5) / width
        self.angle = ANGLES_DEG[0] + (ANGLES_DEG[1] - ANGLES_DEG[0]) * self.across
        self.noise_db = np.stack([self._floor(rng, rng.uniform(*limits)) for limits in _FLOORS_DB])
        self.scalloping_db, self.scalloping_px = rng.uniform(0.1, 0.9), rng.uniform(60.0, 160.0)
        self.looks = rng.uniform(8.0, 12.0)
        # Products are stretched scene by scene and band by band: `top` is the 8-bit value of a backscatter of -5 dB in
        # HH, and of -14 dB in HV.
        # chosen on: the public polar patches (the level of HV)
        top = rng.uniform(130, 300) * 10 ** (rng.uniform(-3.0, 3.0, 2) / 20)
        self.gain = (top * 10 ** (np.array([5.0, 14.0]) / 20)).astype(np.float32)

    def _floor(self, rng: np.random.Generator, level: float) -> np.ndarray:
        swath = np.clip(np.searchsorted(_SWATHS, self.across, side="right") - 1, 0, 4)
        start, stop = np.asarray(_SWATHS)[swath], np.asarray(_SWATHS)[swath + 1]
        within = 2 * (self.across - start) / (stop - start) - 1
        return (level + rng.uniform(-1.2, 1.2, 5)[swath] + rng.uniform(0.5, 2.0) * (within**2 - 0.5)).astype(np.float32)

    def record(self, power: np.ndarray, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        """Backscatter (2, h, w), linear -> the product (2, h, w) uint8, 1 to 255: 0 means no data."""
        _, y = rows.grid()
        first = np.exp(-self.across / 0.2)  # scalloping is worst in the first sub-swath
        banding = self.scalloping_db * first * np.sin(2 * np.pi * y / self.scalloping_px)
        noise = 10 ** ((self.noise_db[:, None] + banding[None]) / 10)
        seen = np.sqrt(speckled(power + noise, self.looks, rng))
        return np.clip(np.rint(seen * self.gain[:, None, None]), 1, 255).astype(np.uint8)
