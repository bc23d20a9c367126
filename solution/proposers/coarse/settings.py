"""Settings of the coarse features: how they are built and trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from solution.proposers.encoder.frozen import FROZEN_PX
from solution.samples.settings import TileConfig


@dataclass(frozen=True)
class CoarseConfig(TileConfig):
    """The coarse features' head, beside what `TileConfig` says of tiles and optimisation (AdamW, one cycle).

    Attributes:
        trunk: name of the network that stays frozen, see `encoder.trunk`.
        holds_trunk: whether the frozen trunk lies with the head's weights, because no package has it.
        hidden: channels of the head's hidden layer.
        radius_cells: search radius in training, in cells of the frozen trunk's maps.
        windows_blocks: odd sides, in blocks, of the windows over which the features answer for themselves in training.
        label_sigma_cells: standard deviation of the soft target around the true displacement, in cells.
    """

    SIZES: ClassVar[tuple[str, ...]] = ("trunk", "holds_trunk", "hidden")

    tile_px: int = 256
    magnify: tuple[float, float] = (-0.7, 0.5)
    steps: int = 1200
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    trunk: str = "tf_efficientnet_lite0"
    holds_trunk: bool = False
    hidden: int = 128
    radius_cells: int = 8
    windows_blocks: tuple[int, ...] = (1, 3, 5)
    label_sigma_cells: float = 0.6

    @property
    def reach_px(self) -> float:
        """Largest residual shift that is left in a tile: the search radius, less one cell for its changes within a tile."""
        return float(FROZEN_PX * (self.radius_cells - 1))

    def fine_tuned(self) -> CoarseConfig:
        """A fold's own run, starting from the base model."""
        return replace(self, steps=100, learning_rate=3e-4, warmup_steps=20)

    def adapted(self) -> CoarseConfig:
        """A team's run on scenes of another kind, starting from trained teams."""
        return replace(self, steps=60, learning_rate=3e-4, warmup_steps=10, start_share=0.3)

    def smoke(self) -> CoarseConfig:
        """Runs the whole way in seconds; its result is worthless."""
        return replace(
            self, steps=4, batch_size=2, tile_px=128, warmup_steps=1, hidden=8, radius_cells=4, windows_blocks=(1,)
        )
