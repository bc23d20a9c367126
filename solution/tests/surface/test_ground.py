"""Candidates on water are set aside, by the statistics of the SAR image or by a classifier, where they end and not
where they begin; rerankers see what lies there."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from rasterio.crs import CRS
from rasterio.warp import reproject, transform_bounds

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.data.scene import open_pair
from solution.field import candidates, fitting
from solution.products import predict
from solution.reranker import model
from solution.reranker.features import FEATURES, candidate_features
from solution.surface.cellgrid import CellGrid
from solution.surface.ground import GROUND_FEATURES, Ground
from solution.surface.network import STAGE, PatchClassifier, SurfaceConfig
from solution.tests.conftest import Recipe, write_scene

FLOW_OF_TEAM_0 = ["--device", "cpu", "--team", "0", "--source", "flow"]

SHAPE = (480, 560)
SHORE = 300  # SAR px; the water lies right of it
SPECKLE = 0.25
MEASURES = GROUND_FEATURES[1:]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A town whose SAR image, pixel on pixel, shows smooth dark water beyond the shore."""
    recipe = Recipe(shape=SHAPE, sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0), displacement=(40.0, 0.0), speckle=SPECKLE)
    scene = write_scene(tmp_path_factory.mktemp("coast"), "07_coast", recipe)
    with rasterio.open(scene.sar, "r+") as sar:
        image = sar.read(1)
        speckle = np.random.default_rng(0).gamma(4.0, 1 / 4.0, image[:, SHORE:].shape)
        image[:, SHORE:] = np.clip(8 * np.sqrt(speckle), 1, 255)
        sar.write(image, 1)
    return scene.open()


class BrightIsIce(PatchClassifier):
    """Takes bright ground for ice with a probability of 0.8, and the dark for land."""

    def forward(self, pixels):
        bright = (pixels[:, 0].float().mean(dim=(1, 2)) > 25).float()
        return torch.stack([torch.full_like(bright, -9.0), np.log(4.0) * bright, 9.0 * (1 - bright)], dim=1)


def net(channels: int = 1) -> PatchClassifier:
    return BrightIsIce(SurfaceConfig(channels=channels).smoke()).eval()


def rows(xy: list, shift: list, source: str = "flow") -> pd.DataFrame:
    return candidates.make("07_coast", 0, source, np.array(xy, float), np.array(shift, float))


@pytest.mark.parametrize(
    ("x", "dx", "wet"), [(200.0, 0.0, False), (400.0, 0.0, True), (200.0, 200.0, True), (400.0, -200.0, False)]
)
def test_where_a_candidate_ends_decides(pair, x, dx, wet):
    table = rows([[x, 200.0]], [[dx, 0.0]])
    assert Ground.of(pair).moves(table).tolist() == [wet]
    assert Ground.of(pair).features(table)["surface_moving"].tolist() == [wet]


def test_rows_and_columns_are_not_exchanged(pair):
    ground = Ground.of(pair)
    assert ground.moves(rows([[100.0, 440.0], [440.0, 100.0]], [[0, 0], [0, 0]])).tolist() == [False, True]
    assert ground.moves(candidates.empty()).shape == (0,)


def test_coarse_sar_pixels_are_met_in_the_frame_of_offset_maps(make_scene):
    """Optical index 16 i, without a shift, is the place of SAR index i where SAR pixels are 16 times as large
    and start at the same corner."""
    coarse = make_scene(shape=(480, 560), displacement=(0.0, 0.0), sar_gsd=(8.0, 8.0), sar_offset=(0.0, 0.0)).open()
    number = np.arange(coarse.sar_shape[0] * coarse.sar_shape[1], dtype=np.float32).reshape(coarse.sar_shape)
    ground = Ground(coarse, (), (CellGrid(number, 1, coarse.sar_shape),) * len(MEASURES))
    found = ground.features(rows([[48.0, 32.0], [40.1, 24.1], [55.9, 39.9], [39.9, 32.0]], np.zeros((4, 2))))[
        "surface_dark"
    ]
    assert found.tolist() == [number[2, 3]] * 3 + [number[2, 2]]


def test_measures_are_those_of_the_ground(pair):
    """The water's mean is 8 by construction, its coefficient of variation that of the root of a gamma variable of shape
    4, and its pixels are independent."""
    found = Ground.of(pair).features(rows([[420.0, 240.0], [150.0, 240.0], [900.0, 240.0]], np.zeros((3, 2))))
    with rasterio.open(pair.sar) as sar:
        land = sar.read(1)[:, : SHORE - 40].mean()
    assert found["surface_dark"][0] == pytest.approx(8 * 0.97 / land, rel=0.3) and 0.6 < found["surface_dark"][1] < 1.1
    assert found["surface_variation"][0] == pytest.approx(0.25, abs=0.03)
    assert (
        found["surface_structure"][0] == pytest.approx(np.sqrt(2) / 8, rel=0.3) and found["surface_structure"][1] > 0.3
    )
    assert all(np.isnan(found[name][2]) for name in GROUND_FEATURES)


def test_a_classifier_says_what_moves_and_statistics_still_measure(pair):
    table = rows([[120.0, 200.0], [440.0, 200.0]], [[0, 0], [0, 0]])
    plain, asked = Ground.of(pair), Ground.of(pair, net(), by_statistics=False)
    assert plain.moves(table).tolist() == [False, True] and asked.moves(table).tolist() == [True, False]
    assert Ground.of(pair, net()).moves(table).tolist() == [True, True]  # either says so
    assert asked.moving[0].values.max() == pytest.approx(0.8, abs=1e-3)
    assert asked.features(table)["surface_moving"].tolist() == [1.0, 0.0]  # as from statistics: never a number between
    neither = Ground.of(pair, by_statistics=False)
    assert neither.moves(table).tolist() == [False, False] and np.isnan(neither.features(table)["surface_moving"]).all()
    for name in MEASURES:
        np.testing.assert_array_equal(plain.features(table)[name], asked.features(table)[name])


def test_a_classifier_reads_a_sar_image_of_another_crs(pair, tmp_path):
    """Warped to longitude and latitude, the same ground is classified alike."""
    target, crs = tmp_path / "sar.tif", CRS.from_epsg(4326)
    with rasterio.open(pair.sar) as sar:
        west, south, east, north = transform_bounds(sar.crs, crs, *sar.bounds)
        transform = rasterio.transform.from_bounds(west, south, east, north, 700, 700)
        warped = np.zeros((700, 700), np.uint8)
        reproject(
            sar.read(1),
            warped,
            src_transform=sar.transform,
            src_crs=sar.crs,
            dst_transform=transform,
            dst_crs=crs,
            src_nodata=0,
        )
        profile = {
            "driver": "GTiff",
            "height": 700,
            "width": 700,
            "count": 1,
            "dtype": "uint8",
            "crs": crs,
            "transform": transform,
        }
    with rasterio.open(target, "w", **profile, nodata=0) as file:
        file.write(warped, 1)
    table = rows([[120.0, 200.0], [440.0, 200.0]], [[0, 0], [0, 0]])
    there = open_pair(pair.optical, target)
    assert there.reproject_sar and Ground.of(there, net(), by_statistics=False).moves(table).tolist() == [True, False]


def test_a_classifier_of_other_bands_and_a_tiny_image_are_refused(pair, make_scene):
    with pytest.raises(InputError, match="surface sample --bands 1"):
        Ground.of(pair, net(channels=3))
    small = make_scene(shape=(48, 60), displacement=(0.0, 0.0)).open()
    with pytest.raises(InputError, match="smaller than a patch of the surface model, 64 px"):
        Ground.of(small, net())


def test_an_image_smaller_than_a_cell_says_nothing(pair, tmp_path):
    with rasterio.open(pair.sar) as sar:
        profile, corner = (
            sar.profile | {"height": 12, "width": 40, "tiled": False, "blockysize": 1},
            sar.read(1)[:12, :40],
        )
    with rasterio.open(
        tmp_path / "sar.tif", "w", **{key: profile[key] for key in profile if "block" not in key}
    ) as file:
        file.write(corner, 1)
    corner_pair = open_pair(pair.optical, tmp_path / "sar.tif")
    with pytest.raises(InputError, match="40 x 12 px, smaller than a patch"):
        Ground.of(corner_pair, net())
    ground, table = Ground.of(corner_pair), rows([[3.0, 3.0]], [[0, 0]])
    assert ground.moves(table).tolist() == [False]
    assert all(np.isnan(column).all() for column in ground.features(table).values())


def test_features_hold_the_ground_and_take_one_that_is_known(pair):
    table = rows([[120.0, 200.0], [440.0, 200.0], [np.nan, 200.0]], np.zeros((3, 2)))
    own, known = (
        candidate_features(pair, table),
        candidate_features(pair, table, ground=Ground.of(pair, net(), by_statistics=False)),
    )
    assert own["surface_moving"].tolist()[:2] == [0.0, 1.0] and np.isnan(own["surface_moving"][2])
    assert known["surface_moving"].tolist()[:2] == [1.0, 0.0]
    only = candidate_features(pair, table, rows=np.array([False, True, False]))
    assert only["surface_moving"].tolist() == [1.0]


def test_a_reranker_learns_from_the_ground(pair):
    """Candidates that differ in nothing but the ground where they end: those on water are wrong."""
    rng = np.random.default_rng(3)
    xy = np.column_stack([rng.uniform(20, 540, 400), rng.uniform(20, 460, 400)])
    table = rows(xy, np.zeros((400, 2)))
    found = candidate_features(pair, table)
    wet = found["surface_moving"].to_numpy() == 1
    chance = rng.normal(size=(400, len(FEATURES))).astype(np.float32)
    others = pd.DataFrame(chance, columns=list(FEATURES)).assign(surface_moving=found["surface_moving"])
    scene = model.Labelled("a", others, np.where(wet, 20.0, 0.5), np.ones(400), np.arange(400), np.arange(400) % 16)
    trained = model.train([scene], 0)
    assert 0.3 < wet.mean() < 0.7 and trained.gains().index[0] == "surface_moving"
    quality = trained.quality(others)
    assert quality[~wet].min() > 0.5 > quality[wet].max()


def test_the_fit_sets_them_aside_and_says_so():
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, 479, (600, 2))
    wet = xy[:, 0] > 300
    shift = np.where(wet[:, None], [-20.0, 15.0], [8.0, -3.0]) + rng.normal(0, 0.5, (600, 2))
    table = candidates.make("a", 0, "flow", xy, shift)
    fitted, judged = fitting.fit(table, (480, 480), moving=wet)
    assert (judged["outlier"] == "surface").to_numpy().tolist() == wet.tolist()
    assert np.abs(fitted.shift_at(np.array([[100.0, 100.0], [400.0, 300.0]])) - [8.0, -3.0]).max() < 1.0


@pytest.mark.slow
def test_a_prediction_reports_what_lay_on_water(pair, trained, run, tmp_path):
    out = tmp_path / "map.tif"
    asked = ["--folds", trained.folds, *FLOW_OF_TEAM_0]
    code, _, err = run("predict", pair.optical, pair.sar, out, *asked)
    assert code in (0, 3, 4), err
    table = candidates.read(out.with_suffix(".candidates.parquet"))
    aside = (table["outlier"] == "surface").to_numpy()
    assert json.loads(out.with_suffix(".report.json").read_text())["outliers"].get("surface", 0) == aside.sum() > 0
    assert Ground.of(pair).moves(table)[aside].all()
    code, told, _ = run("predict", pair.optical, pair.sar, out, *asked, "--keep-water")
    assert code in (0, 3, 4) and "written" in told and "skipped" not in told
    assert not (candidates.read(out.with_suffix(".candidates.parquet"))["outlier"] == "surface").any()


@pytest.mark.slow
def test_a_prediction_asks_the_surface_model(pair, trained, run, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "load_classifier", lambda path, device: (net(), None))
    (tmp_path / "surface.safetensors").write_bytes(b"weights")
    out = tmp_path / "map.tif"
    asked = ["--folds", trained.folds, *FLOW_OF_TEAM_0, "--surface-model", tmp_path / "surface.safetensors"]
    code, _, err = run("predict", pair.optical, pair.sar, out, *asked)
    assert code in (0, 3, 4), err
    table = candidates.read(out.with_suffix(".candidates.parquet"))
    aside, moving = (table["outlier"] == "surface").to_numpy(), Ground.of(pair, net()).moves(table)
    assert moving[aside].all() and (table["outlier"] != "")[moving].all()
    assert (aside & ~Ground.of(pair).moves(table)).any()


@pytest.mark.parametrize("wrong", ["stage", "bands"])
def test_a_surface_model_that_does_not_fit_is_refused_before_the_work(pair, trained, run, tmp_path, wrong):
    weights, said = trained.folds / "0" / "flow.safetensors", "holds the weights of a flow"
    if wrong == "bands":
        weights, said = tmp_path / "three.safetensors", "surface sample --bands 1"
        config = SurfaceConfig().smoke()
        tensors = {name: value.numpy() for name, value in PatchClassifier(config).state_dict().items()}
        artefact.save_weights(
            weights, tensors, Manifest(STAGE, -1, ("patches",), {**vars(config), "widths": list(config.widths)}, 0)
        )
    code, _, err = run(
        "predict", pair.optical, pair.sar, tmp_path / "map.tif", "--folds", trained.folds, "--surface-model", weights
    )
    assert code == 2 and said in err and not list(tmp_path.glob("map*")) and not (tmp_path / ".work").exists()
