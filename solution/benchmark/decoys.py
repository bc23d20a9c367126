"""Pairs that cannot be registered, made of pairs that can: what a verdict must call failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solution.data.opening import open_raster
from solution.data.raster_writing import new_raster
from solution.data.scene import ScenePair

TRUE = "true"
_LOOKS = 3  # of the speckle
_SHIFT_PX = 1000  # SAR px

Spoil = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""(h, w) SAR pixels -> what stands in their place, of any shape."""


def _speckle(pixels: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    return _as(pixels, chance.gamma(_LOOKS, np.median(pixels) / _LOOKS, pixels.shape))


def _flat(pixels: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Smooth water under a little noise."""
    return _as(pixels, np.percentile(pixels, 5) + chance.normal(0, 2, pixels.shape))


def _as(pixels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values in the type of the pixels."""
    if pixels.dtype.kind == "f":
        return values.astype(pixels.dtype)
    limits = np.iinfo(pixels.dtype)
    return np.rint(values).clip(max(limits.min, 1), limits.max).astype(pixels.dtype)


SPOILED: dict[str, Spoil] = {
    "mirrored": lambda pixels, _: pixels[:, ::-1],
    "turned by 90": lambda pixels, _: np.rot90(pixels),
    "shifted": lambda pixels, _: np.roll(
        pixels, _SHIFT_PX if min(pixels.shape) > 2 * _SHIFT_PX else min(pixels.shape) // 2, axis=(0, 1)
    ),
    "speckle": _speckle,
    "flat": _flat,
}
"""What is done to a scene's own SAR image; a shift goes around, by 1,000 px or half a small image, along both axes."""
CROSSED = "crossed"
"""Another scene's SAR image, where the own one lay."""


@dataclass(frozen=True)
class Case:
    """A pair to be judged.

    Attributes:
        kind: `TRUE`, `CROSSED` or a key of `SPOILED`.
        pair: whose optical image it is.
        other: whose SAR image is taken; the pair itself, unless they are crossed.
        seed: of what is random.
    """

    kind: str
    pair: ScenePair
    other: ScenePair
    seed: int

    @property
    def name(self) -> str:
        """Of the case; no two have the same."""
        kind = self.kind.replace(" ", "_")
        return f"{self.pair.name}_{self.other.name}" if self.kind == CROSSED else f"{self.pair.name}_{kind}"

    def sar(self, folder: Path) -> Path:
        """The SAR image, in `folder` where it had to be made."""
        if self.kind == TRUE:
            return self.pair.sar
        with open_raster(self.pair.sar) as own, open_raster(self.other.sar) as source:
            pixels, profile = source.read(1), {"crs": own.crs, "transform": own.transform, "nodata": source.nodata}
        if self.kind != CROSSED:
            pixels = SPOILED[self.kind](pixels, np.random.default_rng(self.seed))
        height, width = pixels.shape
        made = folder / f"{self.name}.tif"
        with new_raster(
            made, height=height, width=width, count=1, dtype=pixels.dtype, driver="GTiff", **profile
        ) as out:
            out.write(pixels, 1)
        return made


def cases(pairs: Sequence[ScenePair]) -> Iterator[Case]:
    """The true pairs, then every optical image with every other scene's SAR image, then each with its own one spoiled."""
    yield from (Case(TRUE, pair, pair, 0) for pair in pairs)
    yield from (Case(CROSSED, pair, other, 0) for pair in pairs for other in pairs if other.name != pair.name)
    for kind in SPOILED:
        yield from (Case(kind, pair, pair, seed) for seed, pair in enumerate(pairs))
