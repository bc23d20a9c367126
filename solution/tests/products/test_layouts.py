"""Maps that explain themselves, maps for the contest, and GCPs for GDAL; through the command line."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

import solution
from solution.field import gcps, verdict
from solution.field.offset_map import bytes_on_disk
from solution.scoring.score import predicted_shift, reference
from solution.tests.conftest import truncate
from solution.tests.products.conftest import files, read_map

pytestmark = pytest.mark.usefixtures("quick_plan")


@pytest.fixture
def labelled(make_scene):
    """A scene whose SAR image ends 24 px before the right border of the optical one."""
    return make_scene("02_train_01", shape=(160, 192), sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0), sar_shape=(160, 168))


@pytest.fixture
def fit(labelled, run, tmp_path):
    """Fits to points right up to the border -> code, what was said."""
    points = tmp_path / "points.csv"
    x, y = np.meshgrid(np.linspace(4, 188, 6), np.linspace(4, 156, 6))
    np.savetxt(
        points,
        np.column_stack([x.ravel(), y.ravel(), np.full(36, 5.0), np.full(36, -3.0)]),
        delimiter=",",
        header="x,y,dx,dy",
        comments="",
    )
    arguments = ["fit", points, "--optical", labelled.optical, "--sar", labelled.sar, "--out", tmp_path / "map.tif"]
    return lambda *more: run(*arguments, *more)


@pytest.mark.slow
def test_a_pair_gets_a_cog_that_says_where_it_comes_from(scene, go, tmp_path):
    code, _, err = go(
        scene.optical,
        scene.sar,
        tmp_path / "map.tif",
        "--team",
        "0",
        "--warped-sar",
        "--resampling",
        "nearest",
        "--gcps",
    )
    assert code in verdict.EXIT_CODES.values(), err
    report = json.loads((tmp_path / "map.report.json").read_text())
    for name in ("map.tif", "map.sar.tif"):
        assert cog_validate(tmp_path / name, strict=True) == (True, [], [])
    for name in ("map.tif", "map.sar.tif", "map.gcps.vrt"):
        with rasterio.open(tmp_path / name) as written:
            told = written.tags()
        assert (
            (told["VERDICT"], told["GSD_M"]) == (report["verdict"], str(report["gsd_m"])) == (report["verdict"], "0.5")
        )
        assert told["SAR_SHA256"] == report["inputs"]["sar"]["sha256"] and told["OPTICAL"] == scene.optical.name
        assert told["VERSION"] == report["run"]["version"] == solution.__version__
        assert told["EXPECTED_ERROR_PX"] == str(report["radius_68_px"] or "unknown")
        assert str(tmp_path) not in str(told)
    with rasterio.open(tmp_path / "map.sar.tif") as moved, rasterio.open(scene.sar) as sar:
        assert np.isin(moved.read(1)[moved.dataset_mask() > 0], sar.read(1)).all()


@pytest.mark.slow
def test_what_gdal_is_given_is_kept_broken_and_removed_as_the_rest(scene, go, tmp_path):
    arguments = (scene.optical, scene.sar, tmp_path / "map.tif", "--team", "0")
    assert f"{tmp_path / 'map.gcps.vrt'}: " in go(*arguments, "--gcps")[1]
    before = files(tmp_path)
    assert "gcps" in json.loads(before["map.report.json"])["files"]
    assert "up to date" in go(*arguments, "--gcps")[1]
    truncate(tmp_path / "map.gcps.vrt")
    assert "written in" in go(*arguments, "--gcps")[1] and files(tmp_path) == before
    assert "written in" in go(*arguments, "--resampling", "nearest")[1]
    assert not (tmp_path / "map.gcps.vrt").exists()


@pytest.mark.slow
def test_a_folder_is_for_the_contest_unless_cogs_are_asked_for(make_scene, go, tmp_path):
    make_scene("02_publictest", shape=(96, 112), points=None)
    out, name = tmp_path / "out", "solution_02_publictest.tif"
    go(tmp_path / "data", "--out", out, "--team", "0")
    with rasterio.open(out / name) as plain:
        assert "LAYOUT" not in plain.tags(ns="IMAGE_STRUCTURE") and plain.dtypes == ("float32", "float32")
        assert (plain.dataset_mask() > 0).all() and np.isfinite(plain.read()).all()
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.read(f"solution/{name}") == (out / name).read_bytes()
    code, printed, _ = go(tmp_path / "data", "--out", tmp_path / "cogs", "--team", "0", "--layout", "cog")
    assert code in verdict.EXIT_CODES.values() and "submission.zip" not in printed
    assert cog_validate(tmp_path / "cogs" / name)[0] and not (tmp_path / "cogs" / "submission.zip").exists()
    assert np.array_equal(read_map(tmp_path / "cogs" / name), read_map(out / name))


def test_a_tie_point_where_there_is_no_ground_counts(fit, labelled, tmp_path, run):
    """The map is masked there, and finite: both layouts get one score, of all tie-points."""
    shifts = {}
    for layout in ("cog", "contest"):
        assert fit("--layout", layout)[0] == 0
        truth = reference(labelled.tiepoints_csv, labelled.optical, labelled.sar)
        beyond = replace(truth, rows=np.array([50]), cols=np.array([188]), dx=np.zeros(1), dy=np.zeros(1))
        shifts[layout] = predicted_shift(tmp_path / "map.tif", beyond), predicted_shift(tmp_path / "map.tif", truth)
        with rasterio.open(tmp_path / "map.tif") as written:
            ground = written.dataset_mask() > 0
        assert ground[50, 188] == (layout == "contest") and ground[50, 100]
    for one, other in zip(*shifts.values(), strict=True):
        assert np.array_equal(one, other)
    np.testing.assert_allclose(shifts["cog"][0], [[5.0, -3.0]], atol=0.1)


def test_a_map_with_a_mask_is_drawn_and_without_ground_nothing(fit, labelled, tmp_path, run):
    assert fit()[0] == 0
    arguments = ["picture", labelled.optical, labelled.sar, tmp_path / "map.tif"]
    assert run(*arguments, tmp_path / "o.png")[0] == 0
    assert run(*arguments, tmp_path / "edge.png", "--window", 160, 0, 32, 32)[0] == 0


def test_a_fit_writes_the_same_products(fit, tmp_path):
    more = ["--uncertainty", tmp_path / "s.tif", "--warped-sar", tmp_path / "w.tif", "--gcps", tmp_path / "g.vrt"]
    code, printed, _ = fit(*more, "--resampling", "average")
    assert code == 0 and f"{tmp_path / 'g.vrt'}: 144 GCPs" in printed
    told = []
    for name in ("map.tif", "s.tif", "w.tif"):
        assert cog_validate(tmp_path / name, strict=True) == (True, [], [])
        with rasterio.open(tmp_path / name) as written:
            told.append(written.tags())
    assert {tags["VERDICT"] for tags in told} == {"ok"} and "average" in told[2]["MEANING"]
    assert len({tags["OPTICAL_SHA256"] for tags in told}) == 1
    before = files(tmp_path)
    fit(*more, "--resampling", "average")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--layout", "png"], "--layout png: no such layout; choose cog or contest"),
        (["--resampling", "cubic"], "--resampling cubic: no such resampling; choose nearest, bilinear, average"),
    ],
)
def test_what_there_is_not(fit, scene, go, tmp_path, more, sentence):
    for code, _, err in (fit(*more), go(scene.optical, scene.sar, tmp_path / "map.tif", *more)):
        assert code == 2 and err == f"error: {sentence}\n"
    assert not list(tmp_path.glob("map*"))


def test_gcps_beside_names_that_no_vrt_can_hold(scene, go, tmp_path):
    odd = scene.sar.with_name("s\udcff.tif")
    scene.sar.rename(odd)
    code, _, err = go(scene.optical, odd, tmp_path / "map.tif", "--team", "0", "--gcps")
    assert code == 2 and "its name is not UTF-8" in err and not list(tmp_path.glob("map*"))
    assert gcps.MOST == 5000


def test_the_room_that_is_looked_for_counts_overviews_and_the_copying(labelled):
    pair, px = labelled.open(), 160 * 192
    assert bytes_on_disk(pair, False, False, "contest") == int(8 * 0.16 * px)
    # The map as a COG, and meanwhile its plain file and GDAL's overviews; then beside it those of the SAR image
    assert bytes_on_disk(pair, False, False) == pytest.approx(8 * 0.16 * px * 4, abs=1)
    assert bytes_on_disk(pair, False, True) == pytest.approx(8 * 0.16 * px * 4 + 1 * px * 4 / 3, abs=1)
