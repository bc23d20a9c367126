"""The search for the joint field: its levels, its reach, and that a scene's displacement is found in sign and axes."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import rasterio
import torch

from solution.core import geometry
from solution.core.geometry import Window
from solution.proposers.encoder.frozen import FROZEN_PX
from solution.proposers.flow.decoys import DECOYS
from solution.proposers.flow.gathering import NODE_PX, Source, gather
from solution.proposers.flow.search import Search, levels
from solution.proposers.flow.settings import SearchConfig
from solution.proposers.warped import read_sar
from solution.tests.conftest import Recipe, Scene
from solution.tests.handmade import GradientDirections

CONFIG = SearchConfig(reach_px=96.0, tile_px=128)


def bent(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent displacement of up to 60 px; its axes differ, so that nothing may be swapped."""
    return 41.0 + 6.0 * np.sin(y / 90.0) + 0.03 * x, -28.0 + 5.0 * np.cos(x / 110.0) - 0.02 * y


RECIPE = Recipe(shape=(320, 384), sar_gsd=(1.0, 1.0), sar_offset=(-30.0, 30.0), displacement=bent, points=None, seed=1)


class Coarse(GradientDirections):
    """In the place of the coarse features."""

    def __init__(self) -> None:
        super().__init__(FROZEN_PX)


def error_of(scene: Scene, field) -> np.ndarray:
    """(N, 2) error in px at places all over the scene."""
    y, x = (part.ravel().astype(float) for part in np.mgrid[20:300:20, 20:364:20])
    xy = np.stack([x, y], axis=-1)
    truth = np.stack(bent(x, y), axis=-1) - scene.open().centre_offset_px
    return field.shift_at(xy) - truth


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((300, 300), [1]),
        ((500, 500), [1]),
        ((501, 500), [2, 1]),
        ((640, 640), [2, 1]),
        ((1024, 1024), [2, 1]),
        ((3000, 3000), [4, 2, 1]),
        ((10_000, 10_000), [16, 8, 4, 2, 1]),
        ((13_000, 13_000), [16, 8, 4, 2, 1]),
    ],
)
def test_the_levels_halve_from_a_small_picture_to_a_sharp_one(shape, expected):
    found = levels(shape, 1, SearchConfig())
    assert found == expected and all(before == 2 * after for before, after in pairwise(found))
    assert levels(shape, 8, SearchConfig()) == [level for level in expected if level > 8] + [8]


@pytest.mark.parametrize("tile_px", [128, 1024])
def test_a_displacement_far_beyond_a_window_is_found(make_scene, tile_px):
    scene = make_scene(**vars(RECIPE))
    passes = []

    def note(what: str, done: int, total: int) -> None:
        if done == total:
            passes.append(what)

    search = Search(scene.open(), [Coarse()], replace(CONFIG, tile_px=tile_px), progress=note)
    error = error_of(scene, search.field)
    assert np.hypot(*error.T).mean() < 2.5 and passes == ["field: level 1"] * 2
    assert np.allclose(search.start, (43.0, -26.0), atol=10.0)


def test_pieces_of_a_large_level_agree_with_the_whole(make_scene):
    pair, xy = make_scene(**vars(RECIPE)).open(), geometry.lattice((40.0, 40.0), (16.0, 16.0), (15, 19)).reshape(-1, 2)
    config = replace(CONFIG, whole_px=100, piece_px=128, overlap_px=64)
    whole, pieces = (Search(pair, [Coarse()], each).field.shift_at(xy) for each in (CONFIG, config))
    assert 0 < np.abs(whole - pieces).mean() < 0.5 and np.abs(whole - pieces).max() < 3.0


def test_the_search_reaches_no_farther_than_it_is_told(make_scene):
    scene = make_scene(**vars(RECIPE))
    field = Search(scene.open(), [Coarse()], replace(CONFIG, reach_px=16.0, refine_radius_px=8.0)).field
    assert np.abs(field.nodes).max() < 30.0


def test_tiles_do_not_show_in_the_evidence(make_scene):
    pair, make = make_scene(**vars(RECIPE)).open(), Coarse()
    source = Source(make.optical, make.sar, FROZEN_PX)
    whole, tiled = (gather(pair, 1, 48.0, None, [source], tile_px)[0] for tile_px in (1024, 64))
    assert whole.planes.shape == (320 // NODE_PX, 384 // NODE_PX, 13, 13) and whole.cell_px == FROZEN_PX
    np.testing.assert_allclose(whole.planes, tiled.planes, atol=1e-4)


def test_readers_side_by_side_share_the_optical_features(make_scene, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    make, begun = GradientDirections(), []

    def slow(image, valid):
        begun.append(image.shape)
        time.sleep(0.2)
        return make.optical(image, valid)

    gather(make_scene(**vars(RECIPE)).open(), 1, 32.0, None, [Source(slow, make.sar, 4)], readers=(read_sar, *DECOYS))
    assert len(begun) == 1


def test_the_evidence_peaks_at_the_displacement(make_scene):
    scene = make_scene(**{**vars(RECIPE), "displacement": (24.0, -16.0), "sar_offset": (0.0, 0.0)})
    make = GradientDirections()
    (evidence,) = gather(scene.open(), 1, 32.0, None, [Source(make.optical, make.sar, 4)])
    flat = evidence.planes[1:-1, 1:-1].mean(axis=(0, 1)).argmax()
    assert (flat % 17 - 8, flat // 17 - 8) == (6, -4) and evidence.origin == (15.5, 15.5)


def test_ground_without_data_gives_no_evidence(make_scene):
    scene = make_scene(**vars(RECIPE))
    with rasterio.open(scene.optical, "r+") as dataset:
        pixels = dataset.read()
        pixels[:, :, 192:] = 0
        dataset.write(pixels)
    make = GradientDirections()
    (evidence,) = gather(scene.open(), 1, 64.0, None, [Source(make.optical, make.sar, 4)])
    planes = evidence.planes
    assert not planes[:, 7:].any() and planes[:, :5].any(axis=(2, 3)).all()


def test_a_sar_image_elsewhere_leaves_no_shift(make_scene):
    pair = make_scene(**{**vars(RECIPE), "sar_offset": (5000.0, 0.0), "sar_shape": (64, 64)}).open()
    search = Search(pair, [Coarse()], CONFIG)
    assert not search.field.nodes.any() and np.isnan(search.contrast.of(search.field).margin)


def test_the_true_field_stands_out_from_decoys_and_a_wrong_one_does_not(make_scene):
    scene = make_scene(**vars(RECIPE))
    search = Search(scene.open(), [Coarse()], CONFIG)
    right = search.contrast.of(search.field)
    moved = replace(search.field, nodes=search.field.nodes + np.array([40.0, 0.0])[:, None, None])
    wrong = search.contrast.of(moved)
    assert right.margin > 0.6 and right.clear.mean() > 0.7
    assert wrong.margin < 0.1 and wrong.clear.mean() < 0.2
    half = replace(
        search.field, nodes=np.where(np.arange(search.field.nodes.shape[2]) < 6, search.field.nodes, moved.nodes)
    )
    clear = search.contrast.of(half).clear
    assert clear[:, :4].mean() > 0.7 and clear[:, -4:].mean() < 0.3


def test_a_decoy_is_the_sar_image_mirrored_about_the_middle_of_the_optical_one(make_scene):
    pair = make_scene(**{**vars(RECIPE), "displacement": (0.0, 0.0), "sar_offset": (0.0, 0.0)}).open()
    window = Window(64, 32, 128, 96)
    for axis, mirrored_window, flipped in (
        (0, Window(384 - 192, 32, 128, 96), 2),
        (1, Window(64, 320 - 128, 128, 96), 1),
    ):
        values, valid = DECOYS[axis](pair, window, 1, None)
        expected, _ = read_sar(pair, mirrored_window, 1, None)
        np.testing.assert_allclose(values, np.flip(expected, flipped), atol=1e-5)
        assert valid.all()
