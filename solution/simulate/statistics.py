"""What tie-points say about a scene's displacement: the figures that the simulator has to share with real scenes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist

from solution.core import geometry
from solution.core.errors import InputError
from solution.data import naming
from solution.data.finding import discover
from solution.data.tiepoints import read_tiepoint_csv

DISTANCE_BINS_PX = ((100, 200), (400, 800), (1600, 3200))
_GEOTRANSFORMS = "geotransforms.json"


@dataclass(frozen=True)
class ShiftStatistics:
    """What the shifts at the tie-points of one scene are like, in optical px.

    Attributes:
        name: of the scene.
        count: tie-points.
        zero_shift: mean length of the shifts.
        along, across: standard deviation along the main axis of the shifts and across it.
        axis_deg: direction of the main axis, 0 to 180, from x towards y (down).
        affine: mean error that the best affine on the tie-points leaves.
        pairs: root mean square difference of two shifts, for pairs in `DISTANCE_BINS_PX`; NaN where there are none.
    """

    name: str
    count: int
    zero_shift: float
    along: float
    across: float
    axis_deg: float
    affine: float
    pairs: tuple[float, ...]


def describe(name: str, xy: np.ndarray, shift: np.ndarray) -> ShiftStatistics:
    """Statistics of shifts (N, 2) at places (N, 2), N of at least 3."""
    if len(xy) < 3:
        raise InputError(f"scene {name}: has {len(xy)} tie-points; statistics need at least 3")
    variance, axes = np.linalg.eigh(np.cov(shift.T))
    residual = geometry.apply(geometry.fit_affine(xy, xy + shift), xy) - xy - shift
    distance, difference = pdist(xy), pdist(shift)
    pairs = []
    for low, high in DISTANCE_BINS_PX:
        chosen = difference[(distance >= low) & (distance < high)]
        pairs.append(float(np.sqrt(np.mean(chosen**2))) if len(chosen) else float("nan"))
    return ShiftStatistics(
        name, len(xy), float(np.linalg.norm(shift, axis=1).mean()), float(np.sqrt(max(variance[1], 0))), float(np.sqrt(max(variance[0], 0))),
        float(np.rad2deg(np.arctan2(axes[1, 1], axes[0, 1])) % 180), float(np.linalg.norm(residual, axis=1).mean()), tuple(pairs),
    )  # fmt: skip


def of_folder(folder: Path) -> list[ShiftStatistics]:
    """Statistics of every labelled scene in a folder, found as by `tiepoint_sets`."""
    return [describe(*scene) for scene in tiepoint_sets(folder)]


def tiepoint_sets(folder: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, positions (N, 2) and shifts (N, 2) of every labelled scene in a folder.

    Args:
        folder: rasters with the names of the challenge, or tie-point CSVs beside a ``geotransforms.json``.
    """
    folder = Path(folder)
    if (folder / _GEOTRANSFORMS).is_file():
        return _bare_tiepoints(folder)
    labelled = [(pair.name, pair.tiepoints()) for pair in discover(folder) if pair.tiepoints_csv is not None]
    if not labelled:
        raise InputError(f"{folder}: holds no scene with tie-points; pass a folder with AA_tiepoints_NAME.csv files")
    return [(name, points.xy, points.shift) for name, points in labelled]


def as_text(groups: list[tuple[str, list[ShiftStatistics]]]) -> str:
    """One line per scene, groups (title, scenes) one after the other."""
    bins = [f"rms {low}-{high}" for low, high in DISTANCE_BINS_PX]
    head = ["points", "zero shift", "std along", "std across", "axis deg", "affine", *bins]
    lines = [f"{'scene':<14}{'':<11}" + "".join(f"{title:>15}" for title in head) + "   (optical px)"]
    for title, scenes in groups:
        for s in scenes:
            values = (s.zero_shift, s.along, s.across, s.axis_deg, s.affine, *s.pairs)
            lines.append(f"{s.name:<14}{title:<11}{s.count:>15}" + "".join(f"{value:>15.1f}" for value in values))
    return "\n".join(lines)


def _bare_tiepoints(folder: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Real labels of the challenge without their rasters; the JSON gives x0, dx, y0, dy
    of both images of each scene."""
    try:
        scenes = json.loads((folder / _GEOTRANSFORMS).read_text())
    except ValueError as error:
        raise InputError(f"{folder / _GEOTRANSFORMS}: is not readable JSON ({error}); copy it again") from error
    found = []
    for name, transforms in sorted(scenes.items()):
        if not isinstance(transforms, dict):
            continue
        table = read_tiepoint_csv(folder / naming.file_name(name, "tiepoints", "csv"))
        optical, sar = (_matrix(*transforms[kind]) for kind in ("optical", "sar"))
        xy = table[["optical_col", "optical_row"]].to_numpy(np.float64)
        geo = geometry.apply(sar, table[["sar_col", "sar_row"]].to_numpy(np.float64))
        found.append((name, xy, geometry.shifts_from_positions(xy, geo, optical)))
    return found


def _matrix(x0: float, dx: float, y0: float, dy: float) -> geometry.Matrix:
    return geometry.matrix_from_gdal((x0, dx, 0.0, y0, 0.0, dy))
