"""The baseline through the public command line: networks made by hand find a known map, and tiny trained
teams keep to what they may see."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solution.baseline import picture, registration, report
from solution.baseline.keypoints import grid_points
from solution.baseline.network import NETWORKS
from solution.baseline.settings import BaselineConfig, SearchConfig
from solution.baseline.teams import found
from solution.benchmark import cell
from solution.benchmark import run as benchmarks
from solution.core import artefact
from solution.core.artefact import Manifest
from solution.data import folds as split
from solution.simulate import scene_writer
from solution.teams.team import fold_teams
from solution.tests.conftest import Recipe, Scene, invoke, write_scene

CONFIG = replace(BaselineConfig().smoke(), factor=1)
_TEMPLATE = 12


class Correlation(nn.Module):
    """A network without training: correlates the directions of gradients, which both images of the fixture
    share, around the crop's middle."""

    def __init__(self, optical_to_sar: bool) -> None:
        super().__init__()
        self.optical_to_sar, self.device_holder = optical_to_sar, nn.Parameter(torch.zeros(1))

    def forward(self, crops: Tensor) -> Tensor:
        images = [self._directions(crops[:, :3]), self._directions(crops[:, 3:])]
        template, searched = images if self.optical_to_sar else images[::-1]
        middle = crops.shape[-1] // 2
        around = slice(middle - _TEMPLATE, middle + _TEMPLATE + 1)
        maps = [
            F.conv2d(s[None], t[None, :, around, around], padding=_TEMPLATE)[0, 0]
            for s, t in zip(searched, template, strict=True)
        ]
        return (torch.stack(maps) / 1e3).sigmoid()

    @staticmethod
    def _directions(image: Tensor) -> Tensor:
        padded = F.pad(image.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        x, y = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
        return F.normalize(torch.cat([x.square() - y.square(), 2 * x * y], dim=1), dim=1, eps=1e-4)


def sloping(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An affine apparent displacement with unlike axes."""
    return 7 + 0.02 * (x - 96), -4 - 0.015 * (y - 80)


@pytest.fixture
def by_hand(monkeypatch, tmp_path) -> Path:
    """Folder of one team, whose networks are made by hand."""
    folds = tmp_path / "folds"
    manifest = Manifest("baseline", 0, (), asdict(CONFIG), 0)
    artefact.save_weights(folds / "0" / "baseline.safetensors", {"none": np.zeros(1, np.float32)}, manifest)
    nets = nn.ModuleDict({name: Correlation(name == "optical_to_sar") for name in NETWORKS}).eval()
    for module in (registration, report, picture):
        monkeypatch.setattr(module, "load_stage", lambda stage, path: (nets, artefact.read_manifest(path)))
    return folds


@pytest.fixture
def valley(make_scene) -> Scene:
    """5 m pixels, so that the grid of 100 m has many points."""
    return make_scene("07_valley", gsd=(5.0, 5.0), sar_gsd=(6.7, 6.6), sar_offset=(-31.0, 53.0), displacement=sloping)


def test_keypoints_become_the_true_map(by_hand, valley, tmp_path, run):
    pair = valley.open()
    code, out, _ = run(
        "baseline", "predict", valley.optical, valley.sar, tmp_path / "map.tif", "--folds", by_hand, "--device", "cpu"
    )
    assert code == 0 and "affine from" in out and "team 0" in out
    with rasterio.open(tmp_path / "map.tif") as dataset:
        found = dataset.read()
        assert dataset.shape == pair.shape and dataset.descriptions == ("dx", "dy")
    x, y = np.meshgrid(np.arange(192.0), np.arange(160.0))
    error = found - (np.stack(sloping(x, y)) - pair.centre_offset_px[:, None, None])
    assert np.abs(error[:, 20:-20, 20:-20]).max() < 1.0  # a crop's pixel is 1.34 optical ones
    table = pd.read_csv(tmp_path / "map.keypoints.csv")
    assert {"x", "y", "dx", "dy", "confidence", "team", "inlier"} == set(table.columns)
    assert np.hypot(*valley.error_px(table[table["inlier"]]).T).mean() < 1.3
    # The optical keypoints are where the grid points' ground lies, not the grid points themselves.
    seen = table["x"] + sloping(table["x"], table["y"])[0]
    asked = np.unique(grid_points(pair.shape, pair.gsd_m, SearchConfig())[:, 0])
    assert np.median(np.abs(seen.to_numpy()[:, None] - asked).min(axis=1)) < 1.5


def test_two_predictions_are_equal_to_the_byte(by_hand, valley, tmp_path):
    for name in ("a", "b"):
        invoke("baseline", "predict", valley.folder, "--out", tmp_path / name, "--folds", by_hand, "--device", "cpu")
    files = [sorted(path for path in (tmp_path / name).iterdir()) for name in ("a", "b")]
    assert [path.name for path in files[0]] == ["solution_07_valley.keypoints.csv", "solution_07_valley.tif"]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_the_report_by_hand(by_hand, valley, tmp_path):
    out = invoke(
        "baseline", "report", valley.folder, "--folds", by_hand, "--device", "cpu", "--json", tmp_path / "report.json"
    )
    (found,) = json.loads((tmp_path / "report.json").read_text())
    labels = valley.open().tiepoints()
    apparent = labels.shift + valley.open().centre_offset_px
    assert found["middle_px"] == pytest.approx(np.hypot(*apparent.T).mean()) and found["tiepoints"] == len(labels)
    assert (
        found["optical_to_sar_px"] < 2 and found["sar_to_optical_px"] < 5 < 7 < found["middle_px"]
    )  # templates of SAR points at the border are cut off
    assert found["baseline_px"] < 1.5 and found["affine_px"] < 1.0 and 6 < found["zero_px"] < 10
    assert found["kind"] == "affine" and 30 < found["inliers"] <= found["keypoints"] <= 9 * 8
    assert "inliers of the affine" in out and f"{found['baseline_px']:.2f}" in out


def test_a_blank_image_gives_a_map_of_zeros(by_hand, make_scene, tmp_path, run):
    scene = make_scene("07_island", shape=(700, 700), sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0), points=None)
    with rasterio.open(scene.sar, "r+") as dataset:
        values = dataset.read()
        values[:, 16:] = 0  # no data where the grid's points lie
        dataset.write(values)
    assert (
        run(
            "baseline", "predict", scene.optical, scene.sar, tmp_path / "map.tif", "--folds", by_hand, "--device", "cpu"
        )[0]
        == 0
    )
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert not dataset.read().any()
    assert len(pd.read_csv(tmp_path / "map.keypoints.csv")) == 0


def test_the_benchmark_has_a_row(by_hand, valley, tmp_path, run, monkeypatch):
    monkeypatch.setattr(benchmarks, "launch", lambda request, _: cell.measure(request))
    fixed = (
        "--simulated",
        0,
        "--folds",
        by_hand,
        "--device",
        "cpu",
        "--out",
        tmp_path / "out",
        "--method",
        "zero",
        "--method",
        "baseline",
    )
    assert run("benchmark", valley.folder, *fixed)[0] == 0
    found = json.loads((tmp_path / "out" / "benchmark.json").read_text())["07_valley"]
    assert found["baseline"]["mean_px"] < 1.5 < found["zero"]["mean_px"] and found["baseline"]["teams"] == ["0"]
    (by_hand / "0" / "baseline.safetensors").unlink()
    assert run("benchmark", valley.folder, *fixed)[0] == 0
    found = json.loads((tmp_path / "out" / "benchmark.json").read_text())["07_valley"]
    assert "baseline train DATA_DIR" in found["baseline"]["reason"]


@dataclass(frozen=True)
class Taught:
    """Two tiny labelled scenes, a folder of simulated ones, the teams of a smoke run, and what that printed."""

    data: Path
    simulated: Path
    folds: Path
    output: str

    def train(self, *more: object, folds: Path | None = None) -> tuple:
        return (
            "baseline",
            "train",
            self.data,
            "--simulated",
            self.simulated,
            "--folds",
            folds or self.folds,
            "--device",
            "cpu",
            *more,
        )


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Taught:
    root = tmp_path_factory.mktemp("taught")
    for seed, name in enumerate(("02_train_01", "03_train_01")):
        write_scene(root / "data", name, Recipe(seed=seed, displacement=(9.0, -6.0)))
    write_scene(root / "made", "02_train_01", Recipe(seed=7))
    invoke("split", root / "data", "--output", root / "folds" / "split.csv")
    made = Taught(root / "data", root / "made", root / "folds", "")
    return replace(made, output=invoke(*made.train("--smoke")))


def test_no_team_saw_what_it_holds_out(taught):
    seen = {
        name: artefact.read_manifest(taught.folds / name / "baseline.safetensors").trained_on
        for name in ("base", "0", "1")
    }
    assert seen == {
        "base": ("made/02_train_01",),
        "0": ("03_train_01", "made/02_train_01"),
        "1": ("02_train_01", "made/02_train_01"),
    }
    assert taught.output.count("wrote") == 3 and "validation keypoints" in taught.output
    assert not list((taught.folds / ".work").glob("*")) and not (taught.folds / "aoi_02").exists()


def test_finished_teams_are_skipped_and_other_settings_refused(taught, run):
    before = (taught.folds / "0" / "baseline.safetensors").read_bytes()
    code, out, _ = run(*taught.train("--smoke"))
    assert code == 0 and out.count("up to date, skipped") == 3
    code, _, err = run(*taught.train("--smoke", "--epochs", 2))
    assert code == 2 and "pass --replace" in err and len(err.strip().splitlines()) == 1
    assert (taught.folds / "0" / "baseline.safetensors").read_bytes() == before


def test_training_again_gives_the_same_weights(taught, tmp_path):
    folds = tmp_path / "folds"
    shutil.copytree(taught.folds / "base", folds / "base")
    shutil.copy(taught.folds / "split.csv", folds)
    invoke("baseline", "train", taught.data, "--folds", folds, "--device", "cpu", "--smoke", "--team", 1)
    assert [path.parent.name for path in sorted(folds.glob("*/baseline.safetensors"))] == ["1", "base"]
    first, second = (artefact.load_weights(place / "1" / "baseline.safetensors")[0] for place in (folds, taught.folds))
    assert all(np.array_equal(first[name], second[name]) for name in second)


def test_a_team_is_not_asked_about_what_it_saw(taught, run, tmp_path):
    first = [taught.data / f"02_{kind}_train_01.tif" for kind in ("optical", "sar")]
    fixed = ("--folds", taught.folds, "--device", "cpu")
    code, out, _ = run("baseline", "predict", *first, tmp_path / "map.tif", *fixed)
    assert code == 0 and "team 0" in out and "team 0, 1" not in out
    code, _, err = run("baseline", "predict", *first, tmp_path / "other.tif", "--team", "1", *fixed)
    assert code == 2 and "was trained on scene 02_train_01" in err and not (tmp_path / "other.tif").exists()
    for verb in (["report", taught.data, "--team", "1"], ["picture", taught.data, tmp_path / "x.png", "--team", "1"]):
        assert run("baseline", *verb, *fixed)[0] == 2
    elsewhere = write_scene(tmp_path / "new", "09_new", Recipe(seed=5))
    assert "team 0, 1" in run("baseline", "predict", elsewhere.optical, elsewhere.sar, tmp_path / "new.tif", *fixed)[1]


def test_a_folder_is_scored(taught, run, tmp_path):
    code, out, _ = run(
        "baseline", "predict", taught.data, "--out", tmp_path, "--folds", taught.folds, "--device", "cpu"
    )
    assert code == 0 and "zero" in out and "02_train_01" in out and "03_train_01" in out


def test_a_picture_of_crops_and_heatmaps(taught, tmp_path):
    for name in ("a.png", "b.png"):
        invoke(
            "baseline",
            "picture",
            taught.data,
            tmp_path / name,
            "--scene",
            "03_train_01",
            "--count",
            2,
            "--folds",
            taught.folds,
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    height, width, _ = cv2.imread(str(tmp_path / "a.png")).shape
    assert width > 600 and 300 < height < width


def test_the_shipped_teams_never_saw_what_they_hold_out():
    table = split.read_split(split.FOLDS / split.SPLIT)
    shipped = found(split.FOLDS)
    assert list(shipped) == [team.name for team in fold_teams(table)]
    for team in fold_teams(table):
        manifest = artefact.read_manifest(*shipped[team.name])
        assert manifest.fold == team.number and not set(manifest.trained_on) & set(team.held_out), team.name
        assert set(table["scene"]) - set(team.held_out) <= set(manifest.trained_on)
        assert {f"simulated/{name}" for name, _ in scene_writer.plan(32, 1000)} <= set(manifest.trained_on)
    assert sum(path.stat().st_size for paths in shipped.values() for path in paths) < 12 * 2**20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "DATA", "--team", "7"], "--team 7: is none of base, 0, 1"),
        (["train", "DATA", "--team", "base"], "add --simulated DIR"),
        (["train", "DATA", "--setting", "large"], "--setting large"),
        (["predict", "DATA", "x.tif"], "takes DATA_DIR, or OPTICAL SAR OUT.tif"),
        (["predict", "DATA", "--team", "9"], "--team 9: is none of "),
        (["predict", "OPTICAL", "SAR", "x.png"], "ends in .tif"),
        (["predict", "OPTICAL", "SAR", "x.tif", "--folds", "EMPTY"], "no team of the baseline is trained"),
        (["picture", "DATA", "x.txt"], "neither PNG nor JPEG"),
        (["picture", "DATA", "x.png", "--scene", "nowhere"], "is no labelled scene"),
    ],
)
def test_bad_input_ends_in_one_sentence(taught, run, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    stand_for = {
        "DATA": taught.data,
        "EMPTY": tmp_path,
        **{kind.upper(): taught.data / f"02_{kind}_train_01.tif" for kind in ("optical", "sar")},
    }
    more = [] if "--folds" in arguments else ["--folds", taught.folds]
    code, _, err = run("baseline", *[stand_for.get(part, part) for part in arguments], *more, "--device", "cpu")
    assert code == 2 and words in err and len(err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("x.*")) and not list(tmp_path.glob("runs/baseline/*"))
