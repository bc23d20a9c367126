"""Whether training scales in data: how fast tiles are cut, and in how much memory, as the number of images grows.

A few simulated scenes are linked under many names, and every link is an image of its own to the training. Each number of
images is measured in processes of their own: one makes the index and the shards, the next begins with them, as every later
training does: ``python -m solution.benchmark.tile_speed REQUEST.json ANSWER.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from solution.benchmark import PRESET, SEED, scenes
from solution.benchmark.cell import peak_memory_gb
from solution.core import environment
from solution.core.code import PACKAGE
from solution.core.errors import InputError
from solution.core.memory import forget_peak
from solution.core.outputs import check_folder
from solution.core.writing import scratch_folder, write_text
from solution.data import naming
from solution.data.finding import find_scenes
from solution.data.scene import ScenePair
from solution.proposers.coarse.settings import CoarseConfig
from solution.samples.store import FOLDER, ImageStore, Keeping
from solution.samples.tiles import TilePairs

NUMBERS = (10, 1000)
_SEED = 0  # of the tiles
_HELD_BYTES = 32 * 2**20  # so little that a few images are read from disk too
_CAPTION = (
    "index: made once (0 where it was there); start: of a run that finds it; tiles: by one process; CPU s: of one processor,"
    " which other work on the machine changes little; GB: the process when it has begun and at its most, shards on disk."
)


@dataclass(frozen=True)
class Request:
    """What a process is asked for.

    Attributes:
        folder: of the scenes.
        work: folder of the index.
        tiles: how many to cut.
        decoded: whether there are shards.
    """

    folder: str
    work: str
    tiles: int
    decoded: bool


def measure(
    numbers: Sequence[int], count: int, size: int, tiles: int, decoded: bool, out: Path, say: Callable[[str], None]
) -> dict[int, dict]:
    """Figures of every number of images, in this order.

    Args:
        numbers: of images.
        count, size: scenes that are simulated, and their side in px.
        tiles: that are cut of each.
        decoded: whether there are shards.
        out: gets the scenes, the links, the index and the shards.

    Raises:
        InputError: the disk refuses them.
    """
    pairs = scenes.simulated(out, count, (size, size), SEED, PRESET, say)
    found = {}
    for number in numbers:
        folder = out / f"links_{size}px_{number}"
        link(pairs, folder, number)
        work = out / f"work_{size}px_{number}_{'shards' if decoded else 'none'}"
        first = _in_a_process(Request(str(folder), str(work), 0, decoded), out)
        found[number] = {
            **_in_a_process(Request(str(folder), str(work), tiles, decoded), out),
            "index_cpu_s": first["start_cpu_s"],
        }
        say(f"{number:,} images: {found[number]['tiles_s']:.1f} tiles/s, {found[number]['most_gb']:.2f} GB")
    return found


def link(pairs: Sequence[ScenePair], folder: Path, number: int) -> None:
    """Links to the files of scenes, in turn, under `number` names. Raises `InputError` where the disk refuses them."""
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        pair = pairs[index % len(pairs)]
        for source in (pair.optical, pair.sar, pair.tiepoints_csv, naming.beside(pair.optical, "truth")):
            kind = source.name.split("_")[1]
            target = folder / naming.file_name(f"00_link_{index:05d}", kind, source.suffix[1:])
            if not target.exists():
                target.symlink_to(source.resolve())


def figures(request: Request) -> dict:
    """Begin as a training does, and cut tiles: seconds, and memory in GB (1e9 bytes)."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    started, worked = time.perf_counter(), time.process_time()
    store = ImageStore(Path(request.work), Keeping(_HELD_BYTES, decoded=request.decoded))
    images = store.scenes(find_scenes(Path(request.folder)), "links")
    start, start_cpu = time.perf_counter() - started, time.process_time() - worked
    sample = TilePairs(images, CoarseConfig(), max(request.tiles, 1), _SEED)
    forget_peak()
    at_start = peak_memory_gb()
    started, worked = time.perf_counter(), time.process_time()
    for index in range(request.tiles):
        sample[index]
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    return {
        "start_s": start,
        "start_cpu_s": start_cpu,
        "tiles_s": request.tiles / max(seconds, 1e-9),
        "tiles_cpu_s": request.tiles / max(cpu, 1e-9),
        "start_gb": at_start,
        "most_gb": peak_memory_gb(),
        "disk_gb": sum(path.stat().st_size for path in (Path(request.work) / FOLDER).iterdir()) / 1e9,
    }


def _in_a_process(request: Request, out: Path) -> dict:
    with scratch_folder(out / "cell") as folder:
        asked, answer = folder / "request.json", folder / "answer.json"
        asked.write_text(json.dumps(asdict(request)))
        path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-P", "-m", "solution.benchmark.tile_speed", str(asked), str(answer)]
        env = {**os.environ, **environment.variables(), "PYTHONPATH": path}
        ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            reason = (ended.stderr.strip().splitlines() or [f"code {ended.returncode}"])[-1]
            raise InputError(f"{request.folder}: could not be measured ({reason}); give the same command again")
        return json.loads(answer.read_text())


def table(found: dict[int, dict]) -> Table:
    """Numbers of images in rows."""
    shown = Table(box=box.SIMPLE, pad_edge=False, caption=_CAPTION, caption_justify="left")
    titles = ("index CPU s", "start s", "CPU s", "tiles/s", "tiles/CPU s", "start GB", "most GB", "disk GB")
    for title in ("images", *titles):
        shown.add_column(title, justify="right", no_wrap=True)
    for number, one in found.items():
        seconds = [f"{one[name]:.1f}" for name in ("index_cpu_s", "start_s", "start_cpu_s")]
        speed = [f"{one['tiles_s']:.1f}", f"{one['tiles_cpu_s']:.1f}"]
        sizes = [f"{one[name]:.2f}" for name in ("start_gb", "most_gb", "disk_gb")]
        shown.add_row(f"{number:,}", *seconds, *speed, *sizes)
    return shown


def main(request_path: str, answer_path: str) -> None:
    """Read the request, write the answer."""
    write_text(Path(answer_path), json.dumps(figures(Request(**json.loads(Path(request_path).read_text())))))


if __name__ == "__main__":
    main(*sys.argv[1:])
