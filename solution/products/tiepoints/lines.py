"""Tie-points as lines from their place in the optical image to that in the SAR image, with all that is known of them:
GeoPackage in the CRS of the scene, GeoJSON (RFC 7946) in longitude and latitude."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from rasterio.crs import CRS

from solution.core.errors import InputError
from solution.core.writing import atomic_path
from solution.data.ends import Ends
from solution.data.frame import reproject_points
from solution.data.scene import ScenePair
from solution.data.vectors import LAYER

_DECIMALS = 9
"""Of GeoJSON's degrees: a tenth of a millimetre."""
_ATTRIBUTE_DECIMALS = 6
_ROWS = 20_000
"""That are held as geometries at a time."""
_DATED = "2000-01-01T00:00:00.000Z"
"""A GeoPackage notes when it was written; equal tie-points shall give equal bytes."""
_GEOMETRY = "geom"
_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("kept", pa.bool_()),
        ("reason", pa.string()),
        *((name, pa.float64()) for name in ("confidence", "quality", "sigma_px", "cycle_px", "x", "y", "dx", "dy")),
        ("sar_col", pa.float64()),
        ("sar_row", pa.float64()),
        pa.field(_GEOMETRY, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"}),
    ]
)


def write_geopackage(path: Path, pair: ScenePair, ends: Ends, table: pd.DataFrame) -> None:
    """Write a GeoPackage whole or not at all; equal tie-points give equal bytes. Raises `InputError` where the disk
    refuses it."""
    _write(path, "GPKG", pair.crs, pair, ends, table, {})


def write_geojson(path: Path, pair: ScenePair, ends: Ends, table: pd.DataFrame) -> None:
    """Write a GeoJSON whole or not at all. Raises `InputError` where the disk refuses it."""
    options = {"RFC7946": "YES", "COORDINATE_PRECISION": str(_DECIMALS)}
    _write(path, "GeoJSON", CRS.from_epsg(4326), pair, ends, table, options)


def _write(
    path: Path, driver: str, crs: CRS, pair: ScenePair, ends: Ends, table: pd.DataFrame, options: dict[str, str]
) -> None:
    import pyogrio

    failed: list[BaseException] = []
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    with atomic_path(path) as temporary:
        try:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _DATED})
            batches = pa.RecordBatchReader.from_batches(_SCHEMA, _noted(_batches(pair, crs, ends, table), failed))
            pyogrio.write_arrow(
                batches,
                temporary,
                layer=LAYER,
                driver=driver,
                crs=crs.to_wkt(),
                geometry_name=_GEOMETRY,
                geometry_type="LineString",
                layer_options=options,
            )
        except RuntimeError as error:
            if failed:
                raise failed[0] from None
            raise _refused(path, str(error).splitlines()[0].rpartition(": ")[2][:80]) from error
        finally:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
        # What fails at the close, GDAL keeps to itself
        if not (_is_indexed(temporary, len(table)) if driver == "GPKG" else _is_closed(temporary)):
            raise _refused(path, "its end is missing")


def _refused(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: cannot be written ({reason}); free some room, or choose another place for it")


def _is_indexed(path: Path, count: int) -> bool:
    """Whether a GeoPackage has its spatial index, which is written last."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        try:
            return database.execute(f"SELECT COUNT(*) FROM rtree_{LAYER}_{_GEOMETRY}").fetchone() == (count,)
        except sqlite3.Error:
            return False


def _is_closed(path: Path) -> bool:
    """Whether a GeoJSON has its last bracket."""
    with path.open("rb") as file:
        file.seek(-min(8, path.stat().st_size), os.SEEK_END)
        return file.read().endswith(b"]\n}\n")


def _noted(batches: Iterator[pa.RecordBatch], failed: list[BaseException]) -> Iterator[pa.RecordBatch]:
    """The batches; what goes wrong while they are made, or stops the program, is noted, for GDAL takes it for an error of
    its own."""
    try:
        yield from batches
    except BaseException as error:
        failed.append(error)
        raise


def _batches(pair: ScenePair, crs: CRS, ends: Ends, table: pd.DataFrame) -> Iterator[pa.RecordBatch]:
    """The rows, and lines in a CRS, a few at a time."""
    import shapely

    for start in range(0, len(table), _ROWS):
        part = slice(start, start + _ROWS)
        rows = table.iloc[part]
        places = [reproject_points(at[part], pair.crs, crs) for at in (ends.optical_at, ends.sar_on_map)]
        columns = {
            "source": rows["source"].to_numpy(),
            "kept": (rows["outlier"] == "").to_numpy(),
            "reason": rows["outlier"].to_numpy(),
            "sar_col": ends.sar[part, 0].round(_ATTRIBUTE_DECIMALS),
            "sar_row": ends.sar[part, 1].round(_ATTRIBUTE_DECIMALS),
            _GEOMETRY: shapely.to_wkb(shapely.linestrings(np.stack(places, axis=1))),
        }
        for name in _SCHEMA.names:
            if name not in columns:
                columns[name] = rows[name].to_numpy().round(_ATTRIBUTE_DECIMALS)
        arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in _SCHEMA]
        yield pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
