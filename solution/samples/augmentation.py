"""Changes of brightness, contrast and noise."""

from __future__ import annotations

import os

import cv2
import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its latest version otherwise
import albumentations


def optical_augmentation() -> albumentations.Compose:
    return albumentations.Compose(
        [
            albumentations.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.3, p=0.6),
            albumentations.RandomGamma(gamma_limit=(60, 160), p=0.4),
            albumentations.HueSaturationValue(hue_shift_limit=20, sat_shift_limit=40, val_shift_limit=0, p=0.5),
            albumentations.ToGray(p=0.1),
            albumentations.GaussianBlur(blur_limit=(3, 5), p=0.2),
            albumentations.GaussNoise(std_range=(0.01, 0.05), p=0.2),
        ]
    )


def sar_augmentation(sar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gamma, blur, and extra speckle (Gamma-distributed intensity becomes additive after the logarithm) on (h, w) in [0, 1]."""
    if rng.random() < 0.5:
        sar = sar ** np.float32(2.0 ** rng.uniform(-0.8, 0.8))
    if rng.random() < 0.3:
        sar = cv2.GaussianBlur(sar, (0, 0), rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        looks = 2.0 ** rng.uniform(0, 4)
        noise = np.log(rng.gamma(looks, 1.0 / looks, sar.shape) + 1e-3) / 2.0
        sar = sar + (rng.uniform(0.1, 0.4) * noise).astype(np.float32)
    return np.clip(sar, 0.0, 1.0)
