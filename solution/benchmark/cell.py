"""One method on one scene, measured in a process of its own: ``python -m solution.benchmark.cell REQUEST.json
ANSWER.json``."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from solution.benchmark.methods import METHODS, Task
from solution.core.errors import InputError
from solution.core.writing import write_text
from solution.data.scene import open_pair, without_labels
from solution.scoring import score

DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Request:
    """What the process is asked for.

    Attributes:
        method: a key of `methods.METHODS`.
        scene, optical, sar, tiepoints: the labelled pair.
        folds, teams, device, work: as in `methods.Task`.
    """

    method: str
    scene: str
    optical: str
    sar: str
    tiepoints: str
    folds: str
    teams: tuple[str, ...]
    device: str
    work: str

    def to_json(self) -> str:
        """The request as a file holds it."""
        return json.dumps(asdict(self))


def measure(request: Request) -> dict:
    """Run the method and score its shifts.

    Returns:
        ``status``: `DONE`, or `FAILED` with a ``reason`` where the method raised or gave shifts that are not finite.
        Where it is done, `score.summary` of its errors, ``seconds`` (from the open pair to the last shift; libraries,
        weights and images are loaded within) and ``memory_gb`` (peak of the process).
    """
    method = METHODS[request.method]
    pair = open_pair(Path(request.optical), Path(request.sar), Path(request.tiepoints), name=request.scene)
    truth = score.reference(pair.tiepoints_csv, pair.optical, pair.sar)
    blind = replace(truth, dx=np.full_like(truth.dx, np.nan), dy=np.full_like(truth.dy, np.nan))
    shown = truth if method.sees_labels else blind
    task = Task(
        without_labels(pair), shown, Path(request.folds), tuple(request.teams), request.device, Path(request.work)
    )
    started = time.perf_counter()
    try:
        shift = method.run(task)
    except Exception as error:  # whatever a peer raises: it is the cell's result, and the next cell is none the worse
        return failed(str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
    seconds, memory_gb = time.perf_counter() - started, peak_memory_gb()
    errors = score.distances_px(shift, truth)
    if not np.isfinite(errors).all():
        return failed(f"its shifts are not finite at {int((~np.isfinite(errors)).sum())} of {len(errors)} tie-points")
    # The mean in metres has no value where the CRS has no length unit, and JSON has no NaN.
    summary = {key: value for key, value in score.summary(errors, truth.pixel_m).items() if math.isfinite(value)}
    return {"status": DONE, **summary, "seconds": round(seconds, 2), "memory_gb": round(memory_gb, 3)}


def failed(reason: str) -> dict:
    """A cell without figures; `reason` is cut to its last line, where the message of an error stands."""
    lines = reason.strip().splitlines()
    return {"status": FAILED, "reason": lines[-1].strip()[:300] if lines else "no reason given"}


def peak_memory_gb() -> float:
    """Peak resident memory of this process in GB (1e9 bytes).

    Linux hands the peak of the process that started this one down to `getrusage`; the high-water mark of the memory map
    begins anew.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def main(request_path: str, answer_path: str) -> None:
    """Read the request, write the answer."""
    write_text(Path(answer_path), json.dumps(measure(Request(**json.loads(Path(request_path).read_text())))))


if __name__ == "__main__":
    main(*sys.argv[1:])
