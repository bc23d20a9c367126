"""What is written of a fit, block by block: the offset map, and the SAR image resampled through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from solution.core import geometry
from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.outputs import RASTERS, check_suffix
from solution.data.opening import open_raster
from solution.data.raster_writing import new_raster
from solution.data.scene import ScenePair
from solution.data.validity import read_data
from solution.field.shiftfield import Fit

BAND_NAMES = ("dx", "dy")
_BLOCK_ROWS = 512  # of the map that are held in memory at a time
_DEFLATED = 0.1  # of the bytes of a map, about: 0.06 to 0.13 on vhr_check
_TILE = 256  # side of the file's tiles, px
_LEAST_SHARE = 0.5  # of the weight of a bilinear sample that must fall on pixels with data


def check_name(path: Path) -> None:
    """Raise `InputError` for a path that is no file name of a GeoTIFF."""
    check_suffix(path, RASTERS, "the offset map")


def bytes_on_disk(pair: ScenePair, sigma: bool, warped_sar: bool) -> int:
    """What the map of a pair takes, about, with the radius of its error and the moved SAR image where they are asked for."""
    sar_bytes = 0
    if warped_sar:
        with pair.open_sar() as dataset:
            sar_bytes = np.dtype(dataset.dtypes[0]).itemsize
    per_px = _DEFLATED * (4 * len(BAND_NAMES) + 4 * sigma) + sar_bytes
    return int(per_px * pair.shape[0] * pair.shape[1])


def write_map(path: Path, fit: Fit, pair: ScenePair) -> None:
    """Write the offset map: (2, H, W) float32 on the optical grid, bands `dx` and `dy`.

    It is written whole and checked, or not at all. Memory stays at a few blocks of `_BLOCK_ROWS` rows. Equal fits give
    equal bytes.
    """
    _write_bands(path, BAND_NAMES, fit.block, pair, lambda written: _check_map(written, fit, pair))


def write_uncertainty(path: Path, fit: Fit, pair: ScenePair) -> None:
    """Write how far off the map may be: (1, H, W) float32.

    It is the radius in px within which the true place lies with a probability of 68 %.

    Raises:
        InputError: a fit that knows nothing of its errors.
    """
    if fit.sigma is None:
        raise InputError(f"{path}: a fit of kind {fit.kind} has no error estimate; it takes more tie-points that agree")
    _write_bands(path, ("sigma_px",), lambda window: fit.sigma_block(window)[None], pair)


def _write_bands(
    path: Path,
    names: tuple[str, ...],
    read: Callable[[Window], np.ndarray],
    pair: ScenePair,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write a raster on the optical grid strip by strip; `read` gives (len(names), h, w) float32 for a window."""
    height, width = pair.shape
    profile = _profile(pair, count=len(names), dtype="float32", predictor=3)
    with new_raster(path, names, check, share=_DEFLATED, **profile) as target:
        for top in range(0, height, _BLOCK_ROWS):
            rows = min(_BLOCK_ROWS, height - top)
            block = read(Window(0, top, width, rows))
            if not np.isfinite(block).all():
                raise ValueError(f"the fit of {pair.name} is not finite in rows {top} to {top + rows - 1}")
            target.write(block, window=RasterWindow(0, top, width, rows))


def write_warped_sar(path: Path, fit: Fit, pair: ScenePair) -> None:
    """Write the SAR image resampled onto the optical grid through the map, in its own dtype, nodata 0.

    An optical pixel takes the SAR value (bilinear) at its apparent position; see the package's convention page.
    """
    height, width = pair.shape
    to_sar = geometry.centres(np.linalg.inv(pair.sar_to_optical))
    with pair.open_sar() as source:
        dtype = source.dtypes[0]
        profile = _profile(pair, count=1, dtype=dtype, nodata=0, predictor=3 if dtype.startswith("float") else 2)
        with new_raster(path, **profile) as target:
            for window in geometry.tile_grid(pair.shape, _BLOCK_ROWS):
                window = Window(
                    window.x, window.y, min(window.width, width - window.x), min(window.height, height - window.y)
                )
                shift = np.moveaxis(fit.block(window), 0, -1) + pair.centre_offset_px
                x = np.arange(window.x, window.stop[0], dtype=np.float64)
                y = np.arange(window.y, window.stop[1], dtype=np.float64)
                position = geometry.apply(to_sar, np.stack(np.meshgrid(x, y), axis=-1) + shift)
                block = _sample_sar(source, position, np.dtype(dtype))
                target.write(block, 1, window=RasterWindow(window.x, window.y, window.width, window.height))


def _profile(pair: ScenePair, **more: object) -> dict:
    (a, b, c), (d, e, f) = pair.transform[:2]
    return {
        "driver": "GTiff",
        "height": pair.shape[0],
        "width": pair.shape[1],
        "crs": pair.crs,
        "transform": Affine(a, b, c, d, e, f),
        "tiled": True,
        "blockxsize": _TILE,
        "blockysize": _TILE,
        "compress": "deflate",
        "zlevel": 1,
        "num_threads": "all_cpus",
        "bigtiff": "if_safer",
        **more,
    }


def _check_map(path: Path, fit: Fit, pair: ScenePair) -> None:
    """Reopen what was written and compare its frame, and a lattice of its tiles, with what was meant."""
    height, width = pair.shape
    with open_raster(path) as written:
        if (written.count, written.shape, written.dtypes[0]) != (2, pair.shape, "float32"):
            raise InputError(f"{path}: is no 2-band float32 map of {width} x {height} px; predict again")
        for y in sorted({0, height // 2 // _TILE * _TILE, (height - 1) // _TILE * _TILE}):
            for x in sorted({0, width // 2 // _TILE * _TILE, (width - 1) // _TILE * _TILE}):
                window = Window(x, y, min(_TILE, width - x), min(_TILE, height - y))
                block = written.read(window=RasterWindow(window.x, window.y, window.width, window.height))
                if not np.array_equal(block, fit.block(window)):
                    raise InputError(f"{path}: differs from the fit; predict again")


def _sample_sar(source: rasterio.io.DatasetReader, position: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(h, w) bilinear values at array positions (h, w, 2) of the raster; 0 where there is no data."""
    low = np.maximum(np.floor(position.min(axis=(0, 1))).astype(int) - 1, 0)
    high = np.minimum(np.ceil(position.max(axis=(0, 1))).astype(int) + 2, [source.width, source.height])
    if (high <= low).any():
        return np.zeros(position.shape[:2], dtype=dtype)
    block, data = read_data(source, [1], RasterWindow(*low.tolist(), *(high - low).tolist()))
    raw = block[0].astype(np.float32)
    local = (position - low).astype(np.float32)
    planes = np.stack([np.where(data, raw, 0), data.astype(np.float32)], axis=-1)
    value, share = np.moveaxis(
        cv2.remap(planes, local[..., 0], local[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), -1, 0
    )
    out = np.where(share >= _LEAST_SHARE, value / np.maximum(share, _LEAST_SHARE), 0)
    return np.rint(out).astype(dtype) if dtype.kind in "ui" else out.astype(dtype)
