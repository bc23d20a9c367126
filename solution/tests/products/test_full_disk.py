"""A disk that fills up while the files of one run are written: none of them appears, older ones stay, and room helps."""

from __future__ import annotations

import errno
from io import FileIO
from pathlib import Path

import pytest

from solution.core import outputs
from solution.data import raster_writing
from solution.field import verdict
from solution.tests.products.conftest import files

pytestmark = pytest.mark.usefixtures("quick_plan")


@pytest.fixture
def full_after(monkeypatch):
    """From then on the disk takes so many more bytes of rasters, and no others."""

    def fill(size: int) -> None:
        left = [size]

        class Filling(FileIO):
            def write(self, content) -> int:
                left[0] -= len(content)
                if left[0] < 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(content)

        monkeypatch.setattr(raster_writing, "FileIO", Filling)

    return fill


def check_full(result: tuple[int, str, str], folder: Path, before: dict) -> None:
    code, _, err = result
    assert code == 2 and len(err.splitlines()) == 1
    assert err.startswith(f"error: {folder}/map.") and f"disk full: needs about 1 MB at {folder}; free some" in err
    assert {name: content for name, content in files(folder).items() if ".work" not in name} == before


def test_a_prediction(scene, go, tmp_path, full_after):
    out, extras = tmp_path / "out" / "map.tif", ("--warped-sar", "--team", "1")
    go(scene.optical, scene.sar, out, "--team", "0")
    before = files(out.parent)
    for size in (500, out.stat().st_size + 500):
        full_after(size)
        check_full(go(scene.optical, scene.sar, out, *extras), out.parent, before)
    full_after(10**9)
    code, printed, _ = go(scene.optical, scene.sar, out, *extras)
    assert code in verdict.EXIT_CODES.values() and "before the run was stopped, kept" in printed
    after = files(out.parent)
    assert set(after) == {*before, "map.sar.tif"} and after["map.report.json"] != before["map.report.json"]


def test_a_fit(make_scene, run, tmp_path, full_after):
    scene, folder = make_scene(shape=(160, 192)), tmp_path / "out"
    names = [folder / name for name in ("map.tif", "map.sigma.tif", "map.sar.tif")]
    arguments = ["fit", scene.tiepoints_csv, "--optical", scene.optical, "--sar", scene.sar]
    for option, path in zip(("--out", "--uncertainty", "--warped-sar"), names, strict=True):
        arguments += [option, path]
    assert run(*arguments)[0] in (0, 4)
    sizes, before = [path.stat().st_size for path in names], files(folder)
    for size in (0, sizes[0] - 1, sizes[0] + sizes[1] - 1, sum(sizes) - 1):
        full_after(size)
        check_full(run(*arguments), folder, before)
    full_after(10**9)
    assert run(*arguments)[0] in (0, 4) and files(folder) == before


def test_a_fit_over_a_prediction_takes_what_spoke_of_it_away(scene, make_scene, go, run, tmp_path):
    out, labelled = tmp_path / "map.tif", make_scene("02_train_01", shape=(96, 112))
    go(labelled.optical, labelled.sar, out, "--team", "0", "--warped-sar")
    given = out.with_suffix(".candidates.parquet")
    code, printed, _ = run("fit", given, "--optical", labelled.optical, "--sar", labelled.sar, "--out", out)
    assert code in verdict.EXIT_CODES.values()
    assert f"{out.with_suffix('.report.json')}, {out.with_suffix('.sar.tif')}: removed" in printed
    assert sorted(path.name for path in tmp_path.glob("map*")) == ["map.candidates.parquet", "map.tif"]


def test_the_room_for_all_maps_of_a_folder_is_looked_at_first(make_scene, go, tmp_path, monkeypatch):
    for number in (1, 2):
        make_scene(f"0{number}_publictest", shape=(96, 112), points=None)
    monkeypatch.setattr(outputs, "_SPARE_BYTES", 0)
    usage = outputs.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda _: usage._replace(free=20_000))  # one of 13.8 kB, not two
    code, _, err = go(tmp_path / "data", "--out", tmp_path / "out")
    assert code == 2 and "submission.zip: disk full: needs about 1 MB" in err
    assert not (tmp_path / "out").exists()
