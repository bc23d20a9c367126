"""Pictures of what the networks see and say: crops around a few tie-points, the reference
heatmap and the predicted one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from solution.baseline import teams
from solution.baseline.common import ScenePixels, around
from solution.baseline.heatmap import gaussian, peak
from solution.baseline.keypoints import heatmaps
from solution.baseline.network import NETWORKS
from solution.baseline.training import BASELINE
from solution.core.devices import torch_device
from solution.core.errors import InputError
from solution.core.outputs import check_outputs
from solution.core.writing import atomic_path
from solution.data.scene import ScenePair
from solution.training.stages import config_of, load_stage

_TITLES = ("optical, centred on its point", "SAR, same place", "reference: the SAR point", "predicted, and its peak")


def draw(pair: ScenePair, team: Path, device: str, out: Path, count: int) -> None:
    """Write a PNG or JPEG of what the network ``optical_to_sar`` says, with a row for each of `count` tie-points.

    They are spread evenly over the list of those whose partner lies in the crop.

    Raises:
        InputError: a scene without such tie-points, or weights that saw it.
    """
    check_outputs([out], pair.files())
    nets, manifest = load_stage(BASELINE, teams.weights(team))
    manifest.guard_held_out(pair.name)
    config, net = config_of(manifest, BASELINE), nets.to(torch_device(device))[NETWORKS[0]]
    pixels, labels = ScenePixels(pair, config), pair.tiepoints()
    target = config.crop_px // 2 + (labels.shift + pair.centre_offset_px) / pixels.grid.spacing_px
    inside = np.flatnonzero(((target >= 0) & (target <= config.crop_px - 1)).all(axis=1))
    if not len(inside):
        raise InputError(
            f"{pair.tiepoints_csv}: no tie-point has its partner within half a crop, which is all that the networks see"
        )
    chosen = inside[np.unique(((np.arange(count) + 0.5) * len(inside) / count).astype(int))]
    crops = [pixels.crop(around(centre, config.crop_px))[0] for centre in pixels.grid.nearest(labels.xy[chosen])]
    predicted = heatmaps(net, crops)
    reference = gaussian(torch.from_numpy(target[chosen].astype(np.float32)), config.crop_px, config.sigma_px)
    found = peak(predicted)[0].numpy()
    with atomic_path(out) as temporary:
        _figure(crops, reference.numpy(), predicted.numpy(), target[chosen], found).savefig(temporary, dpi=80)


def _figure(
    crops: list[np.ndarray], reference: np.ndarray, predicted: np.ndarray, target: np.ndarray, found: np.ndarray
) -> Figure:
    """Heatmaps (N, S, S) beside crops, with the true places (N, 2) as circles and the found ones as crosses."""
    figure = Figure(figsize=(8.8, 2.2 * len(crops) + 0.3), layout="constrained")
    middle = crops[0].shape[-1] // 2
    for row, panels in enumerate(figure.subplots(len(crops), 4, squeeze=False)):
        panels[0].imshow(np.moveaxis(crops[row][:3], 0, -1))
        panels[0].plot(middle, middle, "o", color="yellow", fillstyle="none")
        panels[1].imshow(crops[row][3], cmap="gray", vmin=0, vmax=1)
        panels[2].imshow(reference[row], vmin=0, vmax=1)
        panels[3].imshow(predicted[row], vmin=0, vmax=1)
        panels[3].plot(*found[row], "x", color="red")
        for panel in panels[1:]:
            panel.plot(*target[row], "o", color="yellow", fillstyle="none")
        for panel, title in zip(panels, _TITLES, strict=True):
            panel.axis("off")
            if row == 0:
                panel.set_title(title, fontsize=8)
    return figure
