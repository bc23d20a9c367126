"""The shipped weights: no team saw what it holds out, the base no labelled scene, and all are small."""

from __future__ import annotations

import itertools

import pytest

from solution.core import artefact
from solution.data import folds as split
from solution.simulate import scene_writer
from solution.teams.team import aoi_teams, fold_teams

SHIPPED = split.FOLDS


def test_the_shipped_teams_never_saw_what_they_hold_out():
    table = split.read_split(split.FOLDS / split.SPLIT)
    found = [
        team for team in [*fold_teams(table), *aoi_teams(table)] if (SHIPPED / team.name / "flow.safetensors").is_file()
    ]
    if not found:
        pytest.skip("no weights are shipped yet")
    for team, family in itertools.product(found, ("coarse", "flow")):
        manifest = artefact.read_manifest(SHIPPED / team.name / f"{family}.safetensors")
        assert manifest.fold == team.number and not set(manifest.trained_on) & set(team.held_out), team.name
        assert manifest.trained_on, team.name


def test_the_shipped_weights_are_small_together():
    sizes = [path.stat().st_size for path in split.FOLDS.rglob("*.safetensors")]
    assert max(sizes) <= 16 * 2**20 and sum(sizes) <= 40 * 2**20


@pytest.mark.parametrize("family", ["coarse", "flow"])
def test_the_shipped_base_model_saw_no_scene_of_the_split(family):
    path = SHIPPED / "base" / f"{family}.safetensors"
    if not path.is_file():
        pytest.skip("no base model is shipped yet")
    manifest = artefact.read_manifest(path)
    # Simulated scenes have SN9 names too, of ground that does not exist.
    names = {name.rsplit("/", 1)[-1] for name in manifest.trained_on if not name.startswith("simulated/")}
    simulated = {f"simulated/{name}" for name, _ in scene_writer.plan(32, 1000)}
    assert {name for name in manifest.trained_on if name.startswith("simulated/")} == simulated
    assert manifest.fold == -1 and not names & set(split.read_split(split.FOLDS / split.SPLIT)["scene"])
