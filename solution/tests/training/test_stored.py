"""What a network learns does not depend on where its images are, nor on who cuts the tiles."""

from __future__ import annotations

import shutil

import pytest
import torch

from solution.core.devices import Devices
from solution.tests.training import several
from solution.tests.training.several import WEIGHTS
from solution.training import tile_data


@pytest.mark.slow
@pytest.mark.parametrize("shards", [[], ["--shards", "none"]], ids=["shards", "none"])
def test_images_on_disk_train_the_very_weights(trained, tmp_path, run, shards):
    shutil.copy(trained.folds / "split.csv", tmp_path)
    options = ["--smoke", "--folds", tmp_path, "--device", "cpu", "--team", "0", "--memory", "0", *shards]
    code, out, err = run("train-coarse", trained.data, *options)
    assert code == 0, err
    assert "images.parquet: 2 images, 0 MB decoded, 2 of them read anew" in out
    assert len(list((tmp_path / ".work" / "images").glob("*.blocks"))) == (0 if shards else 2)
    path = tmp_path / "0" / WEIGHTS
    assert path.read_bytes() == (trained.folds / "0" / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_workers_stay_over_epochs_and_change_nothing(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    loaders, whole = [], tile_data.TileData.train_dataloader

    def noting(self):
        loaders.append(whole(self))
        return loaders[-1]

    several.train(tmp_path / "alone", Devices("cpu"))
    monkeypatch.setattr(tile_data, "default_workers", lambda processes: 1)
    monkeypatch.setattr(tile_data.TileData, "train_dataloader", noting)
    several.train(tmp_path / "helped", Devices("cpu"))
    assert len(loaders) == 2 and loaders[0] is loaders[1] and loaders[0].persistent_workers
    assert (tmp_path / "alone" / WEIGHTS).read_bytes() == (tmp_path / "helped" / WEIGHTS).read_bytes()
