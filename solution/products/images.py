"""Images as Python hands them over (paths, open datasets, arrays), as files that a scene can be read from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.dtypes import check_dtype
from rasterio.enums import MaskFlags
from rasterio.errors import CRSError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from solution.core.errors import InputError
from solution.core.places import Place
from solution.data import opening
from solution.data.raster_writing import new_raster

Image = str | os.PathLike | rasterio.DatasetBase | tuple[np.ndarray, Affine, object]
"""Path, dataset that rasterio has open, or array (H, W) or (bands, H, W) with its transform and CRS."""

_ROWS = 512  # that are copied at a time
_TILE = 256  # side of the copy's tiles, px
_MOST_BANDS = 16  # more, and the last axis of an array was meant for them


def on_disk(image: Image, place: Place, kind: str) -> Path:
    """Path of a raster on disk: that of the image, or else of a copy in the place's folder, made window by window.

    Args:
        kind: ``optical`` or ``sar``, for messages and for the copy's name.

    Raises:
        InputError: something that is no image, or cannot be copied.
    """
    if isinstance(image, str | os.PathLike):
        return Path(image)
    if isinstance(image, tuple):
        return _of_array(image, place, kind)
    if not isinstance(image, rasterio.DatasetBase):
        raise InputError(
            f"{kind} image: is a {type(image).__name__}; pass a path, an open rasterio dataset, or (array, transform, crs)"
        )
    if image.closed:
        raise InputError(f"{image.name}: is closed; pass the dataset while it is open, or its path")
    if image.mode != "r":
        raise InputError(f"{image.name}: is open for writing; close it first, then pass its path")
    return Path(image.name) if _is_its_file(image) else _of_dataset(image, place, kind)


def _is_its_file(image: rasterio.DatasetBase) -> bool:
    """Whether a dataset shows what the file of its name holds: it is no view, nor one of the file's overviews."""
    if isinstance(image, WarpedVRT) or not opening.on_disk(Path(image.name)):
        return False
    with opening.open_raster(Path(image.name)) as file:
        return (file.shape, file.transform, file.count) == (image.shape, image.transform, image.count)


def _of_dataset(image: rasterio.io.DatasetReader, place: Place, kind: str) -> Path:
    points, points_crs = image.gcps
    placed = {"gcps": points, "crs": points_crs} if points else {"transform": image.transform, "crs": image.crs}
    masked = MaskFlags.per_dataset in image.mask_flag_enums[0] and MaskFlags.alpha not in image.mask_flag_enums[0]

    def read(window: RasterWindow) -> tuple[np.ndarray, np.ndarray | None]:
        return image.read(window=window), image.dataset_mask(window=window) if masked else None

    told = {"count": image.count, "height": image.height, "width": image.width, "dtype": image.dtypes[0]}
    return _copy(place, kind, read, {**told, **placed, "nodata": image.nodata}, image.colorinterp)


def _of_array(image: tuple, place: Place, kind: str) -> Path:
    if len(image) != 3 or not isinstance(image[1], Affine):
        raise InputError(
            f"{kind} image: is a tuple that is not (array, transform, crs), with an affine.Affine as transform"
        )
    array, transform, crs = np.ma.asanyarray(image[0]), image[1], _crs(image[2], kind)
    if array.ndim not in (2, 3) or not array.size:
        raise InputError(f"{kind} image: is an array of shape {array.shape}; make it (H, W) or (bands, H, W)")
    if array.ndim == 3 and array.shape[0] > _MOST_BANDS:
        raise InputError(
            f"{kind} image: is an array of shape {array.shape}; put its bands first: numpy.moveaxis(array, -1, 0)"
        )
    bands = array.reshape(-1, *array.shape[-2:])
    dtype = np.dtype("uint8") if bands.dtype == bool else bands.dtype
    if not check_dtype(dtype):
        raise InputError(
            f"{kind} image: is an array of {dtype}, which no GeoTIFF holds; convert it to uint8, uint16 or float32"
        )
    masked = np.ma.getmask(bands) is not np.ma.nomask

    def read(window: RasterWindow) -> tuple[np.ndarray, np.ndarray | None]:
        block = bands[:, window.row_off : window.row_off + window.height]
        gaps = np.ma.getmaskarray(block).any(axis=0) if masked else None
        return np.ma.getdata(block).astype(dtype, copy=False), None if gaps is None else (~gaps).astype(np.uint8) * 255

    count, height, width = bands.shape
    told = {"count": count, "height": height, "width": width, "dtype": dtype.name}
    return _copy(place, kind, read, {**told, "transform": transform, "crs": crs})


def _crs(crs: object, kind: str) -> rasterio.crs.CRS:
    if crs is None:
        raise InputError(
            f"{kind} image: its coordinate system is None; pass the one of its transform, for example 'EPSG:32637'"
        )
    try:
        return rasterio.crs.CRS.from_user_input(crs)
    except (CRSError, ValueError) as error:
        raise InputError(f"{kind} image: {crs!r} is no coordinate system; pass for example 'EPSG:32637'") from error


def _copy(
    place: Place,
    kind: str,
    read: Callable[[RasterWindow], tuple[np.ndarray, np.ndarray | None]],
    profile: dict,
    colours: tuple | None = None,
) -> Path:
    """Write what `read` gives for strips: values (bands, h, w), and a mask (h, w), 0 where there is no data, or None."""
    path = place.folder / f"{kind}.tif"
    layout = {"driver": "GTiff", "tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "bigtiff": "if_safer"}
    with new_raster(path, **layout, **profile) as target:
        if colours is not None:
            target.dataset.colorinterp = colours
        for top in range(0, profile["height"], _ROWS):
            window = RasterWindow(0, top, profile["width"], min(_ROWS, profile["height"] - top))
            values, mask = read(window)
            target.write(values, window=window)
            if mask is not None:
                target.write_mask(mask, window=window)
    return path
