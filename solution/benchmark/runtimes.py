"""What computes the features, side by side: how long the features alone take, whole predictions, and whether the maps are
the same.

Every cell is measured in a process of its own, one after the other, and kept as it comes, so that a killed run goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from solution.benchmark import scenes
from solution.benchmark.cell import DONE, failed
from solution.benchmark.run import NOT_INSTALLED
from solution.benchmark.runtime_cell import Request
from solution.benchmark.variants import VARIANTS
from solution.core import artefact, environment
from solution.core.code import PACKAGE, code_digest
from solution.core.errors import InputError
from solution.core.writing import scratch_folder, write_text
from solution.data.opening import open_raster
from solution.data.scene import ScenePair
from solution.products.settings import Settings
from solution.teams.propose import Proposing

SIZES_PX = (1000, 3000)
SEED, PRESET = 9102, "suburb"
"""Of the scenes; nothing was chosen by looking at them."""
RESULTS = "runtimes.json"
FEATURES = "features"
"""The cell of a row that times its features alone; the others are named by the side of their scene in px."""
_CAPTION = (
    "features: seconds of the processor per MP of both images, flow and coarse together, one thread; off: the largest change of a"
    " unit feature;\nfirst, load: seconds of the processor until they are ready. cpu s, s: of the whole process, both"
    " processors and the clock's;\npx: largest change of the map."
)

Cells = dict[str, dict[str, dict]]
"""Row -> cell -> what was measured."""


@dataclass(frozen=True)
class Plan:
    """A benchmark of runtimes.

    Attributes:
        variants: rows, keys of `VARIANTS`.
        sizes: sides of the scenes, px.
        folds: folder of the teams.
        out: folder of scenes, maps and results.
    """

    variants: tuple[str, ...]
    sizes: tuple[int, ...]
    folds: Path
    out: Path

    def map(self, size: int, variant: str) -> Path:
        """Where the map of a scene by a row goes."""
        return self.out / f"{size}px" / f"{variant}.tif"


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The rows of these names in the table's order, the first always; all without any. Raises `InputError` for an unknown
    name."""
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"--row {name}: is unknown; choose from {', '.join(VARIANTS)}")
    return tuple(name for number, name in enumerate(VARIANTS) if not number or name in names or not names)


def run(plan: Plan, fresh: bool, say: Callable[[str], None]) -> Cells:
    """Fill the table, cell by cell.

    Args:
        fresh: measure finished cells again.

    Raises:
        InputError: missing weights, or a folder that cannot be written.
    """
    results = plan.out / RESULTS
    kept, found = {} if fresh else artefact.read_noted(results), {}
    pairs = {
        size: scenes.simulated(plan.out / f"{size}px", 1, (size, size), SEED, PRESET, say)[0] for size in plan.sizes
    }
    for cell in (FEATURES, *map(str, plan.sizes)):
        for name in plan.variants:
            pair = pairs.get(int(cell)) if cell != FEATURES else None
            key = _key(name, pair, plan.folds)
            answer = kept.get(name, {}).get(cell, {})
            if answer.get("key") != key or answer.get("status") != DONE:
                answer = {**_measured(name, pair, plan), "key": key}
                kept.setdefault(name, {})[cell] = answer
                write_text(results, json.dumps(kept, indent=1) + "\n")
            say(f"{name}: {cell}: {_line(answer)}")
            found.setdefault(name, {})[cell] = answer
    return found


def _measured(name: str, pair: ScenePair | None, plan: Plan) -> dict:
    lacking = VARIANTS[name].missing()
    if lacking:
        return {"status": NOT_INSTALLED, "reason": lacking}
    cache = str((plan.out / "graphs").resolve())
    request = Request(name, str(plan.folds.resolve()), cache)
    if pair is None:
        return launch(request, plan.out)
    size = pair.shape[0]
    path = plan.map(size, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    images = (str(image.resolve()) for image in (pair.optical, pair.sar))
    answer = launch(Request(request.variant, request.folds, cache, *images, str(path.resolve())), plan.out)
    if answer["status"] == DONE:
        answer["px"] = _farthest_px(path, plan.map(size, plan.variants[0]))
    return answer


def launch(request: Request, out: Path) -> dict:
    """Measure in a process of its own, with the variables that predict.sh sets; one that dies is a failed cell."""
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    with scratch_folder(out / "cell") as folder:
        asked, answer, errors = (folder / name for name in ("request.json", "answer.json", "errors.txt"))
        asked.write_text(request.to_json())
        started = time.perf_counter()
        with errors.open("w") as sink:
            ended = subprocess.run(
                [sys.executable, "-P", "-m", "solution.benchmark.runtime_cell", str(asked), str(answer)],
                env={**os.environ, **environment.variables(), "PYTHONPATH": path},
                stdout=subprocess.DEVNULL,
                stderr=sink,
                check=False,
            )
        if ended.returncode == 0 and answer.is_file():
            return {**json.loads(answer.read_text()), "process_s": round(time.perf_counter() - started, 2)}
        return failed(errors.read_text() or f"its process ended with code {ended.returncode}")


def _farthest_px(path: Path, other: Path) -> float:
    """Largest distance of two maps' shifts, px."""
    with open_raster(path) as map_, open_raster(other) as reference:
        strips = (window for _, window in map_.block_windows(1))
        return max(float(np.hypot(*(map_.read(window=strip) - reference.read(window=strip))).max()) for strip in strips)


def _key(name: str, pair: ScenePair | None, folds: Path) -> str:
    """Hash of all that a cell depends on. Raises `InputError` for missing weights."""
    weights = [Proposing().facts(voice) for voice in Settings(folds, "cpu").voices]
    code = code_digest("benchmark.runtime_cell", "benchmark.torch_variants")
    return artefact.digest([name, pair and pair.fingerprint(), weights, code, VARIANTS[name].versions()])


def _line(answer: dict) -> str:
    if answer["status"] != DONE:
        return answer["reason"]
    if "cpu_s_mp" in answer:
        return f"{answer['cpu_s_mp']:.2f} s of the processor per MP"
    return f"{answer['process_s']:.1f} s, {answer['cpu_s']:.1f} s of the processor, verdict {answer['verdict']}"


def table(found: Cells, sizes: Sequence[int]) -> Table:
    """Rows as they are named, then features, then every size."""
    shown = Table(box=box.SIMPLE, pad_edge=False, caption=_CAPTION, caption_justify="left")
    shown.add_column("row", no_wrap=True)
    titles = ["features s/MP", "off", "first s", "load s"]
    titles += [title for size in sizes for title in (f"{size * size / 1e6:g} MP: cpu s", "s", "GB", "px", "verdict")]
    for title in titles:
        shown.add_column(title, justify="right", no_wrap=True)
    for name, cells in found.items():
        figures = _of_features(cells[FEATURES])
        figures += [figure for size in sizes for figure in _of_map(cells[str(size)])]
        shown.add_row(name, *figures)
    return shown


def _of_features(answer: dict) -> list[str]:
    if answer["status"] != DONE:
        return [answer["status"], "", "", ""]
    return [
        f"{answer['cpu_s_mp']:.2f}",
        f"{answer['difference']:.0e}",
        f"{answer['first_s']:.1f}",
        f"{answer['load_s']:.1f}",
    ]


def _of_map(answer: dict) -> list[str]:
    if answer["status"] != DONE:
        return [answer["status"], "", "", "", ""]
    figures = [f"{answer['cpu_s']:.1f}", f"{answer['process_s']:.1f}", f"{answer['memory_gb']:.1f}"]
    return [*figures, f"{answer['px']:.3f}", answer["verdict"]]


def problems(found: Cells) -> list[str]:
    """A sentence for every row that could not be measured, or failed."""
    reasons = {
        (name, answer["reason"])
        for name, cells in found.items()
        for answer in cells.values()
        if answer["status"] != DONE
    }
    return [f"{name}: {reason}" for name, reason in sorted(reasons)]
