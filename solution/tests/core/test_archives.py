"""Archives from elsewhere are refused before a byte of them is unpacked."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from solution.core import archives
from solution.core.archives import safe_members
from solution.core.errors import InputError


def write(path: Path, members: list[str | zipfile.ZipInfo], content: bytes = b"content") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for member in members:
            opened.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def check(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as opened:
        return [member.filename for member in safe_members(opened, path)]


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (["a/1.tif", "a/1.tif"], "'a/1.tif' and 'a/1.tif' are one file"),
        (["a/1.tif", "A/1.TIF"], "'a/1.tif' and 'A/1.TIF' are one file"),
        (["a/\u00e9.tif", "a/e\u0301.tif"], "are one file"),
        (["a/./1.tif", "a/1.tif"], "are one file"),
        (["a", "a/1.tif"], "'a' is a file and the folder of 'a/1.tif'"),
        ([link("a/link")], "is a link or a device"),
        (["/a.tif"], "does not lie below the folder"),
        (["../a.tif"], "does not lie below the folder"),
        (["C:\\a.tif"], "does not lie below the folder"),
    ],
)
def test_members_that_collide_or_lead_elsewhere(tmp_path, members, sentence):
    path = write(tmp_path / "a.zip", members)
    with pytest.raises(InputError, match=f"a.zip: .*{sentence}.*; nothing was unpacked"):
        check(path)


def test_a_bomb_is_told_by_its_ratio(tmp_path):
    path = write(tmp_path / "bomb.zip", [f"{number}.tif" for number in range(12)], bytes(10**7))
    with pytest.raises(InputError, match=r"bomb\.zip: would unpack to 0\.1 GB from 0\.1 MB"):
        check(path)


def test_and_by_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 10)
    with pytest.raises(InputError, match=r"would unpack to"):
        check(write(tmp_path / "bomb.zip", ["a", "b"]))


def test_an_archive_of_images_is_let_in(tmp_path):
    assert check(write(tmp_path / "a.zip", ["a/", "a/1.tif", "b/1.tif", "a/2.tif"])) == [
        "a/1.tif",
        "b/1.tif",
        "a/2.tif",
    ]
