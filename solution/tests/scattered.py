"""Candidates at random places of a known shift field, for tests of the fit and of what is written of it."""

import numpy as np
import pandas as pd

from solution.field import candidates

SHAPE = (500, 640)


def smooth(xy: np.ndarray) -> np.ndarray:
    """A shift field that no affine can follow: 60 px of mean shift, terrain of +-20 px along one direction."""
    x, y = np.asarray(xy, np.float64).T
    height = 20 * np.sin(x / 90) * np.cos(y / 110)
    return np.column_stack([60 + 0.02 * x + 0.95 * height, -25 + 0.01 * y + 0.3 * height])


def scattered(
    count: int = 900, noise_px: float = 1.5, outliers: float = 0.0, seed: int = 0, field=smooth
) -> tuple[pd.DataFrame, np.ndarray]:
    """Candidates at random places and which of them are gross outliers."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 1, (count, 2)) * (np.array(SHAPE[::-1]) - 1)
    shift = field(xy) + rng.normal(0, noise_px, (count, 2))
    wrong = rng.random(count) < outliers
    shift[wrong] = rng.uniform([-90, -180], [210, 130], (int(wrong.sum()), 2))
    return candidates.make("02_train_01", 0, "flow", xy, shift, confidence=0.8), wrong
