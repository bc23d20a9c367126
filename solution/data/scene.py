"""Scene pairs: an optical and a SAR image of one place, both read on the optical grid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio

from solution.core import geometry
from solution.core.artefact import digest, file_facts
from solution.core.errors import InputError
from solution.core.geometry import Matrix, Window
from solution.core.names import as_utf8, quoted
from solution.data import naming
from solution.data.fill import remarks_on
from solution.data.frame import (
    Header,
    check_bands,
    check_different,
    check_gsd,
    crs_of,
    positions,
    read_header,
    reproject_points,
)
from solution.data.metres import pixel_size_m
from solution.data.opening import files_behind, open_raster, says_nothing_new
from solution.data.raster import (
    Overview,
    optical_bands,
    optical_overview,
    output_grid,
    sample_valid,
    sample_values,
    sar_overview,
)
from solution.data.tiepoints import TiePoints, check_range, read_tiepoint_csv
from solution.data.views import declares_gaps, open_image, warped_vrt

_NO_ROTATION = 1e-9
"""Rotation terms below this share of the pixel size are rounding."""
_LEAST_OVERLAP_PX = 16
"""Optical px along both axes that the images must share, or all there are."""
_VALID_CELLS = 1000
"""Along the longer side of the optical image, at which the valid share is looked up."""


@dataclass(frozen=True)
class PairPixels:
    """Both images on one grid.

    Attributes:
        optical: (3, h, w) float32 in [0, 1].
        sar: (1, h, w) float32 in [0, 1].
        valid: (h, w) float32, 1 where both carry data.
    """

    optical: np.ndarray
    sar: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class ScenePair:
    """An optical and a SAR image of one place, coarsely aligned by their geocoding.

    Attributes:
        name: SN9 scene name, for example ``02_train_01``.
        aoi: first two digits of the name, the area that the scene lies in.
        optical, sar: paths.
        shape: (height, width) of the optical image.
        transform: optical index -> geographic position, 3 x 3.
        sar_to_optical: index of the SAR raster, as it is read, -> optical index, 3 x 3. A SAR image in another CRS, or
            a rotated one, is read reprojected to the optical CRS.
        centre_offset_px: (2,), apparent shift minus index shift; see the package's convention page.
        crs: the optical CRS.
        sar_shape: (height, width) of the SAR raster as it is read.
        tiepoints_csv: path, or None where the scene has no labels.
    """

    name: str
    aoi: str
    optical: Path
    sar: Path
    shape: tuple[int, int]
    transform: Matrix = field(repr=False)
    sar_to_optical: Matrix = field(repr=False)
    centre_offset_px: np.ndarray = field(repr=False)
    crs: object = field(repr=False)
    sar_shape: tuple[int, int] = field(repr=False)
    reproject_sar: bool = field(default=False, repr=False)
    tiepoints_csv: Path | None = field(default=None, repr=False)

    @property
    def gsd_m(self) -> float:
        """Optical pixel size in metres on the ground (mean of both axes)."""
        return float(np.mean(pixel_size_m(self.transform, self.crs, self.shape)))

    @property
    def sar_pixel_px(self) -> float:
        """Side of a SAR pixel in optical px (geometric mean of both axes)."""
        return float(np.sqrt(abs(np.linalg.det(self.sar_to_optical[:2, :2]))))

    @contextmanager
    def open_sar(self, nearest: bool = False) -> Iterator[rasterio.io.DatasetReader]:
        """The SAR raster in the optical CRS, north up; reprojected bilinearly, or to the `nearest` pixel."""
        with open_image(self.sar, self.crs if self.reproject_sar else None, nearest) as dataset:
            yield dataset

    @cached_property
    def optical_overview(self) -> Overview:
        """Validity and stretch of the optical image (reads it once)."""
        with open_image(self.optical) as dataset:
            return optical_overview(dataset)

    @cached_property
    def sar_overview(self) -> Overview:
        """Validity and stretch of the SAR image (reads it once)."""
        with self.open_sar() as dataset:
            return sar_overview(dataset)

    def remarks(self) -> list[str]:
        """What people should know of how the images are read, a line each (reads a decimated image of both)."""
        return remarks_on(self.optical, self.sar)

    def files(self) -> list[Path]:
        """All files that are read: the images, those that they are made of, and the labels."""
        behind = [file for path in (self.optical, self.sar) for file in (path, *files_behind(path))]
        return behind if self.tiepoints_csv is None else [*behind, self.tiepoints_csv]

    def fingerprint(self) -> str:
        """Short hash of the contents of all files that the images are made of.

        It is equal as long as a finished stage need not be redone.
        """
        return self._fingerprint

    def inputs(self) -> dict[str, dict]:
        """What a report says of ``optical`` and ``sar``: path, and where that is a file its name, size and digest."""
        return {
            name: {"path": str(path.absolute()), **self._facts.get(path, {})}
            for name, path in (("optical", self.optical), ("sar", self.sar))
        }

    @cached_property
    def _fingerprint(self) -> str:
        files = [file for path in (self.optical, self.sar) for file in files_behind(path)]
        return digest([self._facts.get(file, str(file)) for file in files if not says_nothing_new(file)])

    @cached_property
    def _facts(self) -> dict[Path, dict]:
        """Of all files that the images are made of, and that are there."""
        files = {file for path in (self.optical, self.sar) for file in files_behind(path)}
        return {file: file_facts(file) for file in sorted(files) if file.is_file()}

    def check_overlap(self) -> None:
        """Raise `InputError` where the extents of both images do not meet, or hardly (headers only)."""
        height, width = self.sar_shape
        corners = geometry.apply(self.sar_to_optical, np.array([[0, 0], [width, 0], [0, height], [width, height]]))
        size = np.array(self.shape[::-1])
        shared = np.minimum(corners.max(axis=0), size) - np.maximum(corners.min(axis=0), 0)
        if (shared <= 0).any():
            raise self._apart()
        if (shared < np.minimum(_LEAST_OVERLAP_PX, size)).any():
            raise InputError(
                f"{self.sar}: shares only {shared[0]:.0f} x {shared[1]:.0f} px with {self.optical.name}; choose a SAR image that covers it"
            )

    def check(self) -> None:
        """Read both images once and raise `InputError` where one is truncated, all nodata, or they do not overlap."""
        self.check_overlap()
        for path, overview in ((self.optical, self.optical_overview), (self.sar, self.sar_overview)):
            if not overview.valid.any():
                raise InputError(f"{path}: holds nothing but nodata; check that the right file was exported")
        if self.valid_share() == 0:
            raise self._apart()

    def valid_share(self) -> float:
        """Share of the optical image, in [0, 1], where both images carry data at the geocoded place (reads both
        once)."""
        step = max(1, max(self.shape) // _VALID_CELLS)
        xy = output_grid(Window(0, 0, *(max(size // step, 1) * step for size in self.shape[::-1])), step)
        optical = sample_valid(self.optical_overview.valid, xy, self.shape)
        sar = sample_valid(self.sar_overview.valid, self.sar_positions(xy), self.sar_shape)
        return float((optical * sar).mean())

    def shown(self, window: Window, shift: np.ndarray) -> np.ndarray:
        """(h, w) bool, where both images carry data, to a cell of their overviews: the optical one at the indices of a
        window, the SAR one where index shifts (2, h, w) lead from there."""
        xy = output_grid(window, 1)
        ends = self.sar_positions(xy + np.moveaxis(shift, 0, -1) + self.centre_offset_px)
        optical = sample_valid(self.optical_overview.valid, xy, self.shape)
        return (optical * sample_valid(self.sar_overview.valid, ends, self.sar_shape)) > 0

    def masked(self, xy: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """(N,) bool, whether an image that declares where it has gaps carries no data there; nothing can be matched then.

        An image without declared gaps masks nothing: its zeros may be dark ground.

        Args:
            xy, shift: (N, 2) optical indices and index shifts, optical px.
        """
        masked = np.zeros(len(xy), bool)
        if self._has_gaps[0]:
            masked |= sample_valid(self.optical_overview.valid, xy, self.shape) == 0
        if self._has_gaps[1]:
            ends = self.sar_positions(xy + shift + self.centre_offset_px)
            masked |= sample_valid(self.sar_overview.valid, ends, self.sar_shape) == 0
        return masked

    @cached_property
    def _has_gaps(self) -> tuple[bool, bool]:
        images = ((self.optical, self.optical_overview), (self.sar, self.sar_overview))
        return tuple(not overview.valid.all() and declares_gaps(path) for path, overview in images)

    def _apart(self) -> InputError:
        return InputError(
            f"{self.sar}: does not overlap {self.optical.name}; check that both images show the same place and carry the right CRS"
        )

    def sar_positions(self, xy: np.ndarray) -> np.ndarray:
        """Positions (..., 2) of the optical array grid in that of the SAR raster as it is read."""
        return geometry.apply(geometry.centres(np.linalg.inv(self.sar_to_optical)), xy)

    def read(self, window: Window, factor: int = 1, shift: np.ndarray | None = None) -> PairPixels:
        """Both images over a window of the optical grid, averaged down `factor` times.

        Args:
            window: optical px; may reach past the image, where `valid` is 0. Its size must be a multiple of `factor`.
            factor: integer; one output pixel is factor x factor optical pixels.
            shift: (2, h, w) apparent shift in optical px at which the SAR image is read, or None for its geocoded
                place.

        Returns:
            PairPixels of (window.height / factor, window.width / factor).
        """
        if window.width % factor or window.height % factor:
            raise ValueError(f"window {window} is not a multiple of factor {factor}")
        xy = output_grid(window, factor)
        sar_xy = xy if shift is None else xy + np.moveaxis(np.asarray(shift, np.float64), 0, -1)
        optical, optical_valid = self.sample_optical(xy, factor)
        sar, sar_valid = self.sample_sar(sar_xy, factor)
        return PairPixels(optical, sar, optical_valid * sar_valid)

    def sample_optical(self, xy: np.ndarray, spacing_px: float) -> tuple[np.ndarray, np.ndarray]:
        """Optical values at positions of the optical array grid.

        Args:
            xy: (h, w, 2), integers are pixel centres.
            spacing_px: distance of neighbouring positions; wider ones than a pixel are averaged, not aliased.

        Returns:
            (3, h, w) in [0, 1] and validity (h, w), both float32.
        """
        overview = self.optical_overview
        with open_image(self.optical) as dataset:
            raw = sample_values(dataset, optical_bands(dataset), xy, spacing_px, overview.radiometry.darkest)
        valid = sample_valid(overview.valid, xy, self.shape)
        values = overview.radiometry(raw)
        values = np.repeat(values, 3, axis=0) if len(values) == 1 else values
        return values * valid, valid

    def sample_sar(self, xy: np.ndarray, spacing_px: float) -> tuple[np.ndarray, np.ndarray]:
        """SAR values at positions (h, w, 2) of the *optical* array grid; as `sample_optical`, with (1, h, w) values."""
        sar_xy = self.sar_positions(xy)
        overview = self.sar_overview
        with self.open_sar() as dataset:
            raw = sample_values(dataset, [1], sar_xy, spacing_px / self.sar_pixel_px, overview.radiometry.darkest)
        valid = sample_valid(overview.valid, sar_xy, self.sar_shape)
        return overview.radiometry(raw) * valid, valid

    def tiepoints(self) -> TiePoints:
        """Labels of the scene.

        Raises:
            InputError: there are none, they are malformed, or they lie outside the images.
        """
        path = self.tiepoints_csv
        if path is None:
            raise InputError(
                f"scene {self.name}: has no tie-point CSV; expected {naming.file_name(self.name, 'tiepoints', 'csv')}"
            )
        return self.tiepoints_of(read_tiepoint_csv(path), path)

    def tiepoints_of(self, table: pd.DataFrame, path: Path) -> TiePoints:
        """Tie-points between the images.

        Args:
            table: `TIEPOINT_COLUMNS`, which may have fractions.
            path: where it was read from.

        Raises:
            InputError: there are none, or they lie outside the images.
        """
        if table.empty:
            raise InputError(f"{path}: holds no tie-point; remove the file if the scene has no labels")
        with open_raster(self.sar) as sar:
            check_range(table, path, self.shape, (sar.height, sar.width))
            geo = positions(sar, table[["sar_col", "sar_row"]].to_numpy(np.float64))
            geo = reproject_points(geo, crs_of(sar), self.crs)
        xy = table[["optical_col", "optical_row"]].to_numpy(np.float64)
        shift = geometry.shifts_from_positions(xy, geo, self.transform)
        return TiePoints(xy[:, 0], xy[:, 1], shift[:, 0], shift[:, 1])


def open_pair(optical: Path, sar: Path, tiepoints_csv: Path | None = None, name: str | None = None) -> ScenePair:
    """Open a pair and check its headers (`ScenePair.check` also reads the pixels).

    Args:
        name: of the scene; None = what the optical image's file name says.

    Raises:
        InputError: missing file, wrong band count, complex data, rotated optical image, images that lie nowhere, one
            image twice, or pixels of much too different sizes.
    """
    optical, sar = Path(optical), Path(sar)
    header = read_header(optical, "optical")
    sar_header = read_header(sar, "SAR", points_suffice=True)
    check_different(optical, sar, sar_header.bands)
    check_bands(sar, sar_header.bands, (optical, header.bands))
    if _is_rotated(header.matrix):
        raise InputError(
            f"{optical}: is rotated against its CRS; write it north up first, for example: gdalwarp {quoted(optical)} north_up.tif"
        )
    check_gsd(header, optical, sar_header, sar)
    matrix, crs = header.matrix, header.crs
    reproject = sar_header.crs != crs or sar_header.by_points or _is_rotated(sar_header.matrix)
    sar_matrix, sar_shape = sar_header.matrix, sar_header.shape
    if reproject:
        with open_raster(sar) as dataset, warped_vrt(dataset, crs) as vrt:
            sar_matrix, sar_shape = geometry.matrix_from_gdal(vrt.transform.to_gdal()), (vrt.height, vrt.width)
    parsed = naming.parse(optical.name)
    return ScenePair(
        name=name or as_utf8(parsed.scene if parsed else optical.stem),
        aoi=parsed.aoi if parsed else naming.aoi_of(optical.stem),
        optical=optical,
        sar=sar,
        shape=header.shape,
        transform=matrix,
        sar_to_optical=np.linalg.inv(matrix) @ sar_matrix,
        centre_offset_px=_centre_offset(header, sar_header),
        crs=crs,
        sar_shape=sar_shape,
        reproject_sar=reproject,
        tiepoints_csv=Path(tiepoints_csv) if tiepoints_csv else None,
    )


def _is_rotated(matrix: Matrix) -> bool:
    """Whether rows and columns run along other directions than the axes of the CRS."""
    return abs(matrix[0, 1]) + abs(matrix[1, 0]) > _NO_ROTATION * (abs(matrix[0, 0]) + abs(matrix[1, 1]))


def _centre_offset(optical: Header, sar: Header) -> np.ndarray:
    """Half a SAR pixel, at the SAR image's centre, in optical px, less half an optical pixel."""
    centre = np.array([sar.shape[1] / 2, sar.shape[0] / 2])
    geo = reproject_points(geometry.apply(sar.matrix, np.stack([centre, centre + 0.5])), sar.crs, optical.crs)
    index = geometry.apply(np.linalg.inv(optical.matrix), geo)
    return index[1] - index[0] - 0.5


def without_labels(pair: ScenePair) -> ScenePair:
    """The pair as a prediction sees it."""
    return replace(pair, tiepoints_csv=None)
