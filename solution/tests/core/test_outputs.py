"""Outputs are files of their own, whatever they are called."""

from __future__ import annotations

import os
import re

import pytest

from solution.core.errors import InputError
from solution.core.outputs import check_outputs


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
