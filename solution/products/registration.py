"""What a registration gives: the map, its error and its verdict, and what one does with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rasterio.crs import CRS

from solution.core import geometry
from solution.core.artefact import read_noted
from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.places import Place
from solution.data.frame import reproject_points
from solution.data.scene import ScenePair
from solution.field import candidates
from solution.field.rasters import tags_of
from solution.field.verdict import Verdict
from solution.products import picture as pictures
from solution.products.copying import copy
from solution.products.moving import move, places_of_sar
from solution.products.outputs import Outputs
from solution.products.windows import WindowedRaster, check_inside

if TYPE_CHECKING:
    import geopandas

_LONGITUDE_LATITUDE = CRS.from_epsg(4326)


@dataclass(frozen=True, eq=False)
class Registration:
    """The offset map of a pair of images, and what is known of it.

    Positions are (x, y) = (column, row) of the optical image in px; whole numbers are pixel centres. Shifts are those of
    the offset map, in optical px: the ground at optical index (x, y) appears in the SAR image at the geographic position
    of the optical index (x + dx, y + dy).

    Attributes:
        path: the offset map.
        report: what ``OFFSETS.report.json`` says.
    """

    path: Path
    report: Mapping
    _pair: ScenePair = field(repr=False)
    _place: Place = field(repr=False)

    @classmethod
    def of(cls, pair: ScenePair, path: Path, place: Place) -> Registration:
        """What a prediction of a pair left at `path`; `place` is a folder that is needed as long as this is."""
        return cls(Path(path), read_noted(Outputs.of(path).report), pair, place)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"Registration({self.report['scene']}: {self.verdict.line()}, {self._error()}, {width} x {height} px)"

    def _error(self) -> str:
        radius = self.verdict.radius_px
        if not np.isfinite(radius):
            return "error unknown"
        return f"error {radius:.1f} px ({radius * self._pair.gsd_m:.2f} m)"

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the optical image, and so of the map."""
        return self._pair.shape

    @cached_property
    def verdict(self) -> Verdict:
        """``word`` is ``ok``, ``weak`` or ``failed``, and ``ok`` whether it is the first; ``reasons`` say why it is not;
        ``radius_px`` is the error to be expected (NaN where nothing is known of it)."""
        return Verdict.of_facts(self.report)

    @cached_property
    def shift(self) -> WindowedRaster:
        """(H, W, 2) float32, (dx, dy) in optical px at every pixel, read when it is indexed: ``shift[y0:y1, x0:x1]``."""
        return WindowedRaster.of(self.path, True, self._place)

    @cached_property
    def sigma(self) -> WindowedRaster | None:
        """(H, W) float32, radius in optical px within which the true place lies with a probability of about 68 %, read as
        `shift`; None where nothing is known of the errors."""
        if "uncertainty" not in self.report["files"]:
            return None
        return WindowedRaster.of(self._outputs.sigma, False, self._place)

    @cached_property
    def tiepoints(self) -> geopandas.GeoDataFrame:
        """Every match that was proposed, in the CRS of the optical image: the columns of ``OFFSETS.candidates.parquet``,
        ``kept`` (whether the fit used it; ``outlier`` says why not), and as geometry the centre of its optical pixel."""
        import geopandas

        table = candidates.read(self._outputs.table)
        at = geometry.apply(self._pair.transform, table[["x", "y"]].to_numpy() + 0.5)
        points = geopandas.points_from_xy(*at.T, crs=self._pair.crs.to_wkt())
        return geopandas.GeoDataFrame(table.assign(kept=table["outlier"] == ""), geometry=points)

    def shift_at(self, x: float | np.ndarray, y: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shifts at positions of the optical image, bilinear between pixels.

        Args:
            x, y: column and row in px, numbers or arrays of one shape; within half a pixel of a pixel of the image.

        Returns:
            dx, dy in optical px, in that shape.

        Raises:
            InputError: a position outside the image.
        """
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        check_inside(x.ravel(), y.ravel(), self.shape, self._pair.optical)
        found = self.shift.at(x.ravel(), y.ravel())
        return found[:, 0].reshape(x.shape)[()], found[:, 1].reshape(x.shape)[()]

    def to_lonlat(
        self, x: float | np.ndarray, y: float | np.ndarray, image: str = "optical"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where the ground lies that pixels show, by the optical image's geocoding.

        Args:
            x, y: column and row in px, numbers or arrays of one shape.
            image: of which image they are. For ``optical`` the map plays no part; for ``sar`` (the file as it is, with its
                own pixels) the geocoding of the SAR image is mended by the map.

        Returns:
            Longitude and latitude in degrees (WGS 84), in that shape; NaN for a SAR pixel whose ground the optical image
            does not show.

        Raises:
            InputError: another name of an image.
        """
        if image not in ("optical", "sar"):
            raise InputError(f"image={image!r}: is neither 'optical' nor 'sar'")
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        xy = np.column_stack([x.ravel(), y.ravel()])
        if image == "sar":
            xy = places_of_sar(self._pair, self.shift, xy)
        degrees = np.full(xy.shape, np.nan)
        known = np.isfinite(xy).all(axis=1)
        at = geometry.apply(self._pair.transform, xy[known] + 0.5)
        degrees[known] = reproject_points(at, self._pair.crs, _LONGITUDE_LATITUDE)
        return degrees[:, 0].reshape(x.shape)[()], degrees[:, 1].reshape(x.shape)[()]

    def warp(self, raster: str | Path | None, out: str | Path, resampling: str = "bilinear") -> Path:
        """Move a raster that lies as the SAR image does (another band or polarisation, a product made of it) onto the
        optical grid, through the map.

        Args:
            raster: path of a raster of one band, geocoded as the SAR image is; any pixel size. None = the SAR image.
            out: Cloud-Optimized GeoTIFF in the raster's dtype, with its nodata value, or a mask where it has none.
            resampling: ``nearest`` (for classes), ``bilinear``, or ``average`` where its pixels are the finer ones.

        Returns:
            `out`.

        Raises:
            InputError: an unreadable raster, more than one band, or a place that cannot be written to.
        """
        source = Path(raster) if raster is not None else self._pair.sar
        return move(self._pair, self.shift, source, Path(out), resampling, tags_of(self.report))

    def picture(self, out: str | Path, window: tuple[int, int, int, int] | None = None) -> Path:
        """Draw the result: optical, SAR before and after as a chequerboard, and the map.

        Args:
            out: PNG or JPEG.
            window: (x, y, width, height) in px; None = all.

        Returns:
            `out`.

        Raises:
            InputError: a window outside the image, or a place that cannot be written to.
        """
        pictures.draw(self._pair, self.path, Path(out), Window(*window) if window else None)
        return Path(out)

    def write(self, out: str | Path) -> Path:
        """Write map, candidates, report, sigma, and the moved SAR image where it was asked for, as ``predict`` does.

        Args:
            out: path of the offset map, beside which the others go.

        Returns:
            `out`.

        Raises:
            InputError: a place that cannot be written to, or a file that is gone or changed since.
        """
        return copy(self._outputs, self.report, Path(out), self._pair.files())

    @property
    def _outputs(self) -> Outputs:
        return Outputs.of(self.path)
