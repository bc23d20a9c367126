"""A raster as it is read: undeclared fill declared, and, on request, reprojected. An ordinary one is read as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from solution.data.fill import fill_of
from solution.data.frame import is_placed_by_points
from solution.data.opening import open_raster
from solution.data.validity import has_alpha, has_mask


@contextmanager
def open_image(path: Path, crs: object = None, nearest: bool = False) -> Iterator[rasterio.io.DatasetReader]:
    """Open an image for reading its pixels.

    Args:
        crs: what to see it in, north up, bilinear; None = as it lies.
        nearest: take the value of the nearest pixel instead.

    Raises:
        InputError: as `opening.open_raster`.
    """
    fill = fill_of(path)
    value = None if fill is None else fill.value
    with ExitStack() as opened:
        image = opened.enter_context(open_raster(path))
        # A warp knows one value without data, and what is placed by points is warped once only
        if value is not None and (crs is None or (image.nodata is not None and not is_placed_by_points(image))):
            image = opened.enter_context(_declared(image, value))
        yield image if crs is None else opened.enter_context(warped_vrt(image, crs, value, nearest))


def declares_gaps(path: Path) -> bool:
    """Whether an image has a mask, an alpha band, a nodata value or fill, and so says where it carries no data.

    Raises:
        InputError: as `opening.open_raster`.
    """
    with open_raster(path) as dataset:
        return has_mask(dataset) or dataset.nodata is not None or fill_of(path) is not None


def warped_vrt(
    dataset: rasterio.io.DatasetReader, crs: object, fill: float | None = None, nearest: bool = False
) -> WarpedVRT:
    """A raster as seen in another CRS, north up, bilinear or of the `nearest` pixel; the caller closes it.

    Ground control points, where it has nothing else, place it by a thin-plate spline. A raster that declares no value for
    no data has an alpha band afterwards; its zeros stay what they are.

    Args:
        fill: a value that stands for no data; None = what the raster declares.
    """
    told = dataset.nodata if fill is None else fill
    placed = {"src_crs": dataset.gcps[1], "SRC_METHOD": "GCP_TPS"} if is_placed_by_points(dataset) else {}
    # Where no value stands for no data, alpha says where there is none: a nodata value that GDAL is given for that, it
    # takes away from the pixels that have it as a value.
    gaps = {"src_nodata": told, "nodata": told} if told is not None else {"add_alpha": not has_alpha(dataset)}
    resampling = Resampling.nearest if nearest else Resampling.bilinear
    return WarpedVRT(dataset, crs=crs, resampling=resampling, **gaps, **placed)


def _declared(dataset: rasterio.io.DatasetReader, value: float) -> WarpedVRT:
    """The raster on its own grid, pixel by pixel, with a nodata value; what was declared or masked gets that value."""
    return WarpedVRT(
        dataset,
        crs=dataset.crs,
        transform=dataset.transform,
        width=dataset.width,
        height=dataset.height,
        resampling=Resampling.nearest,
        src_nodata=value if dataset.nodata is None else dataset.nodata,
        nodata=value,
    )
