"""Seeded noise: fractal fields with a stated structure function, periodic texture tiles, smooth fields on coarse nodes,
integer hashes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft
from scipy.special import ndtr

STEP = 8  # ground cells between the nodes of a coarse field


def fractal(
    shape: tuple[int, int],
    cell_m: float,
    hurst: float,
    finest_m: float,
    rng: np.random.Generator,
    coarsest_m: float = np.inf,
):
    """Isotropic fractal field by spectral synthesis with a random phase.

    Args:
        shape: (h, w) of the result; it is cut out of a twice larger period, so that opposite borders do not agree.
        cell_m: distance of its nodes.
        hurst: the root mean square difference of two nodes grows as distance ** hurst.
        finest_m, coarsest_m: shorter wavelengths are damped, longer ones are left out.

    Returns:
        (h, w) float32 with unit root mean square difference at 100 m (expected over realisations,
        exactly normalised in the spectrum).
    """
    size = [fft.next_fast_len(2 * n, real=True) for n in shape]
    ky = fft.fftfreq(size[0], cell_m)[:, None]
    kx = fft.rfftfreq(size[1], cell_m)[None, :]
    k2 = ky**2 + kx**2
    k2[0, 0] = 1.0
    power = k2 ** -(hurst + 1.0) * np.exp(-k2 * finest_m**2) * (k2 > coarsest_m**-2)
    power[0, 0] = 0.0
    weight = np.where((kx == 0) | (kx == kx.max()), 1.0, 2.0)
    unit = 2.0 * np.mean(
        [np.sum(weight * power * (1 - np.cos(2 * np.pi * 100.0 * k))) for k in (np.broadcast_to(kx, k2.shape), ky)]
    )
    noise = rng.standard_normal(size, dtype=np.float32)
    spectrum = fft.rfft2(noise) * np.sqrt(power / unit * size[0] * size[1]).astype(np.float32)
    return fft.irfft2(spectrum, s=size)[: shape[0], : shape[1]].astype(np.float32)


@dataclass(frozen=True)
class CoarseField:
    """A smooth field on nodes `STEP` cells apart over the whole ground.

    Attributes:
        nodes: (h, w) float32; node (i, j) lies at the middle of STEP x STEP cells.
    """

    nodes: np.ndarray

    def window(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """Values on cells [top, bottom) x [left, right), which may reach past the ground; float32.

        Linear interpolation smoothed over one node spacing: its slope is continuous, and a plane stays a plane, while
        OpenCV's cubic kernel ripples.
        """
        pad = 3
        low = (top // STEP - pad, left // STEP - pad)
        high = (-(-bottom // STEP) + pad, -(-right // STEP) + pad)
        rows = np.clip(np.arange(low[0], high[0]), 0, self.nodes.shape[0] - 1)
        columns = np.clip(np.arange(low[1], high[1]), 0, self.nodes.shape[1] - 1)
        nodes = np.ascontiguousarray(self.nodes[np.ix_(rows, columns)])
        full = cv2.resize(nodes, None, fx=STEP, fy=STEP, interpolation=cv2.INTER_LINEAR)
        full = cv2.blur(full, (STEP + 1, STEP + 1))
        y, x = top - low[0] * STEP, left - low[1] * STEP
        return full[y : y + bottom - top, x : x + right - left]

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Bilinear samples at cell coordinates whose integers are cell centres."""
        column = np.clip((x + 0.5) / STEP - 0.5, 0, self.nodes.shape[1] - 1.001)
        row = np.clip((y + 0.5) / STEP - 0.5, 0, self.nodes.shape[0] - 1.001)
        i, j = np.floor(row).astype(int), np.floor(column).astype(int)
        fy, fx = row - i, column - j
        n = self.nodes
        upper = n[i, j] * (1 - fx) + n[i, j + 1] * fx
        return upper * (1 - fy) + (n[i + 1, j] * (1 - fx) + n[i + 1, j + 1] * fx) * fy


def coarse_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Nodes that cover a ground of `shape` cells."""
    return -(-shape[0] // STEP) + 1, -(-shape[1] // STEP) + 1


class Texture:
    """Periodic unit-variance noise with a power-law spectrum, read at any cell; two
    incommensurate tiles hide the period."""

    def __init__(
        self, rng: np.random.Generator, slope: float, coarsest_px: float = 256.0, sizes: tuple[int, int] = (509, 641)
    ) -> None:
        self._tiles = [_periodic(size, slope, coarsest_px, rng) for size in sizes]

    def window(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """(bottom - top, right - left) float32, zero mean, unit variance."""
        total = sum(
            np.take(
                np.take(tile, np.arange(top, bottom), axis=0, mode="wrap"), np.arange(left, right), axis=1, mode="wrap"
            )
            for tile in self._tiles
        )
        return total * np.float32(np.sqrt(0.5))

    def uniform(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """The same noise, uniformly distributed in [0, 1)."""
        return np.minimum(ndtr(self.window(top, bottom, left, right)), np.float32(0.99999))


def _periodic(size: int, slope: float, coarsest_px: float, rng: np.random.Generator) -> np.ndarray:
    ky, kx = fft.fftfreq(size)[:, None], fft.rfftfreq(size)[None, :]
    k = np.hypot(ky, kx)
    k[0, 0] = 1.0
    amplitude = np.maximum(k, 1.0 / coarsest_px) ** (-slope)
    amplitude[0, 0] = 0.0
    field = fft.irfft2(fft.rfft2(rng.standard_normal((size, size))) * amplitude, s=(size, size))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def hash01(*keys: np.ndarray | int) -> np.ndarray:
    """A number in [0, 1) for every tuple of integers; the same on every machine (32-bit multiply-xorshift)."""
    value = np.uint32(0x9E3779B9)
    with np.errstate(over="ignore"):
        for key in keys:
            value = (np.asarray(key).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32) ^ value
            value = (value ^ (value >> np.uint32(16))) * np.uint32(0x7FEB352D)
            value = (value ^ (value >> np.uint32(15))) * np.uint32(0x846CA68B)
            value = value ^ (value >> np.uint32(16))
    return (value >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
