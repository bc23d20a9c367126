"""Where an image lies: its geotransform and CRS, and what is wrong with them, said before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import GCPTransformer, from_gcps
from rasterio.warp import transform as warp_points

from solution.core import geometry
from solution.core.errors import InputError
from solution.core.geometry import Matrix
from solution.core.names import quoted
from solution.data.metres import degrees_of, pixel_size_m
from solution.data.opening import open_raster
from solution.data.validity import data_bands

_LEAST_POINTS = 3  # that place an image
_DEGREES = 90.0
_MOST_GSD_RATIO = 50
_MOST_STEPS, _CLOSE_PX = 50, 1e-6  # towards an index, until a step is shorter
_SMALLEST_M = 1e-3
"""Pixels below this are degrees under a CRS in metres."""


@dataclass(frozen=True)
class Header:
    """What an image's header says.

    Attributes:
        matrix: index -> position in the CRS, 3 x 3; of an image that is placed by points, the affine nearest to them.
        shape: (height, width).
        crs: its CRS, or that of its points.
        bands: number of bands that hold values.
        by_points: whether ground control points alone say where it lies.
    """

    matrix: Matrix
    shape: tuple[int, int]
    crs: object
    bands: int
    by_points: bool


def read_header(path: Path, kind: str, points_suffice: bool = False) -> Header:
    """What the header of an image says, checked.

    Args:
        kind: which image it is, for messages.
        points_suffice: take an image that is placed by ground control points alone.

    Raises:
        InputError: unreadable, complex, or nothing in it, or nothing possible, says where it lies.
    """
    with open_raster(path) as dataset:
        check_real(dataset, path)
        by_points = points_suffice and is_placed_by_points(dataset)
        if by_points:
            points, crs = dataset.gcps
            matrix = geometry.matrix_from_gdal(from_gcps(points).to_gdal())
        else:
            check_placed(dataset, path)
            crs, matrix = dataset.crs, geometry.matrix_from_gdal(dataset.transform.to_gdal())
            _check_matrix(matrix, path, kind)
        _check_positions(matrix, dataset.shape, crs, path)
        return Header(matrix, dataset.shape, crs, len(data_bands(dataset)), by_points)


def is_placed_by_points(dataset: rasterio.io.DatasetReader) -> bool:
    """Whether ground control points, and nothing else, say where a raster lies, as those of Sentinel-1 GRD do."""
    points, crs = dataset.gcps
    return dataset.crs is None and crs is not None and len(points) >= _LEAST_POINTS


def positions(dataset: rasterio.io.DatasetReader, index: np.ndarray) -> np.ndarray:
    """(N, 2) positions, in the CRS of the raster or of its ground control points, of its indices (N, 2)."""
    if not is_placed_by_points(dataset):
        return geometry.apply(geometry.matrix_from_gdal(dataset.transform.to_gdal()), index)
    with GCPTransformer(dataset.gcps[0], tps=True) as places:
        return np.column_stack(places.xy(index[:, 1], index[:, 0], offset="ul"))


def crs_of(dataset: rasterio.io.DatasetReader) -> object:
    """The CRS that `positions` of a raster are in."""
    return dataset.crs or dataset.gcps[1]


def indices(dataset: rasterio.io.DatasetReader, places: np.ndarray) -> np.ndarray:
    """(N, 2) indices whose `positions` are these (N, 2); NaN where none is found.

    A spline through ground control points has no inverse in closed form: it is sought from the affine nearest to it,
    step by step.
    """
    by_points = is_placed_by_points(dataset)
    transform = from_gcps(dataset.gcps[0]) if by_points else dataset.transform
    back = np.linalg.inv(geometry.matrix_from_gdal(transform.to_gdal()))
    found = geometry.apply(back, places)
    if not by_points or len(found) == 0:
        return found
    for _ in range(_MOST_STEPS):
        step = (places - positions(dataset, found)) @ back[:2, :2].T
        found = found + step
        if not (np.abs(step) > _CLOSE_PX).any():
            break
    return np.where((np.abs(step) <= _CLOSE_PX).all(axis=1, keepdims=True), found, np.nan)


def reproject_points(points: np.ndarray, source_crs: object, target_crs: object) -> np.ndarray:
    """(N, 2) positions from one CRS to another; unchanged where they are equal."""
    if source_crs == target_crs or len(points) == 0:
        return points
    x, y = warp_points(source_crs, target_crs, points[:, 0].tolist(), points[:, 1].tolist())
    return np.column_stack([x, y])


def check_placed(dataset: rasterio.io.DatasetReader, path: Path) -> None:
    """Raise `InputError`, with the command that mends it, where a raster has no CRS, or no geotransform under it."""
    name = quoted(path)
    if is_placed_by_points(dataset):
        points = dataset.gcps[0]
        centre = degrees_of(
            np.array([[np.mean([p.x for p in points]), np.mean([p.y for p in points])]]), dataset.gcps[1]
        )
        raise InputError(
            f"{path}: is placed by ground control points (GCPs) only; put it on a grid: gdalwarp -tps -t_srs {_utm(centre)} {name} on_grid.tif"
        )
    if dataset.crs is None and dataset.rpcs is not None:
        centre = np.array([[dataset.rpcs.long_off, dataset.rpcs.lat_off]])
        raise InputError(
            f"{path}: is placed by rational polynomials (RPCs) only; put it on a grid: gdalwarp -rpc -t_srs {_utm(centre)} {name} on_grid.tif"
        )
    if dataset.crs is None:
        raise InputError(
            f"{path}: has no coordinate system (CRS); assign one, for example: gdal_edit.py -a_srs EPSG:32637 {name}"
        )
    if not (dataset.crs.is_geographic or dataset.crs.is_projected):
        raise InputError(
            f"{path}: has a local CRS, which says nothing of where on Earth it lies; assign its true one, for example: gdal_edit.py -a_srs EPSG:32637 {name}"
        )
    if dataset.transform.is_identity:
        raise InputError(
            f"{path}: has a CRS but no geotransform; give its corners, for example: gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM {name}"
        )


def check_real(dataset: rasterio.io.DatasetReader, path: Path) -> None:
    """Raise `InputError` for complex values."""
    if dataset.dtypes[0].startswith("complex"):
        raise InputError(
            f"{path}: is complex; write its amplitude first, for example: gdal_calc.py -A {quoted(path)} --calc='abs(A)' --type=Float32 --outfile=amplitude.tif"
        )


def check_bands(path: Path, bands: int, optical: tuple[Path, int] | None = None) -> None:
    """Raise `InputError` where a SAR image has more than one band.

    Args:
        optical: the image that goes with it, and how many bands that has.
    """
    if bands == 1:
        return
    if optical and optical[1] == 1:
        raise InputError(
            f"{path}: has {bands} bands where a SAR image has 1, and the optical image {optical[0].name} has 1; name the optical image first"
        )
    raise InputError(
        f"{path}: has {bands} bands where a SAR image has 1; pick one, for example: gdal_translate -b 1 {quoted(path)} one_band.tif"
    )


def check_sar(dataset: rasterio.io.DatasetReader, path: Path) -> None:
    """Raise `InputError` where a raster is no SAR image of one band of real values."""
    check_real(dataset, path)
    check_bands(path, len(data_bands(dataset)))


def check_different(optical: Path, sar: Path, bands: int) -> None:
    """Raise `InputError` where both names are those of one image, which has so many `bands`."""
    if optical == sar or (optical.exists() and sar.exists() and optical.samefile(sar)):
        told = f", with {bands} bands where a SAR image has 1" if bands != 1 else ""
        raise InputError(f"{sar}: is the optical image too{told}; name two different images")


def check_gsd(optical: Header, optical_path: Path, sar: Header, sar_path: Path) -> None:
    """Raise `InputError` where the pixels of one image are too many times as large as those of the other."""
    sizes = [np.mean(pixel_size_m(header.matrix, header.crs, header.shape)) for header in (optical, sar)]
    ratio = float(max(sizes) / min(sizes))
    if ratio <= _MOST_GSD_RATIO:
        return
    path, header = (optical_path, optical) if sizes[0] < sizes[1] else (sar_path, sar)
    x, y = np.hypot(*header.matrix[:2, :2]) * ratio
    raise InputError(
        f"{path}: its pixels are {ratio:.0f} times as small as those of the other image; average them first, for example: gdalwarp -tr {x:.9g} {y:.9g} -r average {quoted(path)} coarser.tif"
    )


def _check_matrix(matrix: Matrix, path: Path, kind: str) -> None:
    if not np.isfinite(matrix).all():
        raise InputError(
            f"{path}: its geotransform holds values that are not finite; give its corners, for example: gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM {quoted(path)}"
        )
    if abs(np.linalg.det(matrix)) < 1e-30:
        raise InputError(f"{path}: its geotransform has no area; the {kind} image must be georeferenced")


def _check_positions(matrix: Matrix, shape: tuple[int, int], crs: object, path: Path) -> None:
    """See that the corners are places on Earth."""
    height, width = shape
    corners = geometry.apply(matrix, np.array([[0, 0], [width, 0], [0, height], [width, height]]))
    mend = f"assign the CRS that its numbers are in, for example: gdal_edit.py -a_srs {{}} {quoted(path)}"
    if crs.is_geographic:
        slack = np.abs(matrix[:2, :2]).sum(axis=1)  # images of the whole Earth may end a pixel beyond its poles
        if (np.abs(corners) > np.array([4, 1]) * _DEGREES + slack).any():
            x, y = corners[np.abs(corners[:, 1]).argmax()]
            raise InputError(
                f"{path}: reaches longitude {x:.7g}, latitude {y:.7g}, where there is no place; "
                + mend.format("EPSG:32637")
            )
        return
    if not np.isfinite(degrees_of(corners, crs)).all():
        raise InputError(f"{path}: lies beyond the area of its CRS; " + mend.format("EPSG:32637"))
    smallest = float(pixel_size_m(matrix, crs, shape).min())
    if smallest < _SMALLEST_M:
        raise InputError(
            f"{path}: has pixels of {smallest:.2g} m, which look like degrees; " + mend.format("EPSG:4326")
        )


def _utm(degrees: np.ndarray) -> str:
    """The UTM zone of a place (1, 2), as GDAL takes it."""
    longitude, latitude = degrees[0]
    zone = int((longitude + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
