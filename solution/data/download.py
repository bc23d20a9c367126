"""Fetch the official archives: resume, verify, unpack safely, and skip what is already done.

Below the target folder, `NAME.part` is what has arrived so far, `NAME` a whole archive whose md5 agrees, and
`.NAME.json` the receipt of an unpacked one. Every step ends in a rename, so that a killed run is continued by running
it again.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from solution.core.errors import InputError
from solution.core.outputs import check_folder
from solution.core.refusals import refusal
from solution.core.writing import write_text
from solution.data.unpacking import Advance, check_disk
from solution.data.unpacking import unpack as unpack

BASE_URL = "https://spacenet-dataset.s3.us-east-1.amazonaws.com/spacenet/SN9_cross-modal/"
TRIES = 5
TIMEOUT_S = 60.0
PAUSE_S = 2.0
_CHUNK = 1 << 20
_AGAIN = "run the command again, it continues where it stopped"


@dataclass(frozen=True)
class Archive:
    """An official zip file: its name below the base URL, and its md5 in hexadecimal."""

    name: str
    md5: str


ARCHIVES = (
    Archive("train.zip", "373f1607adffb1b0ba4976ec959ebcdf"),
    Archive("testpublic.zip", "6755f4cb45d145723f585e3912ca0435"),
)


class _BrokenError(Exception):
    """The connection failed in a way that another try may mend."""


def fetch_all(folder: Path, base_url: str, archives: Sequence[Archive], console: Console) -> None:
    """Fetch, verify and unpack every archive into `folder`.

    Raises:
        InputError: network failure, md5 mismatch, unsafe archive, full disk, a folder that cannot be written.
    """
    folder = Path(folder)
    if not base_url.startswith(("http://", "https://")):
        raise InputError(f"{base_url}: is not a web address; --base-url must begin with https:// or http://")
    with _writing(folder):
        check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for number, archive in enumerate(archives, start=1):
            label = f"{archive.name} ({number} of {len(archives)})"
            if _is_unpacked(folder, archive):
                console.print(f"{label}: already unpacked", highlight=False)
                continue
            _obtain(folder, base_url.rstrip("/") + "/" + archive.name, archive, label, console)
            with _progress(f"{label}: unpack", console) as advance:
                sizes = unpack(folder / archive.name, folder, advance)
            write_text(_receipt(folder, archive), json.dumps({"md5": archive.md5, "files": sizes}, indent=1))
            console.print(f"{label}: unpacked {len(sizes)} files, {decimal(sum(sizes.values()))}", highlight=False)


def _obtain(folder: Path, url: str, archive: Archive, label: str, console: Console) -> None:
    """Leave a verified archive at its final name."""
    whole = folder / archive.name
    if whole.exists():
        if (digest := _md5(whole, label, console)) != archive.md5:
            raise InputError(f"{whole}: has md5 {digest} instead of {archive.md5}; delete it and run the command again")
        console.print(f"{label}: already fetched, md5 agrees", highlight=False)
        return
    part = whole.with_name(whole.name + ".part")
    done = f", {decimal(_size(part))} are here already" if _size(part) else ""
    console.print(f"{label}: fetching {url}{done}", highlight=False, markup=False, soft_wrap=True)
    with _progress(f"{label}: fetch", console) as advance:
        _fetch(url, part, advance)
    if (digest := _md5(part, label, console)) != archive.md5:
        part.unlink()  # to resume a wrong file would fail for ever
        raise InputError(
            f"{url}: arrived with md5 {digest} instead of {archive.md5} and was removed; run the command again, or check --base-url"
        )
    part.replace(whole)
    console.print(f"{label}: fetched {decimal(whole.stat().st_size)}, md5 agrees", highlight=False)


def _fetch(url: str, part: Path, advance: Advance) -> None:
    """Complete `part`; as many tries without a single new byte as `TRIES` end it."""
    failures = 0
    while True:
        before = _size(part)
        try:
            _request(url, part, advance)
            return
        except _BrokenError as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= TRIES:
                raise InputError(
                    f"{url}: the connection failed {TRIES} times ({error}) with {decimal(_size(part))} in {part}; check the network and {_AGAIN}"
                ) from error
            time.sleep(PAUSE_S)


def _request(url: str, part: Path, advance: Advance) -> None:
    """One GET of what `part` lacks."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "sn9-registration"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = _network(lambda: urllib.request.urlopen(request, timeout=TIMEOUT_S))
    except urllib.error.HTTPError as error:
        _refused(error, url, part)
        return
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        if resumed and _range_start(response) != have:
            part.unlink()
            raise _BrokenError("the server sent another part than the one asked for")
        start = have if resumed else 0  # a server that ignores Range sends the whole file again
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdecimal() else None
        if total is not None:
            check_disk(part.parent, (total - start) + total, part)  # unpacked it is at least as large again
        try:
            received = _store(response, part, start, total, advance)
        except OSError as error:
            raise refusal(error, part, 2 * (total or 0) - start) from error
        if total is not None and received < total:
            raise _BrokenError(f"closed after {received} of {total} bytes")


def _store(response: http.client.HTTPResponse, part: Path, start: int, total: int | None, advance: Advance) -> int:
    """Append the body to the first `start` bytes of `part`; the size reached."""
    with part.open("ab" if start else "wb") as out:
        advance(start, total)
        while chunk := _network(lambda: response.read(_CHUNK)):
            out.write(chunk)
            advance(out.tell(), total)
        return out.tell()


def _network(call: Callable):
    """Turn what another try may mend into `_BrokenError`.

    An answer such as 404 passes through, and so do errors of the local disk elsewhere.
    """
    try:
        return call()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            error.close()
            raise _BrokenError(f"HTTP {error.code} {error.reason}") from error
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(str(getattr(error, "reason", error)) or type(error).__name__) from error


def _refused(error: urllib.error.HTTPError, url: str, part: Path) -> None:
    """A 4xx answer.

    416 says that nothing is missing (its md5 is checked next), or that `part` is longer than the file and must go.
    """
    error.close()
    if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise InputError(
            f"{url}: the server answers {error.code} {error.reason}; check the address and --base-url"
        ) from error
    have = _size(part)
    if error.headers.get("Content-Range", f"bytes */{have}") != f"bytes */{have}":
        part.unlink(missing_ok=True)
        raise _BrokenError("the partial file was longer than the archive") from error


def _range_start(response: http.client.HTTPResponse) -> int | None:
    """First byte of a 206 answer, from ``Content-Range: bytes 100-199/200``."""
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    first = span.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None


def _md5(path: Path, label: str, console: Console) -> str:
    digest, done, total = hashlib.md5(usedforsecurity=False), 0, path.stat().st_size
    with _progress(f"{label}: verify", console) as advance, path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            advance(done, total)
    return digest.hexdigest()


def _is_unpacked(folder: Path, archive: Archive) -> bool:
    try:
        receipt = json.loads(_receipt(folder, archive).read_text())
        return receipt["md5"] == archive.md5 and all(
            _size(folder / name) == size for name, size in receipt["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _receipt(folder: Path, archive: Archive) -> Path:
    return folder / f".{archive.name}.json"


def _size(path: Path) -> int:
    """Bytes; 0 where there is no such file."""
    return path.stat().st_size if path.is_file() else 0


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """What the local disk refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        raise refusal(error, Path(error.filename or folder)) from error


@contextmanager
def _progress(title: str, console: Console) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
