"""A rehearsal whose scenes are tiny and whose scripts are stand-ins, so that all of it takes seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio

from solution.benchmark.rehearsal import commands, estimate, records, rehearse, scenes
from solution.benchmark.rehearsal.commands import SIMULATE
from solution.data import naming
from solution.scoring.submission import build_zip, map_name
from solution.tests.conftest import Recipe, write_raster, write_scene

SHIFT = (9.0, -6.0)
"""Of the ground in every scene, in px of both images, which lie on one grid."""

TRAIN_SCRIPT = """
echo "== data $1"
[[ ! -e $here/hang ]] || sleep 60
echo "== train-flow $1"
folds=$3
for fold in 0 1; do
  mkdir -p "$folds/$fold"
  echo "$fold" >"$folds/$fold/flow.safetensors"
  echo "flow fold $fold: wrote something"
done
cp "$here/split.csv" "$here/score.json" "$folds"
"""
TEST_SCRIPT = """
for optical in "$1"/*_optical_*; do
  name=$(basename "$optical" .tif)
  echo "${name/_optical/}: scene 1 of 2"
done
mkdir -p "$(dirname "$2")"
cp "$here/$(basename "$1").zip" "$2"
"""
TRAINED = ("02_train_01", "02_train_02", "03_train_01")


def write_map(path: Path, optical: Path, shift: tuple[float, float], dtype: str = "float32") -> None:
    """A map of one shift on the grid of an optical image."""
    with rasterio.open(optical) as image:
        grid = image.transform, image.crs.to_string()
        values = np.array(shift, dtype)[:, None, None] * np.ones((2, *image.shape), dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_raster(path, values, *grid)


@pytest.fixture(scope="session")
def all_scenes(tmp_path_factory) -> Path:
    """The scenes of a rehearsal, tiny ones, as the simulator would leave them, of 200 tie-points each."""
    folder = tmp_path_factory.mktemp("rehearsal") / "scenes"
    for seed, scene in enumerate(scenes.SCENES):
        recipe = Recipe(sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0), displacement=SHIFT, points=(20, 10), seed=seed)
        made = write_scene(folder, scene.name, recipe)
        write_map(made.optical.with_name(made.optical.name.replace("optical", "truth")), made.optical, SHIFT)
        write_map(made.optical.with_name(made.optical.name.replace("optical", "mask")), made.optical, (0, 0), "uint8")
    return folder


@dataclass(frozen=True)
class Stage:
    """A rehearsal's folder, and the folder of its stand-in scripts, with what they were asked for."""

    root: Path
    scripts: Path

    def calls(self) -> list[list[str]]:
        """Name and arguments of every script that was run, in order."""
        path = self.scripts / "calls"
        return [line.split() for line in path.read_text().splitlines()] if path.is_file() else []

    def write(self, name: str, program: str) -> None:
        """A script that notes its arguments and then runs a program, which knows its own folder as ``here``."""
        path = self.scripts / name
        path.write_text(
            f'#!/usr/bin/env bash\nset -eu\nhere={self.scripts}\necho {name} "$@" >>"$here/calls"\n{program}'
        )
        path.chmod(0o755)

    def submit(self, part: str, scenes: list[str]) -> None:
        """From now on test.sh leaves maps of these scenes for a part, 5 px off."""
        maps = {name: self.scripts / map_name(name) for name in scenes}
        for name, path in maps.items():
            write_map(path, self.root / "scenes" / naming.file_name(name, "optical"), (SHIFT[0] - 3, SHIFT[1] + 4))
        build_zip(maps, self.scripts / f"{part}.zip")


@pytest.fixture
def stage(tmp_path, all_scenes, monkeypatch) -> Stage:
    """A folder whose scenes are there, and stand-ins for the scripts."""
    made = Stage(tmp_path / "rehearsal", tmp_path / "scripts")
    shutil.copytree(all_scenes, made.root / "scenes")
    made.scripts.mkdir()
    made.write("train.sh", TRAIN_SCRIPT)
    made.write("test.sh", TEST_SCRIPT)
    made.write("predict.sh", "")
    made.submit("public", ["02_publictest", "03_publictest"])
    made.submit("private", ["01_privatetest"])
    rows = [f"{name},{name[:2]},{fold}" for fold, name in enumerate(TRAINED)]
    (made.scripts / "split.csv").write_text("\n".join(["scene,aoi,fold", *rows, ""]))
    score = {name: {"pipeline_px": 2.0 + fold, "zero_shift_px": 11.0} for fold, name in enumerate(TRAINED)}
    (made.scripts / "score.json").write_text(json.dumps({"leave_one_scene_out": score}))
    monkeypatch.setattr(commands, "script", lambda name: made.scripts / name)
    monkeypatch.setattr(estimate, "processor_gflops", lambda: 100.0)
    plan = rehearse.planned(made.root, "small", None)
    records.write(made.root, SIMULATE, records.Record(plan.key(SIMULATE), done=True))
    (made.root / rehearse.RESULT).write_text('{"scale": "small"}')
    return made


@pytest.fixture
def go(stage, run) -> Callable[..., tuple[int, str, str]]:
    """The verb on that folder: options -> exit code, stdout, stderr."""
    return lambda *options: run("rehearse", stage.root, "--scale", "small", *options)
