"""Segmentation of whole scenes: every cell of `stride` px gets the class of the patch around its middle.

The class of a cell is the patch classifier's own, no average over neighbours, so a map says what the classifier says.
At the image's border patches are completed by mirroring.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.outputs import RASTERS, check_outputs, check_suffix
from solution.core.progress import Progress
from solution.core.writing import atomic_path, together
from solution.data.opening import files_behind
from solution.data.raster_writing import new_raster
from solution.surface import COLOURS, LETTERS, NAMES, PATCH_PX
from solution.surface.network import PatchClassifier, check_channels, probabilities
from solution.surface.scenes import SurfaceScene, open_scene

NO_DATA = 0
_LEAST_VALID = 0.1  # share of a patch's pixels that must carry data
_STRIP_PX = 256  # rows that are classified at once
_PREVIEW_PX = 900  # longest side
_PX_PER_BYTE = 8  # of a scene, for its outputs, about: classes come in squares, which deflate well


@dataclass(frozen=True)
class CellStrip:
    """A strip of whole rows of cells.

    Attributes:
        top: first pixel row.
        probabilities: (h, w, 3) float32, NaN where the patch carries too little data.
        valid: (rows, W) bool, pixels of the strip that carry data.
        grey: (rows, W) uint8 HH.
    """

    top: int
    probabilities: np.ndarray
    valid: np.ndarray
    grey: np.ndarray


def grid_shape(shape: tuple[int, int], stride: int) -> tuple[int, int]:
    """CellStrip (h, w) that cover an image (H, W); the last ones may reach past it."""
    return -(-shape[0] // stride), -(-shape[1] // stride)


def classify_cells(
    scene: SurfaceScene, net: PatchClassifier, stride: int, progress: Progress | None = None
) -> Iterator[CellStrip]:
    """Classify all cells of a scene, strip by strip; memory stays at one strip of `_STRIP_PX` rows and its patches.

    The patch of a cell starts at ``cell * stride + stride // 2 - 32`` along both axes.
    """
    rows, columns = grid_shape(scene.shape, stride)
    step = max(1, _STRIP_PX // stride)
    for first in range(0, rows, step):
        if progress:
            progress("segment", first * columns, rows * columns)
        count = min(step, rows - first)
        pixels, valid, top = _padded_strip(scene, first, count, stride)
        found = np.full((count, columns, len(LETTERS)), np.nan, np.float32)
        for row in range(count):
            found[row] = _classify_row(
                net,
                pixels[:, row * stride : row * stride + PATCH_PX],
                valid[row * stride : row * stride + PATCH_PX],
                columns,
                stride,
            )
        bottom = min((first + count) * stride, scene.shape[0])
        inner = np.s_[first * stride - top : bottom - top, -_offset(stride) : scene.shape[1] - _offset(stride)]
        yield CellStrip(first * stride, found, valid[inner], pixels[0][inner])
    if progress:
        progress("segment", rows * columns, rows * columns)


def _offset(stride: int) -> int:
    """First pixel of the first cell's patch."""
    return stride // 2 - PATCH_PX // 2


def _padded_strip(scene: SurfaceScene, first: int, count: int, stride: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Pixels and validity that the patches of `count` rows of cells see, mirrored at the border, and
    the strip's first pixel row."""
    height, width = scene.shape
    top = first * stride + _offset(stride)
    bottom = top + (count - 1) * stride + max(PATCH_PX, stride - _offset(stride))
    right = (
        (grid_shape(scene.shape, stride)[1] - 1) * stride + _offset(stride) + max(PATCH_PX, stride - _offset(stride))
    )
    start, stop = max(top, 0), min(bottom, height)
    # A strip at the lower border is read with enough rows above it to mirror.
    start = max(0, min(start, height - (bottom - height) - 1)) if bottom > height else start
    pixels, valid = scene.read(Window(0, start, width, stop - start))
    pad = ((max(0, start - top), bottom - stop), (-_offset(stride), right - width))
    pixels = np.pad(pixels, ((0, 0), *pad), mode="symmetric")
    valid = np.pad(valid, pad, mode="symmetric")
    skipped = max(0, top - start)
    return pixels[:, skipped:], valid[skipped:], top


def _classify_row(net: PatchClassifier, pixels: np.ndarray, valid: np.ndarray, columns: int, stride: int) -> np.ndarray:
    """(columns, 3) probabilities of the patches along a band of 64 rows."""
    patches = np.lib.stride_tricks.sliding_window_view(pixels, PATCH_PX, axis=2)[:, :, ::stride][:, :, :columns]
    share = np.lib.stride_tricks.sliding_window_view(valid.mean(axis=0), PATCH_PX)[::stride][:columns].mean(axis=1)
    out = np.full((columns, len(LETTERS)), np.nan, np.float32)
    seen = share >= _LEAST_VALID
    if seen.any():
        out[seen] = probabilities(net, patches[:, :, seen].transpose(2, 0, 1, 3))
    return out


def segment(
    image: Path,
    out: Path,
    net: PatchClassifier,
    stride: int,
    progress: Progress | None = None,
    bands: int | None = None,
) -> dict[str, float]:
    """Write the class map, the probabilities and a preview of a scene; all or none.

    `out`: uint8 on the image's grid, 0 = no data, 1 to 3 = `NAMES`, with a colour table. ``OUT.probabilities.tif``:
    float32, a band a class, one pixel a cell, NaN = no data. ``OUT.png``: image and classes side by side.

    Args:
        bands: as in `open_scene`.

    Returns:
        Class -> its share of the pixels that carry data.

    Raises:
        InputError: as `open_scene`; another number of channels than the network takes; no data at all.
    """
    if not 1 <= stride <= PATCH_PX:
        raise InputError(f"--stride {stride}: cells are 1 to {PATCH_PX} px; larger ones would leave ground unseen")
    check_suffix(out, RASTERS, "a class map")
    names = (out, out.with_suffix(".probabilities.tif"), out.with_suffix(".png"))
    with open_scene(image, bands) as scene:
        check_outputs(names, files_behind(image), scene.shape[0] * scene.shape[1] // _PX_PER_BYTE)
        if min(scene.shape) < PATCH_PX:
            raise InputError(
                f"{image}: is {scene.shape[1]} x {scene.shape[0]} px, smaller than a patch of {PATCH_PX} px; choose a larger image"
            )
        check_channels(net, scene.channels, image)
        with together():
            counts = _write_all(names, scene, net, stride, progress)
            if not counts[1:].any():
                raise InputError(
                    f"{image}: holds no data to classify (only nodata, zeros or NaN); choose another image"
                )
    return dict(zip(NAMES, (counts[1:] / counts[1:].sum()).tolist(), strict=True))


def _write_all(
    names: tuple[Path, Path, Path],
    scene: SurfaceScene,
    net: PatchClassifier,
    stride: int,
    progress: Progress | None,
) -> np.ndarray:
    """Write class map, probabilities and preview; (4,) numbers of pixels by class, those without data first."""
    preview = Preview(scene.shape)
    counts = np.zeros(len(LETTERS) + 1, np.int64)
    shape, transform = grid_shape(scene.shape, stride), scene.transform @ Affine.scale(stride)
    class_profile = _profile(scene.shape, scene, scene.transform, 1, "uint8", NO_DATA)
    share_profile = _profile(shape, scene, transform, len(LETTERS), "float32", np.nan)
    with (
        new_raster(names[0], ("surface",), **class_profile) as classes,
        new_raster(names[1], NAMES, **share_profile) as shares,
    ):
        _legend(classes.dataset)
        for cells in classify_cells(scene, net, stride, progress):
            block = class_block(cells, stride)
            counts += np.bincount(block.ravel(), minlength=len(counts))
            classes.write(block, 1, window=RasterWindow(0, cells.top, block.shape[1], len(block)))
            window = RasterWindow(0, cells.top // stride, cells.probabilities.shape[1], len(cells.probabilities))
            shares.write(np.moveaxis(cells.probabilities, -1, 0), window=window)
            preview.add(cells.top, cells.grey, block)
    preview.write(names[2], scene.path.name)
    return counts


def class_block(cells: CellStrip, stride: int) -> np.ndarray:
    """(rows, W) uint8 classes of a strip's pixels; 0 without data."""
    known = np.isfinite(cells.probabilities[..., 0])
    classes = np.where(known, np.nan_to_num(cells.probabilities).argmax(axis=-1) + 1, NO_DATA).astype(np.uint8)
    rows, width = cells.valid.shape
    return classes.repeat(stride, axis=0)[:rows].repeat(stride, axis=1)[:, :width] * cells.valid


def _legend(classes: rasterio.io.DatasetWriter) -> None:
    classes.write_colormap(
        1, {NO_DATA: (0, 0, 0, 0), **{number: (*colour, 255) for number, colour in enumerate(COLOURS, start=1)}}
    )
    classes.update_tags(1, **{str(number): name for number, name in enumerate(NAMES, start=1)})


def _profile(
    shape: tuple[int, int], scene: SurfaceScene, transform: Affine, bands: int, dtype: str, nodata: float
) -> dict:
    return {
        "driver": "GTiff",
        "height": shape[0],
        "width": shape[1],
        "count": bands,
        "dtype": dtype,
        "nodata": nodata,
        "crs": scene.crs,
        "transform": transform,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "zlevel": 1,
        "bigtiff": "if_safer",
    }


class Preview:
    """Image and classes, at most `_PREVIEW_PX` px a side, gathered strip by strip."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._step = max(1, -(-max(shape) // _PREVIEW_PX))
        self._grey: list[np.ndarray] = []
        self._classes: list[np.ndarray] = []

    def add(self, top: int, grey: np.ndarray, classes: np.ndarray) -> None:
        """A strip of whole rows (rows, W) whose first one is `top`."""
        rows = np.s_[-top % self._step :: self._step, :: self._step]
        self._grey.append(cv2.blur(grey, (self._step, self._step))[rows])
        self._classes.append(classes[rows])

    def write(self, path: Path, title: str) -> None:
        """A PNG of both, side by side."""
        grey, classes = np.concatenate(self._grey), np.concatenate(self._classes)
        top = max(1.0, float(np.percentile(grey[classes > 0], 99))) if (classes > 0).any() else 255.0
        colours = np.array([(255, 255, 255), *COLOURS], np.uint8)[classes]
        figure = Figure(figsize=(11, 5.4), dpi=110, layout="constrained")
        left, right = figure.subplots(1, 2)
        left.imshow(grey, cmap="gray", vmin=0, vmax=top)
        right.imshow(colours, interpolation="nearest")
        handles = [Patch(color=np.array(colour) / 255, label=name) for name, colour in zip(NAMES, COLOURS, strict=True)]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(NAMES), frameon=False)
        left.set_title(title)
        for axes in (left, right):
            axes.axis("off")
        with atomic_path(path) as temporary:
            figure.savefig(temporary)
