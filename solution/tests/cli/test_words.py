"""What the command line says of itself: examples, exit codes, what was meant by a mistyped verb, colours, completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer

from solution.cli.app import app
from solution.cli.shared import ADVANCED, SCRIPT
from solution.tests.cli.test_verbs import VERBS
from solution.tests.conftest import invoke

ROOT = typer.main.get_command(app)
MOST_MAIN_OPTIONS = 8
COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-9]|9[0-7])m")


def command_of(verb: str):
    """The command that a verb names."""
    command = ROOT
    for word in verb.split():
        command = command.commands[word]
    return command


def examples_of(verb: str) -> list[list[str]]:
    """The examples at the end of a verb's help, as words, without the name of the program."""
    head, *lines = (command_of(verb).epilog or "").split("\n\n")
    assert head == "Examples:", f"{verb}: name two examples, with epilog=examples(...)"
    return [shlex.split(line.removeprefix(f"{SCRIPT} ").removeprefix("python -m solution ")) for line in lines]


def parse(words: list[str]) -> None:
    """Parse a command line and do nothing; raises where it is wrong, and asks for help where nothing is given."""
    command = ROOT
    while hasattr(command, "commands"):
        command = command.commands[words[0]]
        words = words[1:]
    command.make_context("example", list(words)).close()


def as_script(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The program as it is where it is installed, in a process of its own."""
    program = f"import sys; sys.argv[0] = {SCRIPT!r}; from solution.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_ends_with_two_examples_of_it_that_parse(verb):
    found = examples_of(verb)
    assert len(found) == 2 and found[0] != found[1]
    for words in found:
        assert words[: len(verb.split())] == verb.split()
        parse(words)
    assert " ".join(found[0][:3]) in " ".join(invoke(*verb.split(), "--help").split())


@pytest.mark.parametrize("line", ["predict --no-such a b c", "picture a b c", "simulate out --scenes none"])
def test_a_wrong_example_would_be_seen(line):
    with pytest.raises(Exception, check=lambda error: error.exit_code == 2):  # noqa: B017 - a class of Typer's own
        parse(shlex.split(line))


def test_predict_has_few_options_and_the_others_apart():
    options = [one for one in command_of("predict").params if one.param_type_name == "option" and one.name != "help"]
    main = [one.opts[0] for one in options if one.rich_help_panel is None]
    assert len(main) <= MOST_MAIN_OPTIONS and {"--out", "--json", "--quiet"} <= set(main)
    assert {one.rich_help_panel for one in options} == {None, ADVANCED}


@pytest.mark.parametrize(
    ("typed", "meant"), [("predcit", "predict"), ("fitt", "fit"), ("scroe", "score"), ("trainflow", "train-flow")]
)
def test_a_mistyped_verb_is_told_which_was_meant(run, typed, meant):
    code, out, err = run(typed)
    assert code == 2 and out == "" and f"Did you mean '{meant}'" in " ".join(err.split())


def test_a_mistyped_verb_of_a_group_too(run):
    code, _, err = run("surface", "trian")
    assert code == 2 and "Did you mean 'train'" in err


def test_the_help_lists_the_exit_codes():
    text = " ".join(invoke("--help").split())
    listed = text[text.index("Exit codes: ") :]
    for code, meaning in ((0, "done"), (2, "bad input"), (3, "a map failed"), (4, "a map is weak"), (130, "or 143")):
        assert f" {code} {meaning}" in listed


@pytest.mark.parametrize("arguments", [["predict", "--help"], ["predcit"]], ids=" ".join)
def test_no_color_is_honoured_and_colours_are_there_without_it(arguments):
    plain = as_script(*arguments, FORCE_COLOR="1", NO_COLOR="1")
    coloured = as_script(*arguments, FORCE_COLOR="1", NO_COLOR="")
    assert not COLOUR.search(plain.stdout + plain.stderr)
    assert COLOUR.search(coloured.stdout + coloured.stderr)


@pytest.mark.parametrize(
    ("typed", "found"), [("sar2opt pre", {"predict"}), ("sar2opt predict --warp", {"--warped-sar"})]
)
def test_the_shell_completes_verbs_and_options(typed, found):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_SAR2OPT_COMPLETE": "complete_bash"}
    done = as_script(**words)
    assert done.returncode == 0 and set(done.stdout.split()) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_what_completes(shell):
    done = as_script("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0 and "_SAR2OPT_COMPLETE" in done.stdout


def test_help_names_the_program_as_it_was_called():
    assert "sar2opt predict optical.tif" in as_script("predict", "--help").stdout
