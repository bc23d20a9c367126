"""A command run as the contest would run it, and what it took: time, memory of all its processes, disk; as a whole and
part by part, as it says itself where it is."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

from solution.core import environment
from solution.core.code import PACKAGE
from solution.core.errors import InputError
from solution.core.refusals import refusal

_LOOK_S = 0.5  # between looks at the processes
_NOTE_S = 10.0  # between looks at the disk, after which what is known so far is noted
_PATIENCE_S = 20.0  # that a stopped command gets to clear away its temporary files
START = "start"
"""What a command does before the first part that it announces."""
_PART = re.compile(r"== (?P<verb>\S+)|(?P<scene>\S+): scene \d+ of \d+$")
"""How train.sh announces a stage, and predict a scene."""
_MODEL = re.compile(r"\S+ fold -?\d+: wrote ")
"""What a training stage says when the model of a team is finished; neither one that is skipped, nor how long it takes."""


@dataclass
class Part:
    """A part of a command: a stage of train.sh, a scene of test.sh.

    Attributes:
        wall_s: time in it, all attempts together.
        cpu_s: time of processors in it, which other work on the machine changes less.
        peak_gb: memory of all processes, 1e9 bytes.
        models_s: time from one finished model to the next one, without the first, which reads the images too.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_gb: float = 0.0
    models_s: list[float] = field(default_factory=list)


@dataclass
class Measured:
    """What a command took.

    Attributes:
        wall_s: time, all attempts together.
        cpu_s: time of processors, likewise.
        peak_gb: the most that its processes held at once, 1e9 bytes; what several share is counted once for each.
        disk_gb: the most that lay in its folders.
        attempts: how often it was started.
        parts: in order; what comes before the first announced one is ``start``.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_gb: float = 0.0
    disk_gb: float = 0.0
    attempts: int = 0
    parts: dict[str, Part] = field(default_factory=dict)

    @classmethod
    def of_json(cls, noted: Mapping) -> Measured:
        """From what `to_json` gave."""
        return cls(**{**noted, "parts": {name: Part(**part) for name, part in noted["parts"].items()}})

    def to_json(self) -> dict:
        """For JSON."""
        return asdict(self)


def run(
    command: Sequence[str | Path],
    log: Path,
    folders: Sequence[Path],
    before: Measured,
    note: Callable[[Measured], None],
    say: Callable[[str], None],
) -> Measured:
    """Run a command to its end, or stop it and all its processes when this one is stopped.

    Args:
        log: gets all that it prints, after that of earlier attempts, each line with the seconds since its beginning.
        folders: where it writes, for the disk that it takes.
        before: what earlier attempts took; this one is added to it.
        note: gets what is known so far, now and then and at the end.
        say: gets a line for every part.

    Raises:
        InputError: it cannot be started, or ends with another code than 0; or the disk refuses the log.
    """
    watch = _Watch(before)
    log.parent.mkdir(parents=True, exist_ok=True)
    with _started(command) as process, log.open("ab", buffering=0) as sink:
        reader = threading.Thread(target=watch.read, args=(process.stdout, sink), daemon=True)
        reader.start()
        try:
            _follow(process, watch, lambda: watch.account(folders, note), say)
            reader.join(_PATIENCE_S)
        finally:  # what a stopped attempt took counts too
            watch.look()
            watch.account(folders, note)
    watch.end_part()
    watch.pass_on(say)
    if process.returncode != 0:
        raise InputError(
            f"{log}: {Path(command[0]).name} ended with code {process.returncode} ({watch.last[:200]});"
            " mend it, then give the same command again to go on"
        )
    return watch.measured


def _follow(process: subprocess.Popen, watch: _Watch, account: Callable[[], None], say: Callable[[str], None]) -> None:
    """Look at a process until it ends, pass on what it says, and give account now and then."""
    told = -_NOTE_S
    while process.poll() is None:
        watch.look(held(process.pid))
        watch.pass_on(say)
        if watch.seconds - told >= _NOTE_S:
            told = watch.seconds
            account()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_S)


@contextlib.contextmanager
def _started(command: Sequence[str | Path]) -> Iterator[subprocess.Popen]:
    """The process, in a group of its own, which is ended with the block."""
    try:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment.variables(), "PYTHONPATH": str(PACKAGE.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(f"{command[0]}: cannot be started ({error.strerror})") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            _stop(process)


def _stop(process: subprocess.Popen) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
            return


class _Watch:
    """Keeps the account of a running command. One thread listens to what it says, another looks at its processes."""

    def __init__(self, measured: Measured) -> None:
        measured.attempts += 1
        self.measured, self.last = measured, "it said nothing"
        self._began, self._looked, self._worked = time.monotonic(), 0.0, 0.0
        self._name, self._model_began = START, None
        self._told: deque[str] = deque()
        self._failure: OSError | None = None
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Since the command began."""
        return time.monotonic() - self._began

    def look(self, now: Held | None = None) -> None:
        """Count the time since the last look, and what the processes hold and did."""
        with self._lock:
            self._count(now or Held(0.0, self._worked))

    def _count(self, held: Held) -> None:
        part = self.measured.parts.setdefault(self._name, Part())
        seconds, worked_s = self.seconds, max(held.cpu_s, self._worked)
        for account in (self.measured, part):
            account.wall_s = round(account.wall_s + seconds - self._looked, 3)
            account.cpu_s = round(account.cpu_s + worked_s - self._worked, 3)
            account.peak_gb = round(max(account.peak_gb, held.memory_gb), 3)
        self._looked, self._worked = seconds, worked_s

    def account(self, folders: Sequence[Path], note: Callable[[Measured], None]) -> None:
        """Look how much lies in the folders, and pass on what is known so far."""
        disk = sum(map(disk_gb, folders))
        with self._lock:
            self.measured.disk_gb = round(max(self.measured.disk_gb, disk), 4)
            note(self.measured)

    def pass_on(self, say: Callable[[str], None]) -> None:
        """Say what the parts took that ended. Raises `InputError` where what the command said cannot be kept."""
        while self._told:
            say(self._told.popleft())
        if self._failure is not None:
            raise refusal(self._failure, Path(self._failure.filename or "log"))

    def read(self, stream: BinaryIO, sink: BinaryIO) -> None:
        """Everything that the command prints, until it closes its output; read on even where it cannot be kept, for the
        command would wait otherwise."""
        for raw in stream:
            line = raw.decode(errors="backslashreplace").rstrip("\r\n").rpartition("\r")[2]  # of a bar, its last state
            self.last = line.strip() or self.last
            try:
                sink.write(f"{self.seconds:9.1f} {line}\n".encode())
            except OSError as error:
                error.filename = sink.name
                self._failure = error
            except ValueError:
                pass  # it is closed, for the command was stopped
            self._listen(line)

    def _listen(self, line: str) -> None:
        found = _PART.match(line)
        if found:
            self.end_part()
            with self._lock:
                self._count(Held(0.0, self._worked))
                self._name, self._model_began = found["verb"] or found["scene"], None
        elif _MODEL.match(line):
            with self._lock:
                part = self.measured.parts.setdefault(self._name, Part())
                if self._model_began is not None:
                    part.models_s.append(round(self.seconds - self._model_began, 2))
                self._model_began = self.seconds

    def end_part(self) -> None:
        """What the part took that ends here is to be said."""
        part = self.measured.parts.get(self._name, Part())
        self._told.append(f"{self._name}: {part.wall_s:.0f} s, {part.peak_gb:.1f} GB")


@dataclass(frozen=True)
class Held:
    """What a process and all below it hold in memory, 1e9 bytes, and the processors' time that they took so far."""

    memory_gb: float
    cpu_s: float


def held(root: int) -> Held | None:
    """Of a process and all below it, those that ended included in its time; None where it has ended itself."""
    memory, cpu_s = 0, 0.0
    try:
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.Error:
        return None
    for process in family:
        with contextlib.suppress(psutil.Error):
            memory += process.memory_info().rss
            cpu_s += sum(process.cpu_times()[:4])  # its own, and that of children which ended
    return Held(memory / 1e9, cpu_s)


def disk_gb(folder: Path) -> float:
    """What the files below a folder take, 1e9 bytes."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # temporary files come and go
            total += path.lstat().st_size if path.is_file() else 0
    return total / 1e9
