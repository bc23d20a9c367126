"""Polygons that say what the surface is: shapefiles read, their classes understood, and looked up at points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import shapely
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from solution.core.errors import InputError

ATTRIBUTES = ("poly_type", "class", "label")
"""Where the class is looked for when nobody says; the first one is that of ice charts in SIGRID-3."""
UNLABELLED = -1
_MEANINGS = {
    0: ("w", "water", "sea", "open water", "ocean"),
    1: ("i", "ice", "sea ice"),
    2: ("l", "land"),
}
_CLASS_OF = {word: number for number, words in _MEANINGS.items() for word in words}


def find_shapefiles(place: Path) -> list[Path]:
    """A shapefile (or any file that OGR reads) itself, or the ``*.shp`` of a folder in order of their names."""
    place = Path(place)
    if place.is_file():
        return [place]
    found = sorted(path for path in place.glob("*") if path.suffix.lower() == ".shp") if place.is_dir() else []
    if not found:
        raise InputError(f"{place}: is no shapefile and no folder that holds *.shp; check the path")
    return found


def read_polygons(path: Path, attribute: str | None = None, ignore: Sequence[str] = ()) -> geopandas.GeoDataFrame:
    """Polygons with their class, 0 to 2, in the column ``surface``.

    Args:
        attribute: column of the class, in any case; default: the first of `ATTRIBUTES` that is there.
        ignore: values of the class to leave out, in any case.

    Raises:
        InputError: unreadable, empty, without CRS, without the attribute, or with a class that
            is none of water, ice and land.
    """
    try:
        table = geopandas.read_file(path, engine="pyogrio")
    except (DataSourceError, DataLayerError, FeatureError, OSError) as error:
        raise InputError(
            f"{path}: is not a readable shapefile ({str(error).splitlines()[0][:160]}); copy it again, with .shx, .dbf and .prj"
        ) from error
    if not isinstance(table, geopandas.GeoDataFrame) or table.empty:
        raise InputError(f"{path}: holds no polygons; choose another shapefile")
    if table.crs is None:
        raise InputError(
            f"{path}: has no coordinate system (CRS); put its .prj file beside it, or assign one with: ogr2ogr -a_srs"
        )
    column = _attribute(path, table, attribute)
    words = table[column].astype(str).str.strip().str.lower()
    left_out = words.isin([value.strip().lower() for value in ignore])
    classes = words.map(_CLASS_OF)
    unknown = sorted(set(table[column].astype(str)[classes.isna() & ~left_out]))
    if unknown:
        raise InputError(
            f"{path}: attribute {column!r} holds {_listed(unknown)}, and classes are water (W, sea), ice (I) and land (L);"
            " pass --attribute for another column, or --ignore VALUE to leave polygons out"
        )
    kept = table.loc[~left_out, ["geometry"]].assign(surface=classes[~left_out].astype(int))
    return kept[kept.geometry.notna() & ~kept.geometry.is_empty]


def classes_at(polygons: geopandas.GeoDataFrame, east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """(N,) int8 class at points of the polygons' CRS; `UNLABELLED` outside all, and where polygons
    of different classes overlap."""
    points = shapely.points(east, north)
    # The tree holds the points, because shapely prepares the geometries that are asked about, and polygons of ice
    # charts are intricate.
    polygon, point = shapely.STRtree(points).query(polygons.geometry.to_numpy(), predicate="intersects")
    surface = polygons["surface"].to_numpy()[polygon]
    lowest, highest = np.full(len(points), 127, np.int8), np.full(len(points), UNLABELLED, np.int8)
    np.minimum.at(lowest, point, surface.astype(np.int8))
    np.maximum.at(highest, point, surface.astype(np.int8))
    return np.where(lowest == highest, highest, UNLABELLED).astype(np.int8)


def _attribute(path: Path, table: geopandas.GeoDataFrame, attribute: str | None) -> str:
    present = {str(name).lower(): str(name) for name in table.columns if name != table.geometry.name}
    for name in ATTRIBUTES if attribute is None else (attribute,):
        if name.lower() in present:
            return present[name.lower()]
    wanted = f"attribute {attribute!r}" if attribute else f"attribute for the class ({', '.join(ATTRIBUTES)})"
    raise InputError(f"{path}: has no {wanted}; it has {_listed(sorted(present.values()))}: pass one to --attribute")


def _listed(values: Sequence[str], most: int = 12) -> str:
    return (", ".join(values[:most]) + (", ..." if len(values) > most else "")) or "none"
