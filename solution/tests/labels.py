"""Labelled candidates with made-up features, of which one kind tells right from wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd

from solution.reranker.features import FEATURES
from solution.reranker.model import Labelled

TELLING = tuple(name for name in FEATURES if name.endswith("_residual"))


def labelled(name: str, seed: int, points: int = 400) -> Labelled:
    """Four candidates a tie-point, right with a chance that the neighbours' residuals tell; all other features are
    noise."""
    rng = np.random.default_rng(seed)
    count = 4 * points
    features = pd.DataFrame(rng.normal(size=(count, len(FEATURES))).astype(np.float32), columns=list(FEATURES))
    told = rng.normal(size=count)
    for column in TELLING:
        features[column] = (told + rng.normal(0, 0.1, count)).astype(np.float32)
    right = rng.uniform(size=count) < 1 / (1 + np.exp(6 * told))
    error = np.where(right, rng.uniform(0, 3, count), rng.uniform(6.1, 30, count))
    return Labelled(
        name, features, error, rng.uniform(size=count), np.repeat(np.arange(points), 4), np.arange(count) % 16
    )
