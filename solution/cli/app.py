"""The whole command line, put together from the files of its topics. Bad input ends in one sentence and exit code 2."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from pathlib import Path

import typer

from solution import __version__
from solution.cli import (
    baseline,
    batching,
    benchmarking,
    data,
    drawing,
    exporting,
    fitting,
    planning,
    predicting,
    proposing,
    rehearsing,
    runtimes,
    scoring,
    simulating,
    stopping,
    surface,
    training,
    translating,
)
from solution.core import ranks
from solution.core.errors import InputError
from solution.core.refusals import refusals_named

EXIT_CODES = (
    "Exit codes: 0 done, and where a map was made, it is ok; 1 a score is missing, or an error of the program; 2 bad"
    " input, told in one sentence; 3 a map failed; 4 a map is weak; 130 or 143 stopped from outside."
)
_OBJECTS = 100_000
"""After so many new objects Python looks for those that nobody holds any more. Imports make a million that all stay, and
looking through them after every 700, as is usual, takes a fifth of the time of imports."""
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="SAR-to-optical registration (SpaceNet 9).",
    epilog=EXIT_CODES,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_tell_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


# The order of ``--help``, by panel.
_TOPICS = {
    "Offset maps": (predicting, batching, exporting, runtimes, fitting, drawing),
    "Data and scores": (data, scoring, proposing),
    "Simulated scenes": (simulating,),
    "Methods beside each other": (benchmarking, rehearsing),
    "Training": (planning, training),
}
for _panel, _topics in _TOPICS.items():
    for _topic in _topics:
        for _command in _topic.app.registered_commands:
            _command.rich_help_panel = _panel
        app.add_typer(_topic.app)
for _name, _topic in {"translate": translating, "baseline": baseline, "surface": surface}.items():
    app.add_typer(_topic.app, name=_name, rich_help_panel="Wings")


def main() -> None:
    """Run the verb that the command line names, and end the process with its exit code."""
    stopping.watch()
    gc.set_threshold(_OBJECTS)
    atexit.register(gc.freeze)  # or else Python looks through them once more at the end, for two seconds
    if ranks.is_helper():
        ranks.end_with_main()
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process lasts
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        with refusals_named():
            app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except stopping.Stopped as stopped:
        if not ranks.is_helper():
            print(stopped, file=sys.stderr)
        sys.exit(stopped.code)
