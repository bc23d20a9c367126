"""The command line: one verb per stage. Bad input ends in one sentence and exit code 2."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from solution.errors import InputError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_show_locals=False, help="SAR-to-optical registration (SpaceNet 9)."
)
console = Console()


@app.callback()
def _root() -> None:
    """Keeps verbs as sub-commands."""


def main() -> None:
    """Entry point of ``python -m solution``."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
