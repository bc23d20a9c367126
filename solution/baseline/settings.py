"""Settings of the baseline: the paper's, which want a GPU, and small ones for a CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from solution.core.devices import trainer_device
from solution.core.errors import InputError


@dataclass(frozen=True)
class BaselineConfig:
    """What the paper says. Where it is silent, a usual choice, marked so.

    A *grid pixel* is a pixel of the common grid: the coarser of both GSDs, times `factor`.

    Attributes:
        crop_px: side of a crop, grid px.
        factor: by which the common grid is coarser than the coarser image.
        sigma_px: standard deviation of a heatmap's peak, grid px.
        trunk: timm ResNet with a deep stem, one for each modality (usual).
        stem_width, channels: widths of the trunk (usual).
        decoder_channels: widths of the decoder at strides 16, 8, 4 and 2 (usual).
        epochs, batch_size (usual), learning_rate: of Adam.
        drop_at, drop_to: after the share `drop_at` of the epochs the learning rate is multiplied by
            `drop_to`; in the paper after 30 of 100.
        validation_share: share of the tie-points to watch the training on.
        simulated_points: places drawn from each simulated scene beside its tie-points, since the simulator knows the
            shift everywhere; the paper has tie-points alone.
        turns: whether crops are turned by quarters and mirrored at random; the paper does not say so.
        ema_decay: None, so that the last weights are kept, not an average.
    """

    SIZES: ClassVar[tuple[str, ...]] = (
        "crop_px",
        "factor",
        "sigma_px",
        "trunk",
        "stem_width",
        "channels",
        "decoder_channels",
    )
    """Settings that a run takes over from the network that it continues."""
    start_share: ClassVar[float] = 0.0
    patience: ClassVar[float] = 0.0

    crop_px: int = 256
    factor: int = 1
    sigma_px: float = 13.0
    trunk: str = "resnet34d"
    stem_width: int = 32
    channels: tuple[int, ...] = (64, 128, 256, 512)
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32)
    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 1e-4
    drop_at: float = 0.3
    drop_to: float = 0.01
    validation_share: float = 0.2
    simulated_points: int = 0
    turns: bool = False
    ema_decay: float | None = None

    def small(self) -> BaselineConfig:
        """Half the resolution over the same ground, thin networks, few epochs."""
        return replace(
            self,
            crop_px=128,
            factor=2,
            sigma_px=6.5,
            trunk="resnet10t",
            stem_width=8,
            channels=(16, 32, 48, 96),
            decoder_channels=(48, 32, 16, 16),
            epochs=8,
            learning_rate=2e-3,
            drop_at=0.8,
            simulated_points=50,
            turns=True,
        )

    def fine_tuned(self) -> BaselineConfig:
        """A team's own run, starting from the base model: half the epochs at half the learning rate."""
        return replace(self, epochs=-(-self.epochs // 2), learning_rate=0.5 * self.learning_rate)

    def smoke(self) -> BaselineConfig:
        """Runs the whole way in seconds; its result is worthless."""
        return replace(
            self.small(), crop_px=64, channels=(8, 8, 8, 8), decoder_channels=(8, 8, 8, 8), epochs=1, simulated_points=0
        )


@dataclass(frozen=True)
class SearchConfig:
    """How keypoints are looked for, and which of them are inliers.

    Attributes:
        grid_m: distance of the grid's points, m.
        max_points: the grid is widened until it has no more points than these. 1,600 at 100 m cover 4 km x 4 km, the
            largest scene of the challenge.
        ransac_px: largest distance of an inlier to the affine, px of the coarser image (the paper does not say).
        batch_size: crops that go through a network at once.
    """

    grid_m: float = 100.0
    max_points: int = 1600
    ransac_px: float = 10.0
    batch_size: int = 32


def chosen(setting: str, device: str, epochs: int | None = None, smoke: bool = False) -> BaselineConfig:
    """The settings of a run.

    Args:
        setting: ``paper``, ``small``, or ``auto``: the paper's where the device is a GPU.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        epochs: instead of the setting's.

    Raises:
        InputError: an unknown setting or device, or no epoch.
    """
    if setting not in ("auto", "paper", "small"):
        raise InputError(f"--setting {setting}: is none of auto, paper, small")
    if epochs is not None and epochs < 1:
        raise InputError(f"--epochs {epochs}: must be 1 or more")
    paper = setting == "paper" or (setting == "auto" and trainer_device(device)[0] == "cuda")
    config = BaselineConfig() if paper else BaselineConfig().small()
    config = config.smoke() if smoke else config
    return config if epochs is None else replace(config, epochs=epochs)
