"""Fill that a file does not declare: -9999, the smallest float, 65535 and the like around the image.

It is found by what fill looks like: one exact value, beyond all others and far from them, common, and connected to the
border. `solution.data.views` then shows the raster as if the value were declared as nodata.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window as RasterWindow
from scipy import ndimage

from solution.data.opening import located, open_raster
from solution.data.validity import data_bands, read_data

_LONGEST_PX = 1024  # side of the decimated image that is looked at
_LEAST_SHARE = 0.005  # of the image, connected to its border
_OTHERS = (0.5, 99.5)  # percentiles between which all other values are taken to lie
_MOST_BANDS = 3  # that are looked at
_STRIP_STEPS = 40  # rows of the decimated image that are read at once


@dataclass(frozen=True)
class Fill:
    """A value that stands for no data without saying so.

    Attributes:
        value: in all bands.
        share: of the image, in [0, 1].
    """

    value: float
    share: float

    def line(self, path: Path) -> str:
        """One line for people."""
        return (
            f"{path}: {self.share:.1%} of it, from the border on, is exactly {self.value:g}, far from all other values: "
            "taken as nodata"
        )


def remarks_on(*paths: Path) -> list[str]:
    """A line for people on each of the rasters whose fill is undeclared."""
    fills = [(path, fill_of(path)) for path in paths]
    return [fill.line(path) for path, fill in fills if fill is not None]


def fill_of(path: Path) -> Fill | None:
    """The undeclared fill of a raster, None where there is none; looked for once, while the file stays as it is.

    Raises:
        InputError: as `opening.open_raster`.
    """
    state = located(path)[1].stat()
    return _fill_of(str(path), state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=65_536)  # a few numbers each; to look again is to read the image
def _fill_of(path: str, *_state: int) -> Fill | None:
    with open_raster(Path(path)) as dataset:
        if dataset.dtypes[0].startswith("complex"):
            return None
        return find_fill(*_decimated(dataset))


def _decimated(dataset: rasterio.io.DatasetReader) -> tuple[np.ndarray, np.ndarray]:
    """Every n-th pixel (bands, h, w), and which of them carry data, (h, w) bool. Read in strips: GDAL's own decimation
    of tiled files takes ten times as long."""
    step = -(-max(dataset.shape) // _LONGEST_PX)
    bands = data_bands(dataset)[:_MOST_BANDS]
    parts = []
    for top in range(0, dataset.height, _STRIP_STEPS * step):
        rows = min(_STRIP_STEPS * step, dataset.height - top)
        block, data = read_data(dataset, bands, RasterWindow(0, top, dataset.width, rows))
        parts.append((block[:, ::step, ::step], data[::step, ::step]))
    blocks, data = zip(*parts, strict=True)
    return np.concatenate(blocks, axis=1), np.concatenate(data)


def find_fill(sample: np.ndarray, data: np.ndarray) -> Fill | None:
    """The fill of an image (bands, h, w), looked for among the pixels (h, w) bool that are said to carry data."""
    if not data.any():
        return None
    values = sample[0][data]
    for value in (values.min(), values.max()):
        filled = data & (sample == value).all(axis=0)
        share = float(filled.mean())
        others = sample[:, data & ~filled]
        if share > _LEAST_SHARE and others.size and _is_far(float(value), others) and _at_border(filled):
            return Fill(float(value), share)
    return None


def _is_far(value: float, others: np.ndarray) -> bool:
    """Whether a value lies farther from the others than they are wide, and than they are from zero."""
    low, high = (float(limit) for limit in np.percentile(others.astype(np.float64), _OTHERS))
    width = max(high - low, abs(low), abs(high))
    return value < low - width or value > high + width


def _at_border(filled: np.ndarray) -> bool:
    """Whether enough of a mask (h, w) is connected to the border of the image."""
    labels, _ = ndimage.label(filled, structure=np.ones((3, 3)))
    outer = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return float(np.isin(labels, outer[outer > 0]).mean()) > _LEAST_SHARE
