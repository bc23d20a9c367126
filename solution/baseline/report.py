"""What the paper reports of its baseline, on a labelled scene: how far keypoints lie from the truth, how many agree
with the affine, and the error of the map, beside doing nothing and the best affine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from solution.baseline import teams
from solution.baseline.common import ScenePixels
from solution.baseline.keypoints import look
from solution.baseline.network import NETWORKS
from solution.baseline.registration import register
from solution.baseline.settings import SearchConfig
from solution.baseline.training import BASELINE
from solution.core.devices import torch_device
from solution.core.geometry import affine_of_shifts
from solution.core.progress import Progress
from solution.data.scene import ScenePair
from solution.scoring import score
from solution.training.stages import config_of, load_stage


@dataclass(frozen=True)
class BaselineReport:
    """The baseline on one labelled scene; distances and errors in optical px.

    Attributes:
        scene, teams: the scene, and the teams that registered it.
        tiepoints: how many of them lie on data of both images.
        middle_px: mean distance of the crop's middle to the point that is looked for.
        optical_to_sar_px, sar_to_optical_px: mean distance of the networks' keypoints to
            it, asked at the labelled points.
        keypoints, inliers: number of keypoints found from the grid, and of those that agree with the affine.
        kind: which kind of fit it is.
        zero_px, affine_px, baseline_px: mean error of no shift, of the affine fitted to the labels, and of the
            map, as the challenge scores them.
    """

    scene: str
    teams: tuple[str, ...]
    tiepoints: int
    middle_px: float
    optical_to_sar_px: float
    sar_to_optical_px: float
    keypoints: int
    inliers: int
    kind: str
    zero_px: float
    affine_px: float
    baseline_px: float


def report(pair: ScenePair, folders: Sequence[Path], device: str, progress: Progress | None = None) -> BaselineReport:
    """Judge the teams of these folders on a labelled scene. Raises `InputError` as `registration.register`."""
    fit, keypoints = register(pair, folders, device, progress)
    distances = [keypoint_distances_px(pair, folder, device, progress) for folder in folders]
    means = {name: float(np.mean(np.concatenate([found[name] for found in distances]))) for name in distances[0]}
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    maps = {
        "zero": np.zeros_like(truth.xy),
        "affine": affine_of_shifts(truth.xy, truth.shift),
        "baseline": fit.shift_at(truth.xy),
    }
    return BaselineReport(
        scene=pair.name,
        teams=tuple(folder.name for folder in folders),
        tiepoints=len(distances[0]["middle_px"]),
        keypoints=len(keypoints),
        inliers=int(keypoints["inlier"].sum()),
        kind=fit.kind,
        **means,
        **{f"{name}_px": float(score.distances_px(shift, truth).mean()) for name, shift in maps.items()},
    )


def keypoint_distances_px(
    pair: ScenePair, folder: Path, device: str, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Distances in optical px of a team's keypoints to the tie-points' partners, with the
    crops centred on the tie-points.

    Returns:
        ``optical_to_sar_px``, ``sar_to_optical_px``, and ``middle_px`` of the crops' middles.
    """
    nets, manifest = load_stage(BASELINE, teams.weights(folder))
    manifest.guard_held_out(pair.name)
    config, nets = config_of(manifest, BASELINE), nets.to(torch_device(device))
    pixels, labels = ScenePixels(pair, config), pair.tiepoints()
    shift = labels.shift + pair.centre_offset_px
    distances = {}
    for name, start, way in zip(NETWORKS, (labels.xy, labels.xy + shift), (shift, -shift), strict=True):
        centres = pixels.grid.nearest(start)
        found = look(nets[name], pixels, centres, config, SearchConfig().batch_size, progress, f"{pair.name}: {name}")
        way_found = (found.place - centres[found.index]) * pixels.grid.spacing_px
        distances[f"{name}_px"] = np.hypot(*(way_found - way[found.index]).T)
        distances.setdefault("middle_px", np.hypot(*way[found.index].T))
    return distances


def tables(reports: Sequence[BaselineReport]) -> list[Table]:
    """The paper's three tables: keypoint distance, inliers, error of the map."""
    layout = {
        "keypoints around the tie-points: mean distance to the truth, px": {
            "team": lambda r: " ".join(r.teams),
            "tie-points": lambda r: str(r.tiepoints),
            "crop's middle": lambda r: f"{r.middle_px:.2f}",
            "optical to SAR": lambda r: f"{r.optical_to_sar_px:.2f}",
            "SAR to optical": lambda r: f"{r.sar_to_optical_px:.2f}",
        },
        "keypoints from the grid": {
            "found": lambda r: str(r.keypoints),
            "inliers of the affine": lambda r: str(r.inliers),
            "share": lambda r: f"{r.inliers / max(r.keypoints, 1):.1%}",
        },
        "offset map: mean error, px": {
            "zero shift": lambda r: f"{r.zero_px:.2f}",
            "affine on the labels": lambda r: f"{r.affine_px:.2f}",
            "baseline": lambda r: f"{r.baseline_px:.2f}",
        },
    }
    return [_table(title, columns, reports) for title, columns in layout.items()]


def _table(
    title: str, columns: Mapping[str, Callable[[BaselineReport], str]], reports: Sequence[BaselineReport]
) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("scene", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for found in reports:
        table.add_row(found.scene, *(cell(found) for cell in columns.values()))
    return table


def as_json(reports: Sequence[BaselineReport]) -> str:
    """All numbers, for machines."""
    return json.dumps([asdict(found) for found in reports], indent=1) + "\n"
