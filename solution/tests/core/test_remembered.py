"""What is remembered between runs: found once, found anew where it is lost, and never of another content."""

from __future__ import annotations

import json

import pytest

from solution.core import code, remembered
from solution.core.remembered import Remembered


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache folder, not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/sar2opt"


class Finder:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, content: bytes) -> list:
        self.asked.append(content)
        return [len(content), content.decode()]


def session(find: Finder, *contents: bytes, salt: bytes = b"") -> list:
    """What a process of its own would learn."""
    memory = Remembered("facts.json", salt)
    found = [memory.of(content, find) for content in contents]
    memory.keep()
    return found


def test_a_content_is_looked_at_once(folder):
    find = Finder()
    assert session(find, b"one", b"two", b"one") == [[3, "one"], [3, "two"], [3, "one"]]
    assert session(find, b"two", b"three") == [[3, "two"], [5, "three"]]
    assert find.asked == [b"one", b"two", b"three"]
    assert [path.name for path in folder.iterdir()] == ["facts.json"]


def test_another_salt_knows_nothing():
    find = Finder()
    session(find, b"one", salt=b"3.11")
    session(find, b"one", salt=b"3.12")
    assert find.asked == [b"one", b"one"]


@pytest.mark.parametrize("broken", [b"", b'{"a": ', b"[1, 2]", b"\xff\xfe"])
def test_a_broken_file_is_forgotten(folder, broken):
    find = Finder()
    session(find, b"one")
    (folder / "facts.json").write_bytes(broken)
    assert session(find, b"one") == [[3, "one"]] and len(find.asked) == 2
    assert session(find, b"one") == [[3, "one"]] and len(find.asked) == 2


def test_where_nothing_can_be_kept_all_is_found(tmp_path, folder, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert session(Finder(), b"one") == [[3, "one"]] and not folder.exists()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(remembered.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert session(Finder(), b"one") == [[3, "one"]]


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    def full(path, text):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remembered.Path, "write_text", full)
    assert session(Finder(), b"one") == [[3, "one"]] and list(folder.iterdir()) == []


def test_no_more_is_kept_than_there_is_room_for(folder, monkeypatch):
    monkeypatch.setattr(remembered, "_MOST", 3)
    find = Finder()
    session(find, b"a", b"b", b"c")
    session(find, b"c", b"d")
    assert sorted(json.loads((folder / "facts.json").read_text()).values()) == [[1, "c"], [1, "d"]]


def test_the_digest_of_code_is_the_same_with_and_without_what_is_remembered(tmp_path, monkeypatch):
    package = tmp_path / "solution"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text('"""Says."""\nfrom solution import b\n')
    (package / "b.py").write_text("LIMIT = 3\n")

    def digest() -> str:
        monkeypatch.setattr(code, "_REMEMBERED", Remembered("code.json", b""))
        code._read.cache_clear()
        code._imported.cache_clear()
        return code.code_digest("a", package=package)

    first, parsed = digest(), code._parsed
    monkeypatch.setattr(code, "_parsed", None)  # would be called for what is not remembered
    assert digest() == first
    (package / "b.py").write_text("LIMIT = 4\n")
    with pytest.raises(TypeError):
        digest()
    monkeypatch.setattr(code, "_parsed", parsed)
    assert digest() != first
