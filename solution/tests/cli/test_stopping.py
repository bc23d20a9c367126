"""A command that is stopped says so in one line, with the shell's exit code, and leaves no half-written file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from solution.cli import stopping
from solution.core.code import PACKAGE
from solution.core.writing import FINISHED, temporary_name, write_text

# A verb at work: `simulate` on a scene that takes minutes.
ARGUMENTS = ("simulate", "--size", "4000", "4000", "--seed", "1")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_line_and_the_code_of_the_signal(tmp_path, number, code):
    out = tmp_path / "out"
    left = _leftover(out / "01_optical_train_01.tif")
    process = subprocess.Popen(
        [sys.executable, "-m", "solution", *ARGUMENTS, str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    _wait_until_it_works(process, left)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    (line,) = errors.strip().splitlines()
    assert number.name in line and "nothing was finished yet" in line and "same command again" in line
    assert not [path for path in tmp_path.rglob("*") if ".partial" in path.name]


def test_what_was_kept_is_named(tmp_path):
    FINISHED.clear()
    assert "nothing was finished yet" in str(stopping.Stopped(signal.SIGINT))
    for name in ("gone.txt", "one.txt", "two.txt"):
        write_text(tmp_path / name, "")
    (tmp_path / "gone.txt").unlink()
    said = str(stopping.Stopped(signal.SIGTERM))
    assert said.startswith("stopped by SIGTERM: no file is left half written; 2 finished files are kept")
    assert f"the last one {tmp_path / 'two.txt'}; give the same command again to go on" in said


def _leftover(path: Path) -> Path:
    """What a process that is no more would have left of a file."""
    path.parent.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = path.with_name(temporary_name(path).name.replace(f".{os.getpid()}.", f".{dead.pid}."))
    left.write_text("half")
    return left


def _wait_until_it_works(process: subprocess.Popen, left: Path) -> None:
    """The first that a command does where it will write is to clear that away."""
    for _ in range(300):
        if not left.exists() or process.poll() is not None:
            return
        time.sleep(0.1)
