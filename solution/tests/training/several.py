"""A small training on a number of processes, which notes what every step saw: ``python -m
solution.tests.training.several OUT PROCESSES [KILLED_AT]``."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from solution.core import ranks
from solution.core.devices import Devices
from solution.proposers.coarse.settings import CoarseConfig
from solution.proposers.coarse.training import CoarseModule
from solution.samples import images
from solution.samples.images import TrainingImage
from solution.samples.truth import RegisteredField
from solution.training import run, stages, tile_data

CONFIG = dataclasses.replace(CoarseConfig().smoke(), batch_size=4, steps=6)
STEPS_PER_EPOCH = 3
WEIGHTS = "coarse.safetensors"


def source() -> TrainingImage:
    """A pair with a texture, part of which carries no data, so that tiles have labels of different number."""
    pixels = cv2.GaussianBlur(np.random.default_rng(0).integers(1, 255, (300, 300), dtype=np.uint8), (0, 0), 2)
    pixels[:, 200:] = 0
    optical, sar = images.pyramid(np.dstack([pixels] * 3)), images.pyramid(pixels)
    return TrainingImage("pairs/a", "registered", optical, sar, RegisteredField(1.0))


def train(out: Path, devices: Devices, killed_at: int | None = None) -> str:
    """Train; ``RANK.jsonl`` gets a line for every piece of a step. At a step the process is killed, if so told."""
    out.mkdir(exist_ok=True)
    whole, place = CoarseModule.training_step, out / f"{os.environ.get('LOCAL_RANK', '0')}.jsonl"

    def noting(self, sample, index):
        if self.trainer.global_step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = whole(self, sample, index)
        line = {
            "step": self.trainer.global_step,
            "tiles": sample["index"].tolist(),
            "loss": loss.item(),
            "pid": os.getpid(),
        }
        with place.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return loss

    before = CoarseModule.training_step, tile_data.STEPS_PER_EPOCH
    CoarseModule.training_step, tile_data.STEPS_PER_EPOCH = noting, STEPS_PER_EPOCH
    try:
        return run.train_stage(stages.COARSE, [source()], CONFIG, out / WEIGHTS, 0, 0, out / "work", device=devices)
    finally:
        CoarseModule.training_step, tile_data.STEPS_PER_EPOCH = before


if __name__ == "__main__":
    torch.set_num_threads(1)
    if ranks.is_helper():
        ranks.end_with_main()
    train(Path(sys.argv[1]), Devices("cpu", int(sys.argv[2])), *map(int, sys.argv[3:4]))
