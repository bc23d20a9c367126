"""The program: the command line, with the environment variables that the shell scripts set."""

from __future__ import annotations

import os
import sys

from solution.core.environment import variables


def main() -> None:
    """Run the command line; once more from the start where variables are missing, for some are read at that time only."""
    missing = {name: value for name, value in variables().items() if name not in os.environ}
    if missing:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})
    from solution.cli.app import main as run

    run()
