"""The baseline's parts: heatmaps, the loss that weighs them, the common grid, crops around a tie-point,
the networks, and the affine."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from solution.baseline import settings
from solution.baseline.common import CommonGrid, HeldScene, ScenePixels, around
from solution.baseline.crops import TiePointCrops, turned
from solution.baseline.heatmap import balanced_mse, gaussian, peak
from solution.baseline.keypoints import grid_points
from solution.baseline.network import NETWORKS, BaselineNets, HeatmapNet
from solution.baseline.registration import affine_by_magsac
from solution.baseline.settings import BaselineConfig, SearchConfig
from solution.baseline.training import BaselineModule, CropData
from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.samples.images import TrainingImage, scene_image

SMOKE = BaselineConfig().smoke()
FULL = replace(SMOKE, factor=1, turns=False)


class Constant:
    """The same shift everywhere."""

    def __init__(self, shift: tuple[float, float]) -> None:
        self._shift = shift

    def shift_at(self, xy: np.ndarray) -> np.ndarray:
        return np.tile(np.array(self._shift, np.float64), (len(xy), 1))


def dotted(
    kind: str = "labelled", sar_pixel_px: float = 1.0, shift: tuple[int, int] = (8, -5), anchors=((70, 45),)
) -> TrainingImage:
    """Grey images with a bright square of 3 px at every tie-point, and at its partner in the SAR image."""
    optical, sar = np.full((120, 160, 3), 60, np.uint8), np.full((120, 160), 60, np.uint8)
    for x, y in anchors:
        optical[y - 1 : y + 2, x - 1 : x + 2] = 250
        sar[y + shift[1] - 1 : y + shift[1] + 2, x + shift[0] - 1 : x + shift[0] + 2] = 250
    return TrainingImage("dots", kind, (optical,), (sar,), Constant(shift), np.array(anchors, np.float64), sar_pixel_px)


def bright(image: np.ndarray) -> list[float]:
    """(x, y) of the centre of what is bright."""
    rows, columns = np.nonzero(image > 0.6)
    return [columns.mean(), rows.mean()]


def test_a_heatmap_by_hand():
    heat = gaussian(torch.tensor([[5.0, 9.0], [20.0, 3.0]]), 32, 2.0)
    assert heat.shape == (2, 32, 32) and heat[0, 9, 5] == 1  # row y, column x
    assert heat[0, 9, 7] == pytest.approx(np.exp(-0.5)) and heat[0, 12, 5] == pytest.approx(np.exp(-9 / 8))
    assert heat[0, 9, 11] > 0 and heat[0, 9, 12] == 0 and heat[0, 14, 9] == 0  # 6 px and more than 3 sigmas away
    place, value = peak(heat)
    assert place.tolist() == [[5, 9], [20, 3]] and value.tolist() == [1, 1]


def test_of_equal_peaks_the_first_counts():
    assert peak(torch.zeros(1, 4, 6))[0].tolist() == [[0, 0]]


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_keypoint_and_zeros_count_alike(sigma):
    heat = gaussian(torch.tensor([[16.0, 16.0]]), 48, sigma)
    keypoint = heat > 0
    wrong_there, wrong_elsewhere = torch.where(keypoint, heat + 0.5, heat), torch.where(keypoint, heat, 0.5)
    assert balanced_mse(heat, heat) == 0
    assert balanced_mse(wrong_there, heat).item() == pytest.approx(0.125)
    assert balanced_mse(wrong_elsewhere, heat).item() == pytest.approx(0.125)
    assert balanced_mse(torch.full((1, 8, 8), 0.5), torch.zeros(1, 8, 8)).item() == pytest.approx(
        0.125
    )  # no keypoint in sight


@pytest.mark.parametrize(("gsd", "step"), [(0.5, 200), (0.25, 400), (1.0, 100)])
def test_grid_points_lie_100_m_apart(gsd, step):
    points = grid_points((1500, 3000), gsd, SearchConfig())
    x, y = np.unique(points[:, 0]), np.unique(points[:, 1])
    assert np.diff(x) == pytest.approx(step) and np.diff(y) == pytest.approx(step)
    assert len(points) == len(x) * len(y) == (3000 // step) * (1500 // step)
    assert points.mean(axis=0) == pytest.approx([1499.5, 749.5])


def test_the_grid_has_a_point_and_never_too_many():
    assert grid_points((40, 60), 0.5, SearchConfig()).tolist() == [[29.5, 19.5]]
    many = grid_points((3000, 4000), 10.0, SearchConfig())
    assert 1500 <= len(many) <= 1600 and np.diff(np.unique(many[:, 0])).min() > 80
    assert len(grid_points((13_000, 13_000), 0.3, SearchConfig())) == 39**2


def test_the_common_grid_is_the_coarser_image():
    assert CommonGrid.of(2.0, FULL).spacing_px == 2 and CommonGrid.of(0.7, FULL).spacing_px == 1
    grid = CommonGrid.of(2.0, replace(FULL, factor=2))
    assert grid.spacing_px == 4
    # Its first pixel covers optical px 0 to 3, whose centres are 0, 1, 2, 3.
    assert grid.to_optical(np.array([0, 1])).tolist() == [1.5, 5.5]
    assert grid.from_optical(np.array([1.5, 7.5])).tolist() == [0, 1.5]
    assert grid.nearest(np.array([[3.4, 3.6]])).tolist() == [[0, 1]]
    assert grid.positions(Window(1, 2, 2, 1)).tolist() == [[[5.5, 9.5], [9.5, 9.5]]]


def test_a_crop_is_centred_on_its_point_in_one_image_and_looks_for_it_in_the_other():
    sample = TiePointCrops([dotted()], FULL, 0)[0]
    middle = FULL.crop_px // 2
    crop, target = sample["optical_to_sar"].numpy(), sample["optical_to_sar_xy"].tolist()
    assert target == [middle + 8, middle - 5]
    assert bright(crop[0]) == [middle, middle] and bright(crop[3]) == target
    crop, target = sample["sar_to_optical"].numpy(), sample["sar_to_optical_xy"].tolist()
    assert target == [middle - 8, middle + 5]
    assert bright(crop[3]) == [middle, middle] and bright(crop[1]) == target


def test_shifts_shrink_with_the_grid():
    sample = TiePointCrops([dotted(sar_pixel_px=2.0)], FULL, 0)[0]
    assert sample["optical_to_sar_xy"].tolist() == [FULL.crop_px // 2 + 4, FULL.crop_px // 2 - 2.5]


def test_tie_points_beyond_the_crop_are_left_out():
    near = dotted()
    assert len(TiePointCrops([near, dotted(shift=(40, 0), anchors=((70, 45), (60, 60)))], FULL, 0)) == 1
    with pytest.raises(InputError, match="no tie-point has its partner"):
        TiePointCrops([dotted(shift=(40, 0))], FULL, 0)


def test_more_points_are_drawn_in_simulated_scenes_only():
    config = replace(FULL, simulated_points=30)
    assert len(TiePointCrops([dotted()], config, 0)) == 1
    drawn = TiePointCrops([dotted("simulated")], config, 0)
    assert len(drawn) == 31 and drawn.points[0, 1:3].tolist() == [70, 45]
    assert (drawn.points == TiePointCrops([dotted("simulated")], config, 0).points).all()
    assert (drawn.points != TiePointCrops([dotted("simulated")], config, 1).points).any()


@pytest.mark.parametrize("number", range(8))
def test_a_point_turns_with_its_crop(number):
    crop = np.zeros((1, 32, 32), np.float32)
    crop[0, 9, 21] = crop[0, 16, 16] = 1
    crop[0, 9, 21] = 2
    new, xy = turned(crop, np.array([21, 9]), number)
    assert new[0, int(xy[1]), int(xy[0])] == 2 and new[0, 16, 16] == 1
    assert np.count_nonzero(new) == 2


def test_all_turns_differ():
    crop = np.random.default_rng(0).random((1, 16, 16), np.float32)
    assert len({turned(crop, np.array([3.0, 5.0]), number)[0][0, 1:, 1:].tobytes() for number in range(8)}) == 8


def test_beyond_the_image_a_crop_is_zero():
    crop = HeldScene(dotted(), FULL).crop(around(np.array([2, 118]), 64))
    assert crop.shape == (4, 64, 64)
    assert not crop[:, :, :30].any() and not crop[:, 34:].any() and crop[:, :34, 30:].min() > 0.1
    assert not HeldScene(dotted(), FULL).crop(Window(500, 0, 64, 64)).any()


@pytest.mark.parametrize("sar_gsd", [(0.67, 0.66), (0.3, 0.3)])
def test_training_and_prediction_see_the_same_crop(make_scene, sar_gsd):
    pair = make_scene(sar_gsd=sar_gsd).open()
    held, read = HeldScene(scene_image(pair), FULL), ScenePixels(pair, FULL)
    assert held.grid == read.grid
    for centre in ((60, 50), (5, 3)):
        window = around(np.array(centre), 64)
        crop, valid = read.crop(window)
        assert np.abs(crop - held.crop(window))[:, 2:-2, 2:-2][:, valid[2:-2, 2:-2]].mean() < 0.01
        assert valid[32, 32]
    assert not valid[:27].any() and not valid[:, :25].any()


def test_crops_across_blocks_are_whole(make_scene, monkeypatch):
    pair = make_scene().open()
    whole = ScenePixels(pair, FULL).crop(Window(10, 7, 64, 64))[0]
    monkeypatch.setattr("solution.baseline.common._BLOCK", 24)
    assert np.array_equal(ScenePixels(pair, FULL).crop(Window(10, 7, 64, 64))[0], whole)


def test_a_network_looks_at_both_images():
    torch.manual_seed(0)
    net = HeatmapNet(SMOKE).eval()
    crops = torch.rand(2, 4, 64, 64)
    heat = net(crops)
    assert heat.shape == (2, 64, 64) and heat.min() >= 0 and heat.max() <= 1
    for channels in (slice(0, 3), slice(3, 4)):
        other = crops.clone()
        other[:, channels] = torch.rand_like(other[:, channels])
        assert (net(other) - heat).abs().max() > 1e-4
    torch.testing.assert_close(net(crops[1:]), heat[1:], atol=1e-5, rtol=1e-4)


def test_the_small_networks_are_small():
    assert sum(parameter.numel() for parameter in BaselineNets(BaselineConfig().small()).parameters()) < 1.1e6


@pytest.mark.slow
def test_training_finds_a_dot():
    """The SAR image shows a bright dot away from the middle: both networks' losses fall, and the
    peak comes to lie on the dot."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    config = replace(SMOKE, learning_rate=3e-3, sigma_px=5.0)
    module = BaselineModule(config).train()
    xy = torch.from_numpy(rng.integers(12, 52, (6, 2)).astype(np.float32))
    crops = 0.3 * torch.rand(6, 4, 64, 64)
    crops[:, 3] += gaussian(xy, 64, 2.0)
    sample = dict.fromkeys(NETWORKS, crops) | {f"{name}_xy": xy for name in NETWORKS} | {"index": torch.arange(6)}
    optimizer, losses = torch.optim.Adam(module.parameters(), config.learning_rate), []
    module.log = lambda *arguments, **options: None
    for _ in range(50):
        loss = module.training_step(sample, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    found, _ = peak(module.net["optical_to_sar"](crops))
    assert (found - xy).norm(dim=1).median() < 4
    sample["optical_to_sar"] = torch.full_like(crops, torch.nan)
    with pytest.raises(FloatingPointError, match=r"tie-points \[0, 1"):
        module.training_step(sample, 0)


def test_the_learning_rate_drops_once():
    module = BaselineModule(replace(SMOKE, epochs=10, drop_at=0.3, drop_to=0.01, learning_rate=1.0))
    made = module.configure_optimizers()
    rates = []
    for _ in range(10):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"].step()
    assert rates == pytest.approx([1.0] * 3 + [0.01] * 7)


def test_a_fifth_of_the_tie_points_is_only_watched():
    anchors = [(x, y) for x in range(10, 150, 14) for y in range(10, 110, 10)]
    data = CropData([dotted(anchors=anchors)], replace(FULL, turns=True), 0)
    data.trainer = SimpleNamespace(current_epoch=0, world_size=1, global_rank=0, accumulate_grad_batches=1)
    learned = data.train_dataloader().dataset.indices
    watched = data.val_dataloader().dataset.indices
    assert len(watched) == 20 and sorted([*learned, *watched]) == list(range(100))
    assert list(data.train_dataloader().dataset.indices) == list(learned)
    sample = data.val_dataloader().dataset[0]
    assert sample["optical_to_sar_xy"].tolist() == [FULL.crop_px // 2 + 8, FULL.crop_px // 2 - 5]  # never turned
    data.trainer.current_epoch = 1
    assert list(data.train_dataloader().dataset.indices) != list(learned)


def test_the_affine_is_found_among_wrong_keypoints():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, (200, 2))
    shift = np.column_stack([20 + 0.03 * xy[:, 0], -10 - 0.02 * xy[:, 0] + 0.01 * xy[:, 1]])
    wrong = np.arange(200) % 5 < 2
    seen = shift + rng.normal(0, 1, shift.shape)
    seen[wrong] += rng.uniform(60, 200, (wrong.sum(), 2))
    table = pd.DataFrame(np.column_stack([xy, seen]), columns=["x", "y", "dx", "dy"])
    fit, kept = affine_by_magsac(table, (1000, 1000), 10.0)
    assert fit.kind == "affine" and not (kept & wrong).any() and kept.sum() > 100
    assert np.hypot(*(fit.shift_at(xy) - shift).T).max() < 1.5
    again, _ = affine_by_magsac(table, (1000, 1000), 10.0)
    assert np.array_equal(again.nodes, fit.nodes)


def test_too_few_keypoints_give_a_simpler_map():
    table = pd.DataFrame({"x": [10.0, 50.0], "y": [10.0, 60.0], "dx": [4.0, 6.0], "dy": [-2.0, -4.0]})
    fit, kept = affine_by_magsac(table, (100, 100), 10.0)
    assert fit.kind == "shift" and kept.all() and fit.shift_at(np.array([[3.0, 3.0]])).tolist() == [[5, -3]]
    fit, kept = affine_by_magsac(table[:0], (100, 100), 10.0)
    assert fit.kind == "zero" and len(kept) == 0 and not fit.nodes.any()


def test_the_setting_follows_the_device(monkeypatch):
    assert settings.chosen("auto", "cpu") == BaselineConfig().small()
    assert settings.chosen("paper", "cpu", epochs=3) == replace(BaselineConfig(), epochs=3)
    monkeypatch.setattr(settings, "trainer_device", lambda device: ("cuda", "auto"))
    paper = settings.chosen("auto", "auto")
    assert (paper.crop_px, paper.sigma_px, paper.learning_rate, paper.epochs, paper.drop_at * paper.epochs) == (
        256,
        13,
        1e-4,
        100,
        30,
    )
    with pytest.raises(InputError, match="--setting large: is none of"):
        settings.chosen("large", "cpu")
    with pytest.raises(InputError, match="--epochs 0"):
        settings.chosen("small", "cpu", epochs=0)
