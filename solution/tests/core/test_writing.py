"""Files are written whole or not at all, several together, and what the disk refuses is a sentence that names the output."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from solution.core import writing
from solution.core.errors import InputError
from solution.core.refusals import refusals_named
from solution.core.writing import atomic_folder, atomic_path, scratch_folder, together, write_text


@contextmanager
def files_of_at_most(size: int):
    """The system refuses to make a file larger than that, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["x" * 251 + ".tif", "é" * 125 + ".tif", "a." + "b" * 250, "." + "x" * 254])
def test_whatever_name_a_file_can_have_it_can_be_written(tmp_path, name):
    write_text(tmp_path / name, "whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "whole"


def test_outputs_that_begin_alike_have_temporary_names_of_their_own(tmp_path):
    names = [tmp_path / ("x" * 200 + end) for end in ("a.tif", "b.tif")]
    assert len({writing.temporary_name(path) for path in names}) == 2


def test_a_name_that_no_file_can_have_is_refused_and_a_shorter_one_helps(tmp_path):
    with pytest.raises(InputError, match="its name is too long for this disk; give the output a shorter name"):
        write_text(tmp_path / ("x" * 260), "")
    write_text(tmp_path / ("x" * 200), "")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "disk full: needs about 5 MB at {folder}; free some or choose another place"),
        (errno.EDQUOT, "disk quota used up: needs about 5 MB at {folder}; free some"),
        (errno.EROFS, r"cannot be written \(Read-only file system\); choose another place"),
        (errno.EACCES, r"cannot be written \(Permission denied\); choose another place"),
    ],
)
def test_what_the_disk_refuses_names_the_output_and_not_the_temporary_file(tmp_path, code, sentence):
    path = tmp_path / "new" / "map.tif"
    with pytest.raises(InputError, match=sentence.format(folder=path.parent)) as refused, atomic_path(path, 5 * 10**6):
        raise OSError(code, os.strerror(code))
    assert str(refused.value).startswith(f"{path}: ") and ".partial" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_an_error_of_reading_an_input_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "map.tif"):
        (tmp_path / "none.tif").read_bytes()


def test_a_file_that_grows_too_large_is_refused_at_any_byte(tmp_path):
    for size in (0, 1, 99):
        with files_of_at_most(size), pytest.raises(InputError, match=r"map.txt: larger than .* needs about 1 MB"):
            write_text(tmp_path / "map.txt", "x" * 100)
    with files_of_at_most(100):
        write_text(tmp_path / "map.txt", "x" * 100)


def test_others_that_write_below_a_folder_are_named_too(tmp_path):
    with pytest.raises(InputError, match=f"^{tmp_path}: disk full: .* at {tmp_path}"), refusals_named(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(InputError, match=r"^/proc/x: cannot be read or written \(No such file"), refusals_named():
        Path("/proc/x").write_text("")
    with pytest.raises(BrokenPipeError), refusals_named():
        raise BrokenPipeError(errno.EPIPE, "of a terminal, not of a disk")


def test_what_dead_processes_left_goes_and_what_living_ones_write_stays(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {}
    for process in (dead.pid, os.getppid()):
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda process=process: process)
            names[process] = [writing.temporary_name(tmp_path / name) for name in ("map.tif", "folder")]
        names[process][0].write_text("half")
        names[process][1].mkdir()
        (names[process][1] / "part").write_text("half")
    (tmp_path / ".mine.partial.tif").write_text("no process is named")
    write_text(tmp_path / "other.txt", "")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"other.txt", ".mine.partial.tif", *(path.name for path in names[os.getppid()])}


def test_all_appear_together(tmp_path):
    one, two = tmp_path / "new" / "one.txt", tmp_path / "new" / "two.txt"
    with together() as files:
        write_text(one, "1")
        assert not one.exists() and files.at(one).read_text() == "1"
        write_text(two, "2")
        assert not two.exists()
    assert (one.read_text(), two.read_text()) == ("1", "2")
    assert sorted(tmp_path.rglob("*")) == [one.parent, one, two]


@pytest.mark.parametrize("failing", [InputError, KeyboardInterrupt, OSError])
def test_or_none_does(tmp_path, failing):
    with pytest.raises(failing), together():
        write_text(tmp_path / "new" / "one.txt", "1")
        raise failing
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_placed_brings_back_what_was_there(tmp_path):
    one, two, stale = (tmp_path / name for name in ("one.txt", "two.txt", "stale.txt"))
    for path in (one, stale):
        path.write_text("old")
    with pytest.raises(InputError, match=r"two\.txt: cannot be written"), together() as files:
        write_text(one, "new")
        write_text(two, "new")
        files.stale.append(stale)
        two.mkdir()
        (two / "in the way").write_text("")
    assert one.read_text() == stale.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [one, stale, two]


def test_stale_files_go_with_success(tmp_path):
    (tmp_path / "stale.txt").write_text("old")
    with together() as files:
        write_text(tmp_path / "new.txt", "")
        files.stale.append(tmp_path / "stale.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["new.txt"]


def test_a_folder_is_whole_or_not_there(tmp_path):
    out = tmp_path / "out"
    with (
        pytest.raises(InputError, match=f"{out}/a: disk full") as refused,
        atomic_folder(out) as folder,
        atomic_path(folder / "a"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert ".partial" not in str(refused.value) and not list(tmp_path.iterdir())
    with atomic_folder(out) as folder:
        (folder / "a").write_text("")
    with pytest.raises(InputError, match="is there already"), atomic_folder(out):
        pass
    assert [path.name for path in out.iterdir()] == ["a"]


def test_a_scratch_folder_goes(tmp_path):
    with scratch_folder(tmp_path / "cell") as folder:
        (folder / "a").write_text("")
    assert not list(tmp_path.iterdir())
