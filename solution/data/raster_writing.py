"""Rasters on disk, whole or not at all: the one place that opens a GeoTIFF for writing.

GDAL keeps some errors of writing to itself: those at the close, and all of them where it compresses in threads. So it
writes through a file of ours, which notes the system's first error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from solution.core.errors import InputError
from solution.core.outputs import RASTERS, check_suffix
from solution.core.signals import held_in
from solution.core.writing import atomic_path

CACHE_MB = 128
"""Of GDAL's blocks, while a raster is written."""


class RasterWriter:
    """A raster that is being written.

    Attributes:
        dataset: for what touches no pixels: descriptions, tags, colours.
    """

    def __init__(self, dataset: rasterio.io.DatasetWriter, release: Callable[[], None]) -> None:
        self.dataset, self._release = dataset, release

    def write(self, values: np.ndarray, *arguments: object, **options: object) -> None:
        """As rasterio's own."""
        self.dataset.write(values, *arguments, **options)
        self._release()

    def write_mask(self, data: np.ndarray, **options: object) -> None:
        """Which pixels carry data, (h, w) bool, in a mask within the file; rasterio's `options`."""
        self.dataset.write_mask(data, **options)
        self._release()


@contextmanager
def new_raster(
    path: Path,
    names: tuple[str, ...] = (),
    check: Callable[[Path], None] | None = None,
    share: float = 1.0,
    **profile: object,
) -> Iterator[RasterWriter]:
    """Write a GeoTIFF with rasterio's `profile`.

    Args:
        names: of the bands.
        check: looks at the finished file, under its temporary name, and raises `InputError` where it is not right.
        share: of the bytes of its pixels that the file takes, about.

    Raises:
        InputError: another suffix, a file that fails the check, or the disk refuses it, at whatever byte. An error of
            reading in the block stays what it is.
    """
    check_suffix(path, RASTERS, "a raster")
    with atomic_path(path, int(share * raster_bytes(**profile))) as temporary:
        with written_plainly(temporary, names, **profile) as target:
            yield target
        checked(path, temporary, check)


@contextmanager
def written_plainly(temporary: Path, names: tuple[str, ...] = (), **profile: object) -> Iterator[RasterWriter]:
    """Write a GeoTIFF under a name that nobody else sees; `names` of its bands, rasterio's `profile`.

    Raises:
        OSError: the disk refuses it, at whatever byte. An error of reading in the block stays what it is.
    """
    sink = _Sink()
    try:
        with (
            held_in(_CALLBACKS) as release,
            rasterio.Env(GDAL_CACHEMAX=CACHE_MB, GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(temporary, "w", opener=sink, **profile) as dataset,
        ):
            for band, name in enumerate(names, start=1):
                dataset.set_band_description(band, name)
            yield RasterWriter(dataset, release)
    except RasterioError:
        if sink.error is None:
            raise
    if sink.error is not None:
        raise sink.error


def raster_bytes(height: int, width: int, count: int, dtype: str, **_: object) -> int:
    """Bytes of a raster's pixels, before compression."""
    return height * width * count * np.dtype(dtype).itemsize


def checked(path: Path, temporary: Path, check: Callable[[Path], None] | None) -> None:
    """Raise `InputError`, of the name that users know, where a finished file fails its check."""
    try:
        if check is not None:
            check(temporary)
    except InputError as error:
        raise InputError(
            f"{path}: what was read back differs from what was written; check the disk and give the same command again"
        ) from error


class _Sink:
    """What rasterio opens files with.

    Attributes:
        error: the first that the system gave, None where all went well.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self, path: str, mode: str = "rb", **_: object) -> _File:
        try:
            return _File(path, mode, self)
        except OSError as error:
            if "w" in mode:
                self.error = error
            raise


class _File:
    """A file that GDAL writes to.

    After an error it goes on as if nothing had been, for GDAL would only say so on the terminal; the error is raised
    when the raster is closed.
    """

    def __init__(self, path: str, mode: str, sink: _Sink) -> None:
        self._file, self._sink = FileIO(path, mode), sink
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell
        self.truncate, self.close = self._file.truncate, self._file.close

    def write(self, content: bytes | memoryview) -> int:
        left = memoryview(content)
        try:
            while self._sink.error is None and len(left):
                left = left[self._file.write(left) :]
        except Exception as error:
            self._sink.error = error
        self._file.seek(len(left), 1)
        return len(content)

    def flush(self) -> None:
        """Nothing waits in it."""

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_CALLBACKS = {
    method.__code__
    for method in (_Sink.__call__, _File.__init__, _File.write, _File.flush, _File.__enter__, _File.__exit__)
}
"""What GDAL calls back, in whose midst no signal may end the work."""
