import os
import zipfile
from pathlib import Path

import pytest

from solution.core.errors import InputError
from solution.scoring import submission


@pytest.fixture
def maps(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for scene, content in (("03_publictest", b"three" * 500_000), ("02_publictest", b"two" * 10)):
        made[scene] = tmp_path / "maps" / submission.map_name(scene)
        made[scene].parent.mkdir(exist_ok=True)
        made[scene].write_bytes(content)
    return made


def test_layout_is_the_contests_and_content_is_whole(maps, tmp_path):
    submission.build_zip(maps, tmp_path / "out" / "submission.zip")
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as archive:
        assert archive.namelist() == ["solution/solution_02_publictest.tif", "solution/solution_03_publictest.tif"]
        assert archive.read("solution/solution_03_publictest.tif") == maps["03_publictest"].read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["submission.zip"]


def test_equal_maps_give_equal_bytes_whatever_their_order_and_age(maps, tmp_path):
    submission.build_zip(maps, tmp_path / "a.zip")
    for path in maps.values():
        os.utime(path, (1_600_000_000, 1_600_000_000))
        path.chmod(0o600)
    submission.build_zip(dict(reversed(maps.items())), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize("scene", ["../evil", "a/b", "", ".hidden"])
def test_a_scene_name_cannot_leave_the_folder(maps, tmp_path, scene):
    with pytest.raises(InputError, match="cannot be a file name"):
        submission.build_zip({scene: maps["02_publictest"]}, tmp_path / "a.zip")


def test_missing_empty_and_no_maps_are_refused_and_leave_the_old_zip(maps, tmp_path):
    target = tmp_path / "a.zip"
    submission.build_zip(maps, target)
    before = target.read_bytes()
    with pytest.raises(InputError, match="no map to pack"):
        submission.build_zip({}, target)
    maps["02_publictest"].write_bytes(b"")
    with pytest.raises(
        InputError, match=r"solution_02_publictest\.tif: the map of scene 02_publictest is missing or empty"
    ):
        submission.build_zip(maps, target)
    assert target.read_bytes() == before


def test_a_kill_half_way_leaves_no_zip(maps, tmp_path, monkeypatch):
    def die(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(submission, "_add", die)
    with pytest.raises(KeyboardInterrupt):
        submission.build_zip(maps, tmp_path / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]


def test_a_zip_that_reads_back_wrong_is_not_kept(maps, tmp_path, monkeypatch):
    add = submission._add
    monkeypatch.setattr(submission, "_add", lambda *args: add(*args) ^ 1)
    with pytest.raises(InputError, match=r"a\.zip: what was read back differs"):
        submission.build_zip(maps, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
