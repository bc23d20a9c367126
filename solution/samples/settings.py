"""Settings of training tiles and optimisation, which every network has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

CELL_PX = 2
"""Side of a cell, in px of the level."""


@dataclass(frozen=True)
class TileConfig:
    """Training tiles and optimisation, which every stage has.

    A *cell* is `CELL_PX` = 2 px of the level that is worked on. A *block* is block_cells x block_cells cells and gets
    one label. A *level* is the scene averaged down by an integer factor.

    Attributes:
        tile_px: side of a training tile at its level.
        factors: levels that training tiles are drawn from.
        magnify: range of the power of two by which a tile's pixels are larger (or, below 0, smaller) than its level's.
        block_cells: side of a block.
        residual_slope: standard deviation of the residual shift's linear change over a tile, px per px.
        residual_wave: standard deviation of the steepest slope of a wave that makes the residual curved, px per px; 0 =
            no wave.
        max_label_sigma_px: a block is labelled (positive) where the interpolated truth is surer than this, in px of its
            level.
        photometric: which of the two images is changed in brightness, contrast and noise: ``both``, ``sar`` or
            ``none``.
        inversion_share: share of tiles whose SAR contrast is inverted; as many, drawn on their own, have their optical
            contrast inverted.
        labelled_share, simulated_share, registered_share: how tiles are shared out among the kinds of images that there
            are, relative to each other.
        steps, batch_size, learning_rate, weight_decay, warmup_steps: optimisation.
        ema_decay: decay of the exponential moving average of the weights, which is what a run keeps.
        start_share: share of the weights that a run started from in those that it keeps: what the start knew is
            forgotten less (Wortsman et al. 2022, Robust fine-tuning of zero-shot models).
        patience: a run ends when its development error was lowest this share of its steps ago; 0 = it never ends early,
            keeps its last weights, and no image is kept apart for that error.
    """

    SIZES: ClassVar[tuple[str, ...]] = ()
    """Settings that a run takes over from the network that it continues."""

    tile_px: int = 256
    factors: tuple[int, ...] = (1, 2, 4, 8)
    magnify: tuple[float, float] = (-0.25, 0.25)
    block_cells: int = 8
    residual_slope: float = 0.02
    residual_wave: float = 0.0
    max_label_sigma_px: float = 3.0
    photometric: str = "both"
    inversion_share: float = 0.1
    labelled_share: float = 0.4
    simulated_share: float = 0.4
    registered_share: float = 0.4
    steps: int = 1200
    batch_size: int = 8
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-2
    warmup_steps: int = 100
    ema_decay: float = 0.995
    start_share: float = 0.0
    patience: float = 0.4

    @property
    def reach_px(self) -> float:
        """Largest residual shift that is left in a tile, px along each axis; 0 = tiles in register."""
        return 0.0
