"""A STAC Item of an offset map, so that catalogues find it: https://github.com/radiantearth/stac-spec, version 1.1.

Extensions: projection 2.0 (https://github.com/stac-extensions/projection), processing 1.2
(https://github.com/stac-extensions/processing), and, where something is known of the errors, accuracy 1.0.0-beta.1
(https://github.com/stac-extensions/accuracy). What is this program's own stands in fields that begin with
``registration:``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rasterio.warp import transform_geom

from solution import __version__
from solution.core import geometry
from solution.core.artefact import read_noted
from solution.core.writing import write_text
from solution.data.opening import open_raster
from solution.data.scene import ScenePair
from solution.field.rasters import COG
from solution.field.robust import RADIUS_68

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
ACCURACY = "https://stac-extensions.github.io/accuracy/v1.0.0-beta.1/schema.json"
SOFTWARE = "SAR-to-optical registration"
"""What ``processing:software`` calls this program."""

_KEY = "registration:key"
_DEGREES = "EPSG:4326"
_DECIMALS = 7  # of degrees: a centimetre
_PARTS = 8  # of each side of the image, whose sides are bent in degrees
_HALF_TURN = 180.0
_FIRST_YEAR = 1970  # earlier ones stand in tags that nobody filled in
_TAGS = (
    ("IMAGERY", "ACQUISITIONDATETIME", None),
    (None, "ACQUISITIONDATETIME", None),
    (None, "TIFFTAG_DATETIME", "%Y:%m:%d %H:%M:%S"),
)
"""GDAL's domain, the tag in it, and the format of the time, None for ISO 8601; the first that holds one counts."""
_PLAIN = "image/tiff; application=geotiff"
_COG = f"{_PLAIN}; profile=cloud-optimized"
_ASSETS = {
    "map": (
        _COG,
        ["data"],
        "Offset map: optical to SAR, +x right, +y down, optical pixels",
    ),
    "uncertainty": (
        _COG,
        ["data"],
        "Radius within which the true place lies with a probability of 68 %, optical pixels",
    ),
    "warped_sar": (_COG, ["data"], "SAR image on the optical grid"),
    "gcps": ("application/xml", ["data"], "SAR image with ground control points, a GDAL VRT"),
    "tiepoints_gpkg": ("application/geopackage+sqlite3", ["metadata"], "Tie-points as lines"),
    "tiepoints_geojson": ("application/geo+json", ["metadata"], "Tie-points as lines"),
    "candidates": ("application/vnd.apache.parquet", ["metadata"], "Every match that was proposed"),
    "report": ("application/json", ["metadata"], "Verdict, and what led to it"),
}
_BANDS = {"map": ("dx", "dy"), "uncertainty": ("sigma_px",)}


def write_item(path: Path, pair: ScenePair, report: Mapping) -> None:
    """Write the Item of a map beside it. Raises `InputError` where the disk refuses it.

    Args:
        path: ``NAME.stac.json``.
        report: what ``NAME.report.json`` holds.
    """
    write_text(path, json.dumps(item(path, pair, report), indent=1) + "\n")


def describes(path: Path, key: object) -> bool:
    """Whether there is an Item at a path, whole, of the prediction with this key."""
    properties = read_noted(path).get("properties")
    return isinstance(properties, dict) and properties.get(_KEY) == key


def item(path: Path, pair: ScenePair, report: Mapping) -> dict:
    """The Item as JSON holds it: what it says follows from the pair and the report alone.

    ``datetime`` is the optical image's time of acquisition, where a tag says one, and the time of writing otherwise;
    ``registration:datetime_source`` says which.

    Args:
        path: where it will lie; its Assets are named relative to that.
        report: of the map.
    """
    import pystac

    written = datetime.fromisoformat(report["run"]["written_at"])
    acquired, source = _acquired(pair.optical)
    accuracy = _accuracy(report)
    footprint, bbox = _footprint(pair)
    made = pystac.Item(
        id=path.name.removesuffix(".stac.json"),
        geometry=footprint,
        bbox=bbox,
        datetime=acquired or written,
        properties={
            **_about(report),
            "registration:datetime_source": source,
            "created": _text(written),
            "proj:code": _code(pair.crs),
            **_processing(report, written),
            **accuracy,
        },
        stac_extensions=[PROJECTION, PROCESSING, *([ACCURACY] if accuracy else [])],
    )
    names = {**{kind: facts["name"] for kind, facts in report["files"].items()}, "report": _report_name(path)}
    for kind, (media, roles, title) in _ASSETS.items():
        if kind in names:
            grid = _grid(pair) if media == _COG else {}
            if kind == "map" and report.get("layout") != COG:
                media = _PLAIN
            made.add_asset(kind, pystac.Asset(f"./{names[kind]}", title, None, media, roles, {**_bands(kind), **grid}))
    return made.to_dict(include_self_link=False, transform_hrefs=False)


def _about(report: Mapping) -> dict:
    """What is this program's own."""
    images = {
        f"registration:{kind}": {name: facts[name] for name in ("name", "sha256") if name in facts}
        or {"name": Path(facts["path"]).name}
        for kind, facts in report["inputs"].items()
    }
    return {
        "title": f"Offset map of {report['scene']}",
        "description": "How far, for every optical pixel, the same ground lies away in the SAR image.",
        "gsd": report["gsd_m"],
        "registration:verdict": report["verdict"],
        "registration:reasons": report["reasons"],
        "registration:radius_68_px": report["radius_68_px"],
        "registration:support": report["support"],
        "registration:fit": report["fit"],
        _KEY: report["key"],
        **images,
    }


def _processing(report: Mapping, written: datetime) -> dict:
    version = report["run"].get("version", __version__)
    return {
        "processing:datetime": _text(written),
        "processing:version": version,
        "processing:software": {SOFTWARE: version},
        "processing:lineage": "Matches between both images, a robust fit to them, and a piecewise-affine offset map.",
    }


def _accuracy(report: Mapping) -> dict:
    """In metres: what the 68 % radius, the median over the map, says of isotropic normal errors; nothing where nothing
    is known of them."""
    if report["radius_68_px"] is None:
        return {}
    per_axis_m = report["radius_68_px"] * report["gsd_m"] / RADIUS_68
    return {
        "accuracy:geometric_x_stddev": round(per_axis_m, 4),
        "accuracy:geometric_y_stddev": round(per_axis_m, 4),
        "accuracy:geometric_rmse": round(math.sqrt(2) * per_axis_m, 4),
    }


def _acquired(optical: Path) -> tuple[datetime | None, str]:
    """When the optical image was taken, as far as its tags say so, and where that stands."""
    with open_raster(optical) as dataset:
        for domain, tag, layout in _TAGS:
            found = _moment(dataset.tags(ns=domain).get(tag, ""), layout)
            if found is not None:
                return found, f"tag {tag} of the optical image"
    return None, "time of writing, for no tag of the optical image says when it was taken"


def _moment(text: str, layout: str | None) -> datetime | None:
    """A time in UTC; None where the text is none."""
    try:
        found = datetime.fromisoformat(text.strip()) if layout is None else datetime.strptime(text.strip(), layout)
    except ValueError:
        return None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found if found.year >= _FIRST_YEAR else None


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _code(crs: object) -> str | None:
    authority = crs.to_authority()
    return ":".join(authority) if authority else None


def _grid(pair: ScenePair) -> dict:
    """Where the rasters lie."""
    height, width = pair.shape
    ends = geometry.apply(pair.transform, np.array([[0, 0], [width, height]]))
    code = _code(pair.crs)
    return {
        "proj:code": code,
        **({} if code else {"proj:wkt2": pair.crs.to_wkt(version="WKT2_2019")}),
        "proj:shape": [height, width],
        "proj:transform": pair.transform[:2].ravel().tolist(),
        "proj:bbox": [*ends.min(axis=0).tolist(), *ends.max(axis=0).tolist()],
    }


def _bands(kind: str) -> dict:
    names = _BANDS.get(kind)
    return {"bands": [{"name": name, "data_type": "float32", "unit": "pixel"} for name in names]} if names else {}


def _footprint(pair: ScenePair) -> tuple[dict, list[float]]:
    """The optical image's outline as GeoJSON (RFC 7946: degrees, counter-clockwise, cut where it crosses longitude
    180), and its bounding box, whose west is greater than its east in that case."""
    height, width = pair.shape
    corners = np.array([[0, height], [width, height], [width, 0], [0, 0]], np.float64)
    steps = np.arange(_PARTS)[:, None] / _PARTS
    sides = [start + steps * (end - start) for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    ring = geometry.apply(pair.transform, np.concatenate([*sides, corners[:1]]))
    outline = {"type": "Polygon", "coordinates": [ring.tolist()]}
    found = transform_geom(pair.crs, _DEGREES, outline, antimeridian_cutting=True, precision=_DECIMALS)
    cut = found["type"] == "MultiPolygon"
    rings = [_counter_clockwise(part[0]) for part in (found["coordinates"] if cut else [found["coordinates"]])]
    parts = [[one.tolist()] for one in rings]
    return {"type": found["type"], "coordinates": parts if cut else parts[0]}, _box(rings)


def _box(rings: list[np.ndarray]) -> list[float]:
    """West, south, east, north of (N, 2) outlines in degrees."""
    low, high = np.array([ring.min(axis=0) for ring in rings]), np.array([ring.max(axis=0) for ring in rings])
    west, east = low[:, 0].min(), high[:, 0].max()
    if len(rings) > 1 and high[:, 0].max() == _HALF_TURN and low[:, 0].min() == -_HALF_TURN:
        west, east = low[low[:, 0] > 0, 0].min(), high[high[:, 0] < 0, 0].max()
    return [float(west), float(low[:, 1].min()), float(east), float(high[:, 1].max())]


def _counter_clockwise(ring: object) -> np.ndarray:
    """(N, 2) of a closed outline."""
    points = np.array(ring)[:, :2]
    x, y = points.T
    return points if np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0 else points[::-1]


def _report_name(path: Path) -> str:
    return path.name.removesuffix(".stac.json") + ".report.json"
