"""The peers: their pins, their conventions, and known warps that they find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from solution.benchmark import methods, peers
from solution.benchmark.methods import METHODS
from solution.scoring import score
from solution.tests.benchmark.conftest import SHAPE, slanted


def test_every_peer_is_pinned_and_no_part_of_the_product():
    root = Path(methods.__file__).resolve().parents[2]
    peers_only = (root / methods.REQUIREMENTS).read_text().partition("# runtimes\n")[0].splitlines()
    names = {line.split("==")[0] for line in peers_only if line and not line.startswith("#")}
    assert names == {method.package for method in METHODS.values() if method.package}
    assert not any(name.lower() in (root / "requirements.txt").read_text().lower() for name in names)


def test_a_level_is_read_with_what_each_image_covers(make_scene):
    pair = make_scene(
        "07_town", shape=(96, 128), sar_gsd=(0.5, 0.5), sar_offset=(16.0, 0.0), sar_shape=(96, 64), points=None
    ).open()
    whole, half = peers.read_level(pair, 1), peers.read_level(pair, 2)
    assert (whole.factor, whole.optical.shape, whole.origin) == (1, (96, 128), 0.0)
    assert (half.factor, half.optical.shape, half.origin) == (2, (48, 64), 0.5)
    assert (
        whole.optical_valid.all()
        and whole.sar_valid[:, 32:96].all()
        and not whole.sar_valid[:, :32].any()
        and not whole.sar_valid[:, 96:].any()
    )
    blocks = whole.optical.reshape(48, 2, 64, 2).mean(axis=(1, 3))
    assert np.abs(half.optical - blocks).max() < 0.01


def test_mappings_and_flows_become_shifts():
    xy = np.array([[10.0, 20.0], [0.0, 5.0]])
    assert peers.shifts_of_mapping(lambda point: (2 * point[0] + 1, point[1] - 3), xy).tolist() == [
        [11.0, -3.0],
        [1.0, -3.0],
    ]
    assert peers.shifts_of_mapping(lambda point: point, np.zeros((0, 2))).shape == (0, 2)
    # Level pixel i of a level of factor 4 is centred on optical 4 i + 1.5; u grows by 1 a level pixel, so the shift by
    # 4 px every 4 px.
    column, row = np.meshgrid(np.arange(8.0), np.arange(6.0))
    blank = np.zeros((6, 8), np.float32)
    level = peers.Level(blank, blank, blank > -1, blank > -1, 4)
    xy = np.array([[1.5, 5.5], [7.5, 5.5], [8.5, 9.5]])
    assert np.allclose(
        peers.shifts_of_flow(column, 10 * row, level, xy), [[0.0, 40.0], [6.0, 40.0], [7.0, 80.0]], atol=1e-5
    )


def test_a_peer_sees_the_apparent_shift_and_gives_that_of_indices(make_scene, tmp_path):
    """A SAR pixel of two optical ones shows everything half a pixel further than its index says."""
    scene = make_scene("07_town", shape=SHAPE, sar_gsd=(1.0, 1.0), displacement=(5.0, -3.0))
    task = methods.Task(
        scene.open(), score.reference(scene.tiepoints_csv, scene.optical, scene.sar), tmp_path, (), "cpu", tmp_path
    )
    for largest_px, factor in ((200, 1), (112, 1), (111, 2), (40, 3)):

        def seer(level, xy, factor=factor):
            assert level.factor == factor
            return np.ones_like(xy) * (5.0, -3.0)

        assert methods.by_peer(seer, largest_px, task)[0].tolist() == pytest.approx([4.5, -3.5])


def wavy(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 14.0 + 3 * np.sin(y / 18), -11.0 + 3 * np.cos(x / 23)


@pytest.mark.parametrize(("factor", "displacement", "limit_px"), [(1, wavy, 0.3), (2, slanted, 1.0)])
def test_simpleitk_finds_a_known_warp_on_every_level(make_scene, factor, displacement, limit_px):
    """Over the waves, taking the spline and the affine in the wrong order would cost 2 px."""
    pytest.importorskip("SimpleITK", reason="a peer of the benchmark: pip install -r requirements-benchmark.txt")
    scene = make_scene(
        "07_town", shape=(112, 144), sar_gsd=(1.0, 1.0), sar_offset=(-20.0, 20.0), displacement=displacement
    )
    xy = scene.open().tiepoints().xy
    quick = peers.MutualInformation(
        samples=4000,
        search_side_px=64,
        search_step_px=3,
        search_reach_share=0.2,
        iterations=40,
        shrink=(2, 1),
        smoothing_px=(1.0, 0.0),
        meshes=(2, 8 // factor),
    )
    found = peers.simpleitk(peers.read_level(scene.open(), factor), xy, quick)
    assert np.median(np.hypot(*(found - np.column_stack(displacement(*xy.T))).T)) < limit_px


@pytest.mark.parametrize("factor", [1, 2])
def test_gefolki_finds_a_known_warp_on_every_level(make_scene, factor):
    pytest.importorskip("gefolki", reason="a peer of the benchmark: pip install -r requirements-benchmark.txt")
    scene = make_scene("07_town", shape=(112, 144), sar_gsd=(1.0, 1.0), sar_offset=(-20.0, 20.0), displacement=slanted)
    xy = scene.open().tiepoints().xy
    found = peers.gefolki(peers.read_level(scene.open(), factor), xy)
    assert np.median(np.hypot(*(found - np.column_stack(slanted(*xy.T))).T)) < 1.0
