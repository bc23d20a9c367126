"""What the page says of where it comes from: files with their sizes and digests, and the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from solution.core.names import as_utf8


def described(facts: Mapping) -> list[dict]:
    """The images and the outputs by their roles; the page may travel, so it does not say where they lay."""
    return [
        {
            "role": role.replace("_", " "),
            "name": as_utf8(noted.get("name") or Path(noted.get("path", "")).name),
            "bytes": noted.get("bytes"),
            "sha256": noted.get("sha256"),
        }
        for role, noted in {**facts.get("inputs", {}), **facts["files"]}.items()
    ]


def run(facts: Mapping) -> list[tuple[str, str]]:
    """Teams, version and times, as far as the report holds them."""
    noted = facts.get("run", {})
    seconds = ", ".join(f"{part} {value}" for part, value in noted.get("seconds", {}).items())
    memory = f"{noted['peak_memory_gb']} GB" if "peak_memory_gb" in noted else ""
    told = {
        "teams": ", ".join(facts.get("teams", ())),
        "version": noted.get("version"),
        "written": noted.get("written_at"),
        "seconds": seconds,
        "peak memory": memory,
    }
    return [(name, value) for name, value in told.items() if value]
