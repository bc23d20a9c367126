"""What shows on scenes of some size only, with the shipped weights and a simulated scene whose truth is known everywhere:
halves that are predicted apart, images that share a part only, clouds and water, shifts at the edge of the search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window
from typer.testing import CliRunner

from solution.cli.app import app
from solution.data.naming import FOLDS
from solution.field.verdict import EXIT_CODES
from solution.simulate import scene_writer
from solution.simulate.scene_writer import ScenePaths

pytestmark = pytest.mark.slow
SHAPE = (640, 960)
LEFT, RIGHT = (0, 560), (400, 960)
"""Columns of two halves that overlap."""
BORDER_PX = 64
"""From the edge of a half, whose other half says no more how it goes on."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> ScenePaths:
    """A scene that no team saw."""
    return scene_writer.write_scene(tmp_path_factory.mktemp("hard"), "91_village", SHAPE, 9303, "village", 0.0)


@pytest.fixture(scope="module")
def truth(scene) -> np.ndarray:
    """(2, h, w) exact shifts, px."""
    return _read(scene.truth)


@pytest.fixture(scope="module")
def whole(scene, tmp_path_factory) -> np.ndarray:
    """The map of the whole scene."""
    return predicted(scene.optical, scene.sar, tmp_path_factory.mktemp("whole") / "map.tif")


def predicted(optical: Path, sar: Path, out: Path, finest: int = 1) -> np.ndarray:
    """The map that the command line writes with the shipped teams, (2, h, w); it must be finite and no failure.

    Level 2 takes half the time; its maps are held against that of every pixel all the same.
    """
    paths = map(str, (optical, sar, out))
    result = CliRunner().invoke(
        app, ["predict", *paths, "--folds", str(FOLDS), "--device", "cpu", "--finest", str(finest)]
    )
    assert result.exit_code in (0, EXIT_CODES["weak"]), result.output
    shift = _read(out)
    assert np.isfinite(shift).all()
    return shift


def error_px(shift: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(h, w) distances."""
    return np.hypot(*(shift - truth))


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def cut(source: Path, target: Path, window: Window) -> Path:
    """A part of an image, where it lies."""
    with rasterio.open(source) as dataset:
        pixels = dataset.read(window=window)
        profile = {**dataset.profile, "transform": dataset.window_transform(window)}
    with rasterio.open(target, "w", **{**profile, "width": window.width, "height": window.height}) as written:
        written.write(pixels)
    return target


def changed(source: Path, target: Path, change: Callable[[np.ndarray], np.ndarray], move: Affine | None = None) -> Path:
    """An image with other pixels, or moved on the ground."""
    with rasterio.open(source) as dataset:
        pixels = change(dataset.read())
        profile = {**dataset.profile, "transform": (move or Affine.identity()) @ dataset.transform}
    with rasterio.open(target, "w", **profile) as written:
        written.write(pixels)
    return target


def test_the_whole_scene_is_found(whole, truth):
    """What the others are held against."""
    assert error_px(whole, truth).mean() < 4 < 0.5 * error_px(np.zeros_like(truth), truth).mean()


def test_halves_that_are_predicted_apart_agree_inside(scene, whole, truth, tmp_path):
    halves = []
    for name, (first, last) in (("left", LEFT), ("right", RIGHT)):
        optical = cut(scene.optical, tmp_path / f"{name}_optical.tif", Window(first, 0, last - first, SHAPE[0]))
        halves.append(predicted(optical, scene.sar, tmp_path / f"{name}.tif"))
        inner = slice(BORDER_PX, -BORDER_PX)
        apart = np.hypot(*(halves[-1] - whole[:, :, first:last]))[inner, inner]
        assert apart.mean() < 1.0 and np.percentile(apart, 95) < 3.0
    left, right = halves
    middle = (RIGHT[0] + LEFT[1]) // 2
    at_seam = slice(middle - 8, middle + 8)
    jump = np.hypot(*(left[:, :, at_seam] - right[:, :, middle - 8 - RIGHT[0] : middle + 8 - RIGHT[0]]))
    assert jump.mean() < 1.5


@pytest.mark.parametrize("side", ["west", "east"])
def test_a_sar_image_that_covers_a_part_is_used_there_and_spanned_from_there(scene, whole, truth, tmp_path, side):
    with rasterio.open(scene.sar) as sar, rasterio.open(scene.optical) as optical:
        kept = int(0.6 * sar.width)
        first = 0 if side == "west" else sar.width - kept
        edge = (~optical.transform @ (sar.transform @ (kept if side == "west" else first, 0)))[0]
    part = cut(scene.sar, tmp_path / "sar.tif", Window(first, 0, kept, _height(scene.sar)))
    shift = predicted(scene.optical, part, tmp_path / "map.tif", finest=2)
    columns = np.arange(SHAPE[1])
    inside = columns < edge - 100 if side == "west" else columns > edge + 100
    beyond = columns > edge if side == "west" else columns < edge
    assert inside.sum() > 300 and beyond.sum() > 300
    error = error_px(shift, truth)
    assert error[:, inside].mean() < error_px(whole, truth)[:, inside].mean() + 1.5
    low, high = (bound(shift[:, :, inside], axis=(1, 2)) for bound in (np.min, np.max))
    assert (
        shift[:, :, beyond].min(axis=(1, 2)) > low - (high - low)
    ).all()  # it does not run away where nothing holds it
    assert (shift[:, :, beyond].max(axis=(1, 2)) < high + (high - low)).all()


def test_an_optical_image_that_covers_a_part_is_registered_by_itself(scene, whole, truth, tmp_path):
    window = Window(500, 200, 460, 440)
    rows, columns = window.toslices()
    shift = predicted(cut(scene.optical, tmp_path / "optical.tif", window), scene.sar, tmp_path / "map.tif", finest=2)
    error, alone = (error_px(each, truth[:, rows, columns]).mean() for each in (whole[:, rows, columns], shift))
    assert alone < error + 2


def blobs(share: float) -> np.ndarray:
    """(h, w) opacities in [0, 1] of soft patches over a share of the scene."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32), (0, 0), 50)
    least = np.quantile(noise, 1 - share)
    return np.clip((noise - least) / (0.15 * noise.std()) + 0.5, 0, 1)


def cloud(image: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Bright, soft, with a texture of its own."""
    rough = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    soft = cv2.GaussianBlur(rough, (0, 0), 20)
    return image * (1 - opacity) + (235 + 10 * soft / soft.std()) * opacity


def water(image: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Dark, nearly even, with a sharp shore."""
    even = np.array([28, 48, 60])[:, None, None] + np.random.default_rng(2).normal(0, 2, image.shape)
    return np.where(opacity > 0.5, even, image)


@pytest.mark.parametrize("cover", [cloud, water])
def test_ground_that_the_optical_image_hides_is_spanned_and_spoils_no_other(scene, whole, truth, tmp_path, cover):
    opacity = blobs(0.3)
    assert 0.27 < opacity.mean() < 0.33
    hidden = changed(
        scene.optical, tmp_path / "optical.tif", lambda image: np.clip(cover(image, opacity), 1, 255).astype(np.uint8)
    )
    error = error_px(predicted(hidden, scene.sar, tmp_path / "map.tif"), truth)
    before, clear = error_px(whole, truth), opacity == 0
    assert error[clear].mean() < before[clear].mean() + 1.0
    assert error[~clear].mean() < before[~clear].mean() + 4.0


@pytest.mark.parametrize("shift", [(290, 20), (-290, -40), (30, -290), (-210, 210)])
def test_shifts_of_nearly_300_px_are_found(scene, whole, truth, tmp_path, shift):
    """The same images, one of them georeferenced elsewhere."""
    more = np.array(shift) - np.rint(truth.mean(axis=(1, 2)))
    with rasterio.open(scene.optical) as optical:
        move = Affine.translation(more[0] * optical.transform.a, more[1] * optical.transform.e)
    moved = changed(scene.sar, tmp_path / "sar.tif", lambda image: image, move)
    error = error_px(predicted(scene.optical, moved, tmp_path / "map.tif", finest=2), truth + more[:, None, None])
    assert error.mean() < error_px(whole, truth).mean() + 1.5


def _height(path: Path) -> int:
    with rasterio.open(path) as dataset:
        return dataset.height
