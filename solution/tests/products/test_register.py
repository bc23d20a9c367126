"""`register`: the prediction of the command line from Python, and what its result offers."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine, from_gcps
from rasterio.warp import transform as warp_points

import solution
from solution import InputError, register
from solution.core.places import Place
from solution.data.scene import open_pair
from solution.field import candidates
from solution.products.outputs import Outputs
from solution.products.registration import Registration
from solution.tests.conftest import write_raster
from solution.tests.products.conftest import SHAPE, files, read_map

pytestmark = pytest.mark.usefixtures("quick_plan")
GSD = 0.5  # m, of the fixture's optical images


@pytest.fixture
def registered(scene, trained, good_teams):
    """A function: arguments of `register` -> its result for the fixture's scene."""

    def call(optical=None, sar=None, *arguments, **options):
        return register(
            optical or scene.optical, sar or scene.sar, *arguments, folds=trained.folds, device="cpu", **options
        )

    return call


def bent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(..., 2) index shifts of a hand-made map, not the same along both axes, and linear between no three pixels."""
    return np.stack([6.0 + 0.05 * x - 0.02 * y + 1e-4 * x * y, -4.0 + 0.03 * y + 2e-4 * x**2], axis=-1)


@pytest.fixture
def handmade(make_scene, tmp_path):
    """A function: fields of a `Recipe` -> a registration whose map is `bent`, as if it had been predicted."""

    def make(**fields) -> Registration:
        scene = make_scene("02_publictest", points=None, **{"shape": SHAPE, "sar_gsd": (1.0, 0.9), **fields})
        height, width = SHAPE
        shift = bent(*np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float)))
        with rasterio.open(scene.optical) as optical:
            path = tmp_path / "map.tif"
            write_raster(path, np.moveaxis(shift, -1, 0).astype(np.float32), optical.transform, optical.crs)
        return Registration(path, {}, open_pair(scene.optical, scene.sar), Place())

    return make


def test_the_package_offers_it_without_loading_anything_heavy():
    program = (
        "import sys\nfrom solution import register, InputError\n"
        "print([name for name in ('numpy', 'torch', 'rasterio', 'pandas') if name in sys.modules], register.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] solution.products.register"
    assert {"register", "InputError"} <= set(dir(solution)) and set(solution.__all__) <= set(dir(solution))
    with pytest.raises(ImportError, match="regster"):
        from solution import regster  # noqa: F401


def test_it_is_the_prediction_of_the_command_line(registered, scene, go, tmp_path):
    said = []
    result = registered(say=said.append)
    code, _, _ = go(scene.optical, scene.sar, tmp_path / "cli" / "map.tif", "--uncertainty")
    assert code == 0 and any("verdict: ok" in line for line in said)
    assert result.write(tmp_path / "api" / "map.tif") == tmp_path / "api" / "map.tif"
    by_cli, by_api = files(tmp_path / "cli"), files(tmp_path / "api")
    assert sorted(by_cli) == ["map.candidates.parquet", "map.report.json", "map.sigma.tif", "map.tif"]
    assert by_api == by_cli
    assert "up to date, skipped" in go(scene.optical, scene.sar, tmp_path / "api" / "map.tif", "--uncertainty")[1]


def test_the_result_says_what_is_known_of_it(registered):
    result = registered()
    verdict = result.verdict
    assert (
        verdict.ok
        and (verdict.word, verdict.reasons) == ("ok", ())
        and verdict.margin == result.report["evidence_margin"]
    )
    assert verdict.radius_px == result.report["radius_68_px"] == pytest.approx(np.median(result.sigma), rel=0.2)
    assert verdict.agreeing == pytest.approx(result.tiepoints["kept"].mean())
    told = repr(result)
    assert (
        "02_publictest: verdict: ok" in told and f"error {verdict.radius_px:.1f} px" in told and "112 x 96 px" in told
    )
    assert (result.shape, result.shift.shape, result.sigma.shape) == (SHAPE, (*SHAPE, 2), SHAPE)
    assert np.array_equal(np.moveaxis(np.asarray(result.shift), -1, 0), read_map(result.path))


def test_a_failed_map_is_told_and_not_raised(make_scene, trained, good_teams):
    one, other = (make_scene(f"0{seed}_publictest", shape=(256, 288), points=None, seed=seed) for seed in (1, 2))
    result = register(one.optical, other.sar, folds=trained.folds, device="cpu")
    assert (result.verdict.word, result.verdict.ok, result.sigma) == ("failed", False, None)
    assert np.isnan(result.verdict.radius_px) and "error unknown" in repr(result)
    assert "mirrored" in result.verdict.reasons[0]


def test_tiepoints_are_points_in_the_crs_of_the_scene(registered, scene):
    result = registered()
    points, table = result.tiepoints, candidates.read(result.path.with_suffix(".candidates.parquet"))
    assert (
        points.crs.to_epsg() == 32637 and len(points) == len(table) and points["kept"].sum() == result.report["inliers"]
    )
    with rasterio.open(scene.optical) as optical:
        x, y = optical.transform @ (table["x"].to_numpy() + 0.5, table["y"].to_numpy() + 0.5)
    assert np.allclose(points.geometry.x, x, atol=1e-6) and np.allclose(points.geometry.y, y, atol=1e-6)


def test_the_folder_goes_with_the_last_who_needs_it(registered):
    result = registered()
    folder, shift = result.path.parent, result.shift
    del result
    gc.collect()
    assert folder.is_dir() and np.isfinite(shift[0, 0]).all()
    del shift
    gc.collect()
    assert not folder.exists()


def test_out_is_where_the_files_go_and_stay(registered, tmp_path):
    out, said = tmp_path / "map.tif", []
    result = registered(None, None, out, warped_sar=True)
    assert result.path == out and (tmp_path / "map.sar.tif").is_file() and result.write(out) == out
    result.warp(None, tmp_path / "again.tif")
    assert (tmp_path / "again.tif").read_bytes() == (tmp_path / "map.sar.tif").read_bytes()
    del result
    gc.collect()
    assert out.is_file()
    registered(None, None, out, warped_sar=True, say=said.append)
    assert said == []  # nothing is predicted twice


def test_datasets_and_arrays_give_the_same_map(registered, scene):
    by_path = np.asarray(registered().shift)
    with rasterio.open(scene.optical) as optical, rasterio.open(scene.sar) as sar:
        assert np.array_equal(registered(optical, sar).shift, by_path)
        images = [(one.read(), one.transform, one.crs) for one in (optical, sar)]
    by_array = registered(*images, name="mine")
    assert np.array_equal(by_array.shift, by_path) and by_array.report["scene"] == "mine"


def test_bad_input_is_one_sentence(registered, scene, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.tif: no such file"):
        registered(tmp_path / "nowhere.tif")
    turned = Affine.translation(500_000, 5_000_000) @ Affine.rotation(20) @ Affine.scale(0.5, -0.5)
    with pytest.raises(InputError, match=r"^optical\.tif: is rotated against its CRS"):
        registered((np.ones((96, 112), np.uint8), turned, "EPSG:32637"))
    with pytest.raises(InputError, match=r"map\.png: the offset map is a GeoTIFF"):
        registered(None, None, tmp_path / "map.png")
    with pytest.raises(InputError, match="is an input too"):
        registered(None, None, scene.optical)
    for level in (0, 9):
        with pytest.raises(InputError, match=f"^finest level {level}: is none of 1"):
            registered(None, None, tmp_path / "map.tif", finest=level)


def test_a_result_whose_files_were_changed_is_not_written(registered, tmp_path):
    result = registered(None, None, tmp_path / "map.tif")
    (tmp_path / "map.candidates.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"map\.candidates\.parquet: is gone or changed"):
        result.write(tmp_path / "new" / "map.tif")
    assert not (tmp_path / "new").exists()


def test_a_vrt_that_leads_to_the_sar_image_stays_where_it_is(registered, scene, go, tmp_path):
    go(scene.optical, scene.sar, tmp_path / "map.tif", "--uncertainty", "--gcps")
    registered(None, None, tmp_path / "map.tif").write(tmp_path / "new" / "map.tif")
    assert (tmp_path / "map.gcps.vrt").is_file() and not (tmp_path / "new" / "map.gcps.vrt").exists()
    assert "gcps" not in json.loads((tmp_path / "new" / "map.report.json").read_text())["files"]


def test_what_an_older_map_left_goes_when_a_result_is_written_over_it(registered, tmp_path):
    older = registered(None, None, tmp_path / "old.tif", warped_sar=True)
    older.write(tmp_path / "map.tif")
    assert (tmp_path / "map.sar.tif").is_file()
    registered().write(tmp_path / "map.tif")
    assert not (tmp_path / "map.sar.tif").exists()
    named = {facts["name"] for facts in json.loads((tmp_path / "map.report.json").read_text())["files"].values()}
    assert named == {"map.tif", "map.candidates.parquet", "map.sigma.tif"}


def test_shifts_at_positions(handmade):
    result = handmade()
    x, y = np.array([[10.0, 20.5], [0.0, 111.0]]), np.array([[30.0, 40.25], [95.0, 0.0]])
    dx, dy = result.shift_at(x, y)
    assert dx.shape == dy.shape == x.shape
    assert np.allclose(np.stack([dx, dy], axis=-1), bent(x, y), atol=1e-3)
    single = result.shift_at(70, 20)
    assert np.ndim(single[0]) == 0 and single == pytest.approx(tuple(bent(np.array(70.0), np.array(20.0))), abs=1e-5)
    with pytest.raises(InputError, match=r"position x = 70, y = 110 is outside its 112 x 96 px"):
        result.shift_at(70, 110)


def test_the_ground_of_an_optical_pixel_lies_where_the_geocoding_says(handmade):
    longitude, latitude = handmade().to_lonlat(np.array([0, 111]), 95)
    to_degrees = pyproj.Transformer.from_crs(32637, 4326, always_xy=True)
    expected = to_degrees.transform(500_000 + GSD * np.array([0.5, 111.5]), 5_000_000 - GSD * np.array([95.5, 95.5]))
    assert np.allclose([longitude, latitude], expected, rtol=0, atol=1e-10)
    assert np.ndim(handmade().to_lonlat(3, 4)[0]) == 0


@pytest.mark.parametrize("sar_crs", [None, "EPSG:32638"])
def test_the_ground_of_a_sar_pixel_lies_where_the_map_leads_to_it(handmade, sar_crs):
    """Half a SAR pixel, a swapped axis or a turned sign would be far more than the 2 cm that are allowed."""
    result = handmade(**({"sar_crs": sar_crs, "sar_shape": (150, 160)} if sar_crs else {}))
    to_degrees = pyproj.Transformer.from_crs(32637, 4326, always_xy=True)
    x, y = np.array([20.0, 50.0, 90.0]), np.array([30.0, 80.0, 40.0])
    # The index shift leads from optical index to SAR index; the SAR pixel is centred half its own size farther on
    seen = np.stack([x, y], axis=-1) + bent(x, y) + result._pair.centre_offset_px
    east, north = 500_000 + GSD * (seen[:, 0] + 0.5), 5_000_000 - GSD * (seen[:, 1] + 0.5)
    with rasterio.open(result._pair.sar) as sar:
        there = pyproj.Transformer.from_crs(32637, sar.crs, always_xy=True).transform(east, north)
        column, row = ~sar.transform @ there
    found = result.to_lonlat(np.asarray(column) - 0.5, np.asarray(row) - 0.5, image="sar")
    ground = to_degrees.transform(500_000 + GSD * (x + 0.5), 5_000_000 - GSD * (y + 0.5))
    assert np.allclose(found, ground, rtol=0, atol=2e-7)


def test_a_sar_pixel_beyond_the_optical_image_has_no_place(handmade):
    result = handmade()
    longitude, latitude = result.to_lonlat(np.array([-40.0, 30.0, np.nan]), np.array([30.0, 30.0, 1.0]), image="sar")
    assert np.isnan(longitude).tolist() == np.isnan(latitude).tolist() == [True, False, True]
    with pytest.raises(InputError, match="neither 'optical' nor 'sar'"):
        result.to_lonlat(1, 1, image="radar")


@pytest.mark.parametrize("pixel_m", [0.25, 1.0, 2.0])
def test_a_raster_of_any_pixel_size_moves_as_the_sar_image_does(handmade, tmp_path, pixel_m):
    """It holds how far east, and how far north, each of its pixels is centred, so the moved one says where its pixels were
    taken from."""
    result, out = handmade(), tmp_path / "moved.tif"
    size = int(120 / pixel_m)
    transform = Affine(pixel_m, 0, 500_000 - 10, 0, -pixel_m, 5_000_000 + 10)
    at = np.arange(size) + 0.5
    x, y = np.meshgrid(np.arange(SHAPE[1], dtype=float), np.arange(SHAPE[0], dtype=float))
    taken = np.stack([x, y], axis=-1) + bent(x, y) + result._pair.centre_offset_px
    for axis, values in enumerate([np.broadcast_to(at, (size, size)), np.broadcast_to(at[:, None], (size, size))]):
        write_raster(tmp_path / "ramp.tif", (values * pixel_m).astype(np.float32)[None], transform, "EPSG:32637")
        assert result.warp(tmp_path / "ramp.tif", out) == out
        expected = (taken[..., axis] + 0.5) * GSD + 10
        inner = np.s_[8:-16, 8:-20]  # OpenCV places samples to 1/32 of a pixel
        assert np.abs(read_map(out)[0][inner] - expected[inner]).max() < 0.02 * max(pixel_m, 1)


def test_classes_are_moved_to_the_nearest_pixel(handmade, tmp_path):
    result, classes = handmade(), np.random.default_rng(0).choice([3, 100, 190], (90, 90)).astype(np.uint8)
    write_raster(tmp_path / "classes.tif", classes[None], Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32637")
    found = {
        resampling: set(np.unique(read_map(result.warp(tmp_path / "classes.tif", tmp_path / "a.tif", resampling))))
        for resampling in ("nearest", "bilinear")
    }
    assert {3, 100, 190} <= found["nearest"] <= {0, 3, 100, 190} and len(found["bilinear"]) > 50
    with pytest.raises(InputError, match="no such resampling"):
        result.warp(tmp_path / "classes.tif", tmp_path / "a.tif", "cubic")


def test_what_cannot_be_moved_is_told(handmade, tmp_path):
    result = handmade()
    with pytest.raises(InputError, match="has 3 bands where a SAR image has 1"):
        write_raster(
            tmp_path / "rgb.tif", np.ones((3, 90, 90), np.uint8), Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32637"
        )
        result.warp(tmp_path / "rgb.tif", tmp_path / "moved.tif")
    with pytest.raises(InputError, match="is an input too"):
        result.warp(None, result.path)
    with pytest.raises(InputError, match="does not overlap"):
        write_raster(
            tmp_path / "far.tif", np.ones((1, 90, 90), np.uint8), Affine(1, 0, 600_000, 0, -1, 5_000_000), "EPSG:32637"
        )
        result.warp(tmp_path / "far.tif", tmp_path / "moved.tif")
    assert not (tmp_path / "moved.tif").exists()


def test_a_picture_is_drawn(registered, tmp_path):
    result = registered()
    assert result.picture(tmp_path / "a.png", (0, 0, 64, 64)).is_file()
    with pytest.raises(InputError, match="is not inside"):
        result.picture(tmp_path / "b.png", (0, 0, 640, 64))


def test_the_files_of_a_map_have_one_beginning(tmp_path):
    assert (Outputs.of(tmp_path / "a.tif").stem, Outputs.of(tmp_path / "a.tiff").stem) == (
        "a",
        "a.tiff",
    )


def test_class_zero_of_another_crs_stays_a_class(handmade, tmp_path):
    result, path = handmade(), tmp_path / "classes.tif"
    transform = from_gcps(
        [
            GroundControlPoint(row, col, *(one[0] for one in warp_points("EPSG:32637", "EPSG:32638", [x], [y])))
            for row, col, x, y in ((0, 0, 500_000, 5_000_000), (0, 90, 500_090, 5_000_000), (90, 0, 500_000, 4_999_910))
        ]
    )
    write_raster(path, np.zeros((1, 90, 90), np.uint8), transform, "EPSG:32638")
    with rasterio.open(result.warp(path, tmp_path / "moved.tif", "nearest")) as moved:
        seen = moved.dataset_mask() > 0
        assert seen.mean() > 0.5 and (moved.read(1)[seen] == 0).all()
