"""The whole command line, put together from the files of its topics. Bad input ends in one sentence and exit code 2."""

from __future__ import annotations

import sys

import typer

from solution.cli import (
    baseline,
    batching,
    benchmarking,
    data,
    drawing,
    fitting,
    predicting,
    proposing,
    scoring,
    simulating,
    stopping,
    surface,
    training,
    translating,
)
from solution.core.errors import InputError
from solution.core.refusals import refusals_named

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="SAR-to-optical registration (SpaceNet 9).",
)
# The order of ``--help``.
for _topic in (data, scoring, proposing, predicting, batching, simulating, drawing, benchmarking, training, fitting):
    app.add_typer(_topic.app)
for _name, _topic in {"translate": translating, "baseline": baseline, "surface": surface}.items():
    app.add_typer(_topic.app, name=_name)


def main() -> None:
    """Run the verb that the command line names, and end the process with its exit code."""
    stopping.watch()
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        with refusals_named():
            app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except stopping.Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.code)
