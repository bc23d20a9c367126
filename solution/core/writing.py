"""How files are written: whole or not at all, several of one run together, and under names that tell whose they are, so
that what a killed process left is cleared away by the next."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from solution.core.errors import InputError
from solution.core.names import alias_of_folder, as_utf8
from solution.core.refusals import is_about, refusal

FINISHED: list[Path] = []
"""What this process has written whole, in order; some of it may be gone again."""

_STEM_LETTERS = 24
_SUFFIX_LETTERS = 10
_MARK = ".partial"


def _machine() -> str:
    """Short hash of where process numbers mean the same: the host, and on it the container."""
    with contextlib.suppress(OSError):
        return _short(f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}")
    return _short(socket.gethostname())


def _short(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:6]


_HOST = _machine()
_CLEARED: set[Path] = set()


def temporary_name(path: Path, mark: str = _MARK) -> Path:
    """A name beside `path` for this process, not longer than a short name whatever the length of that of `path`.

    It ends in the same suffix, by which writers know the format.
    """
    suffix = path.suffix if len(path.suffix) <= _SUFFIX_LETTERS else ""
    return path.with_name(f".{path.stem[:_STEM_LETTERS]}.{_short(path.name)}.{_HOST}.{os.getpid()}{mark}{suffix}")


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose processes, on this machine, are no more."""
    for path in folder.glob(f".*.{_HOST}.*{_MARK}*"):
        owner = path.name.partition(f".{_HOST}.")[2].partition(".")[0]
        if owner.isdecimal() and not _lives(int(owner)):
            _remove(path)


@contextmanager
def atomic_path(path: Path, needs: int = 0, named: Path | None = None) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it on success, remove it on failure.

    Args:
        needs: bytes that the file will take, as far as that is known.
        named: what errors are to name instead of `path`.

    Raises:
        InputError: the disk refuses it; the sentence does not name the temporary file.
    """
    path = Path(path)
    temporary = temporary_name(path)
    with _folder_of(path):
        temporary = alias_of_folder(temporary.parent) / as_utf8(temporary.name)
        try:
            yield temporary
            _finish(path, temporary)
        except OSError as error:
            if not is_about(error, temporary, path):
                raise
            raise refusal(error, named or path, max(needs, _size(temporary)) + _waiting_bytes()) from error
        finally:
            if path not in _waiting():
                _remove(temporary)


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all. Raises `InputError` where the disk refuses it."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write what is in memory whole or not at all. Raises `InputError` where the disk refuses it."""
    with atomic_path(path, len(content)) as temporary:
        temporary.write_bytes(content)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which gets its name on success and goes away on failure.

    Raises:
        InputError: there is something at `path` already, or the disk refuses it.
    """
    path = Path(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise InputError(f"{path}: is there already; give the output another name, or remove it first")
    with _folder_of(path), scratch_folder(path) as temporary:
        yield temporary
        if path.is_dir():
            path.rmdir()
        temporary.replace(path)
        FINISHED.append(path)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` that is gone afterwards, unless it was moved. Raises `InputError` where the disk refuses it."""
    temporary = temporary_name(Path(path))
    try:
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        inside = error.filename is None or str(error.filename).startswith(str(temporary))
        if not inside or not is_about(error, error.filename or temporary):
            raise
        raise refusal(error, path) from error
    except InputError as error:  # of a file in it, which users never see under this name
        raise InputError(str(error).replace(str(temporary), str(path))) from error
    finally:
        _remove(temporary)


class Together:
    """Files of one run that wait, finished, until all of them are.

    Attributes:
        finished: output -> its temporary file.
        stale: outputs of an earlier run that go when these come.
        folders: those that were made for them, the innermost first.
    """

    def __init__(self) -> None:
        self.finished: dict[Path, Path] = {}
        self.stale: list[Path] = []
        self.folders: list[Path] = []

    def at(self, path: Path) -> Path:
        """Where the finished content of an output lies by now."""
        return self.finished[Path(path)]

    def place(self) -> None:
        """Give all files their names, the last one last; where one cannot be placed, all is as it was before."""
        aside = {path: temporary_name(path, f".former{_MARK}") for path in [*reversed(self.finished), *self.stale]}
        aside = {path: former for path, former in aside.items() if path.is_file() or path.is_symlink()}
        undo: list[tuple[Path, Path | None]] = []
        try:
            for path, former in aside.items():
                undo.append((former, path))
                _rename(path, former, path)
            for path, temporary in self.finished.items():
                undo.append((path, None))
                _rename(temporary, path, path)
        except BaseException:
            for source, origin in reversed(undo):
                with contextlib.suppress(OSError):
                    source.unlink() if origin is None else source.replace(origin)
            raise
        for former in aside.values():
            _remove(former)
        FINISHED.extend(self.finished)


@contextmanager
def together() -> Iterator[Together]:
    """All that `atomic_path` finishes in this block appears at its end, or none of it.

    Raises:
        InputError: the disk refuses a file; none is there then.
    """
    waiting = Together()
    before = _TOGETHER.set(waiting)
    try:
        yield waiting
        waiting.place()
    except BaseException:
        for temporary in waiting.finished.values():
            _remove(temporary)
        _remove_empty(waiting.folders)
        raise
    finally:
        _TOGETHER.reset(before)


_TOGETHER: ContextVar[Together | None] = ContextVar("together", default=None)


def _finish(path: Path, temporary: Path) -> None:
    group = _TOGETHER.get()
    if group is not None:
        group.finished[path] = temporary
        return
    temporary.replace(path)
    FINISHED.append(path)


def _rename(source: Path, target: Path, named: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        raise refusal(error, named) from error


def _waiting() -> Iterable[Path]:
    group = _TOGETHER.get()
    return group.finished if group is not None else ()


def _waiting_bytes() -> int:
    group = _TOGETHER.get()
    return sum(map(_size, group.finished.values())) if group is not None else 0


@contextmanager
def _folder_of(path: Path) -> Iterator[None]:
    """The folder of an output is there in this block, and goes again, where it was made for it, if the block fails."""
    try:
        missing = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be made a folder ({error.strerror}); choose another place") from error
    if path.parent not in _CLEARED:
        _CLEARED.add(path.parent)
        clear_leftovers(path.parent)
    try:
        yield
    except BaseException:
        _remove_empty(missing)
        raise
    group = _TOGETHER.get()
    if group is not None:
        group.folders.extend(missing)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return True


def _remove(path: Path) -> None:
    """Whatever it is; nothing where it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
