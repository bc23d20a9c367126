"""Settings of the direct flow regressor: how it is built and trained, and how it goes over a scene."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from solution.proposers.encoder.cells import STRIDE_PX
from solution.samples.settings import CELL_PX, TileConfig


@dataclass(frozen=True)
class FlowConfig(TileConfig):
    """The direct flow regressor's network, beside what `TileConfig` says of tiles and optimisation (AdamW, one cycle).

    Attributes:
        trunk: name of the network shared by both modalities, see `encoder.trunk`.
        trunk_rate: its learning rate, as a share of that of the new layers: it shall stay near what it knows.
        width: channels of the feature pyramid.
        feature_channels: length of a feature vector; every feature cell has one.
        radius_cells: search radius in training, in feature cells; a prediction may use any other.
        windows_blocks: sides, in blocks, of the windows over which block correlations are averaged (template sizes).
        label_sigma_cells: standard deviation of the soft target around the true displacement, in feature cells.
    """

    SIZES: ClassVar[tuple[str, ...]] = ("trunk", "width", "feature_channels", "windows_blocks")

    tile_px: int = 192
    factors: tuple[int, ...] = (1, 2)  # the fine stage works on the finest level alone
    magnify: tuple[float, float] = (-0.7, 0.5)
    trunk: str = "tf_efficientnet_lite0"
    trunk_rate: float = 0.2
    width: int = 48
    feature_channels: int = 32
    radius_cells: int = 6
    windows_blocks: tuple[int, ...] = (1, 3, 5, 9)
    label_sigma_cells: float = 0.6

    @property
    def stride_cells(self) -> int:
        """Side of a block in feature cells."""
        return self.block_cells * CELL_PX // STRIDE_PX

    @property
    def reach_px(self) -> float:
        """Largest residual shift that is left in a tile: the search radius."""
        return float(STRIDE_PX * self.radius_cells)

    def fine_tuned(self) -> FlowConfig:
        """A fold's own run, starting from the base model."""
        return replace(self, steps=160, learning_rate=5e-4, warmup_steps=20)

    def adapted(self) -> FlowConfig:
        """A team's run on scenes of another kind, starting from trained teams."""
        return replace(self, steps=60, learning_rate=3e-4, warmup_steps=10, start_share=0.3)

    def smoke(self) -> FlowConfig:
        """Runs the whole way in seconds; its result is worthless."""
        return replace(self, steps=4, batch_size=2, tile_px=128, warmup_steps=1, windows_blocks=(1, 3), radius_cells=4)


@dataclass(frozen=True)
class SearchConfig:
    """How the joint field of a scene is found.

    Attributes:
        reach_px: shifts that the first level must find, optical px.
        first_px: the first level is the finest one on which the scene has no more px than this.
        alone_px: scenes of more px never begin with level 1, where the whole reach takes four times as long.
        whole_px: levels of more px are searched piece by piece, for the evidence of all nodes is in memory.
        piece_px, overlap_px: of such pieces, px of the level; they overlap by more than the widest lattice that bends there.
        refine_radius_px: of the search on the levels after the first, px of the level.
        starts: likely shifts that the first level begins with.
        coarse_weight, gradient_weight: of the evidence of all voices' coarse features together, and of oriented gradients.
        tile_px: side of the tiles that are held in memory, px of the level.
    """

    reach_px: float = 300.0
    first_px: float = 6e5
    alone_px: float = 2.5e5
    whole_px: float = 2.5e7
    piece_px: int = 4096
    overlap_px: int = 512
    refine_radius_px: float = 32.0
    starts: int = 6
    coarse_weight: float = 1.0
    gradient_weight: float = 1.0
    tile_px: int = 1024


@dataclass(frozen=True)
class DetailConfig:
    """How the fitted field gets back the relief that the fit smoothed away.

    Attributes:
        most_gsd_m: scenes with larger optical pixels, or of unknown size, are left as fitted: there the fit is exact to
            a pixel, which is less than the evidence can tell.
        node_px: distance of the nodes, px of the level.
        radius_px: of the search around the fit, px of the level.
        trust: mean evidence along the fit at which the features are trusted; below, the field may bend ever less.
        tile_px, overlap_px: of the pieces of the scene that are looked at together, px of the level.
    """

    most_gsd_m: float = 3.0  # chosen on: s12, vhr_check, simulated
    node_px: int = 16
    radius_px: float = 24.0
    trust: float = 0.45  # chosen on: vhr_check, simulated
    tile_px: int = 4096
    overlap_px: int = 128


@dataclass(frozen=True)
class FineConfig:
    """How a flow regressor goes over a scene around the joint field.

    Attributes:
        radius_cells: search radius, in feature cells.
        tile_px: side of a tile, margin included, px of its level.
        margin_px: border of a tile whose blocks are left to its neighbours, level px; no less than the search radius.
        prior_px: standard deviation per axis of what is believed to be left of the joint field's error, level px:
            where the images say little, the field stays where it is.
        trust: agreement of the features along the joint field, over a tile, from which on all of `prior_px` is left to
            them; below, in proportion less.
        min_confidence: blocks below are not proposed.
        min_valid: share of valid px that a block needs.
        search: how the joint field is found.
        detail: how the fitted field is refined.
    """

    radius_cells: int = 6
    tile_px: int = 1024
    margin_px: int = 64
    prior_px: float = 8.0
    trust: float = 1.6  # chosen on: vhr_check, simulated
    min_confidence: float = 0.05
    min_valid: float = 0.5
    search: SearchConfig = field(default_factory=SearchConfig)
    detail: DetailConfig = field(default_factory=DetailConfig)
