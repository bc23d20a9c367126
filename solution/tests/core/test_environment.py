"""The variables of every command: the shell scripts and the package read the same ones from one file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from solution.core import environment

ROOT = Path(__file__).resolve().parents[3]
VARIABLES = {
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "-1",
    "MALLOC_ARENA_MAX": "1",
}


def test_the_file_says_what_it_always_said():
    assert environment.variables() == VARIABLES


def test_comments_and_empty_lines_say_nothing(tmp_path):
    path = tmp_path / "environment"
    path.write_text("# WHY=because\n\nA=1\nB=x=y\n")
    assert environment.variables(path) == {"A": "1", "B": "x=y"}


@pytest.mark.parametrize("script", ["predict.sh", "train.sh"])
def test_a_script_passes_them_on(script, tmp_path):
    """A copy of the script beside a set-up that does nothing and an interpreter that prints its environment."""
    copied = (script, "solution/environment")
    for name in copied:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name, text in {"solution/setup.sh": "#!/bin/sh\n", ".venv/bin/python": "#!/bin/sh\nenv\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(["bash", tmp_path / script, "data"], env=clean, capture_output=True, text=True, check=True)
    said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert {name: said.get(name) for name in [*VARIABLES, "PYTHONPATH"]} == {**VARIABLES, "PYTHONPATH": str(tmp_path)}
