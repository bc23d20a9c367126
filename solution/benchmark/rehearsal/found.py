"""What is known of a rehearsal: measured, scored, estimated."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field

from solution.benchmark.rehearsal import estimate, judging, records
from solution.benchmark.rehearsal.commands import STAGES, Rehearsal
from solution.benchmark.rehearsal.measuring import START, Measured
from solution.benchmark.rehearsal.scenes import PRIVATE, PUBLIC, SCENES, TRAIN
from solution.data.folds import SPLIT, read_split
from solution.teams.team import aoi_teams, fold_teams
from solution.training import stages as families

LIMITS_S = {TRAIN: 24 * 3600.0, PUBLIC: 1800.0, PRIVATE: 1800.0}
"""Of the contest: all of train.sh, and a single prediction."""
FAMILIES = {f"train-{one.name}": one for one in (families.COARSE, families.FLOW, families.TRANSLATOR, families.MATCHER)}
"""Stages of train.sh that make optimisation steps."""


@dataclass
class Found:
    """What is known of a rehearsal.

    Attributes:
        scale, steps: as asked for; steps None = the configured ones.
        devices: names of the GPUs.
        cores: of the processor.
        gflops: what these reach (`estimate.processor_gflops`); 0 where there is a GPU, and nothing is estimated.
        teams: that train.sh trains.
        configured: stage of train.sh -> the steps of a model that it makes by itself.
        megapixels: of the optical image of every test scene.
        measured: stage -> what it took; only stages that are done.
        out_of_fold, scores: scene -> as `judging.out_of_fold` and `judging.scores`.
        refused: why the submissions would not be taken.
    """

    scale: str
    steps: int | None
    devices: list[str]
    cores: int
    gflops: float
    teams: int = 0
    configured: dict[str, int] = field(default_factory=dict)
    megapixels: dict[str, float] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    out_of_fold: dict[str, dict] = field(default_factory=dict)
    scores: dict[str, dict] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def to_json(self) -> dict:
        """For JSON; what is over its limit is said too."""
        return {**asdict(self), "exceeded": self.exceeded()}

    def trained(self, part: str) -> int:
        """The steps that a stage of train.sh made for every model."""
        return self.configured[part] if self.steps is None else self.steps

    def faster(self) -> float:
        """How many times faster a T4 is taken to be in training."""
        return estimate.speedup(self.gflops)

    def train_s(self, faster: float = 1.0) -> float:
        """All of train.sh with the configured steps, as `estimate.stage_s`."""
        return sum(self.part_s(name, faster) for name in self.measured[TRAIN].parts)

    def part_s(self, name: str, faster: float = 1.0) -> float:
        """A stage of train.sh with the configured steps, as `estimate.stage_s`."""
        part = self.measured[TRAIN].parts[name]
        if name not in self.configured:
            return part.wall_s
        return estimate.stage_s(part, self.teams, self.trained(name), self.configured[name], faster)

    def prediction_s(self, stage: str, scene: str) -> float:
        """A prediction as the contest counts it: by itself, the start of the program included."""
        parts = self.measured[stage].parts
        return parts[scene].wall_s + (parts[START].wall_s if START in parts else 0.0)

    def scenes(self, stage: str) -> list[str]:
        """The scenes of a test part, those that were measured."""
        names = sorted(scene.name for scene in SCENES if scene.part == stage)
        return [name for name in names if name in self.measured[stage].parts]

    def exceeded(self) -> list[str]:
        """A sentence for everything that took longer than the contest allows."""
        took = {"train.sh": (self.measured[TRAIN].wall_s, LIMITS_S[TRAIN])} if TRAIN in self.measured else {}
        for stage in (PUBLIC, PRIVATE):
            names = self.scenes(stage) if stage in self.measured else []
            took |= {f"the prediction of {name}": (self.prediction_s(stage, name), LIMITS_S[stage]) for name in names}
        return [
            f"{what} took {seconds / 60:.1f} minutes, and the contest allows {limit / 60:.0f}"
            for what, (seconds, limit) in took.items()
            if seconds > limit
        ]


def collect(plan: Rehearsal) -> Found:
    """What is known by now. Raises `InputError` where a finished stage's files are unreadable."""
    devices = estimate.devices()
    found = Found(
        plan.scale.name,
        plan.steps,
        devices,
        os.cpu_count() or 1,
        0.0 if devices else round(estimate.processor_gflops(), 1),
        configured={name: families.chosen_config(one, None, False, True).steps for name, one in FAMILIES.items()},
        megapixels={one.name: plan.megapixels(one.name) for one in SCENES if one.part != TRAIN},
    )
    noted = {stage: records.read(plan.root, stage) for stage in STAGES}
    found.measured = {stage: record.measured for stage, record in noted.items() if record and record.done}
    if TRAIN in found.measured:
        split = read_split(plan.folds / SPLIT)
        found.teams = len(fold_teams(split)) + len(aoi_teams(split))
        found.out_of_fold = judging.out_of_fold(plan)
    for stage in (PUBLIC, PRIVATE):
        if stage in found.measured:
            refused, scores = judging.judged(plan, stage)
            found.refused += refused
            found.scores |= scores
    return found
