"""What an earlier prediction left is kept where it is whole and still right, and made again where it is not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from solution.core.writing import together, write_text
from solution.products import predict, settings
from solution.proposers import every
from solution.tests.conftest import retag, truncate
from solution.tests.handmade import QUICK_FLOW, proposers_with
from solution.tests.products.conftest import files, read_map

pytestmark = pytest.mark.usefixtures("quick_plan")


def test_two_runs_give_the_same_bytes_and_a_third_is_skipped(scene, go, tmp_path):
    first, second = tmp_path / "a" / "map.tif", tmp_path / "b" / "map.tif"
    for out in (first, second):
        assert "written in" in go(scene.optical, scene.sar, out)[1]
    before = files(tmp_path / "a")
    assert before == files(tmp_path / "b") and len(before) == 3
    assert "up to date, skipped" in go(scene.optical, scene.sar, first)[1]
    assert files(tmp_path / "a") == before


@pytest.mark.parametrize(
    "change",
    [
        lambda scene, _: retag(scene.sar),
        lambda _, out: out.unlink(),
        lambda _, out: truncate(out),
        lambda _, out: truncate(out.with_suffix(".candidates.parquet")),
        lambda _, out: shutil.copy(other_map(out), out),
        lambda _, out: out.with_suffix(".candidates.parquet").unlink(),
        lambda _, out: out.with_suffix(".report.json").write_text("no report"),
    ],
)
def test_what_changed_or_went_is_made_again(scene, go, tmp_path, change):
    out = tmp_path / "map.tif"
    go(scene.optical, scene.sar, out, "--team", "0")
    whole = read_map(out)
    change(scene, out)
    assert "written in" in go(scene.optical, scene.sar, out, "--team", "0")[1]
    assert np.array_equal(read_map(out), whole)


def other_map(out: Path) -> Path:
    """A map of the same size with other shifts."""
    with rasterio.open(out) as dataset:
        values, profile = dataset.read() + 1, dataset.profile
    with rasterio.open(out.with_name("other.tif"), "w", **profile) as dataset:
        dataset.write(values)
    return out.with_name("other.tif")


@pytest.mark.parametrize("extra", [".sar.tif", ".sigma.tif"])
def test_a_broken_extra_is_made_again(scene, go, tmp_path, extra):
    out, options = tmp_path / "map.tif", ("--team", "0", "--warped-sar", "--uncertainty")
    go(scene.optical, scene.sar, out, *options)
    before = files(tmp_path)
    truncate(out.with_suffix(extra))
    assert "written in" in go(scene.optical, scene.sar, out, *options)[1]
    assert files(tmp_path) == before
    assert "up to date" in go(scene.optical, scene.sar, out, *options)[1]


def test_an_image_behind_a_vrt_counts(scene, go, tmp_path):
    mosaic, out = tmp_path / "mosaic.vrt", tmp_path / "map.tif"
    with rasterio.open(scene.sar) as dataset:
        rasterio.shutil.copy(dataset, mosaic, driver="VRT")
    go(scene.optical, mosaic, out, "--team", "0")
    os.utime(scene.sar, (1, 1))
    assert "up to date" in go(scene.optical, mosaic, out, "--team", "0")[1]  # the same image, only touched
    retag(scene.sar)
    assert "written in" in go(scene.optical, mosaic, out, "--team", "0")[1]


def test_code_that_changed_predicts_again(scene, go, tmp_path, monkeypatch):
    out = tmp_path / "map.tif"
    go(scene.optical, scene.sar, out, "--team", "0")
    monkeypatch.setattr(predict, "code_digest", lambda *behind: "of other code")
    assert "written in" in go(scene.optical, scene.sar, out, "--team", "0")[1]


def test_other_settings_are_another_prediction(scene, go, tmp_path):
    out = tmp_path / "map.tif"
    for options in (["--team", "0"], ["--team", "1"], ["--team", "1", "--finest", "2"], []):
        assert "written in" in go(scene.optical, scene.sar, out, *options)[1]


def count_proposals(monkeypatch) -> list[int]:
    """Numbers of the teams that propose, in order."""
    seen = []

    def noting(context, settings):
        seen.append(context.fold)
        return QUICK_FLOW.how(context, settings)

    monkeypatch.setattr(every, "PROPOSERS", proposers_with(replace(QUICK_FLOW, how=noting)))
    return seen


def test_a_killed_run_reuses_the_teams_that_had_finished(scene, go, trained, tmp_path, monkeypatch):
    go(scene.optical, scene.sar, tmp_path / "whole" / "map.tif")
    out = tmp_path / "killed" / "map.tif"

    def dying(context, settings):
        if context.fold == 1:
            raise KeyboardInterrupt
        return QUICK_FLOW.how(context, settings)

    with monkeypatch.context() as patch:
        patch.setattr(every, "PROPOSERS", proposers_with(replace(QUICK_FLOW, how=dying)))
        with pytest.raises(KeyboardInterrupt):
            predict.predict_pair(scene.open(), out, settings.Settings(trained.folds, "cpu"))
    assert not out.exists() and [path.name for path in out.parent.iterdir()] == [".work"]
    seen = count_proposals(monkeypatch)
    printed = go(scene.optical, scene.sar, out)[1]
    assert seen == [1] and "team 0 proposed (flow) before the run was stopped, kept" in printed
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert not (out.parent / ".work").exists()


def test_a_report_never_outlives_its_map(scene, go, trained, tmp_path, monkeypatch):
    """Run A, then B killed at any file that it writes or places: all that A left is there, and nothing of B."""
    out = tmp_path / "out" / "map.tif"
    go(scene.optical, scene.sar, out, "--team", "0", "--warped-sar")
    of_a = files(out.parent)
    for killed_at in ("map.candidates.parquet", "map.tif", "map.report.json"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dying_at(out.with_name(killed_at)))
            with pytest.raises(KeyboardInterrupt):
                predict.predict_pair(scene.open(), out, settings.Settings(trained.folds, "cpu", teams=("1",)))
        shutil.rmtree(out.parent / ".work")
        assert files(out.parent) == of_a
    assert "up to date" in go(scene.optical, scene.sar, out, "--team", "0", "--warped-sar")[1]


def test_a_report_is_the_first_to_go_and_the_last_to_come(tmp_path):
    """Killed without mercy in between, a run leaves none, so that nothing else is taken for finished."""
    names = [tmp_path / name for name in ("map.tif", "map.report.json")]
    for path in names:
        write_text(path, "old")
    process = os.fork()
    if not process:
        Path.replace = dying_at(names[0], lambda: os._exit(0))
        with together():
            for path in names:
                write_text(path, "new")
        os._exit(1)
    assert os.waitpid(process, 0)[1] == 0
    assert not names[1].exists()


def dying_at(target: Path, die: Callable[[], None] | None = None) -> Callable[[Path, Path], Path]:
    """`Path.replace`, but a kill when a file is about to be given the name `target`."""
    replace, killed = Path.replace, []

    def call(self: Path, new: Path) -> Path:
        if Path(new) == target and not killed:
            killed.append(True)
            if die is None:
                raise KeyboardInterrupt
            die()
        return replace(self, new)

    return call


def test_older_files_that_would_speak_of_another_map_go(scene, go, tmp_path):
    out = tmp_path / "map.tif"
    go(scene.optical, scene.sar, out, "--team", "0", "--warped-sar", "--uncertainty")
    older = [name for name in ("map.sigma.tif", "map.sar.tif") if (tmp_path / name).exists()]
    printed = go(scene.optical, scene.sar, out, "--team", "1")[1]
    assert "map.sar.tif" in older and f"{', '.join(str(tmp_path / name) for name in older)}: removed" in printed
    assert sorted(path.name for path in tmp_path.glob("map*")) == [
        "map.candidates.parquet",
        "map.report.json",
        "map.tif",
    ]


def test_files_of_the_users_own_beside_the_map_stay(scene, go, tmp_path):
    (tmp_path / "map.sigma.tif").write_text("mine")
    assert "removed" not in go(scene.optical, scene.sar, tmp_path / "map.tif", "--team", "0")[1]
    assert (tmp_path / "map.sigma.tif").read_text() == "mine"


def test_a_warped_sar_of_other_settings_is_not_taken_for_this_one(scene, go, tmp_path):
    out = tmp_path / "map.tif"
    go(scene.optical, scene.sar, out, "--team", "0", "--warped-sar")
    go(scene.optical, scene.sar, out, "--team", "1")
    assert "written in" in go(scene.optical, scene.sar, out, "--team", "1", "--warped-sar")[1]
