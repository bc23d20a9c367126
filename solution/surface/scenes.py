"""A SAR scene of one band or more as the classifier sees it: windows of uint8 channels, and which pixels carry data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.data.frame import read_header
from solution.data.opening import on_disk
from solution.data.validity import data_bands, read_data
from solution.data.views import open_image
from solution.surface import RATIO_SCALE

_STRIP_ROWS = 512  # that are read at once
_SAMPLED_PX = 1e6  # about so many pixels are looked at to choose a stretch
_TOP_PERCENTILE = 99  # of amplitudes, which becomes 255
_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True)
class Stretch:
    """Maps raw values to uint8, linear in amplitude from 0 to `top` of each band; decibels are undone first.

    Attributes:
        top: raw amplitude that becomes 255, a band each.
        decibel: whether the raw values are decibels.
    """

    top: tuple[float, ...]
    decibel: bool

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """(bands, h, w) raw, all finite -> uint8."""
        amplitude = _amplitude(raw.astype(np.float32), self.decibel)
        return np.rint(np.clip(amplitude * (255.0 / np.asarray(self.top, np.float32)[:, None, None]), 0, 255)).astype(
            np.uint8
        )


@dataclass(frozen=True)
class SurfaceScene:
    """A scene whose file is open.

    Attributes:
        path, shape, transform, crs: what the file says of itself; shape is (height, width).
        channels: 1 (HH) or 3 (HH, HV, ratio).
        bands: numbers, from 1, of the bands that are read.
        dataset: the open raster.
        stretch: what makes its values uint8; None where they are.
    """

    path: Path
    shape: tuple[int, int]
    transform: Affine
    crs: CRS
    channels: int
    bands: tuple[int, ...]
    dataset: rasterio.io.DatasetReader
    stretch: Stretch | None

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (channels, h, w) uint8, 0 where there is no data, and validity (h, w) bool; the
        window must lie inside the image."""
        raw, valid = _read(self.dataset, self.bands, RasterWindow(window.x, window.y, window.width, window.height))
        values = raw if self.stretch is None else self.stretch(raw)
        return as_channels(values * valid), valid


def as_channels(values: np.ndarray) -> np.ndarray:
    """(bands, h, w) uint8 -> HH alone where there is one band; HH, HV and ratio where there are
    two; three stay as they are."""
    if len(values) != 2:
        return values
    hh, hv = values.astype(np.float32)
    ratio = np.where(hh > 0, RATIO_SCALE * hv / np.maximum(hh, 1), 0)
    return np.concatenate([values, np.rint(np.clip(ratio, 0, 255)).astype(np.uint8)[None]])


@contextmanager
def open_scene(path: Path, bands: int | None = None) -> Iterator[SurfaceScene]:
    """Open a scene. uint8 is taken as it is; other types are stretched from 0 to the 99th
    percentile of each band, read once.

    Args:
        bands: only so many, the first ones: 1 is HH alone. None = all.

    Raises:
        InputError: unreadable, without CRS or geotransform, complex, another number of bands than 1 (HH), 2 (HH, HV) or
            3 (HH, HV, ratio), fewer than asked for, or no data anywhere.
    """
    read_header(path, "SAR")
    with open_image(path) as dataset:
        yield scene_of(dataset, path, bands)


def scene_of(dataset: rasterio.io.DatasetReader, path: Path, bands: int | None = None) -> SurfaceScene:
    """As `open_scene`, from an open raster, which may be a warped view of the file at `path`."""
    found = data_bands(dataset)
    if bands is not None and bands > len(found):
        raise InputError(f"{path}: has {len(found)} band(s) and not the {bands} asked for; pass a smaller --bands")
    chosen = tuple(found[:bands])
    # Four bytes a pixel are tagged as three and alpha by default, whatever they hold
    if len(chosen) not in (1, 2, 3) or (bands is None and dataset.count > 3):
        raise InputError(
            f"{path}: has {dataset.count} bands; surface classes need 1 (HH), 2 (HH, HV) or 3 (HH, HV, ratio): --bands takes the first ones, gdal_translate -b any"
        )
    stretch = None if dataset.dtypes[0] == "uint8" else _measure(dataset, chosen, path)
    channels = 1 if len(chosen) == 1 else 3
    return SurfaceScene(Path(path), dataset.shape, dataset.transform, dataset.crs, channels, chosen, dataset, stretch)


def find_images(place: Path) -> list[Path]:
    """A GeoTIFF itself, or those of a folder in order of their names."""
    place = Path(place)
    if not place.is_dir() and on_disk(place):
        return [place]
    found = sorted(path for path in place.glob("*") if path.suffix.lower() in _SUFFIXES) if place.is_dir() else []
    if not found:
        raise InputError(f"{place}: is no GeoTIFF and no folder that holds *.tif; check the path")
    return found


def _read(
    dataset: rasterio.io.DatasetReader, bands: tuple[int, ...], window: RasterWindow
) -> tuple[np.ndarray, np.ndarray]:
    """Raw values, 0 where not finite, and which pixels carry data."""
    raw, valid = read_data(dataset, bands, window)
    return (np.where(np.isfinite(raw), raw, 0) if raw.dtype.kind == "f" else raw), valid


def _measure(dataset: rasterio.io.DatasetReader, bands: tuple[int, ...], path: Path) -> Stretch:
    step = max(1, int(np.sqrt(dataset.height * dataset.width / _SAMPLED_PX)))
    parts = []
    for top in range(0, dataset.height, _STRIP_ROWS):
        raw, valid = _read(dataset, bands, RasterWindow(0, top, dataset.width, min(_STRIP_ROWS, dataset.height - top)))
        parts.append(raw[:, ::step, ::step][:, valid[::step, ::step]].astype(np.float32))
    looked_at = np.concatenate(parts, axis=1)
    if not looked_at.size:
        raise InputError(f"{path}: holds no data at all (only nodata, zeros or NaN); choose another image")
    decibel = bool(np.percentile(looked_at[0], 50) < 0)
    top = np.percentile(_amplitude(looked_at, decibel), _TOP_PERCENTILE, axis=1)
    return Stretch(tuple(float(value) for value in np.maximum(top, 1e-12)), decibel)


def _amplitude(raw: np.ndarray, decibel: bool) -> np.ndarray:
    return 10.0 ** (raw / 20.0) if decibel else raw
