"""Pictures on disk, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from solution.core.outputs import PICTURES, check_suffix
from solution.core.writing import write_bytes


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write (h, w, 3) RGB or (h, w) grey, uint8, as PNG or JPEG by the suffix.

    Raises:
        InputError: another suffix, or the disk refuses it.
    """
    check_suffix(path, PICTURES, "a picture")
    ordered = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])  # OpenCV writes blue first
    done, content = cv2.imencode(Path(path).suffix.lower(), ordered)
    if not done:
        raise ValueError(f"{path}: a picture of {pixels.shape} {pixels.dtype} cannot be encoded")
    write_bytes(path, content.tobytes())
