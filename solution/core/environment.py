"""The environment variables of every command, from the file that the shell scripts read too."""

from __future__ import annotations

from pathlib import Path

PATH = Path(__file__).resolve().parents[1] / "environment"


def variables(path: Path = PATH) -> dict[str, str]:
    """Names and values of a file of ``KEY=VALUE`` lines without quotes; empty lines and those that begin with # say
    nothing."""
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
