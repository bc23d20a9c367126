"""What a command takes, measured on small programs that are known to take it."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from solution.benchmark.rehearsal import measuring
from solution.benchmark.rehearsal.measuring import Measured
from solution.cli import stopping
from solution.core.errors import InputError

MEGABYTES = 300
HOLDS = f"""
import subprocess, sys, time
held = b"x" * {MEGABYTES}_000_000
time.sleep(1.5)
"""


@pytest.fixture
def measure(tmp_path):
    """Runs a Python program -> what it took, and the lines that were said."""

    def call(program: str, before: Measured | None = None, **more: object) -> tuple[Measured, list[str]]:
        said: list[str] = []
        arguments = {"log": tmp_path / "log", "folders": [tmp_path / "out"], "note": lambda _: None, **more}
        found = measuring.run(
            [sys.executable, "-c", program], before=before or Measured(), say=said.append, **arguments
        )
        return found, said

    return call


def test_memory_of_a_child_and_of_its_child_counts(measure):
    alone = measure("import time; time.sleep(0.8)")[0].peak_gb
    one = measure(HOLDS)[0].peak_gb - alone
    both = measure(f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {HOLDS!r}])\n{HOLDS}")[0]
    assert one == pytest.approx(MEGABYTES / 1e3, abs=0.03)
    assert both.peak_gb - 2 * alone == pytest.approx(2 * MEGABYTES / 1e3, abs=0.05)


def test_time_and_processors_are_told_apart(measure):
    waits = measure("import time; time.sleep(1.6)")[0]
    work = "import time\nwhile time.process_time() < 1.5: pass\n"
    program = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {work!r}])\ntime.sleep(0.8)"
    busy = measure(program)[0]
    assert waits.wall_s >= 1.6 and busy.wall_s >= 2.2
    assert waits.cpu_s < 1.0 < 1.4 <= busy.cpu_s  # of a child that ended, too


def test_disk_counts_what_was_written_and_is_gone_again(measure, tmp_path):
    program = f"""
from pathlib import Path
import time
out = Path({str(tmp_path / "out")!r})
out.mkdir()
(out / "kept").write_bytes(bytes(40_000_000))
"""
    assert measure(program)[0].disk_gb == pytest.approx(0.04)


def test_parts_are_those_that_are_announced(measure):
    program = """
import time
print("setting up", flush=True); time.sleep(0.3)
print("== train-flow DATA --steps 1", flush=True); time.sleep(0.3)
print("flow fold 0: wrote a file", flush=True); time.sleep(0.7)
print("flow fold 1: 160 steps, about 4 min, ends 14:20", flush=True)
print("flow fold 1: wrote a file", flush=True)
print("flow fold 2: a file is up to date, skipped", flush=True)
print("02_publictest: scene 1 of 2", flush=True); time.sleep(0.6)
print("02_publictest: 3 inliers", flush=True)
"""
    found, said = measure(program)
    assert list(found.parts) == ["start", "train-flow", "02_publictest"]
    assert found.parts["train-flow"].wall_s > 0.9 and found.parts["02_publictest"].wall_s > 0.5
    assert sum(part.wall_s for part in found.parts.values()) == pytest.approx(found.wall_s, abs=0.01)
    (between,) = found.parts[
        "train-flow"
    ].models_s  # neither the first, which reads the images too, nor what was skipped
    assert 0.6 < between < found.parts["train-flow"].wall_s - 0.2
    assert [line.partition(":")[0] for line in said] == ["start", "train-flow", "02_publictest"]


def test_attempts_add_up(measure):
    first, _ = measure("import time; print('== data', flush=True); time.sleep(1)")
    wall_s = first.wall_s
    again, _ = measure("import time; print('== data', flush=True); time.sleep(1)", Measured.of_json(first.to_json()))
    assert again.attempts == 2 and again.wall_s >= wall_s + 1 and again.parts["data"].wall_s >= 2


def test_the_log_holds_all_attempts_and_of_a_bar_its_last_state(measure, tmp_path):
    for _ in range(2):
        measure(
            "import sys; print('begun'); sys.stdout.write('1 %\\r50 %\\r100 %\\n'); print('odd \\udcff'.encode(errors='surrogateescape'))"
        )
    lines = [line.split(maxsplit=1) for line in (tmp_path / "log").read_text().splitlines()]
    assert [text for _, text in lines] == ["begun", "100 %", "b'odd \\xff'"] * 2
    assert all(re.fullmatch(r"\d+\.\d", seconds) for seconds, _ in lines)


def test_a_command_that_fails_ends_in_one_sentence(measure, tmp_path):
    with pytest.raises(InputError) as told:
        measure("import sys; print('error: the scene is bad', file=sys.stderr); sys.exit(2)")
    assert str(tmp_path / "log") in str(told.value) and "code 2 (error: the scene is bad)" in str(told.value)
    with pytest.raises(InputError, match="cannot be started"):
        measuring.run([tmp_path / "nothing"], tmp_path / "log", [], Measured(), print, print)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_that_the_disk_refuses_ends_it_in_one_sentence(measure):
    began = time.monotonic()
    with pytest.raises(InputError, match="/dev/full: disk full"):
        measure("import time; print('begun', flush=True); time.sleep(600)", log=Path("/dev/full"))
    assert time.monotonic() - began < 300


def test_when_it_is_stopped_all_processes_of_the_command_end(measure, tmp_path):
    ids = tmp_path / "ids"
    child = "import time; time.sleep(60)"
    program = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}])
with open({str(ids)!r}, "w") as file:
    print(os.getpid(), child.pid, file=file)
time.sleep(60)
"""
    noted: list[float] = []

    def stop() -> None:
        while not ids.is_file() or not ids.read_text().endswith("\n"):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    stopping.watch()
    with pytest.raises(stopping.Stopped):
        measure(program, note=lambda measured: noted.append(measured.wall_s))
    assert noted[-1] > noted[0]
    for process in map(int, ids.read_text().split()):
        assert _ends(process)


def _ends(process: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
