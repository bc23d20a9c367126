"""The `Candidates` table: every proposer speaks in its rows, one row being "at (x, y) the shift is (dx, dy)".

Column      Type     Meaning
scene       str      SN9 scene name
fold        int64    the team that proposed the row
source      str      who proposed it, a plain lower-case identifier: a proposer's name, or `GIVEN`
tile        int64    number of the window that it came from; -1 where there is none
x, y        float64  optical index, px
dx, dy      float64  index shift, optical px (the package's convention page); an apparent shift must lose its centre offset first
confidence  float64  [0, 1]
sigma_px    float64  standard deviation that the proposer claims; NaN = unknown
cycle_px    float64  forward-backward error; NaN = not measured
error_px    float64  distance to the truth; NaN = no label
quality     float64  the reranker's probability; NaN = not ranked
outlier     str      '' or the reason why the fit set the row aside; rows are never deleted
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial import cKDTree

from solution.core.errors import InputError
from solution.core.writing import atomic_path
from solution.data.tiepoints import TiePoints

GIVEN = "given"
"""The source of tie-points that people bring along: each errs alone, unlike the matches of one window."""
SCHEMA = {
    "scene": "str",
    "fold": "int64",
    "source": "str",
    "tile": "int64",
    "x": "float64",
    "y": "float64",
    "dx": "float64",
    "dy": "float64",
    "confidence": "float64",
    "sigma_px": "float64",
    "cycle_px": "float64",
    "error_px": "float64",
    "quality": "float64",
    "outlier": "str",
}
_ARROW = pa.schema(
    [(name, {"str": pa.string(), "int64": pa.int64(), "float64": pa.float64()}[kind]) for name, kind in SCHEMA.items()]
)
_LABEL_NEIGHBOURS = 4
_SOURCE = re.compile(r"[a-z][a-z0-9_]*")


def empty() -> pd.DataFrame:
    """A table without rows, valid input everywhere."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in SCHEMA.items()})


def make(
    scene: str,
    fold: int,
    source: str,
    xy: np.ndarray,
    shift: np.ndarray,
    *,
    confidence: np.ndarray | float = 1.0,
    sigma_px: np.ndarray | float = np.nan,
    cycle_px: np.ndarray | float = np.nan,
    tile: np.ndarray | int = -1,
) -> pd.DataFrame:
    """A checked table of one source.

    Args:
        xy: (N, 2) optical indices.
        shift: (N, 2) index shifts in optical px.
        confidence, sigma_px, cycle_px, tile: (N,) or one value for all rows.

    Raises:
        InputError: a source that is no plain name, or a confidence outside [0, 1].
    """
    xy, shift = np.asarray(xy, np.float64).reshape(-1, 2), np.asarray(shift, np.float64).reshape(-1, 2)
    if len(xy) != len(shift):
        raise ValueError(f"{len(xy)} positions but {len(shift)} shifts")
    columns = {
        "scene": scene,
        "fold": fold,
        "source": source,
        "tile": tile,
        "x": xy[:, 0],
        "y": xy[:, 1],
        "dx": shift[:, 0],
        "dy": shift[:, 1],
        "confidence": confidence,
        "sigma_px": sigma_px,
        "cycle_px": cycle_px,
        "error_px": np.nan,
        "quality": np.nan,
        "outlier": "",
    }
    index = pd.RangeIndex(len(xy))
    return check(
        pd.DataFrame({name: pd.Series(value, index=index, dtype=SCHEMA[name]) for name, value in columns.items()})
    )


def check(table: pd.DataFrame, origin: str = "candidates") -> pd.DataFrame:
    """The table with its columns in order and of their types.

    Args:
        origin: what the message names, a path where there is one.

    Raises:
        InputError: missing or unknown columns, values of the wrong type, a source that is no plain name, a confidence
            outside [0, 1].
    """
    missing = [name for name in SCHEMA if name not in table.columns]
    unknown = [str(name) for name in table.columns if name not in SCHEMA]
    if missing or unknown:
        what = (
            f"lacks the column(s) {', '.join(missing)}"
            if missing
            else f"has the unknown column(s) {', '.join(unknown)}"
        )
        raise InputError(f"{origin}: {what}; a candidates table has exactly {', '.join(SCHEMA)}")
    try:
        table = table[list(SCHEMA)].astype(SCHEMA)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{origin}: a column holds values of the wrong type ({str(error).splitlines()[0]}); propose it again"
        ) from error
    strange = sorted(
        {str(source) for source in set(table["source"]) if not (isinstance(source, str) and _SOURCE.fullmatch(source))}
    )
    if strange:
        raise InputError(
            f"{origin}: source {strange[0]!r} is no plain name; begin it with a lower-case letter and use only a to z, 0 to 9 and _"
        )
    confidence = table["confidence"].to_numpy()
    wrong = (confidence < 0) | (confidence > 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{origin}: confidence {confidence[row]:g} in row {row} is outside [0, 1]; scale it before it enters the table"
        )
    return table


def concat(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Ensembling: all rows, in the order given, numbered anew."""
    filled = [table for table in map(check, tables) if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else empty()


def write(path: Path, table: pd.DataFrame) -> None:
    """Write parquet whole or not at all; equal tables give equal bytes."""
    table = check(table, str(path))
    # An explicit schema keeps pandas' own metadata (index, versions) out of the file.
    columns = [pa.array(table[name].to_numpy(), type=_ARROW.field(name).type, from_pandas=False) for name in SCHEMA]
    with atomic_path(Path(path)) as temporary:
        pq.write_table(pa.Table.from_arrays(columns, schema=_ARROW), temporary, compression="zstd")


def check_file(path: Path) -> None:
    """Raise `InputError` where there is no such table."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such candidates file; make it with the propose stage")


def read(path: Path) -> pd.DataFrame:
    """Read a table that `write` wrote. Raises `InputError` where the file is missing, broken, or of another schema."""
    path = Path(path)
    check_file(path)
    try:
        with path.open("rb") as file:
            table = pq.read_table(file).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: is not a readable parquet file ({str(error).splitlines()[0][:120]}); propose it again"
        ) from error
    return check(table, str(path))


def label(table: pd.DataFrame, tiepoints: TiePoints, radius_px: float) -> pd.DataFrame:
    """A copy with `error_px` filled where a tie-point lies within `radius_px`, NaN elsewhere.

    The truth at a candidate is the mean shift of the up to four nearest tie-points in reach, weighted by the inverse
    squared distance: it is the tie-point itself where the two coincide, and does not jump between two of them.
    """
    table = check(table).copy()
    error = np.full(len(table), np.nan)
    xy, shift = table[["x", "y"]].to_numpy(), table[["dx", "dy"]].to_numpy()
    usable = np.isfinite(xy).all(axis=1)
    if len(tiepoints) and usable.any():
        # One column more than asked keeps scipy from dropping the axis when a scene has a single tie-point.
        distance, index = cKDTree(tiepoints.xy).query(
            xy[usable], k=range(1, _LABEL_NEIGHBOURS + 1), distance_upper_bound=radius_px
        )
        reached = np.isfinite(distance)
        weight = np.where(reached, 1.0 / (np.where(reached, distance, 0.0) + 1e-3) ** 2, 0.0)
        neighbours = tiepoints.shift[np.where(reached, index, 0)]
        total = weight.sum(axis=1)
        labelled = total > 0
        truth = np.einsum("nk,nkc->nc", weight[labelled], neighbours[labelled]) / total[labelled, None]
        error[np.flatnonzero(usable)[labelled]] = np.hypot(*(shift[usable][labelled] - truth).T)
    table["error_px"] = error
    return table
