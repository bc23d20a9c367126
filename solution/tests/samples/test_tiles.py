"""Training tiles: the truth of a sample moves its SAR tile onto its optical one, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine

from solution.core.errors import InputError
from solution.core.geometry import fit_affine, similarity
from solution.proposers.flow.settings import FlowConfig
from solution.samples import images
from solution.samples.settings import TileConfig
from solution.samples.tiles import IGNORE, NEGATIVE, POSITIVE, Residual, TilePairs, cut_tile, random_residual
from solution.samples.truth import RegisteredField, TiePointField, TruthMapField
from solution.tests.conftest import Recipe, Scene, write_raster, write_scene

CONFIG = replace(FlowConfig().smoke(), radius_cells=6)
REACH = CONFIG.reach_px


def wavy(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apparent displacement of tens of px that turns with the place."""
    return 14.0 + 5.0 * np.sin(y / 90.0) + 0.02 * x, -9.0 + 4.0 * np.cos(x / 80.0) - 0.03 * y


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    """A scene whose SAR pixels are 1.5 times as large as its optical ones, so that the centre offset counts."""
    recipe = Recipe(
        shape=(400, 440), sar_gsd=(0.75, 0.75), sar_offset=(-20.0, 20.0), displacement=wavy, points=(12, 11)
    )
    return write_scene(tmp_path_factory.mktemp("tiles"), "02_train_01", recipe)


@pytest.fixture(scope="module")
def truth_image(scene, tmp_path_factory) -> images.TrainingImage:
    """The scene with the exact map beside it, as a simulator writes it."""
    pair = scene.open()
    x, y = np.meshgrid(np.arange(pair.shape[1], dtype=np.float64), np.arange(pair.shape[0], dtype=np.float64))
    index_shift = np.stack(wavy(x, y)) - pair.centre_offset_px[:, None, None]
    path = scene.optical.with_name("02_truth_train_01.tif")
    write_raster(path, index_shift.astype(np.float32), scene_transform(scene), "EPSG:32637")
    image = images.scene_image(pair)
    path.unlink()
    return image


def scene_transform(scene: Scene) -> Affine:
    with rasterio.open(scene.optical) as dataset:
        return dataset.transform


def pulled_back(sample: dict[str, torch.Tensor], shift: np.ndarray) -> float:
    """Correlation of the optical tile with the SAR tile read at p + shift, where both carry data; shift (2, h, w) per
    block."""
    size, blocks = sample["sar"].shape[-1], shift.shape[-1]
    block = size // blocks
    field = residual_of(shift, block).at(pixel_grid(size))
    x, y = np.moveaxis(pixel_grid(size) + field, -1, 0).astype(np.float32)
    sar = cv2.remap(sample["sar"][0].numpy(), x, y, cv2.INTER_CUBIC)
    valid = cv2.remap(sample["sar_valid"].numpy(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) > 0.999
    valid &= sample["optical_valid"].numpy() > 0
    assert valid.mean() > 0.3
    return float(np.corrcoef(sample["optical"].mean(dim=0).numpy()[valid], sar[valid])[0, 1])


def pixel_grid(size: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float64)


def residual_of(shift: np.ndarray, block: int) -> Residual:
    """The affine function of the position that block shifts (2, h, w) follow, block centres being (i + 1/2) block -
    1/2."""
    centre = (np.arange(shift.shape[-1]) + 0.5) * block - 0.5
    xy = np.stack(np.meshgrid(centre, centre), axis=-1).reshape(-1, 2)
    matrix = fit_affine(xy, np.moveaxis(shift, 0, -1).reshape(-1, 2))
    return Residual(matrix[:2, 2], matrix[:2, :2], np.zeros(2))


def plain_tiles(image: images.TrainingImage, config: FlowConfig = CONFIG, seed: int = 1) -> TilePairs:
    """Random geometry, but the pixels as they are."""
    return TilePairs([image], replace(config, photometric="none"), 64, seed)


def whole_samples(
    image: images.TrainingImage, count: int, config: FlowConfig = CONFIG
) -> list[dict[str, torch.Tensor]]:
    """Samples that lie mostly inside both images."""
    dataset = plain_tiles(image, config)
    samples = (dataset[index] for index in range(len(dataset)))
    whole = [s for s in samples if (s["label"] == POSITIVE).float().mean() > 0.5]
    return whole[:count]


@pytest.mark.parametrize("factors", [(1,), (2,)])
def test_the_shift_of_a_sample_moves_its_sar_onto_its_optical_tile(truth_image, factors):
    config = replace(CONFIG, factors=factors, tile_px=128 if factors == (1,) else 144)
    for sample in whole_samples(truth_image, 6, config):
        shift = sample["shift"].numpy()
        best = -pulled_back(sample, shift)  # the SAR image of the fixture is bright where the optical one is dark
        assert best > 0.98
        for half in ([0.5, 0.0], [0.0, 0.5], [-0.5, 0.0], [0.0, -0.5]):
            assert -pulled_back(sample, shift + np.array(half)[:, None, None]) < best - 1e-4
        for wrong in (-shift, shift[::-1], np.zeros_like(shift)):
            if np.hypot(*(wrong - shift)).mean() > 2:
                assert -pulled_back(sample, wrong) < best - 0.02


def test_tie_points_give_the_truth_that_they_can(scene, truth_image):
    image = images.scene_image(scene.open())
    assert image.kind == "labelled" and image.name == "02_train_01" and isinstance(image.field, TiePointField)
    xy = np.random.default_rng(0).uniform(20, 380, (400, 2))
    exact = np.column_stack(wavy(*xy.T))
    # Labels are whole pixels of both images; a lost centre offset would add 0.25 px to every one, a swap many.
    assert np.abs((image.field.shift_at(xy) - exact).mean(axis=0)).max() < 0.1
    assert np.hypot(*(image.field.shift_at(xy) - exact).T).mean() < 0.6
    assert np.abs(truth_image.field.shift_at(xy) - exact).max() < 0.05


def test_a_simulated_scene_is_named_by_its_folder_and_is_no_real_one(scene):
    image = images.scene_image(scene.open(), simulated_in="simulated")
    assert image.name == "simulated/02_train_01" and image.kind == "simulated"


@pytest.mark.parametrize("spacing", [1.0, 2.0, 4.0, 8.0])
def test_every_level_shows_the_ground_at_its_place(spacing):
    ramp = np.tile(1 + 4 * np.arange(64, dtype=np.uint8), (48, 1))
    along_x, along_y = (images.pyramid(np.ascontiguousarray(image)) for image in (ramp[:, :48], ramp[:, :48].T))
    xy = np.random.default_rng(0).uniform(8, 39, (1, 50, 2))
    for levels, axis in ((along_x, 0), (along_y, 1)):
        values, valid = images.take(levels, xy, spacing, np.zeros(4))
        assert valid.all()
        np.testing.assert_allclose(
            254 * values / 4, xy[..., axis], atol=0.3
        )  # 1/32 of a cell, and the rounding of the levels


@pytest.mark.parametrize("flip", [False, True])
def test_seen_from_solves_the_fixed_point(flip):
    linear = similarity(20, 0.1, flip, (0, 0))[:2, :2]
    residual = Residual(np.array([3.0, -7.0]), linear, np.array([63.5, 63.5]))
    p = np.random.default_rng(0).uniform(0, 128, (50, 2))
    shift = residual.seen_from(p)
    np.testing.assert_allclose(shift, residual.at(p + shift), atol=1e-9)


def test_seen_from_solves_the_fixed_point_of_a_curved_residual():
    curved = replace(CONFIG, residual_wave=0.1, residual_slope=0.05)
    p, rng = np.random.default_rng(0).uniform(0, 128, (50, 2)), np.random.default_rng(1)
    residuals = [random_residual(curved, rng) for _ in range(50)]
    for residual in residuals:
        np.testing.assert_allclose(residual.seen_from(p), residual.at(p + residual.seen_from(p)), atol=1e-3)
    bend = [
        residual.at(p) - residual.at(residual.centre) - (p - residual.centre) @ residual.linear.T
        for residual in residuals
    ]
    assert np.median([np.abs(b).max() for b in bend]) > 2.0


def test_a_configuration_without_reach_gives_tiles_in_register(truth_image):
    assert TilePairs([truth_image], TileConfig(residual_slope=0.0), 1, 0)[0]["shift"].abs().max() == 0


@pytest.mark.parametrize(
    ("photometric", "changed"), [("both", (True, True)), ("sar", (False, True)), ("none", (False, False))]
)
def test_photometric_changes_touch_the_chosen_images_only(truth_image, photometric, changed):
    plain, tiles_ = plain_tiles(truth_image), TilePairs([truth_image], replace(CONFIG, photometric=photometric), 64, 1)
    for name, expected in zip(("optical", "sar"), changed, strict=True):
        assert any(not torch.equal(plain[i][name], tiles_[i][name]) for i in range(6)) == expected


def test_residual_shifts_fill_the_search_range_and_no_more():
    rng = np.random.default_rng(0)
    constants = np.array([random_residual(CONFIG, rng).constant for _ in range(400)])
    assert np.abs(constants).max() < REACH
    assert (constants.min(axis=0) < -0.8 * REACH).all() and (constants.max(axis=0) > 0.8 * REACH).all()


def striped_image(field, hole: slice | None = None) -> images.TrainingImage:
    """A flat picture whose SAR image lacks some columns."""
    optical = np.full((256, 256, 3), 100, np.uint8)
    sar = np.full((256, 256), 100, np.uint8)
    if hole is not None:
        sar[:, hole] = 0
    return images.TrainingImage("flat", "registered", images.pyramid(optical), images.pyramid(sar), field)


def cut(image: images.TrainingImage, shift: tuple[float, float]) -> dict[str, np.ndarray]:
    """The tile in the middle of an image, upright, at full resolution, with a constant residual."""
    middle = np.full(2, (CONFIG.tile_px - 1) / 2)
    matrix = np.eye(3)
    matrix[:2, 2] = 127.5 - middle
    residual = Residual(np.array(shift), np.zeros((2, 2)), middle)
    return cut_tile(image, matrix, residual, CONFIG, np.zeros(4), np.zeros(4))


def test_labels_follow_the_data_and_the_border():
    # The tile shows columns 64 to 191; block b is centred on tile column 16 b + 7.5.
    sample = cut(striped_image(RegisteredField(1.0), slice(64, 96)), (6.0, -6.0))
    label = sample["label"]
    assert label.shape == (8, 8)
    # SAR position q shows the ground of q - 6: the hole lies in columns 6 to 37 there, and in blocks 0 and 1 of the
    # optical tile.
    column = np.arange(128)
    assert np.array_equal(sample["sar_valid"][60] > 0, (column < 6) | (column >= 38))
    assert (label[1:, :2] == NEGATIVE).all() and (label[1:, 2:] == POSITIVE).all()
    gone = cut(striped_image(RegisteredField(1.0)), (0.0, -8.1))["label"]
    assert (gone[0] == IGNORE).all() and (gone[1:] == POSITIVE).all()


def test_a_shift_out_of_reach_is_not_positive():
    assert (cut(striped_image(RegisteredField(1.0)), (REACH + 0.1, 0.0))["label"] != POSITIVE).all()
    assert (cut(striped_image(RegisteredField(1.0)), (REACH - 0.1, 0.0))["label"][:, :-1] == POSITIVE).all()


def test_ground_without_optical_data_is_ignored():
    image = striped_image(RegisteredField(1.0), slice(0, 96))  # whether or not the SAR image shows it
    image.optical[0][:, :128] = 0
    label = cut(replace(image, optical=images.pyramid(image.optical[0])), (0.0, 0.0))["label"]
    assert (label[:, :4] == IGNORE).all() and (label[:, 4:] == POSITIVE).all()


def test_far_from_tie_points_is_ignored():
    rng = np.random.default_rng(0)
    xy = np.column_stack([rng.uniform(60, 90, 40), rng.uniform(60, 200, 40)])
    label = cut(striped_image(TiePointField(xy, np.zeros((40, 2)) + rng.normal(0, 0.8, (40, 2)))), (0.0, 0.0))["label"]
    assert (label[:, :2] == POSITIVE).all() and (label[:, -2:] == IGNORE).all()


def test_a_sample_depends_on_seed_and_index_alone(truth_image):
    first, again = (TilePairs([truth_image], CONFIG, 8, seed=3) for _ in range(2))
    again[0]  # what was asked before must not matter
    for key, value in first[5].items():
        assert torch.equal(value, again[5][key]), key
    other_index, other_seed = first[6], TilePairs([truth_image], CONFIG, 8, seed=4)[5]
    for other in (other_index, other_seed):
        assert not torch.equal(first[5]["sar"], other["sar"]) and not torch.equal(first[5]["shift"], other["shift"])
    assert int(first[5]["index"]) == 5


def test_photometry_changes_values_and_not_places(truth_image):
    changed = 0
    for index in range(8):
        plain, sample = plain_tiles(truth_image, seed=3)[index], TilePairs([truth_image], CONFIG, 64, seed=3)[index]
        for key in ("shift", "label", "label_sigma", "optical_valid", "sar_valid"):
            assert torch.equal(plain[key], sample[key]), key
        changed += not torch.equal(plain["optical"], sample["optical"])
        for image, valid in (("optical", "optical_valid"), ("sar", "sar_valid")):
            assert sample[image].min() >= 0 and sample[image].max() <= 1 and sample[image].dtype == torch.float32
            assert (sample[image][:, sample[valid] == 0] == 0).all()
    assert changed >= 6


def test_both_contrasts_are_inverted_as_often_as_said(truth_image):
    always = TilePairs([truth_image], replace(CONFIG, inversion_share=1.0), 64, seed=3)
    never = TilePairs([truth_image], replace(CONFIG, inversion_share=0.0), 64, seed=3)
    for image, valid in (("optical", "optical_valid"), ("sar", "sar_valid")):
        a, b = always[4], never[4]
        inside = a[valid] > 0
        assert np.corrcoef(a[image].mean(dim=0)[inside].numpy(), b[image].mean(dim=0)[inside].numpy())[0, 1] < -0.9


def test_a_spline_keeps_its_tie_points_and_doubts_what_is_far():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, (80, 2))
    shift = np.column_stack([20 * np.sin(xy[:, 1] / 150), 5 + xy[:, 0] / 100])
    field = TiePointField(
        np.concatenate([xy, xy[:3]]), np.concatenate([shift, shift[:3] + 50])
    )  # the same place twice: the first one stays
    np.testing.assert_allclose(field.shift_at(xy), shift, atol=1e-6)
    ray = np.column_stack([np.linspace(1000, 4000, 20), np.full(20, 500.0)])
    sigma = field.sigma_at(ray)
    assert (np.diff(sigma) > 0).all() and sigma[0] >= 0.5 and sigma[-1] > 10 * sigma[0] / 2
    assert np.ptp(field.sigma_at(xy)) < 1e-9


def test_tie_points_on_a_regular_grid_make_a_field():
    xy = np.stack(np.meshgrid(np.arange(0, 500, 100.0), np.arange(0, 400, 100.0)), axis=-1).reshape(-1, 2)
    field = TiePointField(xy, np.random.default_rng(0).normal(5, 1, xy.shape))
    sigma = field.sigma_at(np.array([[100.0, 100.0], [150.0, 150.0]]))
    assert np.isfinite(sigma).all() and 0.5 <= sigma[0] < sigma[1]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_tie_points_still_make_a_field(count):
    xy = np.random.default_rng(1).uniform(0, 500, (count, 2))
    field = TiePointField(xy, np.full((count, 2), [7.0, -2.0]))
    found = field.shift_at(np.array([[250.0, 250.0], [900.0, 10.0]]))
    np.testing.assert_allclose(found, [[7.0, -2.0]] * 2, atol=1e-6)
    assert np.isfinite(field.sigma_at(xy)).all()


@pytest.mark.parametrize("shape", [(160, 240), (163, 245)])
def test_a_truth_map_is_read_at_pixel_centres(tmp_path, scene, shape):
    x, y = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    ramp = np.stack([3 + 0.2 * x - 0.1 * y, -5 - 0.3 * x + 0.4 * y]).astype(np.float32)
    write_raster(tmp_path / "truth.tif", ramp, scene_transform(scene), "EPSG:32637")
    field = TruthMapField.of_file(tmp_path / "truth.tif", np.array([0.25, -0.5]))
    xy = np.random.default_rng(0).uniform(8, np.array(shape[::-1]) - 10, (200, 2))
    exact = np.column_stack([3.25 + 0.2 * xy[:, 0] - 0.1 * xy[:, 1], -5.5 - 0.3 * xy[:, 0] + 0.4 * xy[:, 1]])
    error = field.shift_at(xy) - exact
    # OpenCV rounds positions to 1/32 of a cell of 8 px; half a pixel would cost 0.05 px and more.
    assert np.abs(error.mean(axis=0)).max() < 0.01 and np.abs(error).max() < 0.1
    assert np.isfinite(field.shift_at(np.array([[-50.0, 1e4]]))).all()


def test_the_kinds_of_images_are_mixed_as_said(truth_image):
    config = replace(CONFIG, factors=(1,), labelled_share=0.2, simulated_share=0.5, registered_share=0.1)
    flat = striped_image(RegisteredField(1.0))
    others = [
        replace(flat, name=f"{kind} {i}", kind=kind)
        for kind, count in (("simulated", 5), ("registered", 3))
        for i in range(count)
    ]

    def shares(there: list) -> dict[str, float]:
        dataset, rng = TilePairs(there, config, 1, 0), np.random.default_rng(0)
        drawn = [dataset.choose(rng)[0] for _ in range(1000)]
        assert {image.name for image in drawn} == {image.name for image in there}
        return {
            kind: float(np.mean([image.kind == kind for image in drawn]))
            for kind in ("labelled", "simulated", "registered")
        }

    assert shares([truth_image, *others]) == pytest.approx(
        {"labelled": 0.25, "simulated": 0.625, "registered": 0.125}, abs=0.05
    )
    assert shares(others) == pytest.approx({"labelled": 0.0, "simulated": 0.833, "registered": 0.167}, abs=0.05)


def test_coarse_levels_are_drawn_where_the_scene_is_large_enough(truth_image):
    dataset = TilePairs([truth_image], replace(CONFIG, factors=(1, 2, 4, 8)), 1, 0)
    rng = np.random.default_rng(0)
    assert {dataset.choose(rng)[1] for _ in range(100)} == {1.0, 2.0, 4.0}
    small = replace(CONFIG, tile_px=1024)
    assert TilePairs([truth_image], small, 1, 0).choose(rng)[1] == 1.0


def test_nothing_left_to_train_on_is_an_input_error():
    with pytest.raises(InputError, match="no source is left"):
        TilePairs([], CONFIG, 1, 0)


def write_pair(sar_path, optical_path, size=(48, 64), optical_size=None) -> None:
    rng = np.random.default_rng(0)
    for path, shape in ((sar_path, size), (optical_path, (*(optical_size or size), 3))):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, shape, dtype=np.uint8))


LAYOUTS = [
    ("sar/a.png", "opt/a.png", "a"),
    ("deep/s1/b.png", "deep/s2/b.png", "deep/b"),
    (
        "ROIs1158_spring_s1/s1_12/ROIs1158_spring_s1_12_p3.png",
        "ROIs1158_spring_s2/s2_12/ROIs1158_spring_s2_12_p3.png",
        "ROIs1158_spring_s1_12_p3",
    ),
]


@pytest.mark.parametrize(("sar", "optical", "name"), LAYOUTS)
def test_registered_pairs_are_found_in_every_layout(tmp_path, sar, optical, name):
    root = tmp_path / "pairs"
    write_pair(root / sar, root / optical)
    (image,) = images.registered_images(root)
    assert image.name == f"pairs/{name}" and image.kind == "registered" and image.shape == (48, 64)
    assert image.optical[0].shape == (48, 64, 3) and image.sar[0].min() >= 1 and image.optical[0].min() >= 1
    expected = np.maximum(cv2.imread(str(root / optical))[..., ::-1], 1)
    assert np.array_equal(image.optical[0], expected)  # red comes first
    assert not image.field.shift_at(np.zeros((3, 2))).any()
    with pytest.raises(InputError, match="holds no registered pair"):
        images.registered_images(root, exclude=[Path(sar).stem])


def test_bad_pairs_end_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="holds no registered pair"):
        images.registered_images(tmp_path)
    (tmp_path / "sar").mkdir()
    (tmp_path / "sar" / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="holds no registered pair"):
        images.registered_images(tmp_path)
    write_pair(tmp_path / "sar" / "a.png", tmp_path / "opt" / "a.png", optical_size=(48, 63))
    with pytest.raises(InputError, match="differs in size"):
        images.registered_images(tmp_path)
    (tmp_path / "opt" / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"opt/a\.png: is not a readable image"):
        images.registered_images(tmp_path)
