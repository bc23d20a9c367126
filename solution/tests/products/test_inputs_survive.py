"""Every verb refuses to write over what it reads, before any work, and the named mend helps."""

from __future__ import annotations

import shutil

import pytest

from solution.field import verdict
from solution.products.outputs import Outputs
from solution.tests.products.conftest import files


@pytest.fixture
def place(make_scene, tmp_path):
    """A labelled scene whose files also bear the names that outputs are given."""
    scene = make_scene("02_train_01", shape=(96, 112), displacement=(3.0, -2.0))
    folder = tmp_path / "place"
    folder.mkdir()
    names = {"optical": scene.optical, "sar": scene.sar, "csv": scene.tiepoints_csv}
    for name, path in names.items():
        shutil.copy(path, folder / f"{name}{path.suffix}")
    shutil.copy(scene.sar, folder / "x.sar.tif")
    shutil.copy(scene.sar, folder / "x.sigma.tif")
    return folder


FIT = ("fit", "csv.csv", "--optical", "optical.tif", "--sar", "sar.tif")


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "optical.tif", "sar.tif", "optical.tif"),
        ("predict", "optical.tif", "sar.tif", "sar.tif"),
        ("predict", "optical.tif", "x.sar.tif", "x.tif", "--warped-sar"),
        ("predict", "optical.tif", "x.sigma.tif", "x.tif"),
        (*FIT, "--out", "optical.tif"),
        (*FIT, "--out", "x.tif", "--uncertainty", "x.tif"),
        (*FIT, "--out", "x.tif", "--uncertainty", "sar.tif"),
        (*FIT, "--out", "x.tif", "--warped-sar", "csv.csv"),
        (*FIT, "--out", "x.tif", "--gcps", "sar.tif"),
        (*FIT, "--out", "x.tif", "--dem", "x.sar.tif", "--warped-sar", "x.sar.tif"),
        ("fit", "csv.csv", "--optical", "optical.tif", "--sar", "sar.tif", "--out", "o.png"),
        ("baseline", "predict", "optical.tif", "sar.tif", "sar.tif"),
        ("surface", "segment", "sar.tif", "sar.tif"),
        ("translate", "run", "sar.tif", "sar.tif"),
    ],
    ids=" ".join,
)
def test_inputs_survive(place, run, trained, monkeypatch, arguments):
    monkeypatch.chdir(place)
    before = files(place)
    folds = ("--folds", trained.folds) if arguments[0] == "predict" else ()
    code, _, err = run(*arguments, *folds)
    assert code == 2 and "give" in err and "name" in err, err
    assert files(place) == before


def test_another_name_helps(place, run, monkeypatch):
    monkeypatch.chdir(place)
    before = files(place)
    code, _, err = run(*FIT, "--out", "new.tif", "--uncertainty", "new_sigma.tif", "--warped-sar", "new_sar.tif")
    assert code in verdict.EXIT_CODES.values(), err
    after = files(place)
    assert {name: after[name] for name in before} == before and {"new.tif", "new_sar.tif"} <= set(after)


def test_two_maps_do_not_share_a_report(tmp_path):
    one, two = (Outputs.of(tmp_path / name, True, True) for name in ("a.tif", "a.tiff"))
    assert not set(one.all()) & set(two.all())
    assert one.report.name == "a.report.json" and two.report.name == "a.tiff.report.json"
