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
_MEMORY, _LONG_MEMORY, _LEAST_SLOPE = 0.9, 0.999, 1e-8  # Adam's usual ones
_BICUBIC_BORDER_ALIGNED = (2, 1, True)  # as torch numbers interpolation, padding and alignment
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
    weight = there.numpy().astype(np.float32) / max(int(there.sum()), 1)
    peaks = np.array(likely_shifts(evidence.planes, starts) if starts else [(0, 0)], np.float32)
    rows, columns = evidence.planes.shape[:2]
    shift = np.broadcast_to(peaks[:, None, None], (len(peaks), rows, columns, 2))
    for stage in stages:
        blur = stage.blur * evidence.step / evidence.cell_px
        shift, gain = _climb(blurred(planes, blur), weight, shift, _basis(stage, rows), _basis(stage, columns), stage)
    best = int(gain.argmax())
    start = (peaks[best] * evidence.cell_px).tolist()
    return Joint(shift[best].astype(np.float64) * evidence.cell_px, float(gain[best]), tuple(start))


def evidence_of(evidence: Evidence, shift: np.ndarray) -> np.ndarray:
    """What the evidence says of a field that is given, as sharply as `SEARCH` ends.

    Args:
        shift: (rows, columns, 2) at the nodes, optical px.

    Returns:
        (rows, columns): 0 where the field is beyond what was looked at; NaN at nodes without evidence.
    """
    planes, there = _planes(evidence)
    blur = SEARCH[-1].blur * evidence.step / evidence.cell_px
    cells = (shift / evidence.cell_px).astype(np.float32)
    read = _read(blurred(planes, blur), cells[None])[:, 0].reshape(shift.shape[:2])
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
    planes: Tensor, weight: np.ndarray, shift: np.ndarray, along_y: np.ndarray, along_x: np.ndarray, stage: Stage
) -> tuple[np.ndarray, np.ndarray]:
    """Add to shifts (S, rows, columns, 2) what raises the evidence -> shifts, and the mean evidence (S,) of each.

    The gradient is written out, and Adam (Kingma & Ba 2015) too: the arrays are so small that torch spends nine tenths of
    the time on its records of them.
    """
    half = planes.shape[-1] // 2
    rate = _RATE_AFFINE if stage.pitch is None else _RATE_SPLINE
    coefficients = np.zeros((len(shift), along_y.shape[1], along_x.shape[1], 2), np.float32)
    mean, square = np.zeros_like(coefficients), np.zeros_like(coefficients)
    for step in range(1, _STEPS + 1):
        rise = _rise(planes, weight, shift + _spread(coefficients, along_y, along_x))
        slope = _masked(_price_slope(coefficients, stage) - _spread(rise, along_y.T, along_x.T), stage)
        mean += (1 - _MEMORY) * (slope - mean)
        square += (1 - _LONG_MEMORY) * (slope**2 - square)
        size = np.sqrt(square / (1 - _LONG_MEMORY**step)) + _LEAST_SLOPE
        coefficients -= rate / (1 - _MEMORY**step) * mean / size
    moved = shift + _spread(coefficients, along_y, along_x)
    gain = weight @ _read(planes, moved)
    return moved.clip(-half, half), gain  # beyond the search, nothing was looked at


def _spread(values: np.ndarray, along_y: np.ndarray, along_x: np.ndarray) -> np.ndarray:
    """(S, k, l, 2) -> (S, rows, columns, 2), an axis at a time."""
    starts, _, columns, _ = values.shape
    rows = (along_y @ values.reshape(starts, -1, columns * 2)).reshape(starts, -1, columns, 2)
    return along_x @ rows


def _read(planes: Tensor, shift: np.ndarray) -> np.ndarray:
    """(N, S) evidence that planes (N, 1, D, D) hold for shifts (S, rows, columns, 2), in cells."""
    # Cubic: between two cells, a linear peak always lies on one of them.
    at = _places(planes, shift)
    return F.grid_sample(planes, at, mode="bicubic", align_corners=True, padding_mode="border")[:, 0, :, 0].numpy()


def _rise(planes: Tensor, weight: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Gradient of the mean evidence, of all fields together, over their shifts (S, rows, columns, 2)."""
    at, starts = _places(planes, shift), len(shift)
    each = torch.from_numpy(weight)[:, None, None, None].expand(-1, 1, starts, 1)
    # What autograd calls for `_read`, without reading.
    _, rise = torch.ops.aten.grid_sampler_2d_backward(each, planes, at, *_BICUBIC_BORDER_ALIGNED, [False, True])
    return rise[:, :, 0].transpose(0, 1).numpy().reshape(shift.shape) / np.float32(planes.shape[-1] // 2)


def _places(planes: Tensor, shift: np.ndarray) -> Tensor:
    """(N, S, 1, 2): shifts (S, rows, columns, 2), in cells, as `grid_sample` wants them."""
    at = torch.from_numpy(shift / np.float32(planes.shape[-1] // 2))
    return at.flatten(1, 2).transpose(0, 1)[:, :, None]


def _masked(slope: np.ndarray, stage: Stage) -> np.ndarray:
    """An affine has no product of x and y."""
    if stage.pitch is None:
        slope[:, 1, 1] = 0
    return slope


def _price_slope(coefficients: np.ndarray, stage: Stage) -> np.ndarray:
    """Gradient, over the coefficients (S, k, l, 2), of what they must gain in evidence to be worth it.

    Of an affine that price is `_AFFINE_PULL` times the sum of log(1 + (v / usual)^2) of its slopes v; of a spline the
    stiffness times the mean of the same of its neighbours' differences and, at a small weight, of the coefficients
    themselves. Both have the shape of a Student-t prior: most ground is smooth, so that weak evidence shall bend nothing,
    but where a slope is steep it may be as steep as it likes.
    """
    if stage.pitch is None:
        slope = np.zeros_like(coefficients)
        for of_slope in ((..., 1, 0, slice(None)), (..., 0, 1, slice(None))):
            slope[of_slope] = _AFFINE_PULL * _tailed_slope(coefficients[of_slope], _SLOPE_CELLS)
        return slope
    slope = _PULL * _mean_slope(coefficients)
    down, right = (_mean_slope(np.diff(coefficients, axis=axis)) for axis in (1, 2))
    slope[:, 1:] += down
    slope[:, :-1] -= down
    slope[:, :, 1:] += right
    slope[:, :, :-1] -= right
    return np.float32(stage.stiffness * _STEP_CELLS**2) * slope


def _mean_slope(values: np.ndarray) -> np.ndarray:
    """Gradient of the mean over all but the first axis of log(1 + (v / usual)^2)."""
    return _tailed_slope(values, _STEP_CELLS) / np.float32(values[0].size)


def _tailed_slope(values: np.ndarray, usual: float) -> np.ndarray:
    """Slope of log(1 + (v / usual)^2): a square where values are small, hardly more than a constant where they are
    large."""
    return 2 * values / (np.float32(usual**2) + values**2)


def _basis(stage: Stage, count: int) -> np.ndarray:
    """(count, k) what each coefficient adds at each node, along one axis."""
    place = np.arange(count, dtype=np.float64)
    if stage.pitch is None:
        linear = np.column_stack([np.ones(count), (place - place.mean()) / _AFFINE_NODES])
        return linear.astype(np.float32)
    centres = np.arange(-1, int(np.ceil((count - 1) / stage.pitch)) + 2)
    distance = np.abs(place[:, None] / stage.pitch - centres[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clip(0) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)
