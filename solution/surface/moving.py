"""Which candidates of a pair lie on ground that moves or shows nothing: open water, drifting ice."""

from __future__ import annotations

import numpy as np
import pandas as pd

from solution.errors import InputError
from solution.scene import ScenePair
from solution.surface import water
from solution.surface.network import PatchClassifier


def over_water(pair: ScenePair, table: pd.DataFrame, net: PatchClassifier | None = None) -> np.ndarray:
    """(N,) bool, whether the SAR image shows water (by its statistics; by the classifier also ice) where a candidate ends.

    Args:
        table: candidates of the pair.
        net: a surface classifier in evaluation mode, for extra-wide-swath scenes.

    Raises:
        InputError: a classifier, and images in different coordinate systems.
    """
    if not len(table):
        return np.zeros(0, bool)
    landed = table[["x", "y"]].to_numpy() + table[["dx", "dy"]].to_numpy() + pair.centre_offset_px
    return _mask(pair, net).at(pair.sar_positions(landed))


def _mask(pair: ScenePair, net: PatchClassifier | None) -> water.WaterMask:
    if net is not None:
        if pair.reproject_sar:
            raise InputError(
                f"{pair.sar}: lies in another coordinate system than {pair.optical.name}, which --surface-model cannot do; warp it there with gdalwarp"
            )
        return water.from_classes(pair.sar, net)
    with pair.open_sar() as dataset:
        if min(dataset.shape) < water.CELL_PX:
            return water.WaterMask(np.zeros((1, 1), bool), max(dataset.shape), dataset.shape)
        return water.of_dataset(dataset, pair.sar_overview)
