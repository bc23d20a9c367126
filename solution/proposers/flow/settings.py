"""Settings of the direct flow regressor: how it is built and trained, and how it goes over a scene."""

from __future__ import annotations

from dataclasses import dataclass, replace

from solution.samples.settings import CELL_PX, TileConfig


@dataclass(frozen=True)
class FlowConfig(TileConfig):
    """The direct flow regressor's network, beside what `TileConfig` says of tiles and optimisation (AdamW, one cycle).

    Attributes:
        trunk: timm encoder shared by both modalities behind their own stems.
        stem_channels: width of a modality's own first layers and of the feature pyramid.
        feature_channels: length of a feature vector; every cell has one.
        radius_cells: search radius in training, in cells; a prediction may use any other.
        windows_blocks: sides, in blocks, of the windows over which block correlations are averaged (template sizes).
        label_sigma_cells: standard deviation of the soft target around the true displacement, in cells.
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


@dataclass(frozen=True)
class PyramidConfig:
    """How a flow regressor goes over a whole scene.

    Attributes:
        reach_px: shifts that the coarse pass must find, optical px.
        max_coarse_volume: the coarse pass takes the finest of the levels 8, 4, 2, 1 that has no more blocks x
            displacements than this.
        refine_radius_cells: search radius of the passes between the coarse level and the finest one, in cells.
        finest_radius_cells: search radius of the passes on the finest level, in cells.
        tile_px: side of a tile at its level, margin included.
        margin_px: border of a tile whose blocks are left to its neighbours, level px; no less than the search radius.
        fine_passes: how often the finest level is matched; every pass starts from the field of the one before.
        min_confidence: blocks below are not proposed.
        min_valid: share of valid px that a block needs.
    """

    reach_px: float = 300.0
    max_coarse_volume: float = 4e6
    refine_radius_cells: int = 8
    finest_radius_cells: int = 6
    tile_px: int = 1024
    margin_px: int = 64
    fine_passes: int = 1
    min_confidence: float = 0.05
    min_valid: float = 0.5
