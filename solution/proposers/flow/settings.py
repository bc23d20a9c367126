"""Settings of the direct flow regressor."""

from __future__ import annotations

from dataclasses import dataclass, replace

from solution.samples.settings import CELL_PX, TileConfig


@dataclass(frozen=True)
class FlowConfig(TileConfig):
    """The direct flow regressor: its network, beside what `TileConfig` says of tiles and optimisation (AdamW, one cycle).

    Attributes:
        trunk: timm encoder shared by both modalities behind their own stems.
        stem_channels: width of a modality's own first layers and of the feature pyramid.
        feature_channels: length of a feature vector, one a cell.
        radius_cells: search radius in training, in cells; a prediction may use any other.
        windows_blocks: sides, in blocks, of the windows over which block correlations are averaged (template sizes).
        label_sigma_cells: width of the soft target.
    """

    trunk: str = "resnet18d"
    stem_channels: int = 32
    feature_channels: int = 32
    radius_cells: int = 6
    windows_blocks: tuple[int, ...] = (1, 3, 5, 9)
    label_sigma_cells: float = 0.6

    @property
    def reach_px(self) -> float:
        """Largest residual shift that is left in a tile: the search radius."""
        return float(CELL_PX * self.radius_cells)

    def fine_tuned(self) -> FlowConfig:
        """A fold's own run, starting from the base model."""
        return replace(self, steps=160, learning_rate=5e-4, warmup_steps=20)

    def smoke(self) -> FlowConfig:
        """Runs the whole way in seconds; its result is worthless."""
        return replace(self, steps=4, batch_size=2, tile_px=128, warmup_steps=1, windows_blocks=(1, 3), radius_cells=4)
