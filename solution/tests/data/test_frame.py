"""Images that lie nowhere are refused before any work, by a sentence that names the mend; the mend is tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform as warp_points

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.data.scene import ScenePair, open_pair
from solution.tests.conftest import ORIGIN, write_raster

UTM = "EPSG:32637"
LOCAL = 'LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
WHOLE = Window(0, 0, 192, 160)


def rewrite(path: Path, transform: Affine | None = None, crs: str | None = UTM, **more: object) -> None:
    """The same pixels in another frame."""
    with rasterio.open(path) as dataset:
        values, kept = dataset.read(), dataset.transform
    write_raster(path, values, kept if transform is None else transform, crs, **more)


def place(path: Path, transform: Affine, crs: str) -> None:
    """What gdal_edit.py -a_ullr and -a_srs do."""
    with rasterio.open(path, "r+") as dataset:
        dataset.transform, dataset.crs = transform, CRS.from_user_input(crs)


def warp(path: Path, out: Path, crs: str, **options: object) -> None:
    """What gdalwarp -t_srs CRS does, with -tps or -rpc as options."""
    with rasterio.open(path) as source, WarpedVRT(source, crs=crs, **options) as view:
        profile = {**view.profile, "driver": "GTiff"}
        with rasterio.open(out, "w", **profile) as target:
            target.write(view.read())


TRUE = Affine(0.5, 0, ORIGIN[0], 0, -0.5, ORIGIN[1])
SPOILT: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "identity": (lambda p: rewrite(p, Affine.identity()), "has a CRS but no geotransform", "-a_ullr"),
    "metres as degrees": (lambda p: rewrite(p, crs="EPSG:4326"), "latitude 50000", "-a_srs EPSG:32637"),
    "beyond the pole": (
        lambda p: rewrite(p, Affine(1e-5, 0, 39, 0, -1e-5, 92.0), "EPSG:4326"),
        "where there is no place",
        "-a_srs",
    ),
    "degrees as metres": (
        lambda p: rewrite(p, Affine(4.5e-6, 0, 39.2, 0, -3e-6, 45.1)),
        "look like degrees",
        "-a_srs EPSG:4326",
    ),
    "local CRS": (lambda p: rewrite(p, crs=LOCAL), "has a local CRS", "-a_srs"),
    "NaN": (lambda p: rewrite(p, Affine(0.5, 0, math.nan, 0, -0.5, 5e6)), "not finite", "-a_ullr"),
    "no CRS": (lambda p: rewrite(p, crs=None), "has no coordinate system", "-a_srs"),
}


@pytest.mark.parametrize("image", ["optical", "sar"])
@pytest.mark.parametrize("fault", SPOILT)
def test_a_frame_that_cannot_be_is_refused_and_the_mend_succeeds(make_scene, run, tmp_path, fault, image):
    made = make_scene(sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0))
    path = getattr(made, image)
    spoil, message, mend = SPOILT[fault]
    spoil(path)
    out = tmp_path / "map.tif"
    code, _, err = run("predict", made.optical, made.sar, out)
    assert code == 2 and err.count("\n") == 1 and not out.exists()
    assert str(path) in err and message in err and mend in err
    degrees = fault == "degrees as metres"
    place(path, Affine(4.5e-6, 0, 39.0, 0, -3e-6, 45.1534) if degrees else TRUE, "EPSG:4326" if degrees else UTM)
    made.open().check_overlap()


@pytest.mark.parametrize("fault", SPOILT)
def test_a_folder_of_such_images_is_listed_with_what_is_wrong(make_scene, run, fault):
    made = make_scene()
    spoil, message, _ = SPOILT[fault]
    spoil(made.sar)
    code, out, err = run("data", made.folder)
    assert code == 2 and err == "" and message in out and made.sar.name in out


def with_points(path: Path, bent_px: float = 8.0) -> None:
    """Nothing but ground control points, in degrees, that no affine goes through; the pixels are bent alike."""
    with rasterio.open(path) as dataset:
        values, (height, width), transform, crs = dataset.read(), dataset.shape, dataset.transform, dataset.crs
    points = []
    for row in np.linspace(0, height, 13):
        for column in np.linspace(0, width, 13):
            x, y = transform @ (column + bent_px * np.sin(row / 40), row + bent_px * np.sin(column / 50))
            (longitude,), (latitude,) = warp_points(crs, "EPSG:4326", [x], [y])
            points.append(GroundControlPoint(row=row, col=column, x=longitude, y=latitude, z=0))
    y, x = np.mgrid[:height, :width]
    bent = [
        np.clip(axis, 0, size - 1)
        for axis, size in (
            (np.rint(y + bent_px * np.sin(x / 50)).astype(int), height),
            (np.rint(x + bent_px * np.sin(y / 40)).astype(int), width),
        )
    ]
    path.unlink()
    profile = {"driver": "GTiff", "height": height, "width": width, "count": len(values), "dtype": values.dtype}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values[:, bent[0], bent[1]])
        dataset.gcps = points, CRS.from_epsg(4326)


def off(pair: ScenePair, straight: np.ndarray) -> float:
    """Mean difference of the SAR image from what it was, in the middle."""
    seen = pair.read(WHOLE)
    inner = np.s_[24:-24, 24:-24]
    assert seen.valid[inner].all()
    return float(np.abs(seen.sar[0] - straight)[inner].mean())


def test_a_sar_image_with_ground_control_points_alone_is_read_through_a_spline(make_scene):
    made = make_scene(sar_dtype="float32")
    before = made.open()
    straight, labels = before.read(WHOLE).sar[0], before.tiepoints().shift
    with_points(made.sar)
    pair = made.open()
    pair.check()
    assert pair.reproject_sar and np.abs(pair.centre_offset_px - before.centre_offset_px).max() < 0.03
    by_spline = off(pair, straight)
    # The labels name pixels of the image as it was; the bent image shows the ground of these up to 11 px away
    assert 5 < np.abs(pair.tiepoints().shift - labels).max() < 12
    affine = made.sar.with_name("affine.tif")
    warp(made.sar, affine, UTM)
    assert by_spline < 0.03 and by_spline < 0.6 * off(open_pair(made.optical, affine), straight)


def test_an_optical_image_with_points_names_the_command_that_puts_it_on_a_grid(make_scene, run, tmp_path):
    made = make_scene()
    with_points(made.optical)
    code, _, err = run("predict", made.optical, made.sar, tmp_path / "map.tif")
    assert code == 2 and f"gdalwarp -tps -t_srs {UTM} {made.optical.name}" in err
    out = made.optical.with_name("on_grid.tif")
    warp(made.optical, out, UTM, SRC_METHOD="GCP_TPS")
    pair = open_pair(out, made.sar)
    pair.check()
    assert pair.gsd_m == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("image", ["optical", "sar"])
def test_rational_polynomials_name_the_command(make_scene, run, tmp_path, image):
    made = make_scene()
    path = getattr(made, image)
    with rasterio.open(path) as dataset:
        values, (height, width), transform = dataset.read(), dataset.shape, dataset.transform
    x, y = zip(*(transform @ corner for corner in ((0, 0), (width, height))), strict=True)
    longitude, latitude = (np.array(axis) for axis in warp_points(UTM, "EPSG:4326", x, y))
    linear = {term: [0.0] * 20 for term in ("line", "samp")}
    linear["line"][2], linear["samp"][1] = 1.0, 1.0  # latitude; longitude
    one = [1.0] + [0.0] * 19
    rpc = RPC(
        height_off=0, height_scale=500, lat_off=float(latitude.mean()), lat_scale=float(np.diff(latitude)[0] / 2),
        line_den_coeff=one, line_num_coeff=linear["line"], line_off=height / 2, line_scale=height / 2,
        long_off=float(longitude.mean()), long_scale=float(np.diff(longitude)[0] / 2), samp_den_coeff=one,
        samp_num_coeff=linear["samp"], samp_off=width / 2, samp_scale=width / 2, err_bias=None, err_rand=None,
    )  # fmt: skip
    path.unlink()
    profile = {"driver": "GTiff", "height": height, "width": width, "count": len(values), "dtype": values.dtype}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values)
        dataset.rpcs = rpc
    code, _, err = run("predict", made.optical, made.sar, tmp_path / "map.tif")
    assert code == 2 and str(path) in err and f"gdalwarp -rpc -t_srs {UTM} {path.name}" in err
    out = path.with_name("on_grid.tif")
    from rasterio.warp import calculate_default_transform, reproject

    grid, columns, rows = calculate_default_transform("EPSG:4326", UTM, width, height, rpcs=rpc)
    with rasterio.open(out, "w", **{**profile, "height": rows, "width": columns}, crs=UTM, transform=grid) as target:
        for band in range(1, len(values) + 1):
            reproject(values[band - 1], rasterio.band(target, band), rpcs=rpc, src_crs="EPSG:4326", dst_crs=UTM)
    pair = open_pair(**{"optical": made.optical, "sar": made.sar, image: out})
    pair.check()
    assert pair.valid_share() > 0.8


def test_the_same_image_twice(make_scene, run, tmp_path):
    for bands, name in ((1, "02_train_01"), (3, "02_train_02")):
        made = make_scene(name, bands=bands)
        link = tmp_path / f"link{bands}.tif"
        link.symlink_to(made.optical)
        for other in (made.optical, link):
            code, _, err = run("predict", made.optical, other, tmp_path / "map.tif")
            assert code == 2 and f"{other}: is the optical image too" in err


@pytest.mark.parametrize("finer", ["optical", "sar"])
def test_pixels_of_much_too_different_sizes(make_scene, run, tmp_path, finer):
    made = make_scene()
    path = getattr(made, finer)
    other = made.sar if finer == "optical" else made.optical
    rewrite(other, Affine(40.0, 0, ORIGIN[0] - 3000, 0, -40.0, ORIGIN[1] + 3000))
    code, _, err = run("predict", made.optical, made.sar, tmp_path / "map.tif")
    assert code == 2 and str(path) in err and "times as small" in err
    size = [float(word) for word in err.split("-tr ")[1].split()[:2]]
    out = path.with_name("coarser.tif")
    with rasterio.open(path) as source:
        grid = Affine(size[0], 0, source.transform.c, 0, -size[1], source.transform.f)
        warp(path, out, UTM, transform=grid, width=2, height=2)
    pair = open_pair(**{"optical": made.optical, "sar": made.sar, finer: out})
    assert pair.sar_pixel_px == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(("east", "north"), [(191.0, 0.0), (0.0, -159.0), (190.5, -100.0)])
def test_an_overlap_of_a_pixel(make_scene, run, tmp_path, east, north):
    made = make_scene()
    rewrite(made.sar, Affine(0.5, 0, ORIGIN[0] + east / 2, 0, -0.5, ORIGIN[1] + north / 2))
    code, _, err = run("fit", "p.csv", "--optical", made.optical, "--sar", made.sar, "--out", tmp_path / "m.tif")
    assert code == 2 and str(made.sar) in err and "shares only" in err
    place(made.sar, TRUE, UTM)
    made.open().check_overlap()


def test_an_image_of_the_whole_earth_may_end_at_its_poles(tmp_path):
    from solution.data.frame import read_header

    write_raster(tmp_path / "e.tif", np.ones((1, 180, 360), np.uint8), Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    assert read_header(tmp_path / "e.tif", "optical").bands == 1


def test_a_digital_number_of_two_bands_is_still_refused(make_scene):
    made = make_scene()
    with rasterio.open(made.sar) as dataset:
        values, transform = dataset.read(), dataset.transform
    write_raster(made.sar, np.repeat(values, 2, axis=0), transform, UTM, photometric="MINISBLACK", alpha="NO")
    with pytest.raises(InputError, match="has 2 bands"):
        made.open()


def test_commands_that_mend_quote_names_for_the_shell(make_scene, run, tmp_path):
    made = make_scene()
    path = made.sar.rename(made.sar.with_name("a name; with all.tif"))
    with rasterio.open(path) as dataset:
        values, transform = dataset.read().astype(np.complex64), dataset.transform
    write_raster(path, values, transform, UTM)
    code, _, err = run("predict", made.optical, path, tmp_path / "map.tif")
    command = "gdal_calc.py -A 'a name; with all.tif' --calc='abs(A)' --type=Float32 --outfile=amplitude.tif"
    assert code == 2 and command in err
    write_raster(path, values.real.astype(np.float32), transform, None)
    assert "gdal_edit.py -a_srs EPSG:32637 'a name; with all.tif'" in run("predict", made.optical, path, "m.tif")[2]
