"""All sources of a team: trained by the public commands, proposed in order, kept apart by what they may see."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solution.core import artefact
from solution.core.errors import InputError
from solution.field import candidates, verdict
from solution.proposers import every
from solution.proposers.every import LEARNED, NAMES
from solution.proposers.gradient.proposer import GRADIENT
from solution.proposers.gradient.settings import GradientConfig
from solution.proposers.proposer import Proposer
from solution.teams import propose
from solution.teams.propose import Proposing
from solution.teams.voice import Voice
from solution.tests.conftest import Scene, invoke
from solution.tests.handmade import (
    QUICK_FLOW,
    GradientDirections,
    coarse_features,
    handmade_matcher,
    handmade_net,
    proposers_with,
)
from solution.training import stages

TEAM_0 = ("--device", "cpu", "--team", "0")
ALL_LEARNED = tuple(part for source in LEARNED for part in ("--source", source))

SHAPE = (160, 176)
pytestmark = pytest.mark.slow  # of two trainings that come first


@dataclass(frozen=True)
class Whole:
    """Teams with all three families."""

    data: Path
    folds: Path
    output: str


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory) -> Whole:
    folds = shutil.copytree(trained.folds, tmp_path_factory.mktemp("whole") / "folds")
    output = ""
    for verb in ("train-translator", "train-matcher"):
        output += invoke(verb, trained.data, "--smoke", "--folds", folds, "--device", "cpu")
    return Whole(trained.data, folds, output)


class _Negative(torch.nn.Module):
    """A translator that shows the SAR image's negative in grey."""

    def __init__(self) -> None:
        super().__init__()
        self.white = torch.nn.Parameter(torch.ones(()))

    def forward(self, sar: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return (self.white - sar).expand(-1, 3, -1, -1) * valid[:, None]


@pytest.fixture
def good(monkeypatch) -> None:
    """Networks that find the truth of the fixture's scenes; weights and manifests stay those of the smoke run."""
    nets = {"flow": handmade_net(), "matcher": handmade_matcher(), "translator": _Negative()}
    monkeypatch.setattr(propose, "load_family", lambda family, paths: nets[family.name])
    monkeypatch.setattr(propose.Networks, "coarse", coarse_features)
    monkeypatch.setattr(every, "PROPOSERS", proposers_with(QUICK_FLOW))


def _zero(teams) -> Voice:
    return Voice((teams.folds / "0",))


@pytest.fixture
def scene(make_scene) -> Scene:
    return make_scene("02_publictest", shape=SHAPE, points=None, displacement=(7.0, -5.0))


def test_every_family_of_a_team_saw_the_other_scenes_only(whole):
    for fold, other in ((0, "03_train_01"), (1, "02_train_01")):
        for stage in ("matcher", "translator"):
            manifest = artefact.read_manifest(whole.folds / str(fold) / f"{stage}.safetensors")
            assert (manifest.stage, manifest.fold, manifest.trained_on) == (stage, fold, (other,))
        matcher, translator = (
            artefact.read_manifest(whole.folds / str(fold) / f"{stage}.safetensors")
            for stage in ("matcher", "translator")
        )
        assert matcher.config["translator"] == translator.digest()
    assert whole.output.count("wrote") == 4


def test_a_second_training_skips_and_another_translator_means_another_matcher(whole, tmp_path, run):
    folds = shutil.copytree(whole.folds, tmp_path / "folds")
    code, out, _ = run("train-matcher", whole.data, "--smoke", "--folds", folds, "--device", "cpu")
    assert code == 0 and out.count("is up to date, skipped") == 2
    (folds / "1" / "translator.safetensors").unlink()
    code, _, err = run("train-matcher", whole.data, "--smoke", "--folds", folds, "--device", "cpu")
    assert code == 2 and "--replace" in err


def test_what_the_translator_saw_counts_as_seen_by_the_matcher(whole):
    stage = stages.matcher_with(whole.folds / "0" / "translator.safetensors")
    assert stage.seen == ("03_train_01",)


@pytest.mark.usefixtures("good")
def test_a_prediction_has_all_sources_and_says_what_each_took(whole, scene, run, tmp_path):
    out = tmp_path / "map.tif"
    asked = [part for source in NAMES for part in ("--source", source)]
    code, printed, err = run(
        "predict", scene.optical, scene.sar, out, "--folds", whole.folds, "--device", "cpu", "--team", "0", *asked
    )
    assert code == 0, err
    table = candidates.read(out.with_suffix(".candidates.parquet"))
    assert list(dict.fromkeys(table["source"])) == ["flow", "match", "match_translated"]
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert not any("found nothing" in reason for reason in report["reasons"])
    assert report["sources"] == {name: int(count) for name, count in table["source"].value_counts().items()}
    for source in ("flow", "match", "match_translated", "fit"):
        assert f"{source} " in printed.split("written in")[1]


@pytest.mark.usefixtures("good")
def test_gradients_join_in_where_pixels_are_large(whole, make_scene, run, tmp_path, monkeypatch):
    scene = make_scene("02_publictest", shape=SHAPE, points=None, displacement=(7.0, -5.0))
    everywhere = replace(GRADIENT, settings=GradientConfig(least_gsd_m=0.1, spacing_px=24, core_px=120))
    monkeypatch.setattr(every, "PROPOSERS", proposers_with(QUICK_FLOW, everywhere))
    code, printed, err = run("predict", scene.optical, scene.sar, tmp_path / "map.tif", "--folds", whole.folds, *TEAM_0)
    assert code in verdict.EXIT_CODES.values(), err
    table = candidates.read(tmp_path / "map.candidates.parquet")
    found = table[table["source"] == "gradient"]
    assert len(found) > 10 and "gradient " in printed
    near = found[["dx", "dy"]].to_numpy() - table.loc[table["source"] == "flow", ["dx", "dy"]].median().to_numpy()
    assert np.median(np.hypot(*near.T)) < 1.5


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("sources", [(), ("match",), ("flow", "match_translated")])
def test_sources_can_be_chosen(whole, scene, run, tmp_path, sources):
    out = tmp_path / "map.tif"
    options = [part for source in sources for part in ("--source", source)]
    code, _, err = run("predict", scene.optical, scene.sar, out, "--folds", whole.folds, *TEAM_0, *options)
    assert code in verdict.EXIT_CODES.values(), err
    assert set(candidates.read(out.with_suffix(".candidates.parquet"))["source"]) == set(sources or ("flow",))


def test_an_unknown_source_and_missing_weights_are_named(whole, trained, scene, run, tmp_path):
    def refused(folds: Path, *options: str) -> str:
        code, _, err = run(
            "predict", scene.optical, scene.sar, tmp_path / "map.tif", "--folds", folds, "--device", "cpu", *options
        )
        assert code == 2 and len(err.splitlines()) == 1 and not (tmp_path / "map.tif").exists()
        return err

    assert "--source magic: is none of flow, match, match_translated" in refused(whole.folds, "--source", "magic")
    assert "matcher.safetensors: no such weights" in refused(trained.folds, "--source", "match")


@dataclass(frozen=True)
class _Fixed:
    """Settings of a proposer that says the same everywhere."""

    shift: tuple[float, float]


def _says_what_the_others_say(context, settings: _Fixed):
    around = context.around()
    xy = np.array([[20.0, 30.0], [90.0, 60.0]])
    return candidates.make(context.pair.name, context.fold, "echo", xy, around.shift_at(xy) + settings.shift)


@pytest.mark.usefixtures("good")
def test_a_proposer_more_is_one_object(whole, scene, run, tmp_path, monkeypatch):
    echo = Proposer("echo", (), _Fixed((1.0, -2.0)), _says_what_the_others_say, learned=False)
    monkeypatch.setattr(every, "PROPOSERS", (*proposers_with(QUICK_FLOW), echo))
    assert Proposing().of_voice(_zero(whole)) == ["flow", "gradient", "echo"]
    code, printed, err = run(
        "predict",
        scene.optical,
        scene.sar,
        tmp_path / "map.tif",
        "--folds",
        whole.folds,
        *TEAM_0,
        "--source",
        "flow",
        "--source",
        "echo",
    )
    assert code in verdict.EXIT_CODES.values(), err
    table = candidates.read(tmp_path / "map.candidates.parquet")
    assert list(dict.fromkeys(table["source"])) == ["flow", "echo"] and "echo " in printed and set(table["fold"]) == {0}
    middle = table.groupby("source")[["dx", "dy"]].median()
    assert np.abs(middle.loc["echo"] - middle.loc["flow"] - [1.0, -2.0]).max() < 1.0
    stamps = [
        Proposing(proposers=(*every.PROPOSERS[:-1], replace(echo, settings=_Fixed(shift)))).facts(_zero(whole))
        for shift in ((1.0, -2.0), (1.0, 0.0))
    ]
    assert stamps[0] == Proposing().facts(_zero(whole)) != stamps[1]
    with pytest.raises(InputError, match="--source echo: looks around what others found"):
        Proposing(("echo",))


def test_only_what_lowers_the_error_works_by_default(trained, whole):
    assert Proposing().of_voice(_zero(trained)) == Proposing().of_voice(_zero(whole)) == ["flow", "gradient"]
    assert Proposing(("match_translated", "flow")).of_voice(_zero(whole)) == ["flow", "match_translated"]


@pytest.mark.usefixtures("good")
def test_out_of_fold_tables_hold_all_sources_and_no_family_may_have_seen_the_scene(whole, tmp_path, run):
    folds = shutil.copytree(whole.folds, tmp_path / "folds")
    code, _, err = run("propose", whole.data, "--folds", folds, "--device", "cpu", *ALL_LEARNED)
    assert code == 0, err
    table = candidates.read(folds / "0" / "candidates.parquet")
    assert set(table["source"]) == set(LEARNED) and set(table["scene"]) == {"02_train_01"}
    near = table.dropna(subset="error_px").groupby("source")["error_px"].median()
    assert (near < 1.5).all() and len(near) == 3
    shutil.copy(folds / "1" / "translator.safetensors", folds / "0" / "translator.safetensors")
    code, _, err = run("propose", whole.data, "--folds", folds, "--device", "cpu", *ALL_LEARNED)
    assert code == 2 and "translator model of fold 1: was trained on scene 02_train_01" in err


def test_no_team_begins_with_what_saw_its_scenes(whole, tmp_path, run):
    folds = shutil.copytree(whole.folds, tmp_path / "folds")
    before = (folds / "0" / "matcher.safetensors").read_bytes()
    own = folds / "1" / "matcher.safetensors"  # saw 02_train_01, which team 0 holds out
    arguments = (
        "train-matcher",
        whole.data,
        "--smoke",
        "--folds",
        folds,
        "--device",
        "cpu",
        "--replace",
        "--team",
        "0",
    )
    code, _, err = run(*arguments, "--init", own)
    assert code == 2 and "was trained on scene 02_train_01, which team 0 holds out" in err
    assert (folds / "0" / "matcher.safetensors").read_bytes() == before


def test_weights_of_another_family_are_refused(whole, tmp_path):
    with pytest.raises(InputError, match="holds the weights of a translator, not of a matcher"):
        stages.load_stage(stages.MATCHER, whole.folds / "0" / "translator.safetensors")


def test_the_runtime_makes_the_features_and_nothing_else(trained):
    """Flow and the coarse features see by it; the head stays the team's own."""
    made = []

    class Elsewhere:
        def features(self, family, weights):
            made.append((family.name, tuple(weights)))
            return GradientDirections()

    voice, device = Voice((trained.folds / "0",)), torch.device("cpu")
    networks, plain = propose.Networks(device, Elsewhere()), propose.Networks(device)
    flow, coarse = networks.of(voice, "flow"), networks.coarse(voice)
    assert isinstance(flow.encoder, GradientDirections) and isinstance(coarse, GradientDirections)
    assert networks.of(voice, "flow") is flow and networks.coarse(voice) is coarse
    assert made == [("flow", voice.weights("flow")), ("coarse", voice.weights("coarse"))]
    wanted = plain.of(voice, "flow").head.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in flow.head.state_dict().items())
    assert not isinstance(plain.of(voice, "flow").encoder, GradientDirections)
