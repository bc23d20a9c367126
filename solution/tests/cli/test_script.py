"""The program runs with the variables that the shell scripts set."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from solution.cli import app, script
from solution.core.code import PACKAGE
from solution.core.environment import variables


class Replaced(Exception):  # noqa: N818 - stands for the process that would be replaced
    """Holds what it would be replaced by."""


@pytest.fixture
def replaced(monkeypatch):
    """What the process would be replaced by: arguments and environment, or None where the command line runs."""

    def execve(program, arguments, environment):
        raise Replaced(program, arguments, environment)

    def call():
        ran = []
        monkeypatch.setattr(script.os, "execve", execve)
        monkeypatch.setattr(app, "main", lambda: ran.append(True))
        try:
            script.main()
        except Replaced as found:
            return found.args
        assert ran == [True]
        return None

    return call


def test_it_begins_again_with_variables_that_are_missing(replaced, monkeypatch):
    first, *others = variables()
    monkeypatch.delenv(first, raising=False)
    for name in others:
        monkeypatch.setenv(name, "own")
    monkeypatch.setattr(sys, "orig_argv", ["python", "/x/bin/sar2opt", "data", "--help"])
    program, arguments, environment = replaced()
    assert (program, arguments) == (sys.executable, [sys.executable, "/x/bin/sar2opt", "data", "--help"])
    assert environment[first] == variables()[first] and all(environment[name] == "own" for name in others)


def test_it_runs_where_they_are_all_there(replaced, monkeypatch):
    for name in variables():
        monkeypatch.setenv(name, "")
    assert replaced() is None


def test_the_module_is_the_program():
    """Also where ``python -m`` starts it."""
    clean = {name: value for name, value in os.environ.items() if name not in variables()}
    code = (
        "import os, runpy, sys; from solution.cli import script; "
        "script.os.execve = lambda *of: (print(sorted(of[2].keys() - os.environ.keys())), sys.exit(0)); "
        "runpy.run_module('solution', run_name='__main__')"
    )
    environment = {**clean, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(sorted(variables()))
