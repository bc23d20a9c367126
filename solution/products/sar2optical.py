"""SAR2Optical: the translator over whole scenes and PNG folders, and how good its pictures are.

A picture is painted in overlapping tiles whose starts are multiples of the generator's stride, so that neighbours see the same grid, and which are
faded into each other. Only one row of tiles is in memory at a time. Colours are written as 1 to 255; 0 in all bands means no data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
import torch
from rasterio.windows import Window as RasterWindow
from rich import box
from rich.table import Table
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from solution.core.artefact import Manifest, atomic_path
from solution.core.errors import InputError
from solution.core.geometry import Window, tile_grid
from solution.core.progress import Progress
from solution.data.raster import check_sar, open_raster, read_sar, sar_overview
from solution.data.registered import ImagePair, read_image
from solution.proposers.warped import Translate
from solution.samples.images import byte_values, to_bytes

TILE_PX = 640
OVERLAP_PX = 128
_EDGE_PX = 32  # of a tile, whose pixels lack a part of their surroundings and have next to no say
_BLOCK_PX = 256
_SHOWN_PX = 256
_SHOWN = 4
METHODS = ("mean colour", "SAR, matched histogram", "translated")

Read = Callable[[Window], tuple[np.ndarray, np.ndarray]]
"""A window of the SAR image -> values (h, w) in [0, 1] and validity (h, w)."""


def painted_rows(read: Read, shape: tuple[int, int], paint: Translate, step: Callable[[], None]) -> Iterator[tuple[int, np.ndarray]]:
    """Translate an image of any size.

    Args:
        shape: (h, w) of the image.
        step: called after every tile of `tile_count`.

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
            sums[:, : window.height, window.x : window.stop[0]] += weight * np.concatenate([paint(sar, valid), np.ones_like(valid)[None]])
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
    """(size,) weights along one axis of a tile: small at its ends, rising over the overlap, 1 in the middle."""
    inside = np.minimum(np.arange(size), np.arange(size)[::-1]) - _EDGE_PX
    return np.clip((inside + 0.5) / (OVERLAP_PX - 2 * _EDGE_PX), 1e-4, 1.0).astype(np.float32)


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
    """A SAR picture (h, w) uint8, as image pairs hold it, all of it data -> (h, w, 3) uint8 RGB, 1 to 255."""

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        values = byte_values(sar[window.y : window.stop[1], window.x : window.stop[0]])
        return values, np.ones_like(values)

    rows = [block for _, block in painted_rows(read, sar.shape, paint, _counter(name, sar.shape, progress))]
    return np.ascontiguousarray(np.moveaxis(np.concatenate(rows, axis=1), 0, -1))


def run(source: Path, out: Path, paint: Translate, progress: Progress | None) -> int:
    """Translate a SAR GeoTIFF into a GeoTIFF, a PNG into a PNG, or every PNG of a folder into a folder.

    Returns:
        Number of pictures written.

    Raises:
        InputError: nothing to read, or an output that does not go with the input.
    """
    source, out = Path(source), Path(out)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; check the path")
    if source.resolve() == out.resolve():
        raise InputError(f"{out}: is the input itself; choose another output")
    if source.is_dir():
        return _run_folder(source, out, paint, progress)
    kinds = {".tif": (".tif", ".tiff"), ".tiff": (".tif", ".tiff"), ".png": (".png",)}.get(source.suffix.lower())
    if kinds is None:
        raise InputError(f"{source}: is neither a GeoTIFF (.tif) nor a PNG (.png) nor a folder of PNGs; convert it to one of them")
    if out.suffix.lower() not in kinds or out.is_dir():
        raise InputError(f"{out}: must be a file that ends in {kinds[0]}, like the input {source.name}")
    (run_png if kinds == (".png",) else run_raster)(source, out, paint, progress)
    return 1


def _run_folder(folder: Path, out: Path, paint: Translate, progress: Progress | None) -> int:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    if not paths:
        raise InputError(f"{folder}: holds no .png file; pass a folder of SAR PNGs, or one GeoTIFF at a time")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; the pictures of a folder go into a folder")
    for number, path in enumerate(paths, 1):
        run_png(path, out / path.name, paint, None)
        if progress is not None:
            progress(folder.name, number, len(paths))
    return len(paths)


def run_png(source: Path, out: Path, paint: Translate, progress: Progress | None) -> None:
    """Translate a grey PNG, taken as it is: no stretch, and every pixel counts as data, as in the image pairs of the training."""
    picture = paint_image(read_image(source, cv2.IMREAD_GRAYSCALE), paint, source.name, progress)
    with atomic_path(out) as temporary:
        cv2.imwrite(str(temporary), picture[..., ::-1])


def run_raster(source: Path, out: Path, paint: Translate, progress: Progress | None) -> None:
    """Translate a SAR GeoTIFF on its own grid: uint8 RGB, nodata 0; values are stretched as registration does it.

    Raises:
        InputError: unreadable, complex, of several bands, or nothing but nodata.
    """
    with open_raster(source) as dataset:
        check_sar(dataset, source)
        overview = sar_overview(dataset)
        if not overview.valid.any():
            raise InputError(f"{source}: holds nothing but nodata; check that the right file was exported")
        step = _counter(source.name, dataset.shape, progress)
        with atomic_path(out) as temporary, rasterio.open(temporary, "w", **_profile(dataset)) as target:
            for top, rows in painted_rows(lambda window: read_sar(dataset, overview, window), dataset.shape, paint, step):
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


@dataclass(frozen=True)
class Baselines:
    """What can be said of the optical images without looking closely at the SAR image.

    Attributes:
        colour: (3,) mean colour of the optical images, uint8.
        table: (256, 3) the colour that gives the SAR values the histogram of the optical ones, channel by channel, uint8.
    """

    colour: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, pairs: Sequence[ImagePair], step: Callable[[], None]) -> Baselines:
        """From the pixels of all pairs, taken together."""
        of_sar, of_optical = np.zeros(256), np.zeros((256, 3))
        for pair in pairs:
            sar, optical = pair.read()
            of_sar += np.bincount(sar.ravel(), minlength=256)
            of_optical += np.stack([np.bincount(band.ravel(), minlength=256) for band in np.moveaxis(optical, -1, 0)], axis=1)
            step()
        share = (np.cumsum(of_sar) - 0.5 * of_sar) / of_sar.sum()  # of the pixels below the middle of each value
        reached = np.cumsum(of_optical, axis=0) / of_optical.sum(axis=0)
        table = np.stack([np.searchsorted(reached[:, band], share) for band in range(3)], axis=1)
        colour = (np.arange(256)[:, None] * of_optical).sum(axis=0) / of_optical.sum(axis=0)
        return cls(np.rint(colour).astype(np.uint8), table.clip(0, 255).astype(np.uint8))

    def pictures(self, sar: np.ndarray) -> dict[str, np.ndarray]:
        """(h, w) uint8 -> method -> (h, w, 3) uint8."""
        flat = np.broadcast_to(self.colour, (*sar.shape, 3))
        return dict(zip(METHODS[:2], (flat, self.table[sar]), strict=True))


@dataclass(frozen=True)
class Judged:
    """One pair: what each method reaches on it.

    Attributes:
        pair: the images.
        psnr_db, ssim: by method, over the whole image; colours span [0, 1].
    """

    pair: ImagePair
    psnr_db: dict[str, float]
    ssim: dict[str, float]


def guard_unseen(pairs: Sequence[ImagePair], manifest: Manifest, weights: Path) -> None:
    """Refuse to judge weights on pairs that they were trained on."""
    seen = sorted({pair.name for pair in pairs} & set(manifest.trained_on))
    if seen:
        raise InputError(f"{weights}: was trained on {seen[0]} ({len(seen)} such); pass --split FILE, the one that it was trained with")


def evaluate(pairs: Sequence[ImagePair], baselines: Baselines, paint: Translate, step: Callable[[], None]) -> list[Judged]:
    """PSNR and structural similarity (SSIM, Wang et al. 2004: Gaussian window of 11 px) of every method on every pair, as pictures of 8 bits."""
    results = []
    for pair in pairs:
        sar, optical = pair.read()
        pictures = {**baselines.pictures(sar), METHODS[2]: paint_image(sar, paint)}
        truth = _as_tensor(optical)
        psnr, ssim = {}, {}
        for method, picture in pictures.items():
            psnr[method] = float(peak_signal_noise_ratio(_as_tensor(picture), truth, data_range=1.0))
            ssim[method] = float(structural_similarity_index_measure(_as_tensor(picture), truth, data_range=1.0))
        results.append(Judged(pair, psnr, ssim))
        step()
    return results


def _as_tensor(picture: np.ndarray) -> torch.Tensor:
    """(h, w, 3) uint8 -> (1, 3, h, w) in [0, 1]."""
    return torch.from_numpy(np.moveaxis(picture, -1, 0)[None] / np.float32(255.0))


def summary(results: Sequence[Judged]) -> dict[str, dict]:
    """Means over the pairs of each class, where there are classes, and over all pairs (``all``)."""
    groups = {group: [r for r in results if r.pair.group == group] for group in sorted({r.pair.group for r in results}) if group}
    return {name: _means(members) for name, members in {**groups, "all": list(results)}.items()}


def _means(results: Sequence[Judged]) -> dict:
    methods = {
        method: {
            "psnr_db": round(float(np.mean([r.psnr_db[method] for r in results])), 3),
            "ssim": round(float(np.mean([r.ssim[method] for r in results])), 4),
        }
        for method in METHODS
    }
    return {"pairs": len(results), **methods}


def as_table(means: dict[str, dict], title: str) -> Table:
    """A row for each class and method."""
    table = Table(title=title, box=box.SIMPLE, pad_edge=False)
    for name in ("class", "pairs", "method", "PSNR, dB", "SSIM"):
        table.add_column(name, justify="right" if name in ("pairs", "PSNR, dB", "SSIM") else "left", no_wrap=True)
    for name, row in means.items():
        for method in METHODS:
            table.add_row(name, str(row["pairs"]), method, f"{row[method]['psnr_db']:.2f}", f"{row[method]['ssim']:.3f}")
    return table


def as_json(means: dict[str, dict], results: Sequence[Judged], **about: object) -> str:
    """All numbers, for machines."""
    by_pair = {r.pair.id: {method: {"psnr_db": r.psnr_db[method], "ssim": r.ssim[method]} for method in METHODS} for r in results}
    return json.dumps({**about, "means": means, "pairs": by_pair}, indent=1) + "\n"


def picture_rows(pairs: Sequence[ImagePair], paint: Translate) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows for `training.write_grid`: the middle of a few pairs, evenly spaced over the list."""
    chosen = np.unique(np.linspace(0, len(pairs) - 1, _SHOWN).round().astype(int))
    rows = []
    for pair in (pairs[number] for number in chosen):
        sar, optical = pair.read()
        painted = paint_image(sar, paint)
        middle = tuple(slice((size - _SHOWN_PX) // 2, (size + _SHOWN_PX) // 2) if size > _SHOWN_PX else slice(None) for size in sar.shape)
        rows.append((sar[middle] / np.float32(255), *(np.moveaxis(image[middle], -1, 0) / np.float32(255) for image in (painted, optical))))
    return rows
