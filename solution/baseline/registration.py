"""From keypoints to the offset map: one affine, by MAGSAC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from solution.baseline import teams
from solution.baseline.common import CommonGrid
from solution.baseline.keypoints import find_keypoints
from solution.baseline.settings import BaselineConfig, SearchConfig
from solution.baseline.training import BASELINE
from solution.core.devices import torch_device
from solution.core.outputs import check_outputs
from solution.core.progress import Progress
from solution.core.writing import together, write_text
from solution.data.scene import ScenePair, without_labels
from solution.field import offset_map, shiftfield
from solution.field.rasters import CONTEST
from solution.field.shiftfield import Fit
from solution.training.stages import config_of, load_stage

_ENOUGH = 3  # keypoints that an affine needs
_MAX_ITERATIONS = 10_000


def affine_by_magsac(keypoints: pd.DataFrame, shape: tuple[int, int], inlier_px: float) -> tuple[Fit, np.ndarray]:
    """The affine from optical to SAR keypoints (MAGSAC++, Barath et al. 2020, as OpenCV has it),
    and which of them agree with it.

    Args:
        keypoints: columns x, y, dx, dy, optical px.
        shape: (height, width) of the optical image.
        inlier_px: largest distance of an inlier.

    Returns:
        A fit of kind ``affine``; ``shift``, the median, where there are too few keypoints, or none agree;
        ``zero`` without any. And (N,) bool.
    """
    xy, shift = keypoints[["x", "y"]].to_numpy(np.float64), keypoints[["dx", "dy"]].to_numpy(np.float64)
    matrix, kept = np.eye(3), np.ones(len(xy), bool)
    if len(xy) == 0:
        return shiftfield.from_affine("zero", matrix, xy, shift, shape), kept
    found = None
    if len(xy) >= _ENOUGH:
        found, agree = cv2.estimateAffine2D(
            xy, xy + shift, method=cv2.USAC_MAGSAC, ransacReprojThreshold=inlier_px, maxIters=_MAX_ITERATIONS
        )
    if found is None:
        matrix[:2, 2] = np.median(shift, axis=0)
        return shiftfield.from_affine("shift", matrix, xy, shift, shape), kept
    matrix[:2], kept = found, agree.ravel().astype(bool)
    return shiftfield.from_affine("affine", matrix, xy[kept], shift[kept], shape), kept


def register(
    pair: ScenePair, folders: Sequence[Path], device: str, progress: Progress | None = None
) -> tuple[Fit, pd.DataFrame]:
    """Register a pair with the teams of these folders, whose keypoints are put together.

    Returns:
        The fit, and the keypoints with two columns more, ``team`` and ``inlier``.

    Raises:
        InputError: unreadable weights, or weights that saw the scene.
    """
    search, tables, inlier_px = SearchConfig(), [], 0.0
    for folder in folders:
        nets, manifest = load_stage(BASELINE, teams.weights(folder))
        manifest.guard_held_out(pair.name)
        config: BaselineConfig = config_of(manifest, BASELINE)
        found = find_keypoints(without_labels(pair), nets.to(torch_device(device)), config, search, progress)
        tables.append(found.assign(team=folder.name))
        inlier_px = search.ransac_px * CommonGrid.of(pair.sar_pixel_px, config).spacing_px / config.factor
    keypoints = pd.concat(tables, ignore_index=True)
    fit, kept = affine_by_magsac(keypoints, pair.shape, inlier_px)
    return fit, keypoints.assign(inlier=kept)


def check(pair: ScenePair, out: Path) -> tuple[Path, Path]:
    """The map and the table of keypoints beside it. Raises `InputError` where they cannot be written."""
    out = Path(out)
    offset_map.check_name(out)
    table = out.with_name(f"{out.stem}.keypoints.csv")
    check_outputs([out, table], pair.files(), offset_map.bytes_on_disk(pair, False, False, CONTEST))
    return out, table


def predict_pair(
    pair: ScenePair, out: Path, folders: Sequence[Path], device: str, progress: Progress | None = None
) -> str:
    """Write the offset map of a pair, ``NAME.tif``, and beside it the keypoints, ``NAME.keypoints.csv``.

    ``python -m solution fit`` reads such keypoints too.

    Returns:
        One line for people.

    Raises:
        InputError: bad images or weights, or `out` is no file name of a GeoTIFF.
    """
    out, table = check(pair, out)
    pair.check()
    fit, keypoints = register(pair, folders, device, progress)
    with together():
        offset_map.write_map(out, fit, pair, CONTEST)
        write_text(table, keypoints.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    return f"{out}: {fit.kind} from {int(keypoints['inlier'].sum())} of {len(keypoints)} keypoints, team {', '.join(f.name for f in folders)}"
