"""The download verb against a local HTTP server: whole, resumed, ignored ranges, broken connections, wrong content,
unsafe archives.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from solution.cli.app import main
from solution.core import outputs
from solution.core.errors import InputError
from solution.data import download
from solution.tests.core.test_writing import files_of_at_most

FILES = {
    "train/02_optical_train_01.tif": np.random.default_rng(1).bytes(5_000),
    "train/02_tiepoints_train_01.csv": b"sar_row,sar_col,optical_row,optical_col\n1,2,3,4\n",
}


@dataclass
class Server:
    """What the local server holds and how it behaves; `ranges` records the Range header of every request."""

    content: dict[str, bytes] = field(default_factory=dict)
    honours_range: bool = True
    cut_after: list[int] = field(
        default_factory=list
    )  # bytes sent before the connection is dropped, request by request
    failures: list[int] = field(default_factory=list)  # status codes answered first
    names_length_at_416: bool = True
    claimed_start: int | None = None  # the first byte that Content-Range claims, where it is not the true one
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.ranges.append(wanted)
            body = server.content.get(self.path.lstrip("/"))
            if server.failures or body is None:
                self.send_error(server.failures.pop(0) if server.failures else 404)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.honours_range else 0
            if start >= len(body):
                self.send_response(416)
                if server.names_length_at_416:
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            if start:
                self.send_header("Content-Range", f"bytes {server.claimed_start or start}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            self.wfile.write(body[start:][: server.cut_after.pop(0)] if server.cut_after else body[start:])

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    state = Server({"train.zip": zip_of(FILES), "test.zip": zip_of({"publictest/a.txt": b"a"})})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state)) as http:
        state.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def zip_of(files: dict[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def table_of(server: Server, *names: str) -> tuple[download.Archive, ...]:
    return tuple(download.Archive(name, hashlib.md5(server.content[name]).hexdigest()) for name in names)


def fetch(server: Server, folder: Path, archives: tuple[download.Archive, ...] | None = None) -> str:
    text = io.StringIO()
    download.fetch_all(folder, server.url, archives or table_of(server, "train.zip"), Console(file=text, width=200))
    return text.getvalue()


def assert_complete(folder: Path) -> None:
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert not list(folder.rglob("*.part"))


def test_fetches_verifies_unpacks_and_then_skips(server, tmp_path):
    said = fetch(server, tmp_path / "new" / "folder")
    assert_complete(tmp_path / "new" / "folder")
    assert "md5 agrees" in said
    assert "unpacked 2 files" in said
    assert "already unpacked" in fetch(server, tmp_path / "new" / "folder")
    assert server.ranges == [None]


def test_unpacked_files_are_enough_without_the_archive(server, tmp_path):
    fetch(server, tmp_path)
    (tmp_path / "train.zip").unlink()
    assert "already unpacked" in fetch(server, tmp_path)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"short")], ids=["lost", "truncated"])
def test_a_damaged_file_is_unpacked_again_without_the_network(server, tmp_path, spoil):
    fetch(server, tmp_path)
    spoil(tmp_path / "train/02_optical_train_01.tif")
    assert "already fetched" in fetch(server, tmp_path)
    assert_complete(tmp_path)
    assert len(server.ranges) == 1


def test_another_archive_behind_the_same_name_is_not_taken_for_done(server, tmp_path):
    fetch(server, tmp_path)
    (tmp_path / "train.zip").unlink()
    server.content["train.zip"] = zip_of({**FILES, "train/new.txt": b"new"})
    fetch(server, tmp_path)
    assert (tmp_path / "train/new.txt").read_bytes() == b"new"


def test_resumes_a_partial_file(server, tmp_path):
    (tmp_path / "train.zip.part").write_bytes(server.content["train.zip"][:1000])
    assert "1.0 kB are here already" in fetch(server, tmp_path)
    assert server.ranges == ["bytes=1000-"]
    assert_complete(tmp_path)


def test_a_server_that_ignores_ranges_sends_all_again(server, tmp_path):
    server.honours_range = False
    (tmp_path / "train.zip.part").write_bytes(server.content["train.zip"][:1000])
    fetch(server, tmp_path)
    assert server.ranges == ["bytes=1000-"]
    assert_complete(tmp_path)


@pytest.mark.parametrize("names_length", [True, False])
def test_a_complete_partial_file_only_lacks_its_verification(server, tmp_path, names_length):
    server.names_length_at_416 = names_length
    (tmp_path / "train.zip.part").write_bytes(server.content["train.zip"])
    fetch(server, tmp_path)
    assert_complete(tmp_path)


def test_a_partial_file_longer_than_the_archive_is_started_again(server, tmp_path):
    (tmp_path / "train.zip.part").write_bytes(server.content["train.zip"] + b"tail")
    fetch(server, tmp_path)
    assert server.ranges[-1] is None
    assert_complete(tmp_path)


def test_a_range_that_was_not_asked_for_is_not_appended(server, tmp_path):
    server.claimed_start = 7
    (tmp_path / "train.zip.part").write_bytes(server.content["train.zip"][:1000])
    fetch(server, tmp_path)
    assert server.ranges == ["bytes=1000-", None]
    assert_complete(tmp_path)


def test_broken_connections_are_continued(server, tmp_path):
    server.cut_after = [100] * (download.TRIES + 2)
    fetch(server, tmp_path)
    assert server.ranges == [None, *(f"bytes={count}00-" for count in range(1, download.TRIES + 3))]
    assert_complete(tmp_path)


def test_a_server_error_is_tried_again(server, tmp_path):
    server.failures = [503, 500]
    fetch(server, tmp_path)
    assert_complete(tmp_path)


def test_a_connection_without_progress_ends_and_keeps_what_came(server, tmp_path):
    server.cut_after = [100] + [0] * 50
    with pytest.raises(
        InputError, match=rf"train\.zip: the connection failed {download.TRIES} times .*run the command again"
    ):
        fetch(server, tmp_path)
    assert (tmp_path / "train.zip.part").read_bytes() == server.content["train.zip"][:100]
    server.cut_after = []
    fetch(server, tmp_path)
    assert_complete(tmp_path)


def test_nobody_listening_is_a_sentence(tmp_path, server):
    server.url = "http://127.0.0.1:9"
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9/train\.zip: the connection failed .*refused"):
        fetch(server, tmp_path)


def test_a_missing_archive_is_not_tried_again(server, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.zip: the server answers 404 .*--base-url"):
        fetch(server, tmp_path, (download.Archive("nothing.zip", "0" * 32),))
    assert len(server.ranges) == 1


def test_wrong_content_is_removed_and_named(server, tmp_path):
    with pytest.raises(InputError, match=r"train\.zip: arrived with md5 \w{32} instead of f{32}"):
        fetch(server, tmp_path, (download.Archive("train.zip", "f" * 32),))
    assert not list(tmp_path.iterdir())


def test_a_file_of_the_users_own_is_never_removed(server, tmp_path):
    (tmp_path / "train.zip").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"train\.zip: has md5 \w{32} instead of \w{32}; delete it"):
        fetch(server, tmp_path)
    assert (tmp_path / "train.zip").read_bytes() == b"mine"


def link_member() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("train/link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    "evil",
    [
        "../out.txt",
        "train/../../out.txt",
        "/out.txt",
        "C:/out.txt",
        "C:out.txt",
        "..\\out.txt",
        "\\\\host\\out.txt",
        link_member(),
    ],
)
def test_an_unsafe_member_stops_the_whole_archive(server, tmp_path, evil):
    server.content["train.zip"] = zip_of({**FILES, evil: b"/etc/passwd"})
    folder = tmp_path / "in" / "data"
    with pytest.raises(InputError, match=r"train\.zip: member .* nothing was unpacked"):
        fetch(server, folder)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["train.zip"]


@pytest.mark.parametrize("evil", ["TRAIN/" + next(iter(FILES)).partition("/")[2].upper(), "train.zip", "train"])
def test_a_member_that_collides_stops_the_whole_archive(server, tmp_path, evil):
    server.content["train.zip"] = zip_of({**FILES, evil: b"other"})
    with pytest.raises(InputError, match=r"train\.zip: member.* nothing was unpacked"):
        fetch(server, tmp_path / "data")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["train.zip"]


def test_a_disk_that_fills_up_meanwhile_is_a_sentence(server, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "_LEAST_BYTES", 1)  # so that there is room enough at first
    with files_of_at_most(1000), pytest.raises(InputError, match=rf"larger than .*needs about 1 MB at {tmp_path}"):
        fetch(server, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["train.zip.part"]
    fetch(server, tmp_path)
    assert_complete(tmp_path)


def test_a_link_in_the_folder_does_not_lead_out(server, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data" / "train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="through a link"):
        fetch(server, tmp_path / "data")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_archive_that_is_no_zip_is_a_sentence(server, tmp_path):
    server.content["train.zip"] = b"not a zip at all"
    with pytest.raises(InputError, match=r"train\.zip: is not a readable zip archive"):
        fetch(server, tmp_path)


def test_a_member_with_a_wrong_checksum_leaves_no_file_of_its_name(tmp_path):
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr("a.txt", b"right")
    (tmp_path / "a.zip").write_bytes(stored.getvalue().replace(b"right", b"wrong"))
    with pytest.raises(InputError, match="not a readable zip archive"):
        download.unpack(tmp_path / "a.zip", tmp_path, lambda *_: None)
    assert not (tmp_path / "a.txt").exists()


def test_a_full_disk_is_told_before_anything_is_fetched(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InputError, match=r"needs .* on the disk of .*1\.0 kB are free"):
        fetch(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_a_sentence(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        fetch(server, tmp_path / "file")


def test_only_web_addresses(server, tmp_path):
    server.url = tmp_path.as_uri()
    with pytest.raises(InputError, match="is not a web address"):
        fetch(server, tmp_path)


def test_progress_is_drawn_on_a_terminal(server, tmp_path):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=200)
    download.fetch_all(tmp_path, server.url, table_of(server, "train.zip"), console)
    assert "train.zip (1 of 1): fetch" in text.getvalue()


def test_the_official_table():
    assert download.BASE_URL.startswith("https://spacenet-dataset.s3.")
    assert {archive.name: archive.md5 for archive in download.ARCHIVES} == {
        "train.zip": "373f1607adffb1b0ba4976ec959ebcdf",
        "testpublic.zip": "6755f4cb45d145723f585e3912ca0435",
    }


def test_command_line(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download, "ARCHIVES", table_of(server, "train.zip", "test.zip"))
    monkeypatch.setattr(sys, "argv", ["solution", "download", str(tmp_path / "data"), "--base-url", server.url])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert_complete(tmp_path / "data")
    assert f"python -m solution data {tmp_path / 'data'}" in capsys.readouterr().out
    server.content.clear()
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {server.url}/train.zip: the server answers 404")
