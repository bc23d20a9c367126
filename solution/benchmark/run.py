"""The run: which cells there are, which are finished, and a process for each of the others.

Results are kept in ``benchmark.json`` as they arrive. A cell's key holds all that it depends on: the scene's files, the
method's code and package, the teams' weights. A run that was killed goes on, a retrained team is measured again, and
what failed is tried again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from solution.benchmark.cell import DONE, Request, failed
from solution.benchmark.methods import METHODS, Method
from solution.core import artefact, environment
from solution.core.code import PACKAGE
from solution.core.errors import InputError
from solution.core.outputs import check_folder
from solution.core.writing import scratch_folder, write_text
from solution.data.scene import ScenePair
from solution.teams.team import held_out_by_split, unseen_by

RESULTS = "benchmark.json"
NOT_INSTALLED = "not installed"

Cells = dict[str, dict[str, dict]]
"""Scene -> method -> cell."""


@dataclass(frozen=True)
class Plan:
    """A benchmark.

    Attributes:
        methods: rows, keys of `METHODS`.
        pairs: labelled scenes of different names.
        folds: folder of the teams.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        out: folder of the results.
    """

    methods: tuple[str, ...]
    pairs: tuple[ScenePair, ...]
    folds: Path
    device: str
    out: Path


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The methods of these names in the table's order; all without any. Raises `InputError` for an unknown name."""
    for name in names:
        if name not in METHODS:
            raise InputError(f"--method {name}: is unknown; choose from {', '.join(METHODS)}")
    return tuple(name for name in METHODS if name in names or not names)


def teams_for(pair: ScenePair, folds: Path, method: Method = METHODS["pipeline"]) -> tuple[str, ...]:
    """Names of the teams that may judge a scene with a method: `team.unseen_by`; none where it takes no weights. Raises
    `InputError` where the pipeline has no teams."""
    return unseen_by(pair, folds, method.teams(folds)) if method.teams else ()


def run(plan: Plan, fresh: bool, say: Callable[[str], None]) -> Cells:
    """Fill the table, cell by cell.

    Args:
        fresh: measure finished cells again.
        say: gets one line per cell.

    Returns:
        A cell for every scene and method of the plan: `cell.measure`'s answer, or status `NOT_INSTALLED` with the
            ``reason``; and the ``teams``.

    Raises:
        InputError: no teams or unreadable weights, before anything is measured.
    """
    judging = {
        (pair.name, name): teams_for(pair, plan.folds, METHODS[name]) for pair in plan.pairs for name in plan.methods
    }
    check_folder(plan.out)
    results = plan.out / RESULTS
    kept, found = _read(results), {}
    for pair in plan.pairs:
        for name in plan.methods:
            method = METHODS[name]
            judges = judging[pair.name, name]
            key = _key(method, pair, plan, judges)
            before = kept.get(pair.name, {}).get(name, {})
            finished = before.get("key") == key and before.get("status") == DONE and not fresh
            answer = before if finished else {**_measured(name, pair, plan, judges), "teams": list(judges), "key": key}
            say(f"{pair.name}: {name}: {_line(answer)}{', kept' if finished else ''}")
            found.setdefault(pair.name, {})[name] = answer
            kept.setdefault(pair.name, {})[name] = answer
            if not finished:
                write_text(results, json.dumps(kept, indent=1, allow_nan=False) + "\n")
    return found


def _measured(name: str, pair: ScenePair, plan: Plan, teams: tuple[str, ...]) -> dict:
    method = METHODS[name]
    if method.missing():
        return {"status": NOT_INSTALLED, "reason": method.missing()}
    if method.teams and not teams:
        return failed(_why_no_team(method, pair, plan.folds))
    with scratch_folder(plan.out / "cell") as work:
        own = work.resolve() / "method"
        own.mkdir()
        files = (str(Path(path).resolve()) for path in (pair.optical, pair.sar, pair.tiepoints_csv, plan.folds))
        return launch(Request(name, pair.name, *files, teams, plan.device, str(own)), own.parent)


def _why_no_team(method: Method, pair: ScenePair, folds: Path) -> str:
    """What to do where no team may judge a scene with a method."""
    trained, holder = method.teams(folds), held_out_by_split(pair.name, folds)
    if trained and holder not in (None, *trained):
        return f"team {holder}, which holds this scene out by {folds / 'split.csv'}, has no weights of this method; train them"
    return "every team that could judge this scene was trained on it" if trained else method.untrained


def launch(request: Request, folder: Path) -> dict:
    """Measure in a process of its own, with the variables that predict.sh sets, whatever the method; one that dies is a
    failed cell.

    Args:
        folder: for the files that the two processes exchange.
    """
    asked, answer, errors = (folder / name for name in ("request.json", "answer.json", "errors.txt"))
    asked.write_text(request.to_json())
    started = time.perf_counter()
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    with errors.open("w") as sink:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "solution.benchmark.cell", str(asked), str(answer)],
            env={**os.environ, **environment.variables(), "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=sink,
            check=False,
        )
    if ended.returncode == 0 and answer.is_file():
        return {**json.loads(answer.read_text()), "process_s": round(time.perf_counter() - started, 2)}
    if ended.returncode < 0:
        return failed(
            f"its process was killed by signal {-ended.returncode}"
            + (", perhaps for memory" if ended.returncode == -9 else "")
        )
    return failed(errors.read_text() or f"its process ended with code {ended.returncode}")


def _key(method: Method, pair: ScenePair, plan: Plan, teams: tuple[str, ...]) -> str:
    """Hash of all that a cell depends on. Raises `InputError` for missing weights."""
    contents = [artefact.file_hash(path) for path in (pair.tiepoints_csv, *_weights(method, plan.folds, teams))]
    facts = [
        pair.name,
        pair.fingerprint(),
        contents,
        method.code(),
        teams,
        plan.device if teams else None,
        method.package_version(),
    ]
    return artefact.digest(facts)


def _weights(method: Method, folds: Path, teams: tuple[str, ...]) -> list[Path]:
    return [path for team in teams for path in method.teams(folds)[team]]


def _read(path: Path) -> Cells:
    """What earlier runs left. Raises `InputError` for a file that is none of ours, which a new run would overwrite."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
        if all(isinstance(answer, dict) for row in content.values() for answer in row.values()):
            return content
    except (ValueError, AttributeError):
        pass
    raise InputError(f"{path}: is not a result of this command; move it away, or choose another --out")


def _line(answer: dict) -> str:
    if answer["status"] == DONE:
        return f"mean {answer['mean_px']:.2f} px, {answer['seconds']:.1f} s, {answer['memory_gb']:.2f} GB"
    return answer["reason"] if answer["status"] == NOT_INSTALLED else f"failed: {answer['reason']}"
