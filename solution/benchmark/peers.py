"""Peers: registration methods that anyone can install, given the same images and the same start as ours.

A peer gets a `Level` and positions, and returns *apparent* shifts at them: where, on the optical grid, the SAR image
shows the same ground. The index shift is that less the pair's centre offset (the package's convention page).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from solution.core.geometry import Window
from solution.data.raster import output_grid
from solution.data.scene import ScenePair

_STRIP = 256  # rows that are read at once


@dataclass(frozen=True)
class Level:
    """Both images of a scene on the optical grid, averaged down.

    Attributes:
        optical, sar: (h, w) float32 in [0, 1].
        optical_valid, sar_valid: (h, w) bool, where an image carries data.
        factor: optical px per level px.
    """

    optical: np.ndarray
    sar: np.ndarray
    optical_valid: np.ndarray
    sar_valid: np.ndarray
    factor: int

    @property
    def origin(self) -> float:
        """Position of level pixel 0 in the optical array grid, along both axes."""
        return (self.factor - 1) / 2


Register = Callable[[Level, np.ndarray], np.ndarray]
"""Level and (N, 2) positions in the optical array grid -> apparent shifts (N, 2) in optical px."""


def read_level(pair: ScenePair, factor: int, field: Callable[[np.ndarray], np.ndarray] | None = None) -> Level:
    """Read a pair averaged down `factor` times.

    Args:
        field: positions (h, w, 2) in the optical array grid -> apparent shifts (h, w, 2) at which the SAR image is
            read; None for its geocoded place.
    """
    height, width = (max(size // factor, 1) for size in pair.shape)
    optical, sar = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    optical_valid, sar_valid = np.empty((height, width), bool), np.empty((height, width), bool)
    for top in range(0, height, _STRIP):
        rows = slice(top, min(top + _STRIP, height))
        grid = output_grid(Window(0, top * factor, width * factor, (rows.stop - top) * factor), factor)
        colour, valid = pair.sample_optical(grid, factor)
        optical[rows], optical_valid[rows] = colour.mean(axis=0), valid > 0
        amplitude, valid = pair.sample_sar(grid if field is None else grid + field(grid), factor)
        sar[rows], sar_valid[rows] = amplitude[0], valid > 0
    return Level(optical, sar, optical_valid, sar_valid, factor)


def shifts_of_mapping(mapping: Callable[[tuple[float, float]], tuple[float, float]], xy: np.ndarray) -> np.ndarray:
    """Shifts (N, 2) of a mapping of optical points to SAR points, both in the optical
    array grid, at positions (N, 2)."""
    return np.array([np.subtract(mapping((x, y)), (x, y)) for x, y in np.asarray(xy, np.float64).tolist()]).reshape(
        -1, 2
    )


def shifts_of_flow(u: np.ndarray, v: np.ndarray, level: Level, xy: np.ndarray) -> np.ndarray:
    """Shifts (N, 2) in optical px at positions (N, 2), bilinear, of a flow (h, w) in level
    px: u to the right, v down."""
    place = ((np.asarray(xy, np.float64) - level.origin) / level.factor).astype(np.float32)[:, None]
    sampled = [
        cv2.remap(np.asarray(f, np.float32), place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
        for f in (u, v)
    ]
    return np.column_stack(sampled).astype(np.float64) * level.factor


@dataclass(frozen=True)
class MutualInformation:
    """How `simpleitk` registers.

    Attributes:
        bins: of the joint histogram.
        samples: pixels that the metric looks at, at every resolution.
        search_side_px, search_step_px: longer side of the images on which the translation is searched for, and the step
            of that search in px of these images.
        search_reach_px, search_reach_share: the search goes as far as ours in optical px, but no further than a share
            of the longer side: where the images hardly overlap, chance gives the highest mutual information.
        shrink, smoothing_px: the resolutions of the affine and the spline, and the blur at each.
        iterations: largest number at each resolution.
        meshes: cells of the spline along each side at each resolution.
        seed: of the pixels that the metric looks at.
    """

    bins: int = 32
    samples: int = 50_000
    search_side_px: int = 256
    search_step_px: int = 4
    search_reach_px: float = 300.0
    search_reach_share: float = 0.1
    shrink: tuple[int, ...] = (4, 2, 1)
    smoothing_px: tuple[float, ...] = (2.0, 1.0, 0.0)
    iterations: int = 100
    meshes: tuple[int, ...] = (2, 4, 8)
    seed: int = 1


def simpleitk(level: Level, xy: np.ndarray, config: MutualInformation | None = None) -> np.ndarray:
    """Mattes mutual information (SimpleITK): exhaustive translation, affine, cubic
    B-spline, coarse to fine; a `Register`.

    All transforms are in optical px, whatever the level. They map points of the fixed (optical) image to points of the
    moving (SAR) one, which is what a shift is.
    """
    import SimpleITK as sitk  # noqa: N813

    config = config or MutualInformation()

    def image(values: np.ndarray) -> sitk.Image:
        result = sitk.GetImageFromArray(values)
        result.SetSpacing((float(level.factor),) * 2)
        result.SetOrigin((level.origin,) * 2)
        return result

    fixed, moving = image(level.optical), image(level.sar)
    masks = image(level.optical_valid.astype(np.uint8)), image(level.sar_valid.astype(np.uint8))

    def registration(shrink: tuple[int, ...], smoothing_px: tuple[float, ...]) -> sitk.ImageRegistrationMethod:
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(config.bins)
        method.SetMetricSamplingStrategy(method.RANDOM)
        shares = [min(1.0, config.samples * factor**2 / level.optical.size) for factor in shrink]
        method.SetMetricSamplingPercentagePerLevel(shares, config.seed)
        method.SetMetricFixedMask(masks[0])
        method.SetMetricMovingMask(masks[1])
        method.SetInterpolator(sitk.sitkLinear)
        method.SetShrinkFactorsPerLevel(shrink)
        method.SetSmoothingSigmasPerLevel(smoothing_px)
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
        return method

    side = max(level.optical.shape)
    shrink = -(-side // config.search_side_px)
    stage = registration((shrink,), (shrink / 2,))
    step = config.search_step_px * shrink * level.factor
    reach = min(config.search_reach_px, config.search_reach_share * side * level.factor)
    stage.SetOptimizerAsExhaustive([int(reach / step)] * 2, step)
    translation = sitk.TranslationTransform(2)
    stage.SetInitialTransform(translation, inPlace=True)
    stage.Execute(fixed, moving)

    affine = sitk.AffineTransform(2)
    affine.SetCenter(fixed.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in fixed.GetSize()]))
    affine.SetTranslation(translation.GetOffset())
    stage = registration(config.shrink, config.smoothing_px)
    stage.SetOptimizerAsRegularStepGradientDescent(
        2.0 * level.factor, 1e-3, config.iterations, gradientMagnitudeTolerance=1e-8
    )
    stage.SetOptimizerScalesFromPhysicalShift()
    stage.SetInitialTransform(affine, inPlace=True)
    stage.Execute(fixed, moving)

    spline = sitk.BSplineTransformInitializer(fixed, [config.meshes[0]] * 2, order=3)
    stage = registration(config.shrink, config.smoothing_px)
    stage.SetOptimizerAsLBFGS2(
        solutionAccuracy=1e-6, numberOfIterations=config.iterations, deltaConvergenceTolerance=1e-4
    )
    stage.SetMovingInitialTransform(affine)
    stage.SetInitialTransformAsBSpline(
        spline, inPlace=True, scaleFactors=[mesh // config.meshes[0] for mesh in config.meshes]
    )
    stage.Execute(fixed, moving)
    return shifts_of_mapping(
        sitk.CompositeTransform([affine, spline]).TransformPoint, xy
    )  # the last one is applied first


def gefolki(level: Level, xy: np.ndarray) -> np.ndarray:
    """GeFolki (Brigot et al. 2016), dense flow on rank-filtered images, with its authors' settings for
    optical and radar; a `Register`."""
    import gefolki as package
    from gefolki import adapthist

    # Release 1.1.0 indexes tables with what scikit-image has rescaled, which are floats, and ends in an IndexError.
    rescale = adapthist.rescale_intensity
    adapthist.rescale_intensity = lambda *arguments, **options: rescale(*arguments, **options).astype(np.int64)
    # The authors' six levels, fewer where the coarsest would vanish.
    pyramid = int(np.clip(np.log2(min(level.optical.shape) / 16), 1, 6))
    try:
        u, v = package.GEFolki(level.optical, level.sar, iteration=2, radius=range(32, 4, -4), rank=4, levels=pyramid)
    finally:
        adapthist.rescale_intensity = rescale
    return shifts_of_flow(u, v, level, xy)
