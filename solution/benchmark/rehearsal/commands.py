"""The stages that are commands: what each runs, where it writes, and what it depends on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from solution.benchmark.rehearsal import layout, measuring, records
from solution.benchmark.rehearsal.records import Record
from solution.benchmark.rehearsal.scenes import PARTS, PRIVATE, PUBLIC, SCENES, TRAIN, Scale, files
from solution.core import environment
from solution.core.artefact import digest, file_hash
from solution.core.code import PACKAGE, code_digest
from solution.core.errors import InputError
from solution.core.writing import atomic_folder
from solution.data.naming import FOLDS
from solution.teams.team import BASE, SCORES

SIMULATE = "scenes"
STAGES = (SIMULATE, *PARTS)
"""In order."""
ZIP = "solution.zip"
"""What test.sh leaves in the folder of a test part, beside the folder of the maps."""

_SCRIPTS = {TRAIN: ("train.sh",), PUBLIC: ("test.sh", "predict.sh"), PRIVATE: ("test.sh", "predict.sh")}
_CODE = {
    SIMULATE: ("benchmark.rehearsal.scenes",),
    TRAIN: ("cli.data", "cli.simulating", "cli.training", "cli.proposing"),
    PUBLIC: ("cli.predicting",),
    PRIVATE: ("cli.predicting",),
}


@dataclass(frozen=True)
class Rehearsal:
    """What is asked for.

    Attributes:
        root: folder of all that it writes.
        scale: how large.
        steps: of every training run; None = the configured ones.
        models: that are trained; empty = all.
    """

    root: Path
    scale: Scale
    steps: int | None
    models: tuple[str, ...] = ()

    def handed(self, part: str) -> Path:
        """The folder of a part that the contest hands out."""
        return self.root / layout.CONTEST / part

    def hidden(self, part: str) -> Path:
        """The folder of the labels of a part that it keeps."""
        return self.root / layout.HIDDEN / part

    @property
    def folds(self) -> Path:
        """Where the teams are trained, never those that come with the package."""
        return self.root / "folds"

    @property
    def simulated(self) -> Path:
        """Where train.sh simulates scenes to learn from."""
        return self.root / "simulated"

    def submission(self, part: str) -> Path:
        """Where the maps of a test part go, and the zip."""
        return self.root / "submissions" / part

    def megapixels(self, name: str) -> float:
        """Of the optical image of a scene."""
        height, width = next(self.scale.size(scene) for scene in SCENES if scene.name == name)
        return height * width / 1e6

    def writes(self, stage: str) -> list[Path]:
        """The folders that a stage writes into."""
        places = {SIMULATE: [self.root / "scenes"], TRAIN: [self.folds, self.simulated]}
        return places.get(stage) or [self.submission(stage)]

    def leaves(self, stage: str) -> list[Path]:
        """Files without which a stage is not done."""
        if stage == SIMULATE:
            return [path for scene in SCENES for path in files(self.root / "scenes", scene).values()]
        return [self.folds / SCORES] if stage == TRAIN else [self.submission(stage) / ZIP]

    def command(self, stage: str) -> list[str | Path]:
        """What a stage runs."""
        if stage == SIMULATE:
            program = [sys.executable, "-P", "-m", "solution.benchmark.rehearsal.scenes"]
            return [*program, *self.writes(stage), self.scale.name]
        if stage == TRAIN:
            places = ["--folds", self.folds, "--simulated", self.simulated]
            return [script("train.sh"), self.handed(TRAIN), *places, *self._shortened()]
        return [script("test.sh"), self.handed(stage), self.submission(stage) / ZIP, "--folds", self.folds]

    def _shortened(self) -> list[str]:
        given = {"--steps": self.steps, "--scenes": self.scale.simulated, "--stages": ",".join(self.models) or None}
        return [word for option, value in given.items() if value is not None for word in (option, str(value))]

    def key(self, stage: str) -> str:
        """Hash of all that a stage depends on: what it reads, its options, its code."""
        inputs = sorted(self.handed(stage).iterdir()) if stage in PARTS else []
        weights = {TRAIN: FOLDS / BASE, PUBLIC: self.folds, PRIVATE: self.folds}.get(stage)
        inputs += sorted(weights.rglob("*.safetensors")) if weights else []
        facts = [(path.name, file_hash(path)) for path in inputs]
        scripts = [*map(script, _SCRIPTS.get(stage, ())), environment.PATH]
        options = [self.scale.name, *(self._shortened() if stage == TRAIN else [])]
        return digest([facts, [path.read_text() for path in scripts], options, code_digest(*_CODE[stage])])


def script(name: str) -> Path:
    """A script of the project's folder. Raises `InputError` where the package is installed without them."""
    path = PACKAGE.parent / name
    if not path.is_file():
        raise InputError(f"{path}: no such script; rehearse in the project's folder, which the contest gets")
    return path


def ensure(plan: Rehearsal, stage: str, say: Callable[[str], None]) -> Record:
    """Run a stage, unless it is done already; a killed one goes on.

    Raises:
        InputError: as `measuring.run`, or an earlier stage is missing.
    """
    _check_ready(plan, stage)
    before, key = records.read(plan.root, stage), plan.key(stage)
    if before is not None and before.key == key:
        if before.done and all(path.is_file() for path in plan.leaves(stage)):
            say(f"{stage}: done already, {before.measured.wall_s:.0f} s")
            return before
        before.done = False
    else:
        if before is not None:
            say(f"{stage}: its inputs, options or code changed, so it begins anew")
        before = Record(key)
        _begin_anew(plan, stage)

    def note(_: object) -> None:
        records.write(plan.root, stage, before)

    log = plan.root / "logs" / f"{stage}.log"
    say(f"{stage}: {' '.join(map(str, plan.command(stage)))}; all it says goes to {log}")
    measuring.run(
        plan.command(stage), log, plan.writes(stage), before.measured, note, lambda line: say(f"{stage}, {line}")
    )
    before.done = True
    note(None)
    return before


def _check_ready(plan: Rehearsal, stage: str) -> None:
    if stage in (PUBLIC, PRIVATE):
        trained = records.read(plan.root, TRAIN)
        if trained is None or not trained.done:
            raise InputError(f"--only {stage}: the teams of {plan.folds} are not trained yet; rehearse {TRAIN} first")


def _begin_anew(plan: Rehearsal, stage: str) -> None:
    """Away with what a stage of other inputs or code left, for parts that it would skip cost no time; scenes say
    themselves whether they are what is wanted."""
    if stage == SIMULATE:
        return
    for folder in plan.writes(stage):
        shutil.rmtree(folder, ignore_errors=True)
    (plan.root / "logs" / f"{stage}.log").unlink(missing_ok=True)
    if stage == TRAIN:
        _copy_base(plan.folds)


def _copy_base(folds: Path) -> None:
    """What every team starts from, as the shipped teams did."""
    with atomic_folder(folds) as temporary:
        (temporary / BASE).mkdir()
        for path in sorted((FOLDS / BASE).glob("*.safetensors")):
            shutil.copyfile(path, temporary / BASE / path.name)
