"""What is kept of a labelled scene beside its pixels, in a small file of its own: its tie-points, its truth, and how its
rasters are stretched, which takes reading them as a whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from solution.core.errors import InputError
from solution.core.writing import write_bytes
from solution.data.raster import Overview, Radiometry
from solution.data.scene import ScenePair
from solution.samples.images import scene_field
from solution.samples.truth import TiePointField, TruthMapField, field_of

_FIELD = "field_"
_OVERVIEWS = ("optical_overview", "sar_overview")


def write_facts(path: Path, pair: ScenePair) -> None:
    """Read a scene and write what is kept of it, whole or not at all.

    Raises:
        InputError: a raster or the labels cannot be read, or the disk refuses the file.
    """
    arrays = {"anchors": pair.tiepoints().xy}
    arrays |= {f"{_FIELD}{name}": value for name, value in scene_field(pair).state().items()}
    for name in _OVERVIEWS:
        overview = getattr(pair, name)
        stretch = overview.radiometry
        arrays[f"{name}_valid"] = overview.valid
        arrays[f"{name}_stretch"] = np.array([stretch.low, stretch.high, stretch.log, stretch.floor], np.float64)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_bytes(path, content.getvalue())


def read_truth(path: Path) -> tuple[np.ndarray, TiePointField | TruthMapField, int]:
    """Tie-points (N, 2), the truth, and the bytes that both take, roughly. Raises `InputError` where the file is gone."""
    with _opened(path) as arrays:
        state = {name.removeprefix(_FIELD): arrays[name] for name in arrays if name.startswith(_FIELD)}
        anchors = arrays["anchors"]
    # A spline and a search tree of the tie-points hold them a few times over
    return anchors, field_of(state), anchors.nbytes + 4 * sum(value.nbytes for value in state.values())


def read_overviews(path: Path) -> dict[str, Overview]:
    """The overviews of both images by the names of `ScenePair`. Raises `InputError` where the file is gone."""
    with _opened(path) as arrays:
        return {name: _overview(arrays, name) for name in _OVERVIEWS}


def _overview(arrays: Mapping[str, np.ndarray], name: str) -> Overview:
    low, high, log, floor = arrays[f"{name}_stretch"].tolist()
    return Overview(arrays[f"{name}_valid"], Radiometry(low, high, bool(log), floor))


@contextmanager
def _opened(path: Path):
    try:
        with np.load(path) as arrays:
            yield arrays
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be read any more ({error}); remove it and give the same command again, which makes it anew"
        ) from error
