"""One way to compute features, measured in a process of its own: ``python -m solution.benchmark.runtime_cell REQUEST.json
ANSWER.json``."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from solution.benchmark.cell import DONE, failed, peak_memory_gb
from solution.benchmark.variants import VARIANTS
from solution.core.errors import InputError
from solution.core.writing import scratch_folder, write_text

if TYPE_CHECKING:
    from solution.proposers.families import Family
    from solution.proposers.runtimes.runtime import Features, Runtime

Result = TypeVar("Result")

_REPEATS = 5


@dataclass(frozen=True)
class Request:
    """What the process is asked for.

    Attributes:
        variant: a key of `variants.VARIANTS`.
        folds: folder of the teams.
        cache: folder of graphs.
        optical, sar, map: the pair to predict, and where its map goes; empty = time the features alone.
        side_px: of the images that features are timed on.
    """

    variant: str
    folds: str
    cache: str
    optical: str = ""
    sar: str = ""
    map: str = ""
    side_px: int = 1024

    def to_json(self) -> str:
        """The request as a file holds it."""
        return json.dumps(asdict(self))


def measure(request: Request) -> dict:
    """Predict, or time the features.

    Returns:
        ``status``: `DONE`, or `FAILED` with a ``reason``; and what was measured.
    """
    try:
        found = predicted(request) if request.map else features(request)
    except (
        Exception
    ) as error:  # whatever a runtime raises: it is the cell's result, and the next cell is none the worse
        return failed(str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
    return {"status": DONE, **found}


def predicted(request: Request) -> dict:
    """``verdict``, ``seconds`` within Python, ``cpu_s`` of the whole process and ``memory_gb`` of one prediction."""
    import torch

    from solution.data.scene import open_pair
    from solution.products.predict import predict_pair
    from solution.products.settings import Settings
    from solution.teams.propose import Networks

    started = time.perf_counter()
    networks = Networks(torch.device("cpu"), VARIANTS[request.variant].make(Path(request.cache)))
    pair, out = open_pair(Path(request.optical), Path(request.sar)), Path(request.map)
    out.unlink(missing_ok=True)
    made = predict_pair(pair, out, Settings(Path(request.folds), "cpu"), networks=networks)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "verdict": made.verdict,
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "memory_gb": round(peak_memory_gb(), 3),
    }


def features(request: Request) -> dict:
    """What the features of flow and the coarse ones take together, on one thread.

    Returns:
        ``cpu_s_mp`` and ``s_mp``: seconds of the processor and of the clock per megapixel of both images; ``first_s``:
        of the processor, until the first images are done, where nothing was kept from before; ``load_s``: until the
        features are ready later on; ``difference``: the largest from torch, as the length of what must be added to a
        unit feature.
    """
    import torch

    from solution.products.settings import Settings
    from solution.proposers.families import COARSE, FLOW

    torch.set_num_threads(1)
    voice = Settings(Path(request.folds), "cpu").voices[0]
    with scratch_folder(Path(request.cache) / "first") as empty:
        runtime = VARIANTS[request.variant].make(empty)
        side = request.side_px
        found = [_of_family(runtime, family, voice.weights(family.name), side) for family in (FLOW, COARSE)]
    summed = {name: round(sum(one[name] for one in found), 3) for name in found[0] if name != "difference"}
    return {**summed, "difference": max(one["difference"] for one in found)}


def _of_family(runtime: Runtime | None, family: Family, weights: Sequence[Path], side: int) -> dict[str, float]:
    """The figures of `features` for one family."""
    import torch

    from solution.proposers.runtimes.graphs import BANDS, torch_features

    plain, generator = torch_features(family, weights), torch.Generator().manual_seed(0)
    images = {name: torch.rand(1, bands, side, side, generator=generator) for name, bands in BANDS.items()}
    valid, megapixels = torch.ones(1, side, side), side**2 / 1e6

    def seen(made: Features) -> list[torch.Tensor]:
        return [getattr(made, name)(image, valid) for name, image in images.items()]

    with torch.inference_mode():
        made, ready_s = _timed(lambda: runtime.features(family, weights) if runtime else plain)
        found, image_s = _timed(lambda: seen(made))
        _, load_s = _timed(lambda: runtime.features(family, weights) if runtime else plain)
        change = [(one - other).norm(dim=1).max() for one, other in zip(found, seen(plain), strict=True)]
        cpu_s, seconds = _best(lambda: seen(made))
    return {
        "cpu_s_mp": cpu_s / megapixels,
        "s_mp": seconds / megapixels,
        "first_s": ready_s + image_s,
        "load_s": load_s,
        "difference": float(max(change)),
    }


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What was done, and seconds of the processor."""
    before = time.process_time()
    return work(), time.process_time() - before


def _best(work: Callable[[], object]) -> tuple[float, float]:
    """Least seconds, of the processor and of the clock."""
    found = []
    for _ in range(_REPEATS):
        cpu, clock = time.process_time(), time.perf_counter()
        work()
        found.append((time.process_time() - cpu, time.perf_counter() - clock))
    return min(one[0] for one in found), min(one[1] for one in found)


def main(request_path: str, answer_path: str) -> None:
    """Read the request, write the answer."""
    write_text(Path(answer_path), json.dumps(measure(Request(**json.loads(Path(request_path).read_text())))))


if __name__ == "__main__":
    main(*sys.argv[1:])
