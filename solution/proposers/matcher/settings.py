"""Settings of the matcher, DISK and LightGlue: how it is built and trained, and how it goes over a scene."""

from __future__ import annotations

from dataclasses import dataclass, replace

from solution.samples.settings import CELL_PX, TileConfig


@dataclass(frozen=True)
class MatcherConfig(TileConfig):
    """DISK and LightGlue: their sizes, beside what `TileConfig` says of tiles and optimisation (AdamW, one cycle).

    Attributes:
        trunk: timm encoder of DISK's network, behind stems at half resolution, as the flow regressor has it; '' =
            DISK's own U-Net at full resolution, three channels in, which its published weights fit.
        descriptor_dim: length of a DISK descriptor.
        stem_channels: width of a modality's own first layers before a trunk.
        patch, patch_step_cells: places are compared by the descriptors on a lattice of patch x patch cells, this many
            cells apart, for one cell carries next to no signal under speckle.
        glue_dim, glue_layers, glue_heads: width, layers and attention heads of LightGlue.
        optical_cell_px, other_cell_px: DISK proposes its best point in every square of this side, in the optical image
            and in the other one.
        max_shift_px: residual shift of training tiles.
        window_px: search window: partners are looked for within this distance along each axis.
        points: number of places in a tile that the descriptor loss looks at.
        label_sigma_cells: standard deviation of the descriptor loss's soft target around the true place, in cells.
        reliable_px: a place is worth a keypoint where its best partner lies within this distance of the truth.
        positive_px, negative_px: two keypoints match where their distance from the truth is at most the first; a
            keypoint whose nearest one is further than the second has no match; what lies between teaches nothing.
        glue_share: share of a training batch that LightGlue learns from.
        translated_share: share of training batches whose SAR image goes through the translator, where one is given.
    """

    SIZES = (
        "trunk",
        "descriptor_dim",
        "stem_channels",
        "patch",
        "patch_step_cells",
        "glue_dim",
        "glue_layers",
        "glue_heads",
    )

    block_cells: int = 4
    residual_slope: float = 0.04
    residual_wave: float = 0.05
    factors: tuple[int, ...] = (1, 2, 4)
    trunk: str = "resnet18d"
    descriptor_dim: int = 48
    stem_channels: int = 32
    patch: int = 7
    patch_step_cells: int = 4
    glue_dim: int = 64
    glue_layers: int = 3
    glue_heads: int = 4
    optical_cell_px: int = 16
    other_cell_px: int = 8
    max_shift_px: float = 16.0
    window_px: float = 24.0
    points: int = 40
    label_sigma_cells: float = 0.6
    reliable_px: float = 3.0
    positive_px: float = 6.0
    negative_px: float = 10.0
    glue_share: float = 0.5
    translated_share: float = 0.35
    learning_rate: float = 1e-3
    warmup_steps: int = 40
    steps: int = 800

    @property
    def reach_px(self) -> float:
        """Largest residual shift that is left in a tile."""
        return self.max_shift_px

    @property
    def stride(self) -> int:
        """Px per descriptor."""
        return CELL_PX if self.trunk else 1

    def fine_tuned(self) -> MatcherConfig:
        """A fold's own run, starting from the base model."""
        return replace(self, steps=120, learning_rate=5e-4, warmup_steps=20)

    def official(self) -> MatcherConfig:
        """The sizes of the published DISK and of the LightGlue that was trained on it."""
        return replace(
            self,
            trunk="",
            descriptor_dim=128,
            patch=1,
            glue_dim=256,
            glue_layers=9,
            learning_rate=1e-4,
        )

    def smoke(self) -> MatcherConfig:
        """Runs the whole way in seconds; its result is worthless."""
        return replace(self, steps=4, batch_size=2, tile_px=128, warmup_steps=1, points=32, glue_layers=1)


@dataclass(frozen=True)
class MatchingConfig:
    """How a matcher goes over a whole scene.

    Attributes:
        tile_px: side of a tile at its level, margin included.
        margin_px: border of a tile whose keypoints are left to its neighbours; no less than the matcher's window.
        max_tiles: most tiles of a level; of a larger scene tiles are left out evenly.
        other_cell_px: side of the squares of the SAR image that hold one keypoint each: coarser than in training, for
            refinement reaches across them and matching takes a third of the time.
        min_score: matches below are not proposed.
        max_cycle_px: matches above this forward-backward error are not proposed, px of the level.
        consensus_px: matches of a tile that are further than this from its robust affine are not proposed, px of the
            level.
        min_consensus: number of matches that must agree with a tile's robust affine; a tile with fewer is left empty.
        min_consensus_share: share of a tile's matches that must agree with it; a tile with fewer is left empty.
        factors: levels of a run without a coarse field, the coarsest first.
    """

    tile_px: int = 384
    margin_px: int = 32
    max_tiles: int = 48
    other_cell_px: int = 16
    min_score: float = 0.1
    max_cycle_px: float = 4.0
    consensus_px: float = 8.0
    min_consensus: int = 8
    min_consensus_share: float = 0.25
    factors: tuple[int, ...] = (8, 4, 2)
