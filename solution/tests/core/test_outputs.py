"""Outputs are files of their own, whatever they are called."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from solution.core.errors import InputError
from solution.core.outputs import PICTURES, RASTERS, check_folder, check_outputs, check_suffix


@pytest.mark.parametrize("name", ["in.tif", "sub/../in.tif", "link.tif", "hard.tif"])
def test_an_input_by_any_of_its_names_is_refused(tmp_path, name):
    source = tmp_path / "in.tif"
    source.write_bytes(b"pixels")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.tif").symlink_to(source)
    os.link(source, tmp_path / "hard.tif")
    with pytest.raises(InputError, match=f"{re.escape(name)}: is an input too .*give the output another name"):
        check_outputs([tmp_path / name], [source])
    check_outputs([tmp_path / "out.tif", None], [source, None])


def test_two_outputs_in_one_file_are_refused(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match="two outputs would be written to this file"):
        check_outputs([tmp_path / "a.tif", tmp_path / "sub" / ".." / "a.tif"], [])


def test_a_folder_is_no_output(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        check_outputs([tmp_path], [])


def test_nothing_is_left_of_a_probe(tmp_path):
    check_outputs([tmp_path / "new" / "deep" / "a.tif", tmp_path / "b.tif"], [])
    check_folder(tmp_path / "folds" / "0")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("look", [lambda path: check_outputs([path], []), check_folder])
def test_a_place_that_takes_no_file_is_refused_and_another_helps(tmp_path, look):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.tif", "/proc/x/a.tif"):
        with pytest.raises(InputError, match=r"cannot be made a folder .*choose another place"):
            look(Path(path))
    look(tmp_path / "a.tif")


def test_a_device_is_no_output(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/null"), tmp_path / "pipe"):
        with pytest.raises(InputError, match="is a device or a pipe"):
            check_outputs([path], [])


def test_too_little_room_is_told_before_the_work(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=9 * 10**6))
    with pytest.raises(InputError, match=f"a.tif: disk full: needs about 12 MB at {tmp_path}, where 9 MB are free"):
        check_outputs([tmp_path / "a.tif"], [], 12 * 10**6)
    check_outputs([tmp_path / "a.tif"], [], 5 * 10**6)


def test_suffixes_are_those_that_we_write(tmp_path):
    for path, kinds, named in ((tmp_path / "o.png", RASTERS, ".tif"), (tmp_path / "o.tif", PICTURES, ".png")):
        with pytest.raises(InputError, match=f"{path.name}: the output .*give it a name that ends in {named}"):
            check_suffix(path, kinds, "the output")
        check_suffix(path.with_suffix(named), kinds, "the output")
    check_suffix(tmp_path / "o.JPG", PICTURES, "the output")
    check_suffix(None, PICTURES, "the output")
