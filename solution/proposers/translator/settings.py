"""Settings of the pix2pix translator."""

from __future__ import annotations

from dataclasses import dataclass, replace

from solution.samples.settings import TileConfig


@dataclass(frozen=True)
class TranslatorConfig(TileConfig):
    """The pix2pix translator: tiles are in register and the optical image, which is the target, keeps its colours.

    Attributes:
        depth: how often the generator halves the resolution.
        channels: generator width at half resolution; it doubles with every halving.
        max_channels: up to this width.
        full_channels: width of the generator's last layer but one, the only wide one at full resolution.
        critic_channels: width of the discriminator's first layer; the next two double it.
        norm: ``batch`` (a tile's result does not depend on its statistics, so neighbours meet without a seam) or
            ``instance``.
        l1_weight: lambda, the weight of the mean absolute error beside the adversarial loss; colours span [0, 1] here
            and [-1, 1] in the paper, whose lambda of 100 is therefore 200.
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
        return replace(
            self,
            steps=4,
            batch_size=2,
            tile_px=128,
            warmup_steps=1,
            depth=4,
            channels=8,
            max_channels=16,
            critic_channels=8,
        )
