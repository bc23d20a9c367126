"""Cloud-Optimized GeoTIFFs: tiles, overviews and header in the order that a reader over the net needs them.

GDAL's COG driver can only copy, and rasterio would hold the whole image in memory for it. So the raster is written
plainly, strip by strip, to a temporary file, which GDAL then copies. GDAL keeps some errors of the copy to itself; so all
of it is read back, and where it is not whole, the system is asked why.

The copy runs in one thread: in more, GDAL 3.10 reports errors of its masks on the terminal that are none.
"""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from solution.core.errors import InputError
from solution.core.outputs import RASTERS, check_suffix
from solution.core.writing import atomic_path
from solution.data.opening import open_raster
from solution.data.raster_writing import CACHE_MB, RasterWriter, checked, raster_bytes, written_plainly
from solution.data.validity import has_mask

OVERVIEWS = 4 / 3
"""A file with its overviews, of one without."""
PEAK = 3 * OVERVIEWS
"""What the disk holds at most while one is made (itself, the plain file, GDAL's own overviews), of a plain file."""

_OPTIONS = {
    "driver": "COG",
    "blocksize": 512,
    "compress": "DEFLATE",
    "level": 6,
    "predictor": "YES",
    "overview_resampling": "AVERAGE",
    "bigtiff": "IF_SAFER",
}
_STRIP_ROWS = 512  # that are compared at a time
_CHUNK = bytes(1 << 20)


@contextmanager
def new_cog(
    path: Path,
    names: tuple[str, ...] = (),
    check: Callable[[Path], None] | None = None,
    share: float = 1.0,
    **profile: object,
) -> Iterator[RasterWriter]:
    """Write a Cloud-Optimized GeoTIFF; as `raster_writing.new_raster`, whose `profile` is that of the plain file.

    Equal pixels, tags and mask give equal bytes.
    """
    check_suffix(path, RASTERS, "a raster")
    room = int(PEAK * share * raster_bytes(**profile))
    with atomic_path(path, room) as temporary:
        plain = temporary.with_name(f"{temporary.stem}.plain{temporary.suffix}")
        try:
            with written_plainly(plain, names, **profile) as target:
                yield target
            checked(path, temporary, lambda written: _copy(plain, written))
            checked(path, temporary, check)
        finally:
            _remove_beside(temporary, plain)


def _copy(plain: Path, target: Path) -> None:
    """Raise `OSError`, or else `InputError`, where the copy is not whole."""
    cause = None
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
            rasterio.shutil.copy(plain, target, **_OPTIONS)
        whole = _is_copy(target, plain)
    except (RasterioError, CPLE_BaseError, InputError) as error:  # the copy's own, of which rasterio makes nothing else
        whole, cause = False, error
    if not whole:
        _ask_for(int(PEAK * plain.stat().st_size) + len(_CHUNK), target)
        raise InputError(f"{target}: differs from its source") from cause


def _is_copy(found: Path, meant: Path) -> bool:
    """Whether the pixels and the mask of two rasters are equal, and the overviews of the one can be read."""
    with open_raster(meant) as source, open_raster(found) as copy:
        for window in _strips(source):
            if not _equal(source.read(window=window), copy.read(window=window)):
                return False
            if has_mask(source) and not _equal(source.dataset_mask(window=window), copy.dataset_mask(window=window)):
                return False
        levels = len(copy.overviews(1))
    for level in range(levels):
        with rasterio.open(found, overview_level=level) as overview:
            for window in _strips(overview):
                overview.read(window=window)
                overview.dataset_mask(window=window)
    return True


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Byte by byte, for a NaN is not equal to itself."""
    return one.shape == other.shape and np.array_equal(one.view(np.uint8), other.view(np.uint8))


def _strips(dataset: rasterio.io.DatasetReader) -> Iterator[RasterWindow]:
    for top in range(0, dataset.height, _STRIP_ROWS):
        yield RasterWindow(0, top, dataset.width, min(_STRIP_ROWS, dataset.height - top))


def _ask_for(size: int, target: Path) -> None:
    """Let a file grow to so many bytes, that the system may say what GDAL did not: a full disk, most often."""
    with target.open("ab", buffering=0) as file:
        while file.tell() < size:
            file.write(_CHUNK)


def _remove_beside(target: Path, plain: Path) -> None:
    """The plain file, and what GDAL left behind of a copy that failed; `target` itself is not ours."""
    for path in [plain, *target.parent.glob(f"{glob.escape(target.name)}.*")]:
        with contextlib.suppress(OSError):
            path.unlink()
