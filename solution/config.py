"""Settings, one frozen dataclass per stage, units in the names. A model's size is a setting, not code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

CELL_PX = 2


@dataclass(frozen=True)
class TileConfig:
    """Training tiles and optimisation, which every stage has.

    A *cell* is `CELL_PX` = 2 px of the level that is worked on. A *block* is block_cells x block_cells cells and gets one label. A *level* is the scene
    averaged down by an integer factor.

    Attributes:
        tile_px: side of a training tile at its level.
        factors: levels that training tiles are drawn from.
        block_cells: side of a block.
        residual_slope: standard deviation of the residual shift's linear change over a tile, px per px.
        residual_wave: likewise of a wave that makes the residual curved; 0 = none.
        max_label_sigma_px: a block is labelled (positive) where the interpolated truth is surer than this, in px of its level.
        photometric: which of the two images is changed in brightness, contrast and noise: ``both``, ``sar`` or ``none``.
        inversion_share: share of tiles whose SAR contrast is inverted, and likewise of the optical one.
        labelled_share, simulated_share, registered_share: how tiles are shared out among the kinds of sources that are given, relative to each other.
        steps, batch_size, learning_rate, weight_decay, warmup_steps: optimisation.
        ema_decay: of the averaged weights that are kept.
    """

    SIZES: ClassVar[tuple[str, ...]] = ()
    """Settings that a run takes over from the network that it continues."""

    tile_px: int = 256
    factors: tuple[int, ...] = (1, 2, 4, 8)
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

    @property
    def reach_px(self) -> float:
        """Largest residual shift that is left in a tile, px along each axis; 0 = tiles in register."""
        return 0.0


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


@dataclass(frozen=True)
class MatcherConfig(TileConfig):
    """DISK and LightGlue: their sizes, beside what `TileConfig` says of tiles and optimisation (AdamW, one cycle).

    Attributes:
        trunk: timm encoder of DISK's network, behind stems at half resolution, as the flow regressor has it; '' = DISK's own U-Net at full resolution,
            three channels in, which its published weights fit.
        descriptor_dim: length of a DISK descriptor.
        stem_channels: width of a modality's own first layers before a trunk.
        patch, patch_step_cells: places are compared by the descriptors on a lattice of patch x patch cells, this many cells apart, for one cell
            carries next to no signal under speckle.
        glue_dim, glue_layers, glue_heads: of LightGlue.
        optical_cell_px, other_cell_px: DISK proposes its best point in every square of this side, in the optical image and in the other one.
        max_shift_px: residual shift of training tiles.
        window_px: partners are looked for within this distance along each axis.
        points: places a tile that the descriptor loss looks at.
        label_sigma_cells: width of its soft target.
        reliable_px: a place is worth a keypoint where its best partner lies within this distance of the truth.
        positive_px, negative_px: two keypoints match below the one, and a keypoint without any other below the second has no match; between is ignored.
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
        max_tiles: of a level; above, tiles are left out evenly.
        other_cell_px: keypoint grid of the SAR image: coarser than in training, for refinement reaches across it at a third of the time.
        min_score: matches below are not proposed.
        max_cycle_px: likewise above this forward-backward error, px of the level.
        consensus_px: matches of a tile that are further than this from its robust affine are not proposed, px of the level.
        min_consensus, min_consensus_share: matches that a tile's affine needs, and their share of the tile's; a tile with fewer is left empty.
        factors: levels of a run without a coarse field, the coarsest first.
        large_scene_px: above this many optical px the finest level is 2 instead of 1, unless a finest level is asked for.
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
    large_scene_px: float = 100e6


@dataclass(frozen=True)
class TranslatorConfig(TileConfig):
    """The pix2pix translator: tiles are in register and the optical image, which is the target, keeps its colours.

    Attributes:
        depth: how often the generator halves the resolution.
        channels: generator width at half resolution; it doubles with every halving.
        max_channels: up to this width.
        full_channels: width of the generator's last layer but one, the only wide one at full resolution.
        critic_channels: width of the discriminator's first layer; the next two double it.
        norm: ``batch`` (a tile's result does not depend on its statistics, so neighbours meet without a seam) or ``instance``.
        l1_weight: lambda, the weight of the mean absolute error beside the adversarial loss; colours span [0, 1] here and [-1, 1] in the paper, whose
            lambda of 100 is therefore 200.
    """

    factors: tuple[int, ...] = (1, 2)
    residual_slope: float = 0.0
    max_label_sigma_px: float = 2.0
    photometric: str = "none"
    inversion_share: float = 0.0
    simulated_share: float = 0.2
    steps: int = 2000
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    depth: int = 6
    channels: int = 24
    max_channels: int = 96
    full_channels: int = 12
    critic_channels: int = 16
    norm: str = "batch"
    l1_weight: float = 200.0

    def fine_tuned(self) -> TranslatorConfig:
        """A fold's own run, starting from the base model."""
        return replace(self, steps=200, learning_rate=2e-4, warmup_steps=20)

    def smoke(self) -> TranslatorConfig:
        """Runs the whole way in seconds; its result is worthless."""
        return replace(self, steps=4, batch_size=2, tile_px=128, warmup_steps=1, depth=4, channels=8, max_channels=16, critic_channels=8)


@dataclass(frozen=True)
class TemplateConfig:
    """Template matching on oriented gradients; lengths in px of the level that it works on.

    Attributes:
        least_gsd_m: scenes with smaller optical pixels, or of unknown size, are not matched.
        window_px: side of a template.
        spacing_px: distance of the templates.
        reach_px: search radius around the field.
        core_px: side of the ground that a tile is read for at once; a multiple of the spacing.
        min_valid: share of valid px that a template needs, in both images.
        large_scene_px: above this many optical px the level is 2 instead of 1, unless a finest level is asked for.
    """

    least_gsd_m: float = 3.0
    window_px: int = 64
    spacing_px: int = 40
    reach_px: int = 8
    core_px: int = 960
    min_valid: float = 0.5
    large_scene_px: float = 100e6

    @property
    def margin_px(self) -> int:
        """Border of a tile: half a template, the search, and what the gradients look at."""
        return self.window_px // 2 + self.reach_px + 8


@dataclass(frozen=True)
class PyramidConfig:
    """How a flow regressor goes over a whole scene.

    Attributes:
        reach_px: shifts that the coarse pass must find, optical px.
        max_coarse_volume: the coarse pass takes the finest of the levels 8, 4, 2, 1 that has no more blocks x displacements than this.
        refine_radius_cells, finest_radius_cells: search radius of the finer passes, and of those on the finest level.
        tile_px: side of a tile at its level, margin included.
        margin_px: border of a tile whose blocks are left to its neighbours.
        fine_passes: how often the finest level is matched; every pass starts from the field of the one before.
        min_confidence: blocks below are not proposed.
        min_valid: share of valid px that a block needs.
        emit_levels: how many of the finest passes go into the table.
        large_scene_px: above this many optical px the finest level is 2 instead of 1, unless a finest level is asked for.
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
    emit_levels: int = 1
    large_scene_px: float = 100e6
