"""The simulator: determinism, the convention, and the geometry of both sensors (layover, shadow, lean) on scenes
small enough to reason about."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import rasterio

from solution.core.errors import InputError
from solution.data import finding
from solution.simulate import materials, optical, presets, sar, sensors, statistics
from solution.simulate import scene_writer as writer
from solution.simulate.ground import GroundCells
from solution.simulate.materials import Material, encode_db
from solution.simulate.noise import CoarseField, coarse_shape, fractal, hash01
from solution.simulate.scene_writer import write_scene

SIZE = (288, 352)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return write_scene(folder, "01_train_01", SIZE, seed=11, preset="city", click_noise_px=0.0)


def _views(**changes) -> sensors.SceneViews:
    views = sensors.SceneViews(
        cell_m=0.5, sar_gsd_m=(0.5, 0.5), lean=(0.0, 1.0), lean_per_m=0.4, sun=(1.0, 0.0), sun_elevation_deg=45.0, radar=(1.0, 0.0),
        incidence_deg=40.0,
    )  # fmt: skip
    return dataclasses.replace(views, **changes)


def _flat(shape) -> tuple[sensors.Grids, sensors.Displacement]:
    still = CoarseField(np.zeros(coarse_shape(shape), np.float32))
    return sensors.Grids(shape, shape, (0.0, 0.0), shape, (0, 0)), sensors.Displacement(
        still, still, still, still, still
    )


def _one_building(height_m: float = 10.0) -> tuple[GroundCells, np.ndarray]:
    """A 20 m cube-like building in the middle of 128 m of lawn, and its footprint."""
    ground = GroundCells.empty((256, 256))
    ground.material[:], ground.colour[:], ground.backscatter[:] = Material.GRASS, 120, encode_db(-12.0)
    footprint = np.zeros((256, 256), bool)
    footprint[108:148, 108:148] = True
    ground.height[footprint], ground.building[footprint], ground.material[footprint] = height_m, 1, Material.ROOF_FLAT
    ground.facades.append((1.0, 0.0, 200.0, 200.0, 200.0, 3.0, 3.0, 0.0))
    return ground, footprint


def _centroid(weight: np.ndarray) -> np.ndarray:
    """(x, y)."""
    y, x = np.indices(weight.shape)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def test_the_same_seed_gives_the_same_bytes(written, tmp_path):
    again = write_scene(tmp_path, "01_train_01", SIZE, seed=11, preset="city", click_noise_px=0.0)
    for field in dataclasses.fields(written):
        assert getattr(written, field.name).read_bytes() == getattr(again, field.name).read_bytes(), field.name


def test_another_seed_gives_another_scene():
    first, second = (writer.build_scene((256, 256), seed, "village") for seed in (1, 2))
    assert first.sar.shape != second.sar.shape or (first.sar != second.sar).any()


def test_files_have_the_layout_of_the_challenge(written):
    (pair,) = finding.discover(written.optical.parent)
    assert pair.name == "01_train_01" and pair.shape == SIZE
    assert pair.sar_to_optical[0, 0] != 1.0 and (pair.sar_to_optical[:2, 2] != 0).all()
    pair.check()
    with (
        rasterio.open(written.optical) as optic,
        rasterio.open(written.sar) as radar,
        rasterio.open(written.truth) as truth,
    ):
        assert optic.count == 3 and radar.count == 1 and truth.count == 2
        assert optic.dtypes[0] == radar.dtypes[0] == "uint8" and truth.dtypes[0] == "float32"
        assert optic.crs == radar.crs == truth.crs and truth.transform == optic.transform
        assert optic.profile["tiled"] and optic.profile["compress"] == "deflate"
        assert truth.descriptions == ("dx", "dy")


def test_noise_free_tiepoints_agree_with_the_truth_map_to_the_rounding(written):
    (pair,) = finding.discover(written.optical.parent)
    points = pair.tiepoints()
    with rasterio.open(written.truth) as dataset:
        truth = dataset.read()
    there = truth[:, points.y.astype(int), points.x.astype(int)].T
    half_a_sar_pixel = pair.sar_to_optical[0, 0] / 2
    assert len(points) >= 10
    assert np.abs(points.shift - there).max() <= half_a_sar_pixel + 0.02


def test_click_noise_has_the_length_asked_for():
    size = (3000, 3000)
    views, (grids, displacement) = _views(), _flat(size)
    scene = writer.SimulatedScene(views, grids, displacement, None, None, np.zeros(size, np.uint8), np.zeros((0, 2)))
    table = writer.tiepoints(scene, 5.0, np.random.default_rng(0))
    error = np.hypot(table[:, 0] - table[:, 2], table[:, 1] - table[:, 3])
    assert 4.0 < np.sqrt(np.mean(error**2)) < 6.0


def test_both_images_show_a_beacon_where_the_truth_says():
    preset = presets.PRESETS["gaziantep"]
    rng = np.random.default_rng(3)
    views = sensors.draw_views(preset, rng)
    grids, displacement = sensors.build((512, 640), preset, views, rng)
    ground = GroundCells.empty(grids.ground_shape)
    ground.colour[:] = 40
    beacons = (
        np.stack(np.meshgrid(np.arange(90, 600, 60), np.arange(60, 480, 60)), axis=-1).reshape(-1, 2)
        - grids.ground_origin
    )
    for x, y in beacons:
        ground.backscatter[y - 1 : y + 2, x - 1 : x + 2], ground.colour[y - 1 : y + 2, x - 1 : x + 2] = 220, 250
    photo, _ = optical.render(ground, displacement, grids, views, optical.draw_look(rng), rng)
    radar, _ = sar.intensity(sar.accumulate(ground, displacement, views, sar.draw_look(rng, preset)), grids, views)
    scene = writer.SimulatedScene(
        views, grids, displacement, photo, radar, np.zeros((512, 640), np.uint8), np.zeros((0, 2))
    )
    truth = np.concatenate([strip for _, strip in writer.truth_strips(scene)], axis=1)
    spots = _spots(photo.mean(axis=-1))
    shift = np.stack([cv2.remap(band, *spots.T.astype(np.float32), cv2.INTER_LINEAR)[:, 0] for band in truth], axis=-1)
    seen = (
        _spots(radar) * scene.gsd_ratio + np.array(grids.sar_origin_m) / views.cell_m
    )  # by the index convention, not by pixel centres
    error = (spots + shift)[:, None] - seen[None]
    nearest = error[np.arange(len(spots)), np.linalg.norm(error, axis=-1).argmin(axis=1)]
    found = nearest[np.linalg.norm(nearest, axis=-1) < 5]
    assert len(found) > 30
    assert np.abs(np.median(found, axis=0)).max() < 0.12
    assert np.percentile(np.linalg.norm(found, axis=-1), 90) < 0.6


def _spots(image: np.ndarray) -> np.ndarray:
    """(n, 2) centroids (x, y) of bright spots."""
    level = image.astype(np.float64) - np.median(image)
    count, labels = cv2.connectedComponents((level > 0.3 * level.max()).astype(np.uint8))
    return np.array([_centroid(np.where(labels == k, level, 0)) for k in range(1, count)])


@pytest.mark.parametrize("radar", [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.6, -0.8)])
def test_layover_falls_towards_the_radar_and_shadow_away_from_it(radar):
    ground, footprint = _one_building()
    views = _views(radar=radar)
    _, displacement = _flat(ground.height.shape)
    power = sar.accumulate(
        ground, displacement, views, sar.draw_look(np.random.default_rng(0), presets.PRESETS["city"])
    )
    centre, direction = _centroid(footprint), np.array(radar)
    along = (_centroid(power.raised) - centre) @ direction
    full = 10.0 * views.layover_per_m / views.cell_m
    assert 0.5 * full < along < 1.6 * full
    assert (_centroid(power.shadow) - centre) @ direction < -20
    length = power.shadow.sum() * views.cell_m**2 / (20.0 * (1 if 0.0 in radar else 1.4))
    assert length == pytest.approx(10.0 * np.tan(np.deg2rad(40.0)), rel=0.15)


def test_a_wall_facing_the_radar_is_the_brightest_line_and_stands_at_its_foot():
    ground, _ = _one_building()
    _, displacement = _flat(ground.height.shape)
    look = dataclasses.replace(
        sar.draw_look(np.random.default_rng(0), presets.PRESETS["city"]), window_db=-30.0, bounce_db=18.0
    )
    power = sar.accumulate(ground, displacement, _views(), look)
    profile = power.total[112:144].mean(axis=0)
    assert abs(int(profile.argmax()) - 147) <= 1


def test_roofs_lean_away_and_sun_shadows_fall_away_from_the_sun():
    ground, footprint = _one_building()
    views = _views()
    grids, displacement = _flat(ground.height.shape)
    look = dataclasses.replace(
        optical.draw_look(np.random.default_rng(0)), haze=0.0, noise=0.0, blur_px=0.5, sharpen=0.0
    )
    photo, seen = optical.render(ground, displacement, grids, views, look, np.random.default_rng(0))
    top = (seen == optical.VIEW["roof"]) | (seen == optical.VIEW["occlusion"])
    lean = _centroid(top) - _centroid(footprint)
    assert lean == pytest.approx([0.0, 10.0 * 0.4 / 0.5], abs=2.0)
    assert (
        seen[110, 128] == optical.VIEW["facade"] and seen[153, 128] == optical.VIEW["occlusion"] and seen[20, 20] == 0
    )
    row = photo[128].mean(axis=-1)
    assert row[90:106].mean() < 0.6 * row[150:166].mean()


def test_truth_follows_the_convention_page():
    """GSD 0.5 and 1.0 m, no displacement: the index shift is -1/2, which the half-pixel
    offset of centres makes good."""
    grids, displacement = _flat((256, 256))
    scene = writer.SimulatedScene(
        _views(sar_gsd_m=(1.0, 1.0)), grids, displacement, None, None, np.zeros((256, 256), np.uint8), np.zeros((0, 2))
    )
    (_, truth), *_ = writer.truth_strips(scene)
    assert np.allclose(truth, -0.5)


def test_masks_hold_every_class_in_sane_shares(written):
    with rasterio.open(written.mask) as dataset:
        mask = dataset.read(1)
    share = {name: float((mask == value).mean()) for name, value in writer.MASK.items()}
    assert sum(share.values()) == pytest.approx(1.0)
    assert share["ground"] > 0.2
    assert all(0.0005 < share[name] < 0.5 for name in ("roof", "facade", "layover", "shadow", "occlusion"))


@pytest.mark.parametrize("looks", [1, 4])
def test_speckle_keeps_the_mean_and_has_the_contrast_of_its_looks(looks):
    look = dataclasses.replace(
        sar.draw_look(np.random.default_rng(0), presets.PRESETS["city"]), looks=looks, floor_db=-60.0
    )
    detected = sar.speckle(np.full((400, 400), 2.0, np.float32), _views(), look, np.random.default_rng(1))
    assert detected.mean() == pytest.approx(2.0, rel=0.05)
    assert detected.std() / detected.mean() == pytest.approx(looks**-0.5, rel=0.1)


def test_the_sn9_like_displacement_has_the_statistics_of_the_real_tiepoints():
    preset, found = presets.PRESETS["gaziantep"], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        views = sensors.draw_views(preset, rng)
        grids, displacement = sensors.build((3000, 6000), preset, views, rng)
        scene = writer.SimulatedScene(
            views, grids, displacement, None, None, np.zeros((3000, 6000), np.uint8), np.zeros((0, 2))
        )
        table = writer.tiepoints(scene, 4.0, rng)
        position = (table[:, [1, 0]] * views.sar_gsd_m + np.array(grids.sar_origin_m)) / views.cell_m
        found.append(statistics.describe(str(seed), table[:, [3, 2]].astype(float), position - table[:, [3, 2]]))
    middle = {name: np.median([getattr(f, name) for f in found]) for name in ("zero_shift", "along", "across")}
    pairs = np.median([f.pairs for f in found], axis=0)
    assert 40 < middle["zero_shift"] < 120 and 35 < middle["along"] < 90 and 5 < middle["across"] < 38
    assert 11 < pairs[0] < 23 and 22 < pairs[1] < 55 and 50 < pairs[2] < 135


def test_fractals_have_unit_differences_at_a_hundred_metres():
    field = fractal((400, 400), 4.0, 0.6, 10.0, np.random.default_rng(0))
    difference = np.sqrt(np.mean((field[:, 25:] - field[:, :-25]) ** 2))
    assert difference == pytest.approx(1.0, rel=0.25)


def test_coarse_fields_keep_planes_and_agree_between_windows():
    nodes = np.add.outer(np.arange(20.0), 3 * np.arange(30.0)).astype(np.float32)
    field = CoarseField(nodes)
    whole = field.window(0, 140, 0, 200)
    assert np.abs(np.diff(whole[40:100, 40:160], axis=1) - 3 / 8).max() < 1e-3
    assert np.allclose(field.window(37, 90, 51, 120), whole[37:90, 51:120], atol=1e-4)
    assert np.allclose(field.at(np.array([80.0]), np.array([60.0])), whole[60, 80], atol=1e-2)


def test_hashes_are_uniform():
    draw = hash01(np.arange(20_000), 3)
    assert abs(draw.mean() - 0.5) < 0.01 and draw.min() >= 0 and draw.max() < 1


@pytest.mark.parametrize(("dtype", "kind"), [("uint8", np.uint8), ("uint16", np.uint16), ("float32", np.float32)])
def test_amplitude_keeps_its_order_and_leaves_zero_to_missing_data(dtype, kind):
    detected = np.linspace(0, 4, 90_000, dtype=np.float32).reshape(300, 300)
    out = sar.quantise(detected, sar.draw_look(np.random.default_rng(0), presets.PRESETS["city"]), dtype)
    assert out.dtype == kind and out.min() > 0 and (np.diff(out.ravel().astype(np.float64)) >= 0).all()


@pytest.mark.parametrize(
    ("name", "size", "preset", "says"),
    [
        ("01_train_01", (300, 300), "atlantis", "choose one of"),
        ("01_train_01", (100, 300), "city", "at least"),
        ("train", (300, 300), "city", "two digits"),
    ],
)
def test_bad_requests_are_refused_with_the_mend(tmp_path, name, size, preset, says):
    with pytest.raises(InputError, match=says):
        write_scene(tmp_path, name, size, 0, preset)


def test_plan_names_every_scene_once_within_two_digits():
    for count in (1, 5, 450):
        names = [name for name, _ in writer.plan(count, 3)]
        assert len(set(names)) == count and all(len(name.split("_")[0]) == 2 for name in names)
        assert len({seed for _, seed in writer.plan(count, 3)}) == count


def test_a_sensor_of_its_own_kind_sees_trees_above_roofs_and_leaves_the_other_presets_as_they_were():
    usual, own = (sar.draw_look(np.random.default_rng(3), presets.PRESETS[name]) for name in ("suburb", "longwave"))
    tree, roof = materials.Material.TREE, materials.Material.ROOF_TILE
    contrast = [look.material_db[tree] - look.material_db[roof] for look in (usual, own)]
    assert contrast[1] - contrast[0] == pytest.approx(16.0)
    assert (own.looks, own.band) == (8, (0.4, 0.4)) and usual == sar.draw_look(
        np.random.default_rng(3), presets.PRESETS["city"]
    )
    assert all(presets.choose("mixed", draw) is not presets.PRESETS["longwave"] for draw in np.linspace(0, 0.999, 50))
