"""Reading pairs: where things land to a fraction of a pixel, what is valid, and how bright it is."""

from __future__ import annotations

import numpy as np
import psutil
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform as warp_points

from solution.core.geometry import Window
from solution.data import finding, scene
from solution.data.opening import open_raster
from solution.data.raster import OVERVIEW_CELL, output_grid
from solution.data.scene import open_pair
from solution.tests.conftest import ORIGIN, write_raster, write_tiepoints

UTM = "EPSG:32637"
WINDOW = Window(24, 16, 256, 192)


def dot(shape: tuple[int, int], centre: tuple[float, float], sigma: tuple[float, float]) -> np.ndarray:
    """(1, h, w) float32 decibels: a round dot about array position `centre` (x, y) on dark ground."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    bump = np.exp(-(((x - centre[0]) / sigma[0]) ** 2 + ((y - centre[1]) / sigma[1]) ** 2) / 2)
    return (25.0 * bump - 30.0).astype(np.float32)[None]


def centroid(picture: np.ndarray) -> np.ndarray:
    """(x, y) of the bright part of (h, w)."""
    weight = np.maximum(picture.astype(np.float64) - 0.3, 0)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def grey(shape: tuple[int, int], bands: int = 3) -> np.ndarray:
    return np.full((bands, *shape), 90, np.uint8)


def sub_pixel_shift(moved: np.ndarray, still: np.ndarray) -> np.ndarray:
    """(dx, dy) by which the content of `moved` lies left of and above that of `still`: least squares on the gradient,
    gain and offset.
    """
    inner = np.s_[6:-6, 6:-6]
    gradient_y, gradient_x = np.gradient(still.astype(np.float64))
    design = np.column_stack([part[inner].ravel() for part in (gradient_x, gradient_y, still, np.ones_like(still))])
    return np.linalg.lstsq(design, (moved.astype(np.float64) - still)[inner].ravel(), rcond=None)[0][:2]


def apparent(made, window: Window) -> np.ndarray:
    """(2, h, w) the true apparent shift over a window."""
    xy = output_grid(window, 1)
    return np.stack(made.displacement(xy[..., 0], xy[..., 1]))


@pytest.mark.parametrize("shift", [None, (5.0, -3.5)])
@pytest.mark.parametrize("factor", [1, 4])
@pytest.mark.parametrize(
    ("gsd", "sar_gsd"),
    [
        ((0.5, 0.5), (1.0, 1.0)),
        ((0.5, 0.5), (0.5, 0.5)),
        ((0.5, 0.5), (0.67, 0.71)),
        ((1.0, 1.0), (0.31, 0.37)),
        ((0.3, 0.3), (0.9, 0.6)),
        ((0.30518, 0.30518), (0.40907, 0.40902)),
    ],
)
def test_a_dot_appears_at_the_tiepoint_shift_plus_the_centre_offset(tmp_path, gsd, sar_gsd, factor, shift):
    optical, sar, csv = (tmp_path / name for name in ("02_optical_t.tif", "02_sar_t.tif", "02_tiepoints_t.csv"))
    sar_origin = (ORIGIN[0] - 20.3, ORIGIN[1] + 17.7)
    optical_index = np.array([150, 110])
    sar_index = (
        int((ORIGIN[0] - sar_origin[0] + (optical_index[0] + 9) * gsd[0]) / sar_gsd[0]),
        int((sar_origin[1] - ORIGIN[1] + (optical_index[1] - 6) * gsd[1]) / sar_gsd[1]),
    )
    sigma = tuple(12 * gsd[axis] / sar_gsd[axis] for axis in (0, 1))
    shape = (int(240 * gsd[1] / sar_gsd[1]) + 60, int(320 * gsd[0] / sar_gsd[0]) + 70)
    write_raster(
        sar, dot(shape, sar_index, sigma), Affine(sar_gsd[0], 0, sar_origin[0], 0, -sar_gsd[1], sar_origin[1]), UTM
    )
    write_raster(optical, grey((240, 320)), Affine(gsd[0], 0, ORIGIN[0], 0, -gsd[1], ORIGIN[1]), UTM)
    write_tiepoints(csv, np.array([[sar_index[1], sar_index[0], optical_index[1], optical_index[0]]]))

    pair = open_pair(optical, sar, csv)
    expected = optical_index + pair.tiepoints().shift[0] + pair.centre_offset_px
    size = (WINDOW.height // factor, WINDOW.width // factor)
    moved = None if shift is None else np.broadcast_to(np.array(shift)[:, None, None], (2, *size))
    patch = pair.read(WINDOW, factor, moved)
    assert patch.sar.shape == (1, *size) and patch.optical.shape == (3, *size) and patch.valid.shape == size
    found = (centroid(patch.sar[0]) + 0.5) * factor - 0.5 + [WINDOW.x, WINDOW.y] + (shift or (0, 0))
    assert found == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("factor", [1, 4])
def test_the_optical_image_stays_where_it_is(tmp_path, factor):
    picture = np.repeat(dot((240, 320), (150, 110), (12, 12)), 3, axis=0)
    write_raster(tmp_path / "02_optical_t.tif", picture, Affine(0.5, 0, ORIGIN[0], 0, -0.5, ORIGIN[1]), UTM)
    write_raster(tmp_path / "02_sar_t.tif", grey((240, 320), 1), Affine(0.5, 0, ORIGIN[0], 0, -0.5, ORIGIN[1]), UTM)
    patch = open_pair(tmp_path / "02_optical_t.tif", tmp_path / "02_sar_t.tif").read(WINDOW, factor)
    found = (centroid(patch.optical[1]) + 0.5) * factor - 0.5 + [WINDOW.x, WINDOW.y]
    assert found == pytest.approx([150, 110], abs=0.05)


def test_tiepoints_say_what_the_pixels_say(make_scene):
    made = make_scene(displacement=lambda x, y: (8 * np.sin(y / 60), 5 * np.cos(x / 70)), points=(14, 12))
    pair = made.open()
    points = pair.tiepoints()
    residual = points.shift + pair.centre_offset_px - np.column_stack(made.displacement(points.x, points.y))
    assert np.abs(residual).max() < 0.5 * 0.67 / 0.5 + 1e-3  # the SAR index is a whole number
    assert np.abs(residual.mean(axis=0)).max() < 0.1


@pytest.mark.parametrize(
    "fields",
    [
        {"sar_crs": "EPSG:32636", "sar_offset": (-20, 20)},
        {"sar_crs": "EPSG:3857", "sar_offset": (-20, 20)},
        {"sar_rotation_deg": -12.0, "sar_offset": (-40, 40)},
    ],
    ids=["other UTM zone", "Mercator", "rotated"],
)
def test_a_sar_image_on_another_kind_of_grid_lands_at_the_right_place(make_scene, fields):
    window = Window(16, 16, 160, 128)
    still = make_scene(sar_dtype="float32").open().read(window)
    made = make_scene("02_train_02", **{"sar_dtype": "float32", "sar_shape": (340, 340), "points": (17, 13), **fields})
    pair = made.open()
    pair.check()
    assert pair.reproject_sar
    moved = pair.read(window)
    assert moved.valid.min() == 1
    assert sub_pixel_shift(moved.sar[0], still.sar[0]) == pytest.approx([0, 0], abs=0.02)
    points = pair.tiepoints()
    residual = points.shift + pair.centre_offset_px - np.column_stack(made.displacement(points.x, points.y))
    assert np.abs(residual.mean(axis=0)).max() < 0.2


def test_an_optical_image_in_degrees(tmp_path):
    size = (4.5e-6, 3.0e-6)
    longitude, latitude = 39.2, 45.1
    write_raster(
        tmp_path / "02_optical_t.tif",
        grey((240, 320)),
        Affine(size[0], 0, longitude, 0, -size[1], latitude),
        "EPSG:4326",
    )
    (east,), (north,) = warp_points(
        CRS.from_epsg(4326), CRS.from_user_input(UTM), [longitude + 150.5 * size[0]], [latitude - 110.5 * size[1]]
    )
    sar_transform = Affine(0.4, 0, east - 90, 0, -0.4, north + 70)
    centre = np.array(~sar_transform @ (east, north)) - 0.5
    write_raster(tmp_path / "02_sar_t.tif", dot((400, 480), centre, (10, 10)), sar_transform, UTM)
    pair = open_pair(tmp_path / "02_optical_t.tif", tmp_path / "02_sar_t.tif")
    found = centroid(pair.read(WINDOW).sar[0]) + np.array([WINDOW.x, WINDOW.y])
    assert found == pytest.approx([150, 110], abs=0.1)
    assert pair.gsd_m == pytest.approx((4.5e-6 * 111_320 * np.cos(np.deg2rad(45.1)) + 3.0e-6 * 111_320) / 2, rel=1e-3)


def test_the_shift_argument_undoes_the_displacement(make_scene):
    window = Window(24, 24, 128, 96)
    swirl = make_scene(displacement=lambda x, y: (6 * np.sin(y / 50), 4 * np.cos(x / 60)), sar_dtype="float32")
    straight = make_scene("02_train_02", displacement=(0.0, 0.0), sar_dtype="float32")
    undone = swirl.open().read(window, shift=apparent(swirl, window))
    assert sub_pixel_shift(undone.sar[0], straight.open().read(window).sar[0]) == pytest.approx([0, 0], abs=0.02)


def test_windows_agree_where_they_overlap(make_scene):
    pair = make_scene(speckle=0.3).open()
    whole = pair.read(Window(0, 0, 160, 128), 4)
    part = pair.read(Window(32, 16, 64, 64), 4)
    assert np.array_equal(part.sar, whole.sar[:, 4:20, 8:24])
    assert np.array_equal(part.optical, whole.optical[:, 4:20, 8:24])


def test_a_window_past_the_image_is_invalid_there(make_scene):
    pair = make_scene(shape=(160, 192)).open()
    patch = pair.read(Window(-32, -16, 256, 208))
    assert patch.valid[16:176, 32:224].min() == 1
    outside = patch.valid.copy()
    outside[16:176, 32:224] = 0
    assert outside.max() == 0
    assert patch.optical[:, outside == 0].max() <= 1 and not patch.optical[:, :16].any()
    assert not pair.read(Window(5000, 5000, 64, 64)).valid.any()


def test_a_window_must_be_a_multiple_of_the_factor(make_scene):
    with pytest.raises(ValueError, match="factor 4"):
        make_scene().open().read(Window(0, 0, 30, 32), 4)


@pytest.mark.parametrize(
    ("dtype", "kind"), [("uint8", "amplitude"), ("uint16", "amplitude"), ("float32", "intensity"), ("float32", "db")]
)
def test_every_unit_and_dtype_gives_nearly_the_same_picture(make_scene, dtype, kind):
    window = Window(16, 16, 160, 128)
    amplitude = make_scene(sar_dtype="float32", speckle=0.5).open().read(window).sar
    other = make_scene("02_train_02", sar_dtype=dtype, kind=kind, speckle=0.5).open().read(window).sar
    assert np.abs(other - amplitude).mean() < 0.05
    assert np.corrcoef(other.ravel(), amplitude.ravel())[0, 1] > 0.98
    assert other.min() >= 0 and other.max() <= 1 and other.std() > 0.1


@pytest.mark.parametrize(("hole", "nodata"), [(np.nan, None), (np.nan, np.nan), (-9999.0, -9999.0), (0.0, None)])
@pytest.mark.parametrize("kind", ["amplitude", "db"])
def test_gaps_are_invalid_dark_and_do_not_change_the_stretch(make_scene, hole, nodata, kind):
    made = make_scene(sar_dtype="float32", kind=kind)
    whole = made.open()
    expected = whole.read(Window(0, 0, 192, 160)).sar
    with open_raster(made.sar) as dataset:
        values, transform = dataset.read(), dataset.transform
    column = 9 * OVERVIEW_CELL + 1  # most of its overview cell is a gap that counts as valid
    values[:, :, column:] = hole
    write_raster(made.sar, values, transform, UTM, nodata)
    pair = made.open()
    patch = pair.read(Window(0, 0, 192, 160))
    edge = int((column * 0.67 - 3.1) / 0.5)
    assert not patch.valid[:, edge + 16 :].any() and patch.sar[:, :, edge + 3 :].max() < 1e-6
    assert patch.valid[:, : edge - 2].all()
    assert np.abs(patch.sar - expected)[:, :, : edge - 2].mean() < 0.05
    assert 0.4 < pair.valid_share() < 0.6


def test_gaps_do_not_bleed_into_averages(make_scene):
    made = make_scene(sar_dtype="float32", kind="db")
    expected = made.open().read(Window(0, 0, 192, 160), 8).sar
    with open_raster(made.sar) as dataset:
        values, transform = dataset.read(), dataset.transform
    values[:, :, ::2] = np.nan
    write_raster(made.sar, values, transform, UTM)
    assert np.abs(made.open().read(Window(0, 0, 192, 160), 8).sar - expected).mean() < 0.05


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (3, "uint16"), (4, "float32")])
def test_optical_bands_and_dtypes(make_scene, bands, dtype):
    patch = make_scene(bands=bands, optical_dtype=dtype).open().read(Window(0, 0, 64, 64))
    assert patch.optical.shape == (3, 64, 64) and patch.optical.dtype == np.float32
    assert patch.optical.std() > 0.1 and patch.optical.max() <= 1


def test_discovery(make_scene, tmp_path):
    folder = tmp_path / "data"
    make_scene("02_publictest", folder / "publictest", points=None)
    make_scene("03_train_01", folder / "train")
    make_scene("02_train_01", folder / "train")
    (folder / "02_optical_train_01.tif.aux.xml").write_text("<PAMDataset/>")
    (folder / "notes.csv").write_text("a\n")
    pairs = finding.discover(folder)
    assert [pair.name for pair in pairs] == ["02_publictest", "02_train_01", "03_train_01"]
    assert [pair.aoi for pair in pairs] == ["02", "02", "03"]
    assert [pair.tiepoints_csv is None for pair in pairs] == [True, False, False]
    assert scene.without_labels(pairs[1]).tiepoints_csv is None


def test_reads_leave_no_file_open_and_repeat_exactly(make_scene):
    pair = make_scene(sar_crs="EPSG:32636", sar_shape=(100, 100), sar_offset=(-9, 9)).open()
    first = pair.read(Window(0, 0, 64, 64))
    process = psutil.Process()
    before = len(process.open_files())
    for _ in range(20):
        again = pair.read(Window(0, 0, 64, 64))
    assert len(process.open_files()) == before
    assert np.array_equal(first.sar, again.sar) and np.array_equal(first.optical, again.optical)
