"""The map in GDAL's own words: a VRT of the SAR image with ground control points (GCPs), which `gdalwarp -tps` turns into
the moved SAR image without this program.

A GCP says that a place of the SAR image, in its px from the corner of the first one, shows the ground at a position of the
optical CRS. Between them GDAL's thin-plate spline bends less than the map does. So there are as many as it takes to stay
near the map, up to `MOST`, and how near that is stands in the VRT.

The format is that of https://gdal.org/drivers/raster/vrt.html.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio

from solution.core import geometry
from solution.core.errors import InputError
from solution.core.names import is_utf8
from solution.core.outputs import VRTS, check_suffix
from solution.core.writing import write_bytes
from solution.data.frame import crs_of, indices, reproject_points
from solution.data.opening import located, open_raster
from solution.data.scene import ScenePair
from solution.data.validity import has_mask
from solution.field.shiftfield import Fit

MOST = 5000
"""GCPs; a thin-plate spline takes the square of their number in memory, and its cube in time."""
MEANING = (
    "SAR image with GCPs: SAR pixel and line, and the position in the optical CRS where the same ground lies; "
    "for gdalwarp -tps"
)
_COUNTS = (144, 600, 2000, MOST)  # tried in turn
_NEAR_PX = 0.5  # of the map, at the worst of the places that are looked at: enough
_PLACES = 2500  # at which the spline is held against the map
_DTYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
}
"""GDAL's names."""


@dataclass(frozen=True)
class ControlPoints:
    """GCPs of a fit.

    Attributes:
        pixel: (N, 2) columns and rows of the SAR image, px from the outer corner of its first pixel.
        position: (N, 2) in the optical CRS.
        worst_px: largest distance of their spline to the map at `_PLACES` places, optical px.
    """

    pixel: np.ndarray
    position: np.ndarray
    worst_px: float

    def line(self, path: Path) -> str:
        """One line for people."""
        return (
            f"{path}: {len(self.pixel)} GCPs, whose thin-plate spline stays within {self.worst_px:.2f} px of the map "
            f"(at {_PLACES} places)"
        )


def check(path: Path | None, pair: ScenePair) -> None:
    """Raise `InputError` where a VRT of the pair's SAR image cannot be written there under that name."""
    check_suffix(path, VRTS, "the VRT with GCPs")
    if path is not None and not is_utf8(str(pair.sar.absolute())):
        raise InputError(f"{pair.sar}: its name is not UTF-8, which no VRT can hold; rename it, or leave --gcps out")


def control_points(fit: Fit, pair: ScenePair) -> ControlPoints:
    """As few GCPs, spread evenly over the ground that both images show, as keep the spline near the map."""
    from scipy.interpolate import RBFInterpolator  # not above: predictions write GCPs on request only

    area = _shared(fit, pair)
    places = _lattice(area, _PLACES)
    seen, position = _ends(fit, pair, places)
    for count in _COUNTS:
        xy = _lattice(area, count)
        pixel, at = _ends(fit, pair, xy)
        middle, size = at.mean(axis=0), np.ptp(at, axis=0).max()
        spline = RBFInterpolator((at - middle) / size, pixel, kernel="thin_plate_spline")
        off = np.hypot(*(spline((position - middle) / size) - seen).T) * pair.sar_pixel_px
        if off.max() <= _NEAR_PX:
            break
    return ControlPoints(pixel, at, float(off.max()))


def write_vrt(
    path: Path, points: ControlPoints, pair: ScenePair, resampling: str, tags: Mapping[str, str] | None = None
) -> None:
    """Write the SAR image with GCPs in place of its geocoding: a VRT, whose metadata hold the command that warps it.

    It names the SAR image relative to itself, but for one in an archive.

    Args:
        resampling: that the command is to use.
        tags: metadata beside these.

    Raises:
        InputError: the disk refuses it, or `check` does.
    """
    check(path, pair)
    told = {
        **(tags or {}),
        "MEANING": MEANING,
        "GCPS_WITHIN_PX": f"{points.worst_px:.2f}",
        "COMMAND": _command(path, pair, resampling),
    }
    with open_raster(pair.sar) as dataset, pair.open_sar() as seen:
        nodata = seen.nodata if dataset.nodata is None and not pair.reproject_sar else dataset.nodata
        root = _document(dataset, nodata, _source(path, pair.sar), told)
    root.insert(1, _gcp_list(points, pair.crs))
    ElementTree.indent(root)
    write_bytes(path, ElementTree.tostring(root, encoding="utf-8"))


def _shared(fit: Fit, pair: ScenePair) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the optical array grid, from corner to corner, where the SAR image can show ground."""
    height, width = pair.sar_shape
    corners = geometry.apply(pair.sar_to_optical, np.array([[0, 0], [width, 0], [0, height], [width, height]]))
    frame = (0.0, 0.0, float(pair.shape[1]), float(pair.shape[0]))
    farthest = np.abs(fit.shift_at(_lattice(frame, _PLACES)) + pair.centre_offset_px).max(axis=0)
    low = np.maximum(corners.min(axis=0) - farthest, 0.0)
    high = np.minimum(corners.max(axis=0) + farthest, frame[2:])
    return (*low.tolist(), *high.tolist()) if (low < high).all() else frame


def _lattice(area: tuple[float, float, float, float], count: int) -> np.ndarray:
    """(N, 2) whole indices, at most `count`, that spread evenly over an area, its borders included."""
    left, top, right, bottom = area
    columns = int(np.clip(np.sqrt(count * (right - left) / (bottom - top)), 2, count // 2))
    x = np.unique(np.floor(np.linspace(left, right - 1, columns)))
    y = np.unique(np.floor(np.linspace(top, bottom - 1, count // columns)))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _positions(pair: ScenePair, xy: np.ndarray) -> np.ndarray:
    """(N, 2) where the centres of optical pixels (N, 2) lie in the optical CRS."""
    return geometry.apply(pair.transform, xy + 0.5)


def _ends(fit: Fit, pair: ScenePair, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the optical pixels (N, 2) whose ground the SAR image shows at a known place: its pixels, and the positions."""
    pixel, position = _pixels(fit, pair, xy), _positions(pair, xy)
    known = np.isfinite(pixel).all(axis=1)
    return pixel[known], position[known]


def _pixels(fit: Fit, pair: ScenePair, xy: np.ndarray) -> np.ndarray:
    """(N, 2) where the SAR image shows the ground at the centres of optical pixels (N, 2), in its px from its corner."""
    seen = _positions(pair, xy + fit.shift_at(xy) + pair.centre_offset_px)
    with open_raster(pair.sar) as dataset:
        return indices(dataset, reproject_points(seen, pair.crs, crs_of(dataset)))


def _document(
    dataset: rasterio.io.DatasetReader, nodata: float | None, source: tuple[str, bool], tags: Mapping[str, str]
) -> ElementTree.Element:
    """A VRT of the first band of a raster, with its mask, where it has one, and nothing that says where it lies."""
    root = ElementTree.Element("VRTDataset", rasterXSize=str(dataset.width), rasterYSize=str(dataset.height))
    metadata = ElementTree.SubElement(root, "Metadata")
    for key, value in tags.items():
        ElementTree.SubElement(metadata, "MDI", key=key).text = value
    band = ElementTree.SubElement(root, "VRTRasterBand", dataType=_DTYPES[dataset.dtypes[0]], band="1")
    if nodata is not None:
        ElementTree.SubElement(band, "NoDataValue").text = repr(float(nodata))
    _add_source(band, source, "1")
    if has_mask(dataset):
        mask = ElementTree.SubElement(ElementTree.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
        _add_source(mask, source, "mask,1")
    return root


def _add_source(band: ElementTree.Element, source: tuple[str, bool], number: str) -> None:
    simple = ElementTree.SubElement(band, "SimpleSource")
    name, relative = source
    ElementTree.SubElement(simple, "SourceFilename", relativeToVRT=str(int(relative))).text = name
    ElementTree.SubElement(simple, "SourceBand").text = number


def _gcp_list(points: ControlPoints, crs: object) -> ElementTree.Element:
    listed = ElementTree.Element("GCPList", Projection=crs.to_wkt())
    for number, ((pixel, line), (x, y)) in enumerate(zip(points.pixel, points.position, strict=True), 1):
        where = {"Pixel": f"{pixel:.5f}", "Line": f"{line:.5f}", "X": repr(float(x)), "Y": repr(float(y))}
        ElementTree.SubElement(listed, "GCP", Id=str(number), **where)
    return listed


def _source(path: Path, sar: Path) -> tuple[str, bool]:
    """How the VRT names the SAR image, and whether that is relative to itself."""
    name, file = located(sar)
    if file == Path(sar):
        return os.path.relpath(file.resolve(), Path(path).parent.resolve()), True
    return name.replace(str(file), str(file.absolute()), 1), False


def _command(path: Path, pair: ScenePair, resampling: str) -> str:
    height, width = pair.shape
    left, top, right, bottom = geometry.apply(pair.transform, np.array([[0, 0], [width, height]])).ravel().tolist()
    extent = f"-te {left!r} {bottom!r} {right!r} {top!r} -ts {width} {height}"
    names = shlex.join([Path(path).name, f"{Path(path).stem}.tif"])
    return f"gdalwarp -tps {extent} -r {resampling} {names}"
