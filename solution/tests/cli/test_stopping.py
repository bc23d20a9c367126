"""A command that is stopped says so in one line, with the shell's exit code, and leaves no half-written file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from solution.core.code import PACKAGE

# A verb at work: `simulate` on a scene that takes minutes.
ARGUMENTS = ("simulate", "--size", "4000", "4000", "--seed", "1")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_line_and_the_code_of_the_signal(tmp_path, number, code):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "solution", *ARGUMENTS, str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    _wait_until_it_works(process, out)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    (line,) = errors.strip().splitlines()
    assert number.name in line and "same command again" in line
    assert not [path for path in tmp_path.rglob("*") if ".partial" in path.name]


def _wait_until_it_works(process: subprocess.Popen, out: Path) -> None:
    for _ in range(300):
        if out.is_dir() or process.poll() is not None:
            return
        time.sleep(0.1)
