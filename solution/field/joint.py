"""One field for the whole scene at once: the shifts that the evidence of all nodes together speaks for.

No node decides for itself, and none is outvoted: the field is a cubic B-spline that gathers as much evidence as it can,
first as one shift, then as an affine, then on ever finer lattices, while the evidence is blurred less and less
(graduated optimisation, Blake & Zisserman 1987). One shift has rivals, so several starts are tried, all at once, and the
field that has gathered the most wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from solution.field.evidence import Evidence

_PEAK_BLUR, _PEAK_APART = 2.0, 5  # cells: of the scene's summed evidence, and between starts
_STEPS = 50
_RATE_AFFINE, _RATE_SPLINE = 0.5, 0.3  # cells a step, at first
_AFFINE_NODES = 8.0  # an affine's coefficients are shifts so many nodes from the middle, in cells
_STEP_CELLS = 1.0  # between neighbouring coefficients: beyond, more costs little; chosen on the same
_PULL = 0.02  # of the coefficients themselves, beside their differences
_AFFINE_PULL = 0.1  # weight of an affine's slopes; chosen on the same
_SLOPE_CELLS = 0.3  # an affine's coefficient of usual size: half a percent


@dataclass(frozen=True)
class Stage:
    """One step from coarse to fine.

    Attributes:
        pitch: distance of the spline's coefficients, nodes; None = an affine.
        blur: of the evidence, in distances of the nodes.
        stiffness: weight of roughness against the mean evidence of a node.
    """

    pitch: float | None
    blur: float
    stiffness: float = 0.0


@dataclass(frozen=True)
class Joint:
    """The field that won.

    Attributes:
        shift: (rows, columns, 2) in optical px, x before y, at the evidence's nodes.
        gain: its mean evidence over the nodes that have any.
        start: (x, y) shift that it began with, optical px.
    """

    shift: np.ndarray
    gain: float
    start: tuple[float, float]


# The stiffness was chosen on: vhr_check, simulated, s12. Weak evidence must not bend what is looked for first; a scene of
# several further levels is large enough to be steep, and is followed there; a small one stays stiff.
SEARCH = (
    Stage(None, 0.5),
    *(Stage(pitch, blur, 2.0) for pitch, blur in ((24.0, 0.375), (12.0, 0.25), (6.0, 0.15625), (3.0, 0.125))),
)
"""From one shift to a spline, for a level that must find everything."""
_FOLLOW, _LAST, _ONLY = 0.03, 0.12, 0.5


def refinements(count: int) -> list[tuple[Stage, ...]]:
    """For so many levels that are read through a field already, what it may still become on each."""
    stiffness = [_ONLY] if count == 1 else [_FOLLOW] * (count - 1) + [_LAST]
    return [
        tuple(Stage(pitch, blur, each) for pitch, blur in ((12.0, 0.25), (6.0, 0.15625), (3.0, 0.125)))
        for each in stiffness
    ]


def joint_field(evidence: Evidence, stages: tuple[Stage, ...], starts: int = 0) -> Joint:
    """The field of the most evidence.

    Args:
        starts: how many of the scene's likeliest shifts it may begin with; 0 = with no shift alone.
    """
    planes, there = _planes(evidence)
    weight = there.float() / there.sum().clamp_min(1)
    peaks = torch.tensor(likely_shifts(evidence.planes, starts) if starts else [(0, 0)], dtype=torch.float32)
    rows, columns = evidence.planes.shape[:2]
    shift = peaks[:, None, None].expand(-1, rows, columns, -1).contiguous()
    for stage in stages:
        blur = stage.blur * evidence.step / evidence.cell_px
        shift, gain = _climb(blurred(planes, blur), weight, shift, _basis(stage, rows), _basis(stage, columns), stage)
    best = int(gain.argmax())
    start = (peaks[best] * evidence.cell_px).tolist()
    return Joint(shift[best].double().numpy() * evidence.cell_px, float(gain[best]), tuple(start))


def evidence_of(evidence: Evidence, shift: np.ndarray) -> np.ndarray:
    """What the evidence says of a field that is given, as sharply as `SEARCH` ends.

    Args:
        shift: (rows, columns, 2) at the nodes, optical px.

    Returns:
        (rows, columns): 0 where the field is beyond what was looked at; NaN at nodes without evidence.
    """
    planes, there = _planes(evidence)
    blur = SEARCH[-1].blur * evidence.step / evidence.cell_px
    cells = torch.from_numpy(shift / evidence.cell_px).float()
    read = _read(blurred(planes, blur), cells[None])[:, 0].numpy().reshape(shift.shape[:2])
    within = (np.abs(shift) <= evidence.planes.shape[-1] // 2 * evidence.cell_px).all(axis=-1)
    return np.where(there.numpy().reshape(read.shape), np.where(within, read, 0.0), np.nan)


def _planes(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """(N, 1, D, D) of all nodes, and (N,) bool, those that have any evidence."""
    planes = torch.from_numpy(evidence.planes).flatten(0, 1)[:, None]
    return planes, (planes != 0).flatten(1).any(dim=1)


def likely_shifts(planes: np.ndarray, count: int) -> list[tuple[int, int]]:
    """The displacements (x, y), in cells, for which the scene's summed evidence is highest, some cells apart; none where
    there is no evidence."""
    span, found = planes.shape[-1], []
    total = gaussian_filter(planes.sum(axis=(0, 1)), _PEAK_BLUR)
    if not total.any():
        return [(0, 0)]
    for _ in range(count):
        row, column = divmod(int(total.argmax()), span)
        found.append((column - span // 2, row - span // 2))
        near = [slice(max(0, at - _PEAK_APART), at + _PEAK_APART + 1) for at in (row, column)]
        total[near[0], near[1]] = -np.inf
    return found


def blurred(planes: Tensor, blur: float) -> Tensor:
    """(N, 1, D, D) -> the same, smoothed over displacements and scaled so that a peak keeps its weight."""
    spread = _spreading(planes.shape[-1], blur)
    return spread @ planes @ (spread.T * blur)


def _spreading(count: int, blur: float) -> Tensor:
    """(count, count) that smooths an axis as its product; beyond the border is what is there. On axes this short a
    product is ten times as fast as a convolution with one channel."""
    reach = int(3 * blur + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (offsets / blur) ** 2)
    place = (torch.arange(count)[:, None] + offsets).clamp(0, count - 1)
    return torch.zeros(count, count).scatter_add_(1, place, (kernel / kernel.sum()).expand(count, -1).contiguous())


def _climb(
    planes: Tensor, weight: Tensor, shift: Tensor, along_y: Tensor, along_x: Tensor, stage: Stage
) -> tuple[Tensor, Tensor]:
    """Add to shifts (S, rows, columns, 2) what raises the evidence -> shifts, and the mean evidence (S,) of each."""
    half = planes.shape[-1] // 2
    affine = stage.pitch is None
    coefficients = torch.zeros(len(shift), along_y.shape[1], along_x.shape[1], 2, requires_grad=True)
    optimizer = torch.optim.Adam([coefficients], lr=_RATE_AFFINE if affine else _RATE_SPLINE)

    def reached() -> tuple[Tensor, Tensor]:
        rows = torch.einsum("yk,sklc->sylc", along_y, _masked(coefficients, affine))  # an axis at a time: tiny products
        moved = shift + torch.einsum("xl,sylc->syxc", along_x, rows)
        return moved, (_read(planes, moved) * weight[:, None]).sum(dim=0)

    for _ in range(_STEPS):
        _, gain = reached()
        loss = (_price(coefficients, stage) - gain).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    moved, gain = (part.detach() for part in reached())
    return moved.clamp(-half, half), gain  # beyond the search, nothing was looked at


def _read(planes: Tensor, shift: Tensor) -> Tensor:
    """(N, S) evidence that planes (N, 1, D, D) hold for shifts (S, rows, columns, 2), in cells."""
    at = (shift / (planes.shape[-1] // 2)).flatten(1, 2).transpose(0, 1)[:, :, None]
    # Cubic: between two cells, a linear peak always lies on one of them.
    return F.grid_sample(planes, at, mode="bicubic", align_corners=True, padding_mode="border")[:, 0, :, 0]


def _masked(coefficients: Tensor, affine: bool) -> Tensor:
    """An affine has no product of x and y."""
    if not affine:
        return coefficients
    keep = torch.ones(2, 2)
    keep[1, 1] = 0
    return coefficients * keep[None, :, :, None]


def _price(coefficients: Tensor, stage: Stage) -> Tensor:
    """(S,) what coefficients (S, k, l, 2) must gain in evidence to be worth it.

    Both prices have the shape of a Student-t prior: most ground is smooth, so that weak evidence shall bend nothing, but
    where a slope is steep it may be as steep as it likes.
    """
    if stage.pitch is None:
        slopes = torch.cat([coefficients[:, 1, 0], coefficients[:, 0, 1]], dim=1)
        return _AFFINE_PULL * _tailed(slopes, _SLOPE_CELLS).sum(dim=1)
    parts = [(coefficients.diff(dim=1), 1.0), (coefficients.diff(dim=2), 1.0), (coefficients, _PULL)]
    rough = sum(weight * _tailed(part, _STEP_CELLS).mean(dim=(1, 2, 3)) for part, weight in parts)
    return stage.stiffness * _STEP_CELLS**2 * rough


def _tailed(values: Tensor, usual: float) -> Tensor:
    """log(1 + (v / usual)^2): a square where values are small, hardly more than a constant where they are large."""
    return (values / usual).square().log1p()


def _basis(stage: Stage, count: int) -> Tensor:
    """(count, k) what each coefficient adds at each node, along one axis."""
    place = np.arange(count, dtype=np.float64)
    if stage.pitch is None:
        linear = np.column_stack([np.ones(count), (place - place.mean()) / _AFFINE_NODES])
        return torch.from_numpy(linear.astype(np.float32))
    centres = np.arange(-1, int(np.ceil((count - 1) / stage.pitch)) + 2)
    distance = np.abs(place[:, None] / stage.pitch - centres[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clip(0) ** 3 / 6
    return torch.from_numpy(np.where(distance < 1, near, far).astype(np.float32))
