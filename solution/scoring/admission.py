"""Whether the contest would take a submission: what it would say of the zip, file by file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from solution.data.frame import read_header
from solution.data.offsets import why_no_map
from solution.data.opening import open_raster
from solution.scoring.submission import FOLDER, map_name

_STRIP_ROWS = 512


def map_in_zip(zip_path: Path, scene: str) -> Path:
    """Name of a scene's map in a submission, for `open_raster`."""
    return Path(f"/vsizip/{Path(zip_path).absolute()}/{FOLDER}/{map_name(scene)}")


def refusals(zip_path: Path, optical: Mapping[str, Path]) -> list[str]:
    """Why a submission would be refused; nothing where it would be taken.

    Args:
        optical: scene -> its optical image, of all scenes that the submission is about.

    Returns:
        A sentence for everything that is wrong: a zip that cannot be read, a missing or unknown file, a map that is not
            float32, that has not the bands, size and grid of an offset map of its image, or is not finite everywhere.

    Raises:
        InputError: an optical image, or a map within the zip, is unreadable.
    """
    try:
        with zipfile.ZipFile(zip_path) as archive:
            broken, names = archive.testzip(), archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        return [f"{zip_path}: is no readable zip ({error})"]
    if broken:
        return [f"{zip_path}: {broken} is damaged"]
    wanted = {f"{FOLDER}/{map_name(scene)}": scene for scene in optical}
    found = [f"{zip_path}: {name} is missing" for name in wanted if name not in names]
    found += [f"{zip_path}: {name} does not belong there" for name in names if name not in wanted]
    found += [f"{zip_path}: {name} is there twice" for name in wanted if names.count(name) > 1]
    for name, scene in wanted.items():
        wrong = _why_refused(map_in_zip(zip_path, scene), optical[scene]) if name in names else ""
        found += [f"{zip_path}: {name} {wrong}"] if wrong else []
    return found


def _why_refused(path: Path, optical: Path) -> str:
    image = read_header(optical, "optical")
    with open_raster(path) as written:
        wrong = why_no_map(written, image.shape, image.matrix, image.crs)
        if wrong:
            return wrong
        if set(written.dtypes) != {"float32"}:
            return f"is {written.dtypes[0]}; the contest asks for float32"
        if written.crs is None or written.transform.is_identity:
            return "does not say where it lies; give it the georeferencing of the optical image"
        return "" if _is_finite(written) else "is not finite everywhere"


def _is_finite(written: DatasetReader) -> bool:
    height, width = written.shape
    strips = (Window(0, top, width, min(_STRIP_ROWS, height - top)) for top in range(0, height, _STRIP_ROWS))
    return all(np.isfinite(written.read(window=strip)).all() for strip in strips)
