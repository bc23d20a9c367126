"""Patches cut by polygons, and read back: pixels and labels of one place, both orders of axes told
apart, and every bad input named."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio

from solution.core.errors import InputError
from solution.surface import RATIO_SCALE, sampler
from solution.surface.patchset import read_patches
from solution.surface.sampler import Sampling
from solution.surface.scenes import as_channels, open_scene
from solution.tests import polar
from solution.tests.conftest import invoke, write_raster


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Path]:
    """An image and its polygons."""
    return polar.write_scene(tmp_path / "in"), polar.write_polygons(tmp_path / "in" / "chart.shp")


def middle_class(pixels: np.ndarray) -> np.ndarray:
    """(N,) class that the middle pixel of patches shows."""
    return np.abs(pixels[:, 0, 32, 32].astype(int)[:, None] - polar.SHADES).argmin(axis=1)


@pytest.mark.parametrize("options", [["--stride", 7], ["--per-class", 30, "--seed", 3]])
def test_a_label_is_that_of_the_middle_pixel(scene, tmp_path, options):
    invoke("surface", "sample", *scene, tmp_path / "out", *options)
    found = read_patches(tmp_path / "out")
    assert len(found) > 60 and set(found.labels) == {0, 1, 2}
    assert np.array_equal(middle_class(found.pixels), found.labels)


def test_changed_places_of_x_and_y_would_be_noticed(scene, tmp_path, monkeypatch):
    label_of = sampler.label_of
    monkeypatch.setattr(sampler, "label_of", lambda polygons, image, x, y: label_of(polygons, image, y, x))
    sampler.sample([scene[0]], [scene[1]], tmp_path / "out", Sampling(stride_px=7))
    found = read_patches(tmp_path / "out")
    assert (middle_class(found.pixels) != found.labels).mean() > 0.2


def test_a_position_is_the_first_column_and_row(scene, tmp_path):
    sampler.sample([scene[0]], [scene[1]], tmp_path / "out", Sampling(per_class=5))
    with rasterio.open(scene[0]) as dataset:
        image = as_channels(dataset.read())
    rows = [line.split() for line in (tmp_path / "out" / "meta.csv").read_text().splitlines()]
    assert len(rows) == 15 and any(int(x) > 260 - 64 for _, x, _, _ in rows)
    for number, x, y, _ in rows:
        picture = cv2.imread(str(tmp_path / "out" / "images" / f"{number}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(
            np.moveaxis(picture[..., ::-1], -1, 0), image[:, int(y) : int(y) + 64, int(x) : int(x) + 64]
        )


def test_consecutive_patches_are_all_that_are_labelled_and_carry_data(tmp_path):
    image = polar.write_scene(tmp_path, nodata_columns=100)
    polygons = polar.write_polygons(tmp_path / "chart.shp")
    counts = sampler.sample([image], [polygons], tmp_path / "out", Sampling(stride_px=32))
    # Rows 0, 32, ... 192; columns up to 320 - 64, for at x = 288 half of the patch is empty.
    assert sum(counts.values()) == 7 * 9
    assert read_patches(tmp_path / "out").pixels[:, :, :, :].any(axis=(1, 2, 3)).all()


def test_random_patches_keep_to_the_maximum_and_repeat(scene, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert sampler.sample([scene[0]], [scene[1]], tmp_path / name, Sampling(per_class=9, seed=seed)) == {
            "W": 9,
            "I": 9,
            "L": 9,
        }
    tables = [(tmp_path / name / "meta.csv").read_text() for name in "abc"]
    assert tables[0] == tables[1] != tables[2]


def test_attempts_are_limited(scene, tmp_path):
    counts = sampler.sample([scene[0]], [scene[1]], tmp_path / "out", Sampling(per_class=500, attempts=40))
    assert 10 < sum(counts.values()) <= 40


def test_polygons_are_reprojected_and_words_understood(tmp_path):
    image = polar.write_scene(tmp_path / "images", "a")
    polar.write_polygons(tmp_path / "charts" / "chart.shp", ("Sea", "ICE ", "land"), "Surface", crs="EPSG:4326")
    invoke(
        "surface", "sample", image, tmp_path / "charts", tmp_path / "out", "--per-class", 20, "--attribute", "surface"
    )
    found = read_patches(tmp_path / "out")
    # Straight edges bend a little when they are reprojected, so single pixels at an edge may differ.
    assert (middle_class(found.pixels) == found.labels).mean() > 0.95


def test_a_folder_of_images_takes_each_its_own_polygons(tmp_path):
    for name in ("a", "b"):
        polar.write_scene(tmp_path / "in", name)
    polar.write_polygons(tmp_path / "in" / "a.shp")
    polar.write_polygons(tmp_path / "in" / "b.shp", ("L", "L", "L"))
    invoke("surface", "sample", tmp_path / "in", tmp_path / "in", tmp_path / "out", "--per-class", 4)
    found = read_patches(tmp_path / "out")
    assert found.labels[found.groups == 2].tolist() == [2] * 4 and len(found) == 16


def test_overlapping_polygons_that_disagree_label_nothing(tmp_path):
    image = polar.write_scene(tmp_path)
    paths = [polar.write_polygons(tmp_path / "one.shp"), polar.write_polygons(tmp_path / "two.shp", ("W", "W", "L"))]
    assert sampler.sample([image], paths, tmp_path / "out", Sampling(stride_px=32))["I"] == 0


def test_one_band_makes_grey_patches(tmp_path):
    image = polar.write_scene(tmp_path, bands=1)
    sampler.sample([image], [polar.write_polygons(tmp_path / "chart.shp")], tmp_path / "out", Sampling())
    assert read_patches(tmp_path / "out").pixels.shape[1] == 1


def test_only_some_bands_are_those_of_an_image_that_has_no_others(scene, tmp_path, run):
    alone = polar.write_scene(tmp_path / "alone", bands=1)
    for image, out in ((scene[0], "some"), (alone, "all")):
        invoke("surface", "sample", image, scene[1], tmp_path / out, "--bands", 1)
    some, all_there = read_patches(tmp_path / "some"), read_patches(tmp_path / "all")
    assert (
        some.pixels.shape[1] == 1
        and np.array_equal(some.pixels, all_there.pixels)
        and np.array_equal(some.labels, all_there.labels)
    )
    code, _, error = run("surface", "sample", alone, scene[1], tmp_path / "more", "--bands", 2)
    assert (
        code == 2 and "scene.tif: has 1 band(s) and not the 2 asked for" in error and not (tmp_path / "more").exists()
    )


def test_the_ratio_is_that_of_the_public_patches():
    hh, hv = np.array([[0, 100, 10]], np.uint8), np.array([[5, 50, 200]], np.uint8)
    assert as_channels(np.stack([hh, hv]))[2].tolist() == [[0, round(RATIO_SCALE / 2), 255]]


def test_other_types_are_stretched_linearly_in_amplitude(tmp_path):
    amplitude = np.random.default_rng(0).uniform(0.1, 1.0, (1, 128, 128)).astype(np.float32)
    decibel = 20 * np.log10(amplitude)
    decibel[0, 0, :5] = np.nan
    write_raster(tmp_path / "amplitude.tif", amplitude, polar.TRANSFORM, polar.CRS)
    write_raster(tmp_path / "decibel.tif", decibel, polar.TRANSFORM, polar.CRS)
    from solution.core.geometry import Window

    seen = []
    for name in ("amplitude", "decibel"):
        with open_scene(tmp_path / f"{name}.tif") as image:
            seen.append(image.read(Window(0, 0, 128, 128)))
    assert np.abs(seen[0][0].astype(int) - seen[1][0])[:, seen[1][1]].max() <= 1
    assert not seen[1][1][0, :5].any() and seen[1][1].sum() == 128 * 128 - 5


def broken_cases(folder: Path) -> dict[str, tuple[Path, Path, str]]:
    """Image, polygons, and what the sentence must name."""
    image, chart = polar.write_scene(folder / "good"), polar.write_polygons(folder / "good" / "chart.shp")
    blank, other = folder / "blank.tif", folder / "other.tif"
    shade = np.full((1, 128, 128), 9, np.uint8)
    write_raster(blank, 0 * shade, polar.TRANSFORM, polar.CRS, nodata=0)
    write_raster(other, np.concatenate([shade] * 4), polar.TRANSFORM, polar.CRS)
    no_crs = folder / "no_crs.tif"
    write_raster(no_crs, shade, polar.TRANSFORM, None)
    far = folder / "far.tif"
    write_raster(far, shade, polar.TRANSFORM @ polar.TRANSFORM.translation(9000, 0), polar.CRS)
    cut = folder / "cut.tif"
    cut.write_bytes(image.read_bytes()[:600])
    nan = folder / "nan.tif"
    write_raster(nan, np.full((1, 128, 128), np.nan, np.float32), polar.TRANSFORM, polar.CRS)
    small = folder / "small.tif"
    write_raster(small, shade[:, :40, :40], polar.TRANSFORM, polar.CRS)
    torn = folder / "torn.shp"
    torn.write_bytes(chart.read_bytes()[:50])
    return {
        "no image": (folder / "nothing.tif", chart, "nothing.tif"),
        "no polygons": (image, folder / "nothing.shp", "nothing.shp"),
        "image without CRS": (no_crs, chart, "no_crs.tif: has no coordinate system"),
        "polygons without CRS": (
            image,
            polar.write_polygons(folder / "bare.shp", prj=False),
            "bare.shp: has no coordinate system",
        ),
        "apart": (far, chart, "far.tif: no polygon of chart.shp lies on it"),
        "bands": (other, chart, "other.tif: has 4 bands"),
        "truncated image": (cut, chart, "cut.tif"),
        "truncated polygons": (image, torn, "torn.shp: is not a readable shapefile"),
        "unknown class": (
            image,
            polar.write_polygons(folder / "odd.shp", ("W", "slush", "L")),
            "odd.shp: attribute 'poly_type' holds slush",
        ),
        "no attribute": (
            image,
            polar.write_polygons(folder / "name.shp", column="kind"),
            "name.shp: has no attribute for the class",
        ),
        "only NaN": (nan, chart, "nan.tif: holds no data at all"),
        "no data": (blank, chart, "blank.tif: no patch"),
        "small": (small, chart, "small.tif: is 40 x 40 px"),
    }


def test_bad_input_ends_in_one_sentence_and_nothing_written(tmp_path, run):
    for case, (image, polygons, words) in broken_cases(tmp_path / "in").items():
        code, _, error = run("surface", "sample", image, polygons, tmp_path / "out" / "patches")
        assert code == 2 and words in error and len(error.strip().splitlines()) == 1, (case, error)
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir()), case


def test_values_to_be_ignored_are_left_out(scene, tmp_path):
    odd = polar.write_polygons(tmp_path / "odd.shp", ("W", "N", "L"))
    counts = sampler.sample([scene[0]], [odd], tmp_path / "out", Sampling(ignore=("n",)))
    assert counts["I"] == 0 and counts["W"] > 0


def test_what_is_there_is_not_overwritten(scene, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(InputError, match="is there already"):
        sampler.sample([scene[0]], [scene[1]], tmp_path / "out", Sampling())


def test_a_zip_reads_like_its_folder(tmp_path):
    folder = polar.write_patches(tmp_path / "patches")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "patches")
    one, two = read_patches(folder), read_patches(Path(archive))
    assert (
        np.array_equal(one.pixels, two.pixels)
        and np.array_equal(one.labels, two.labels)
        and np.array_equal(one.groups, two.groups)
    )


def test_groups_are_blocks_of_ids_where_no_scenes_are_known(tmp_path):
    folder = polar.write_patches(tmp_path / "patches")
    (folder / "scenes.csv").unlink()
    (folder / "meta.csv").write_text("image_id x_position y_position label\n9 1 2 W\n0 5 6 I\n3 7 8 L\n")
    found = read_patches(folder)
    assert found.ids.tolist() == [0, 3, 9] and found.labels.tolist() == [1, 2, 0] and set(found.groups) == {0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("0 1 2\n", "needs lines of"),
        ("0,1,2,W\n", "needs lines of"),
        ("0 1 2 X\n", "labels X"),
        ("0 1 2 W\n0 1 2 W\n", "image 0 twice"),
        ("", "is empty"),
        ("99 1 2 W\n", "images/99.png is missing"),
    ],
)
def test_a_wrong_table_is_named(tmp_path, content, words):
    folder = polar.write_patches(tmp_path / "patches", scenes=1)
    (folder / "meta.csv").write_text(content)
    with pytest.raises(InputError, match=f"patches: .*{words}"):
        read_patches(folder)


def test_broken_pictures_and_zips_are_named(tmp_path):
    folder = polar.write_patches(tmp_path / "patches", scenes=1)
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
    archive.write_bytes(archive.read_bytes()[:-300])
    (tmp_path / "empty.zip").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("readme.txt", "")
    for path, words in (
        (archive, "truncated"),
        (tmp_path / "empty.zip", "truncated"),
        (tmp_path / "other.zip", "holds no meta.csv"),
    ):
        with pytest.raises(InputError, match=f"{path.name}: .*{words}"):
            read_patches(path)
    (folder / "images" / "3.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"images/3\.png is no readable picture"):
        read_patches(folder)
    cv2.imwrite(str(folder / "images" / "3.png"), np.zeros((32, 64), np.uint8))
    with pytest.raises(InputError, match=r"images/3\.png has shape"):
        read_patches(folder)
