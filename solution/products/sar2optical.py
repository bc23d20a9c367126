"""SAR2Optical: the translator over whole scenes, PNGs and folders of PNGs.

A picture is painted in overlapping tiles, which are faded into each other. Their starts are multiples of the
generator's stride, so that all tiles see the same grid. Only one row of tiles is in memory at a time. Colours are
written as 1 to 255; 0 in all bands means no data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.windows import Window as RasterWindow

from solution.core.errors import InputError
from solution.core.geometry import Window, tile_grid
from solution.core.outputs import check_outputs
from solution.core.pictures import write_picture
from solution.core.progress import Progress
from solution.data.fill import remarks_on
from solution.data.frame import check_sar
from solution.data.opening import on_disk
from solution.data.raster import read_sar, sar_overview
from solution.data.raster_writing import new_raster
from solution.data.registered import read_image
from solution.data.views import open_image
from solution.proposers.warped import Translate
from solution.samples.images import byte_values, to_bytes

TILE_PX = 640
OVERLAP_PX = 128
_EDGE_PX = 32  # width of the edge of a tile, whose pixels lack a part of their surroundings
_EDGE_WEIGHT = 1e-4  # of such pixels, which count only where there are no others
_BLOCK_PX = 256  # side of the blocks of a GeoTIFF

ReadWindow = Callable[[Window], tuple[np.ndarray, np.ndarray]]
"""A window of the SAR image -> values (h, w) in [0, 1] and validity (h, w)."""


def painted_rows(
    read: ReadWindow, shape: tuple[int, int], paint: Translate, step: Callable[[], None]
) -> Iterator[tuple[int, np.ndarray]]:
    """Translate an image of any size.

    Args:
        shape: (h, w) of the image.
        step: called after every tile.

    Yields:
        First row, and finished rows (3, n, w) uint8, from top to bottom.
    """
    height, width = shape
    stride = TILE_PX - OVERLAP_PX
    sums = np.zeros((4, TILE_PX, width), np.float32)
    for window in _tiles(shape):
        sar, valid = read(window)
        if valid.any():
            weight = np.outer(_fade(window.height), _fade(window.width)) * valid
            sums[:, : window.height, window.x : window.stop[0]] += weight * np.concatenate(
                [paint(sar, valid), np.ones_like(valid)[None]]
            )
        step()
        if window.stop[0] < width:
            continue
        rows = window.height if window.stop[1] == height else stride
        done, share = sums[:3, :rows], sums[3, :rows]
        yield window.y, to_bytes(done / np.maximum(share, 1e-9), share > 0)
        sums[:, :OVERLAP_PX] = sums[:, stride:]
        sums[:, OVERLAP_PX:] = 0


def _tiles(shape: tuple[int, int]) -> list[Window]:
    """Tiles row by row, cut at the border of the image."""
    height, width = shape
    return [
        Window(tile.x, tile.y, min(TILE_PX, width - tile.x), min(TILE_PX, height - tile.y))
        for tile in tile_grid(shape, TILE_PX, OVERLAP_PX)
    ]


def _fade(size: int) -> np.ndarray:
    """(size,) weights along one axis of a tile: small at both ends, rising over the overlap, 1 in the middle."""
    inside = np.minimum(np.arange(size), np.arange(size)[::-1]) - _EDGE_PX
    return np.clip((inside + 0.5) / (OVERLAP_PX - 2 * _EDGE_PX), _EDGE_WEIGHT, 1.0).astype(np.float32)


def _counter(name: str, shape: tuple[int, int], progress: Progress | None) -> Callable[[], None]:
    """A function that reports one more tile."""
    total, done = len(_tiles(shape)), 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(name, done, total)

    return step


def paint_image(sar: np.ndarray, paint: Translate, name: str = "", progress: Progress | None = None) -> np.ndarray:
    """A SAR picture (h, w) uint8, all of it data -> (h, w, 3) uint8 RGB, 1 to 255."""

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        values = byte_values(sar[window.y : window.stop[1], window.x : window.stop[0]])
        return values, np.ones_like(values)

    rows = [block for _, block in painted_rows(read, sar.shape, paint, _counter(name, sar.shape, progress))]
    return np.ascontiguousarray(np.moveaxis(np.concatenate(rows, axis=1), 0, -1))


def run(
    source: Path, out: Path, paint: Translate, progress: Progress | None, say: Callable[[str], None] = print
) -> int:
    """Translate a SAR GeoTIFF into a GeoTIFF, a PNG into a PNG, or every PNG of a folder into a folder.

    Returns:
        Number of pictures written.

    Raises:
        InputError: nothing to read, or an output that does not go with the input.
    """
    source, out = Path(source), Path(out)
    if not source.is_dir() and not on_disk(source):
        raise InputError(f"{source}: no such file or folder; check the path")
    if source.is_dir():
        return _run_folder(source, out, paint, progress)
    kinds = {".tif": (".tif", ".tiff"), ".tiff": (".tif", ".tiff"), ".png": (".png",)}.get(source.suffix.lower())
    if kinds is None:
        raise InputError(
            f"{source}: is neither a GeoTIFF (.tif) nor a PNG (.png) nor a folder of PNGs; convert it to one of them"
        )
    if out.suffix.lower() not in kinds or out.is_dir():
        raise InputError(f"{out}: must be a file that ends in {kinds[0]}, like the input {source.name}")
    check_outputs([out], [source])
    if kinds == (".png",):
        run_png(source, out, paint, progress)
        return 1
    run_raster(source, out, paint, progress)
    for line in remarks_on(source):
        say(line)
    return 1


def _run_folder(folder: Path, out: Path, paint: Translate, progress: Progress | None) -> int:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    if not paths:
        raise InputError(f"{folder}: holds no .png file; pass a folder of SAR PNGs, or one GeoTIFF at a time")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; the pictures of a folder go into a folder")
    check_outputs([out / path.name for path in paths], paths)
    for number, path in enumerate(paths, 1):
        run_png(path, out / path.name, paint, None)
        if progress is not None:
            progress(folder.name, number, len(paths))
    return len(paths)


def run_png(source: Path, out: Path, paint: Translate, progress: Progress | None) -> None:
    """Translate a grey PNG as it is: without a stretch, and every pixel counts as data, as in the
    image pairs of the training."""
    picture = paint_image(read_image(source, cv2.IMREAD_GRAYSCALE), paint, source.name, progress)
    write_picture(out, picture)


def run_raster(source: Path, out: Path, paint: Translate, progress: Progress | None) -> None:
    """Translate a SAR GeoTIFF on its own grid: uint8 RGB, nodata 0; values are stretched as registration does it.

    Raises:
        InputError: unreadable, complex, of several bands, or nothing but nodata.
    """
    with open_image(source) as dataset:
        check_sar(dataset, source)
        overview = sar_overview(dataset)
        if not overview.valid.any():
            raise InputError(f"{source}: holds nothing but nodata; check that the right file was exported")
        step = _counter(source.name, dataset.shape, progress)
        with new_raster(out, **_profile(dataset)) as target:
            for top, rows in painted_rows(
                lambda window: read_sar(dataset, overview, window), dataset.shape, paint, step
            ):
                target.write(rows, window=RasterWindow(0, top, dataset.width, rows.shape[1]))


def _profile(dataset: rasterio.io.DatasetReader) -> dict:
    return {
        "driver": "GTiff",
        "height": dataset.height,
        "width": dataset.width,
        "count": 3,
        "dtype": "uint8",
        "crs": dataset.crs,
        "transform": dataset.transform,
        "nodata": 0,
        "photometric": "RGB",
        "tiled": True,
        "blockxsize": _BLOCK_PX,
        "blockysize": _BLOCK_PX,
        "compress": "deflate",
        "predictor": 2,
        "num_threads": "all_cpus",
        "bigtiff": "if_safer",
    }
