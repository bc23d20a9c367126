"""Scene pairs: discovery of SN9-named files, checks, radiometry, validity, tie-points, and windowed reads of both images on the optical grid.

Nothing here ever holds a full-size float image: everything is read through windows, and the only whole-scene state is an overview that is
`OVERVIEW_CELL` times smaller on a side.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform as warp_points
from rasterio.windows import Window as RasterWindow

from solution import geometry
from solution.errors import InputError
from solution.geometry import Matrix, Window

TIEPOINT_COLUMNS = ("sar_row", "sar_col", "optical_row", "optical_col")
OVERVIEW_CELL = 8
_NAME = re.compile(r"^(?P<aoi>\d{2})_(?P<kind>optical|sar|tiepoints)_(?P<rest>.+)\.(?P<suffix>tiff?|csv)$", re.IGNORECASE)
_MAX_OPEN_CACHE_MB = 256
_STRIP_ROWS = 512


@dataclass(frozen=True)
class TiePoints:
    """Tie-points of a scene in optical px, float64, unrounded.

    Attributes:
        x, y: (N,) optical index.
        dx, dy: (N,) shift, optical -> SAR.
    """

    x: np.ndarray
    y: np.ndarray
    dx: np.ndarray
    dy: np.ndarray

    @property
    def xy(self) -> np.ndarray:
        """(N, 2)."""
        return np.column_stack([self.x, self.y])

    @property
    def shift(self) -> np.ndarray:
        """(N, 2)."""
        return np.column_stack([self.dx, self.dy])

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Radiometry:
    """Maps raw values to [0, 1]: an optional logarithm, then a linear stretch between two robust percentiles.

    The logarithm makes amplitude and intensity equal up to a factor that the stretch removes, and turns multiplicative speckle into
    additive noise.
    """

    low: float
    high: float
    log: bool
    floor: float = 1.0

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        value = np.log(np.maximum(raw, 0) + self.floor) if self.log else raw
        return np.clip((value - self.low) / max(self.high - self.low, 1e-12), 0.0, 1.0).astype(np.float32)

    @property
    def darkest(self) -> float:
        """A raw value that maps to 0, to fill gaps with; 0 itself would be the brightest one in decibels."""
        return 0.0 if self.log else self.low

    @classmethod
    def of_sample(cls, sample: np.ndarray, log: bool, percentiles: tuple[float, float]) -> Radiometry:
        """From a sample of valid raw values. `floor`, which keeps log(0) finite, is 5 % of the median amplitude."""
        if not log:
            low, high = np.percentile(sample, percentiles)
            return cls(float(low), float(high), False)
        positive = sample[sample > 0]
        floor = 0.05 * float(np.median(positive)) if len(positive) else 1.0
        low, high = np.percentile(np.log(np.maximum(sample, 0) + floor), percentiles)
        return cls(float(low), float(high), True, floor)


@dataclass(frozen=True)
class Overview:
    """A whole image at 1/`OVERVIEW_CELL`: what is valid, and how its values are stretched.

    Attributes:
        valid: (h, w) bool, true where any pixel of the cell carries data.
        radiometry: raw values to [0, 1].
    """

    valid: np.ndarray
    radiometry: Radiometry


@dataclass(frozen=True)
class Patch:
    """Both images on one grid.

    Attributes:
        optical: (3, h, w) float32 in [0, 1].
        sar: (1, h, w) float32 in [0, 1].
        valid: (h, w) float32, 1 where both carry data.
    """

    optical: np.ndarray
    sar: np.ndarray
    valid: np.ndarray


@contextmanager
def open_raster(path: Path) -> Iterator[rasterio.io.DatasetReader]:
    """Open for reading; an unreadable file, or one that breaks while it is read, ends in a sentence that names it."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        with rasterio.Env(GDAL_CACHEMAX=_MAX_OPEN_CACHE_MB), rasterio.open(path) as dataset:
            yield dataset
    except RasterioError as error:
        reason = str(error.__cause__ or error).splitlines()[0][:160]
        raise InputError(f"{path}: unreadable or truncated raster ({reason}); copy or download it again") from error


def _open_raster_checked(path: Path, kind: str) -> tuple[Matrix, tuple[int, int], object, int, str]:
    with open_raster(path) as dataset:
        if dataset.crs is None:
            raise InputError(f"{path}: has no coordinate system (CRS); assign one, for example: gdal_edit.py -a_srs EPSG:32637 {path.name}")
        _check_real(dataset, path)
        matrix = geometry.matrix_from_gdal(dataset.transform.to_gdal())
        if abs(np.linalg.det(matrix)) < 1e-30:
            raise InputError(f"{path}: its geotransform has no area; the {kind} image must be georeferenced")
        return matrix, (dataset.height, dataset.width), dataset.crs, dataset.count, dataset.dtypes[0]


def _check_real(dataset: rasterio.io.DatasetReader, path: Path) -> None:
    if dataset.dtypes[0].startswith("complex"):
        raise InputError(f"{path}: is complex; write its amplitude first, for example: gdal_calc.py -A {path.name} --calc='abs(A)'")


def _check_bands(path: Path, bands: int, wanted: int) -> None:
    if bands != wanted:
        raise InputError(
            f"{path}: has {bands} bands where a SAR image has {wanted}; pick one, for example: gdal_translate -b 1 {path.name} one_band.tif"
        )


def check_sar(dataset: rasterio.io.DatasetReader, path: Path) -> None:
    """Raise `InputError` where a raster is no SAR image of one band of real values."""
    _check_real(dataset, path)
    _check_bands(path, dataset.count, 1)


def sar_overview(dataset: rasterio.io.DatasetReader) -> Overview:
    """Validity and stretch of a SAR image (reads it once)."""
    return _overview(dataset, [1], log=True, percentiles=(1.0, 99.8))


def read_sar(dataset: rasterio.io.DatasetReader, overview: Overview, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """A SAR image on its own grid, with the pixels that registration sees.

    Args:
        window: px of the SAR image; may reach past it, where validity is 0.

    Returns:
        (h, w) in [0, 1] and validity (h, w), both float32.
    """
    grid = output_grid(window, 1)
    valid = _sample_valid(overview.valid, grid, dataset.shape)
    raw = _sample(dataset, [1], grid, 1.0, overview.radiometry.darkest)
    return overview.radiometry(raw[0]) * valid, valid


@dataclass(frozen=True)
class ScenePair:
    """An optical and a SAR image of one place, coarsely aligned by their geocoding.

    Attributes:
        name: SN9 scene name, for example ``02_train_01``.
        aoi: its first two digits.
        optical, sar: paths.
        shape: (height, width) of the optical image.
        transform: optical index -> geographic position, 3 x 3.
        sar_to_optical: index of the SAR raster, as it is read, -> optical index, 3 x 3. A SAR image in another CRS, or a rotated one, is read
            reprojected to the optical CRS.
        centre_offset_px: (2,), apparent shift minus index shift; see the package's convention page.
        crs: the optical CRS.
        sar_shape: (height, width) of the SAR raster as it is read.
        tiepoints_csv: path, or None where the scene has no labels.
        tiepoint_sar: the raster whose pixels the tie-points count; None for `sar`.
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
    tiepoint_sar: Path | None = field(default=None, repr=False)

    @property
    def gsd_m(self) -> float:
        """Optical pixel size in metres (mean of both axes; degrees are converted at the scene's latitude)."""
        size = np.hypot(*self.transform[:2, :2])
        if getattr(self.crs, "is_geographic", False):
            latitude = geometry.apply(self.transform, np.array([[self.shape[1] / 2, self.shape[0] / 2]]))[0, 1]
            return float(np.mean(size * 111_320.0 * np.array([np.cos(np.deg2rad(latitude)), 1.0])))
        factor = getattr(self.crs, "linear_units_factor", ("metre", 1.0))[1]
        return float(np.mean(size) * factor)

    @contextmanager
    def open_sar(self) -> Iterator[rasterio.io.DatasetReader]:
        """The SAR raster in the optical CRS, north up."""
        with open_raster(self.sar) as dataset:
            if not self.reproject_sar:
                yield dataset
                return
            with _vrt(dataset, self.crs) as vrt:
                yield vrt

    @cached_property
    def optical_overview(self) -> Overview:
        """Validity and stretch of the optical image (reads it once)."""
        with open_raster(self.optical) as dataset:
            return _overview(dataset, _optical_bands(dataset), log=False, percentiles=(0.5, 99.5))

    @cached_property
    def sar_overview(self) -> Overview:
        """Validity and stretch of the SAR image (reads it once)."""
        with self.open_sar() as dataset:
            return sar_overview(dataset)

    def fingerprint(self) -> str:
        """Short hash of the files' names, sizes and times: equal as long as a finished stage need not be redone."""
        facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in (self.optical, self.sar)]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]

    def check_overlap(self) -> None:
        """Raise `InputError` where the extents of both images do not meet (headers only)."""
        height, width = self.sar_shape
        corners = geometry.apply(self.sar_to_optical, np.array([[0, 0], [width, 0], [0, height], [width, height]]))
        if (corners.min(axis=0) >= np.array(self.shape[::-1])).any() or (corners.max(axis=0) <= 0).any():
            raise self._apart()

    def check(self) -> None:
        """Read both images once and raise `InputError` where one is truncated, all nodata, or they do not overlap."""
        self.check_overlap()
        for path, overview in ((self.optical, self.optical_overview), (self.sar, self.sar_overview)):
            if not overview.valid.any():
                raise InputError(f"{path}: holds nothing but nodata; check that the right file was exported")
        if self.valid_share() == 0:
            raise self._apart()

    def valid_share(self) -> float:
        """Share of the optical image, in [0, 1], where both images carry data at the geocoded place (reads both once)."""
        step = max(1, max(self.shape) // 1000)
        xy = output_grid(Window(0, 0, *(max(size // step, 1) * step for size in self.shape[::-1])), step)
        optical = _sample_valid(self.optical_overview.valid, xy, self.shape)
        sar = _sample_valid(self.sar_overview.valid, self._sar_positions(xy), self.sar_shape)
        return float((optical * sar).mean())

    def _apart(self) -> InputError:
        return InputError(
            f"{self.sar}: does not overlap {self.optical.name}; check that both images show the same place and carry the right CRS"
        )

    def _sar_positions(self, xy: np.ndarray) -> np.ndarray:
        """Positions (..., 2) of the optical array grid in that of the SAR raster as it is read."""
        return geometry.apply(geometry.centres(np.linalg.inv(self.sar_to_optical)), xy)

    def with_sar(self, sar: Path) -> ScenePair:
        """The same scene with its SAR picture exchanged for one made from it (a translated one, say), on whatever grid that has.

        The new raster shows the ground where the old one did, so the apparent shift and the labels stay those of the old one.
        """
        exchanged = open_pair(self.optical, sar, self.tiepoints_csv, name=self.name, sar_bands=None)
        return replace(exchanged, centre_offset_px=self.centre_offset_px, tiepoint_sar=self.tiepoint_sar or self.sar)

    def read(self, window: Window, factor: int = 1, shift: np.ndarray | None = None) -> Patch:
        """Both images over a window of the optical grid, averaged down `factor` times.

        Args:
            window: optical px; may reach past the image, where `valid` is 0. Its size must be a multiple of `factor`.
            factor: integer; one output pixel is factor x factor optical pixels.
            shift: (2, h, w) apparent shift in optical px at which the SAR image is read, or None for its geocoded place.

        Returns:
            Patch of (window.height / factor, window.width / factor).
        """
        if window.width % factor or window.height % factor:
            raise ValueError(f"window {window} is not a multiple of factor {factor}")
        xy = output_grid(window, factor)
        sar_xy = xy if shift is None else xy + np.moveaxis(np.asarray(shift, np.float64), 0, -1)
        optical, optical_valid = self.sample_optical(xy, factor)
        sar, sar_valid = self.sample_sar(sar_xy, factor)
        return Patch(optical, sar, optical_valid * sar_valid)

    def sample_optical(self, xy: np.ndarray, spacing_px: float) -> tuple[np.ndarray, np.ndarray]:
        """Optical values at positions of the optical array grid.

        Args:
            xy: (h, w, 2), integers are pixel centres.
            spacing_px: distance of neighbouring positions; wider ones than a pixel are averaged, not aliased.

        Returns:
            (3, h, w) in [0, 1] and validity (h, w), both float32.
        """
        overview = self.optical_overview
        with open_raster(self.optical) as dataset:
            raw = _sample(dataset, _optical_bands(dataset), xy, spacing_px, overview.radiometry.darkest)
        valid = _sample_valid(overview.valid, xy, self.shape)
        values = overview.radiometry(raw)
        values = np.repeat(values, 3, axis=0) if len(values) == 1 else values
        return values * valid, valid

    def sample_sar(self, xy: np.ndarray, spacing_px: float) -> tuple[np.ndarray, np.ndarray]:
        """SAR values at positions (h, w, 2) of the *optical* array grid; as `sample_optical`, with (1, h, w) values."""
        sar_xy = self._sar_positions(xy)
        scale = float(np.sqrt(abs(np.linalg.det(self.sar_to_optical[:2, :2]))))
        overview = self.sar_overview
        with self.open_sar() as dataset:
            raw = _sample(dataset, [1], sar_xy, spacing_px / scale, overview.radiometry.darkest)
        valid = _sample_valid(overview.valid, sar_xy, self.sar_shape)
        return overview.radiometry(raw) * valid, valid

    def tiepoints(self, path: Path | None = None, read: pd.DataFrame | None = None) -> TiePoints:
        """Labels of the scene, or those of another file, which may have been `read` already; raises `InputError` where there are none or they are malformed."""
        path = path or self.tiepoints_csv
        if path is None:
            raise InputError(f"scene {self.name}: has no tie-point CSV; expected {self.aoi}_tiepoints_{self.name[3:]}.csv")
        table = read_tiepoint_csv(path) if read is None else whole_tiepoints(read, path)
        if table.empty:
            raise InputError(f"{path}: holds no tie-point; remove the file if the scene has no labels")
        with open_raster(self.tiepoint_sar or self.sar) as sar:
            _check_range(table, path, self.shape, (sar.height, sar.width))
            sar_matrix = geometry.matrix_from_gdal(sar.transform.to_gdal())
            geo = geometry.apply(sar_matrix, table[["sar_col", "sar_row"]].to_numpy(np.float64))
            geo = reproject_points(geo, sar.crs, self.crs)
        xy = table[["optical_col", "optical_row"]].to_numpy(np.float64)
        shift = geometry.shifts_from_positions(xy, geo, self.transform)
        return TiePoints(xy[:, 0], xy[:, 1], shift[:, 0], shift[:, 1])


def output_grid(window: Window, factor: int) -> np.ndarray:
    """(h, w, 2) positions, in the optical array grid, of the centres of the window's output pixels."""
    x = window.x + (np.arange(window.width // factor) + 0.5) * factor - 0.5
    y = window.y + (np.arange(window.height // factor) + 0.5) * factor - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1)


def reproject_points(points: np.ndarray, source_crs: object, target_crs: object) -> np.ndarray:
    """(N, 2) positions from one CRS to another; unchanged where they are equal."""
    if source_crs == target_crs or len(points) == 0:
        return points
    x, y = warp_points(source_crs, target_crs, points[:, 0].tolist(), points[:, 1].tolist())
    return np.column_stack([x, y])


def read_tiepoint_csv(path: Path) -> pd.DataFrame:
    """The tie-point table, int64, in file order. Raises `InputError` for a missing file, wrong columns, or values that are not whole numbers."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path of the tie-point CSV")
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: is not a readable CSV ({str(error).splitlines()[0]}); its header must be {','.join(TIEPOINT_COLUMNS)}"
        ) from error
    return whole_tiepoints(table, path)


def whole_tiepoints(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The tie-point columns of a table as int64. Raises `InputError`, which names the file, for wrong columns, or values that are not whole numbers."""
    missing = [column for column in TIEPOINT_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}; the header must be {','.join(TIEPOINT_COLUMNS)}")
    table = table[list(TIEPOINT_COLUMNS)].apply(pd.to_numeric, errors="coerce")
    bad = ~np.isfinite(table.to_numpy(np.float64)).all(axis=1) | (table.to_numpy(np.float64) % 1 != 0).any(axis=1)
    if bad.any():
        raise InputError(
            f"{path}: data row {int(np.flatnonzero(bad)[0]) + 1} holds a value that is not a whole number; tie-points are pixel indices"
        )
    return table.astype(np.int64)


def _check_range(table: pd.DataFrame, path: Path, optical_shape: tuple[int, int], sar_shape: tuple[int, int]) -> None:
    limits = {"optical_row": optical_shape[0], "optical_col": optical_shape[1], "sar_row": sar_shape[0], "sar_col": sar_shape[1]}
    for column, limit in limits.items():
        bad = (table[column] < 0) | (table[column] >= limit)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"{path}: {column} {int(table[column].iloc[row])} in data row {row + 1} is outside the image (0 to {limit - 1}); "
                "check that the CSV belongs to this pair"
            )


def open_pair(optical: Path, sar: Path, tiepoints_csv: Path | None = None, name: str | None = None, sar_bands: int | None = 1) -> ScenePair:
    """Open a pair and check its headers (`ScenePair.check` also reads the pixels).

    Args:
        sar_bands: how many bands the SAR image must have; None takes any.

    Raises:
        InputError: missing file, missing CRS, wrong band count, complex data, rotated optical image.
    """
    optical, sar = Path(optical), Path(sar)
    matrix, shape, crs, _, _ = _open_raster_checked(optical, "optical")
    sar_matrix, sar_shape, sar_crs, bands, _ = _open_raster_checked(sar, "SAR")
    if sar_bands is not None:
        _check_bands(sar, bands, sar_bands)
    if abs(matrix[0, 1]) + abs(matrix[1, 0]) > 1e-9 * (abs(matrix[0, 0]) + abs(matrix[1, 1])):
        raise InputError(
            f"{optical}: is rotated against its CRS; write it north up first, for example: gdalwarp {optical.name} north_up.tif"
        )
    original = sar_matrix
    rotated = abs(sar_matrix[0, 1]) + abs(sar_matrix[1, 0]) > 1e-9 * (abs(sar_matrix[0, 0]) + abs(sar_matrix[1, 1]))
    reproject = sar_crs != crs or rotated
    if reproject:
        with open_raster(sar) as dataset, _vrt(dataset, crs) as vrt:
            sar_matrix, sar_shape_read = geometry.matrix_from_gdal(vrt.transform.to_gdal()), (vrt.height, vrt.width)
    else:
        sar_shape_read = sar_shape
    parsed = _NAME.match(optical.name)
    return ScenePair(
        name=name or (f"{parsed['aoi']}_{parsed['rest']}" if parsed else optical.stem),
        aoi=parsed["aoi"] if parsed else optical.stem[:2],
        optical=optical,
        sar=sar,
        shape=shape,
        transform=matrix,
        sar_to_optical=np.linalg.inv(matrix) @ sar_matrix,
        centre_offset_px=_centre_offset(matrix, crs, original, sar_crs, sar_shape),
        crs=crs,
        sar_shape=sar_shape_read,
        reproject_sar=reproject,
        tiepoints_csv=Path(tiepoints_csv) if tiepoints_csv else None,
    )


def _centre_offset(matrix: Matrix, crs: object, sar_matrix: Matrix, sar_crs: object, sar_shape: tuple[int, int]) -> np.ndarray:
    """Half a SAR pixel, at the SAR image's centre, in optical px, less half an optical pixel."""
    centre = np.array([sar_shape[1] / 2, sar_shape[0] / 2])
    geo = reproject_points(geometry.apply(sar_matrix, np.stack([centre, centre + 0.5])), sar_crs, crs)
    optical = geometry.apply(np.linalg.inv(matrix), geo)
    return optical[1] - optical[0] - 0.5


@dataclass(frozen=True)
class SceneFiles:
    """The files of one SN9 name; a missing one is None."""

    name: str
    aoi: str
    optical: Path | None
    sar: Path | None
    tiepoints: Path | None

    def open(self) -> ScenePair:
        """Open the pair. Raises `InputError` where half of it is missing, or as `open_pair`."""
        for kind, path in (("optical", self.optical), ("sar", self.sar)):
            if path is None:
                partner = self.optical or self.sar or self.tiepoints
                missing = f"{self.aoi}_{kind}_{self.name[3:]}.tif"
                raise InputError(f"{partner.parent}: {missing} is missing beside {partner.name}; add it or remove its partner")
        return open_pair(self.optical, self.sar, self.tiepoints, name=self.name)


def find_scenes(folder: Path, split: str | None = None) -> list[SceneFiles]:
    """Every SN9 name below a folder (also one level down, as the archives unpack), whole or not, sorted; opens no file.

    Args:
        folder: holds ``AA_optical_NAME.tif``, ``AA_sar_NAME.tif`` and, for labelled scenes, ``AA_tiepoints_NAME.csv``.
        split: keep only names that begin so (``train``, ``publictest``, ``privatetest``).

    Raises:
        InputError: no folder, or no such name in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; pass the folder that holds AA_optical_NAME.tif and AA_sar_NAME.tif")
    files: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        parsed = _NAME.match(path.name)
        if parsed and path.is_file() and (parsed["kind"].lower() == "tiepoints") == (parsed["suffix"].lower() == "csv"):
            files.setdefault((parsed["aoi"], parsed["rest"]), {}).setdefault(parsed["kind"].lower(), path)
    scenes = [
        SceneFiles(f"{aoi}_{rest}", aoi, kinds.get("optical"), kinds.get("sar"), kinds.get("tiepoints"))
        for (aoi, rest), kinds in sorted(files.items())
        if split is None or rest.startswith(split)
    ]
    if not scenes:
        what = f"{split} pair" if split else "pair"
        raise InputError(f"{folder}: holds no {what}; files must be named AA_optical_NAME.tif and AA_sar_NAME.tif, AA being two digits")
    return scenes


def discover(folder: Path, split: str | None = None) -> list[ScenePair]:
    """Every SN9-named pair below a folder, opened; arguments and errors as `find_scenes` and `SceneFiles.open`."""
    return [files.open() for files in find_scenes(folder, split)]


def without_labels(pair: ScenePair) -> ScenePair:
    """The pair as a prediction sees it."""
    return replace(pair, tiepoints_csv=None)


def _vrt(dataset: rasterio.io.DatasetReader, crs: object) -> WarpedVRT:
    nodata = dataset.nodata if dataset.nodata is not None else 0
    return WarpedVRT(dataset, crs=crs, resampling=Resampling.bilinear, src_nodata=dataset.nodata, nodata=nodata)


def _optical_bands(dataset: rasterio.io.DatasetReader) -> list[int]:
    """The first three bands, or the first one of a grey image (a second band is then its alpha)."""
    return [1, 2, 3] if dataset.count >= 3 else [1]


def _has_data(block: np.ndarray, nodata: float | None) -> np.ndarray:
    """(h, w) bool: finite in every band, and neither nodata nor zero in all of them."""
    finite = np.isfinite(block).all(axis=0) if block.dtype.kind == "f" else np.ones(block.shape[1:], bool)
    empty = (block == 0).all(axis=0)
    if nodata is not None and np.isfinite(nodata):
        empty |= (block == nodata).all(axis=0)
    return finite & ~empty


def _overview(dataset: rasterio.io.DatasetReader, bands: list[int], log: bool, percentiles: tuple[float, float]) -> Overview:
    cell = OVERVIEW_CELL
    height, width = dataset.shape
    valid = np.zeros((-(-height // cell), -(-width // cell)), dtype=bool)
    samples = []
    stride = max(1, int(np.sqrt(height * width / 4e6)))
    for top in range(0, height, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, height - top)
        block = dataset.read(bands, window=RasterWindow(0, top, width, rows))
        data = _has_data(block, dataset.nodata)
        padded = np.zeros((-(-rows // cell) * cell, valid.shape[1] * cell), dtype=bool)
        padded[:rows, :width] = data
        cells = padded.reshape(padded.shape[0] // cell, cell, -1, cell).any(axis=(1, 3))
        valid[top // cell : top // cell + len(cells)] = cells
        samples.append(block[:, ::stride, ::stride][:, data[::stride, ::stride]].astype(np.float32).ravel())
    sample = np.concatenate(samples)
    if len(sample) == 0:
        return Overview(valid, Radiometry(0.0, 1.0, False))
    decibel = log and float(np.percentile(sample, 2)) < 0
    return Overview(valid, Radiometry.of_sample(sample, log and not decibel, percentiles))


def _sample_valid(overview: np.ndarray, xy: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """1 inside the image and inside a valid overview cell, (h, w) float32; `xy` are array coordinates of the full image."""
    x, y = xy[..., 0] + 0.5, xy[..., 1] + 0.5
    inside = (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
    column = np.clip(x * (1 / OVERVIEW_CELL), 0, overview.shape[1] - 1).astype(np.int32)
    row = np.clip(y * (1 / OVERVIEW_CELL), 0, overview.shape[0] - 1).astype(np.int32)
    return (inside & overview[row, column]).astype(np.float32)


def _sample(dataset: rasterio.io.DatasetReader, bands: list[int], xy: np.ndarray, spacing_px: float, fill: float) -> np.ndarray:
    """Raw values (bands, h, w) float32 at array positions xy (h, w, 2), averaged over whole pixels where the spacing is wide.

    `fill` takes the place of nodata, and of what lies outside.
    """
    step = max(1, int(spacing_px + 1e-6))
    (left, right), (top, bottom) = (_span(xy[..., axis], step, size) for axis, size in ((0, dataset.width), (1, dataset.height)))
    if right <= left or bottom <= top:
        return np.full((len(bands), *xy.shape[:2]), fill, dtype=np.float32)
    block = dataset.read(bands, window=RasterWindow(left, top, right - left, bottom - top))
    block = _average_down(block, step, dataset.nodata, fill)
    column, row = (((xy[..., axis] + (0.5 - start)) / step - 0.5).astype(np.float32) for axis, start in ((0, left), (1, top)))
    return _remap(block, column, row)


def _span(position: np.ndarray, step: int, size: int) -> tuple[int, int]:
    """First pixel and one past the last one that bilinear samples of `step` px cells need along an axis of `size` px.

    The first one is a multiple of `step`, so that two windows average the same cells.
    """
    first = int(np.floor(position.min())) - 2 * step
    return max(0, first // step * step), min(size, int(np.ceil(position.max())) + 2 * step + 1)


def _remap(block: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Bilinear samples of (bands, H, W) at (h, w) positions; borders repeat. OpenCV rounds positions to 1/32 px."""
    limit = 32_000  # OpenCV indexes remap sources with 16 bits
    if max(block.shape[1:]) >= limit:
        raise ValueError(f"window of {block.shape[1:]} px is too large to resample at once")
    return np.stack([cv2.remap(band, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for band in block])


def _average_down(block: np.ndarray, step: int, nodata: float | None, fill: float) -> np.ndarray:
    """Mean over step x step pixels that carry data, float32 (bands, H, W), `fill` where none does."""
    values = block.astype(np.float32)
    weight = None
    if block.dtype.kind == "f" or (nodata is not None and nodata != 0):
        data = _has_data(block, nodata)
        weight = data.astype(np.float32)
        values = np.where(data, values, np.float32(fill))
    if step == 1:
        return values
    pooled = np.stack([_pool_mean(band, step) for band in values])
    if weight is None:
        return pooled
    share = _pool_mean(weight, step)
    return np.where(share > 0, fill + (pooled - fill) / np.maximum(share, 1e-6), fill).astype(np.float32)


def _pool_mean(band: np.ndarray, step: int) -> np.ndarray:
    height, width = band.shape
    bottom, right = -height % step, -width % step
    if bottom or right:
        band = cv2.copyMakeBorder(band, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return cv2.resize(band, (band.shape[1] // step, band.shape[0] // step), interpolation=cv2.INTER_AREA)
