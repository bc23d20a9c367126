"""Random changes of brightness, contrast and noise: pixels change their values, never their places."""

from __future__ import annotations

import os

import cv2
import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its latest version otherwise
import albumentations


class OpticalAugmentation:
    """Random brightness, contrast, gamma, colours, blur, softness, noise and JPEG of an optical tile, and at times its negative."""

    def __init__(self) -> None:
        self._changes = albumentations.Compose(
            [
                albumentations.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.3, p=0.6),
                albumentations.RandomGamma(gamma_limit=(60, 160), p=0.4),
                albumentations.HueSaturationValue(hue_shift_limit=20, sat_shift_limit=40, val_shift_limit=0, p=0.5),
                albumentations.ToGray(p=0.1),
                albumentations.GaussianBlur(blur_limit=(3, 5), p=0.2),
                albumentations.Downscale(scale_range=(0.4, 0.8), p=0.1),
                albumentations.GaussNoise(std_range=(0.01, 0.05), p=0.2),
                albumentations.ImageCompression(quality_range=(40, 90), p=0.2),
            ]
        )

    def __call__(
        self, optical: np.ndarray, valid: np.ndarray, inversion_share: float, rng: np.random.Generator
    ) -> np.ndarray:
        """(3, h, w) in [0, 1] and validity (h, w) -> (3, h, w), 0 where there is no data; inverted in the given share
        of the cases."""
        self._changes.set_random_seed(int(rng.integers(2**31)))
        image = (255 * np.moveaxis(optical, 0, -1)).astype(np.uint8)
        changed = self._changes(image=image)["image"].astype(np.float32) / 255.0
        if rng.random() < inversion_share:
            changed = 1.0 - changed
        return np.moveaxis(changed, -1, 0) * valid


def augment_sar(sar: np.ndarray, valid: np.ndarray, inversion_share: float, rng: np.random.Generator) -> np.ndarray:
    """Random gamma, blur and extra speckle of a SAR tile, and at times its negative.

    Args:
        sar: (1, h, w) in [0, 1].
        valid: (h, w), 1 where it carries data.
        inversion_share: share of the cases in which it is inverted.

    Returns:
        (1, h, w) float32 in [0, 1], 0 where there is no data.
    """
    changed = _speckled(sar[0], rng)
    if rng.random() < inversion_share:
        changed = 1.0 - changed
    return (changed * valid)[None].astype(np.float32)


def _speckled(sar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gamma, blur, extra speckle (Gamma-distributed intensity, which is additive after the logarithm), and at times
    stripes, on (h, w) in [0, 1]."""
    if rng.random() < 0.5:
        sar = sar ** np.float32(2.0 ** rng.uniform(-0.8, 0.8))
    if rng.random() < 0.3:
        sar = cv2.GaussianBlur(sar, (0, 0), rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        looks = 2.0 ** rng.uniform(0, 4)
        noise = np.log(rng.gamma(looks, 1.0 / looks, sar.shape) + 1e-3) / 2.0
        sar = sar + (rng.uniform(0.1, 0.4) * noise).astype(np.float32)
    if rng.random() < 0.15:
        sar = _striped(sar, rng)
    return np.clip(sar, 0.0, 1.0)


def _striped(sar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lines that are brighter or darker than they should be (scalloping, ambiguities), along one of the axes."""
    lines = rng.normal(0, rng.uniform(0.01, 0.06), max(sar.shape)).astype(np.float32)
    lines = cv2.GaussianBlur(lines[:, None], (1, 0), rng.uniform(0.5, 4.0))[:, 0]
    axis = rng.integers(2)
    return sar + (lines[: sar.shape[0], None] if axis else lines[: sar.shape[1]])
