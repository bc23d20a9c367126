"""Training images know the files that they were read from."""

from __future__ import annotations

import cv2
import numpy as np

from solution.data.registered import ImagePair
from solution.samples.images import registered_image, scene_image
from solution.tests.conftest import retag


def test_a_scene_that_changed_is_other_data(make_scene):
    scene = make_scene("02_train_01")
    first = scene_image(scene.open()).data
    assert first and scene_image(scene.open()).data == first
    retag(scene.sar)
    second = scene_image(scene.open()).data
    scene.tiepoints_csv.write_text("".join(scene.tiepoints_csv.read_text().splitlines(keepends=True)[:-1]))
    third = scene_image(scene.open()).data
    assert len({first, second, third}) == 3


def test_a_pair_that_changed_is_other_data(tmp_path):
    paths = tmp_path / "sar.png", tmp_path / "optical.png"
    for path in paths:
        cv2.imwrite(str(path), np.full((32, 32, 3), 90, np.uint8))
    pair = ImagePair("a", "pairs/a", "", *paths)
    first = registered_image(pair).data
    assert registered_image(pair).data == first
    cv2.imwrite(str(paths[1]), np.full((32, 32, 3), 91, np.uint8))
    assert registered_image(pair).data != first
