"""Steep scenes: what is warped and what the tie-points say is the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from solution.benchmark.steep import GRADIENTS, Steepness, added_field, moved_points
from solution.data.finding import discover

SHAPE = (700, 900)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_field_is_as_steep_as_asked_for_and_runs_along_one_line(gradient):
    field = added_field(SHAPE, Steepness(gradient, 3))
    slope = np.hypot(*np.gradient(np.hypot(*field) * np.sign(field[0])))
    assert slope.max() == pytest.approx(gradient, rel=0.05) or np.hypot(*field).max() == pytest.approx(45, rel=0.01)
    flat = field.reshape(2, -1).T
    assert np.linalg.svd(flat[::50], compute_uv=False)[1] < 1e-3 * np.linalg.svd(flat[::50], compute_uv=False)[0]


def test_seeds_give_other_fields_and_the_same_seed_the_same():
    one, again, other = (added_field(SHAPE, Steepness(0.04, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.allclose(one, other, atol=1.0)


def test_a_point_is_found_where_the_warped_image_shows_it():
    """Bright spots of a warped image lie where the moved points say, and nowhere near on the other side."""
    field = added_field(SHAPE, Steepness(0.06, 5))
    points = np.array([[200, 150], [450, 350], [700, 550]])
    image = np.zeros(SHAPE, np.float32)
    for x, y in points:
        cv2.circle(image, (int(x), int(y)), 4, 1.0, -1)
    x, y = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in SHAPE[::-1]))
    warped = cv2.remap(image, x - field[0], y - field[1], cv2.INTER_LINEAR)
    places = moved_points(points, field)
    assert np.hypot(*(places - points).T).max() > 3.0
    for place in places:
        near = (np.hypot(x - place[0], y - place[1]) < 12) * warped
        found = np.array([(near * x).sum(), (near * y).sum()]) / near.sum()
        assert np.hypot(*(found - place)) < 0.2


def test_steep_scenes_keep_their_names_and_what_was_there_moves_along(make_scene, run, tmp_path):
    scene = make_scene("02_train_01", shape=(160, 176), displacement=(7.0, -5.0))
    code, out, err = run("steep", scene.folder, tmp_path / "steep")
    assert code == 0, err
    assert [folder.name for folder in sorted((tmp_path / "steep").iterdir())] == [
        f"slope_{slope}" for slope in (2, 4, 6, 8)
    ]
    (pair,) = discover(tmp_path / "steep" / "slope_8")
    assert pair.name == "02_train_01" and pair.optical.read_bytes() == scene.optical.read_bytes()
    before, after = scene.open().tiepoints(), pair.tiepoints()
    assert 0 < len(after) <= len(before) and f"{len(after)} tie-points" in out
    assert np.ptp(after.shift, axis=0).max() > np.ptp(before.shift, axis=0).max()
