"""What is written of a fit, strip by strip: the offset map, and how far off it may be.

As Cloud-Optimized GeoTIFFs they are finite everywhere all the same: a mask within the file says where there is no ground in
one of the images. A nodata value would put it among the values, where a reader that does not ask for it averages it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.outputs import RASTERS, check_suffix
from solution.data.cog import OVERVIEWS, PEAK
from solution.data.opening import open_raster
from solution.data.scene import ScenePair
from solution.field.rasters import BLOCK_ROWS, COG, CONTEST, TILE, new_product, raster_window
from solution.field.shiftfield import Fit

BAND_NAMES = ("dx", "dy")
MEANING = (
    "shift optical -> SAR in optical px, +x right, +y down: the ground at optical index (x, y) appears in the SAR image at "
    "the geographic position of the optical index (x + dx, y + dy)"
)
SIGMA_MEANING = "radius in optical px within which the true place lies with a probability of about 68 %"
_DEFLATED = 0.16  # of the bytes of a map, about: 0.08 to 0.10 on vhr_check, 0.15 on a simulated scene of 100 MP


def check_name(path: Path) -> None:
    """Raise `InputError` for a path that is no file name of a GeoTIFF."""
    check_suffix(path, RASTERS, "the offset map")


def bytes_on_disk(pair: ScenePair, sigma: bool, warped_sar: bool, layout: str = COG) -> int:
    """What the disk holds at most, about, while the map of a pair is made, with the radius of its error and the moved SAR
    image where they are asked for."""
    with open_raster(pair.sar) as dataset:  # the header alone: the image may be broken, which is said when it is read
        sar_bytes = np.dtype(dataset.dtypes[0]).itemsize
    plain = _DEFLATED * 4 * len(BAND_NAMES)
    copied = [plain] * (layout == COG) + [_DEFLATED * 4] * sigma + [sar_bytes] * warped_sar
    while_copied = (PEAK - OVERVIEWS) * max(copied, default=0.0)
    per_px = plain * (layout == CONTEST) + OVERVIEWS * sum(copied) + while_copied
    return int(per_px * pair.shape[0] * pair.shape[1])


def write_map(path: Path, fit: Fit, pair: ScenePair, layout: str = COG, tags: Mapping[str, str] | None = None) -> None:
    """Write the offset map: (2, H, W) float32 on the optical grid, bands `dx` and `dy`.

    It is written whole and checked, or not at all. Memory stays at a few blocks of `BLOCK_ROWS` rows. Equal fits give
    equal bytes.

    Args:
        layout: one of `rasters.LAYOUTS`; the contest's has no mask.
        tags: of the file, beside what it means.
    """
    told = {**(tags or {}), "MEANING": MEANING}
    _write_bands(
        path,
        BAND_NAMES,
        lambda _, shift: shift,
        fit,
        pair,
        layout,
        told,
        lambda written: _check_map(written, fit, pair),
    )


def write_uncertainty(path: Path, fit: Fit, pair: ScenePair, tags: Mapping[str, str] | None = None) -> None:
    """Write how far off the map may be: (1, H, W) float32.

    It is the radius in px within which the true place lies with a probability of 68 %.

    Raises:
        InputError: a fit that knows nothing of its errors.
    """
    if fit.sigma is None:
        raise InputError(f"{path}: a fit of kind {fit.kind} has no error estimate; it takes more tie-points that agree")
    told = {**(tags or {}), "MEANING": SIGMA_MEANING}
    _write_bands(path, ("sigma_px",), lambda window, _: fit.sigma_block(window)[None], fit, pair, COG, told)


def _write_bands(
    path: Path,
    names: tuple[str, ...],
    read: Callable[[Window, np.ndarray], np.ndarray],
    fit: Fit,
    pair: ScenePair,
    layout: str,
    tags: Mapping[str, str],
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write a raster in px on the optical grid strip by strip; `read` gives (len(names), h, w) float32 for a window and
    its shifts."""
    height, width = pair.shape
    with new_product(path, pair, names, layout, check, _DEFLATED, dtype="float32", predictor=3) as target:
        target.dataset.units = ("px",) * len(names)
        target.dataset.update_tags(**tags)
        for top in range(0, height, BLOCK_ROWS):
            strip = Window(0, top, width, min(BLOCK_ROWS, height - top))
            shift = fit.block(strip)
            block = read(strip, shift)
            if not np.isfinite(block).all():
                raise ValueError(f"the fit of {pair.name} is not finite in rows {top} to {strip.stop[1] - 1}")
            target.write(block, window=raster_window(strip))
            if layout == COG:
                target.write_mask(_ground(pair, strip, shift), window=raster_window(strip))


def _ground(pair: ScenePair, strip: Window, shift: np.ndarray) -> np.ndarray:
    """(h, w) bool, where both images show the ground of a strip; looked up in pieces, for positions take 16 bytes a px."""
    ground = np.zeros((strip.height, strip.width), bool)
    for left in range(0, strip.width, BLOCK_ROWS):
        columns = slice(left, min(left + BLOCK_ROWS, strip.width))
        window = Window(strip.x + left, strip.y, columns.stop - left, strip.height)
        ground[:, columns] = pair.shown(window, shift[:, :, columns])
    return ground


def _check_map(path: Path, fit: Fit, pair: ScenePair) -> None:
    """Reopen what was written and compare its frame, and a lattice of its tiles, with what was meant."""
    height, width = pair.shape
    with open_raster(path) as written:
        if (written.count, written.shape, written.dtypes[0]) != (2, pair.shape, "float32"):
            raise InputError(f"{path}: is no 2-band float32 map of {width} x {height} px; predict again")
        for y in sorted({0, height // 2 // TILE * TILE, (height - 1) // TILE * TILE}):
            for x in sorted({0, width // 2 // TILE * TILE, (width - 1) // TILE * TILE}):
                window = Window(x, y, min(TILE, width - x), min(TILE, height - y))
                if not np.array_equal(written.read(window=raster_window(window)), fit.block(window)):
                    raise InputError(f"{path}: differs from the fit; predict again")
