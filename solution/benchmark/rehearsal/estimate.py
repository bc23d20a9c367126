"""What a rehearsal says of the contest's machine, 4 x T4 with 48 cores, where it ran without a GPU. An estimate, on the safe
side: one T4 of the four is counted, for training alone, and no more cores than there are here. docs/rehearsal.md gives the
reasons."""

from __future__ import annotations

import time

import torch
from torch.nn import functional

from solution.benchmark.rehearsal.measuring import Part

T4_GFLOPS = 8100.0
"""Of a T4 in single precision, by its data sheet."""
REACHED = 0.3
"""Share of that which convolutions of our sizes are taken to reach."""
MOST = 16.0
"""Times that a T4 is taken to be faster, whatever the cores are: its memory gives 320 GB/s, that of two cores some 20."""

_CHANNELS, _SIDE_PX, _BATCH, _ROUNDS = 64, 128, 8, 5


def devices() -> list[str]:
    """The GPUs of this machine, by name."""
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def processor_gflops() -> float:
    """What this machine's cores reach in a convolution of 3 x 3 in single precision, 1e9 operations a second.

    By the processors' time, which other work on the machine hardly changes, and the best of some rounds: the slower the
    cores seem to be, the better a T4 looks beside them.
    """
    images = torch.zeros(_BATCH, _CHANNELS, _SIDE_PX, _SIDE_PX)
    weights = torch.zeros(_CHANNELS, _CHANNELS, 3, 3)
    operations, best, threads = 2 * 9 * _CHANNELS**2 * _BATCH * _SIDE_PX**2, float("inf"), torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other, and waiting counts
    try:
        for _ in range(_ROUNDS):
            began = time.process_time()
            functional.conv2d(images, weights, padding=1)
            best = min(best, time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    return threads * operations / best / 1e9


def speedup(gflops: float) -> float:
    """How many times faster a T4 is taken to be in networks' work than cores of such a rate; never slower. Where there is a
    GPU, and no such rate, nothing is faster."""
    return min(MOST, max(1.0, REACHED * T4_GFLOPS / gflops)) if gflops else 1.0


def stage_s(part: Part, teams: int, trained: int, configured: int, faster: float = 1.0) -> float:
    """How long a training stage would take with the configured steps.

    What a model takes besides its steps is counted as steps too, which is on the safe side.

    Args:
        part: the stage as it was measured, with `trained` steps.
        teams: that it trains.
        faster: how many times faster the steps are than here; all else is as it is here.
    """
    model_s = sum(part.models_s) / len(part.models_s) if part.models_s else part.wall_s / teams
    models_s = min(part.wall_s, teams * model_s)
    return part.wall_s - models_s + models_s * configured / trained / faster
