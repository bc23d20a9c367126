"""Methods beside each other."""

from __future__ import annotations

from pathlib import Path

import typer

from solution.benchmark import PRESET, SEED
from solution.cli.shared import FOLDS, Device, SplitAndTeams, examples, say
from solution.core.errors import InputError

app = typer.Typer()


@app.command(
    epilog=examples(
        "benchmark data/train",
        "benchmark --method zero --method pipeline --simulated 2",
    ),
)
def benchmark(
    folders: list[Path] = typer.Argument(None, metavar="[DATA_DIR ...]", help="Folders of labelled scenes."),
    simulated: int = typer.Option(5, min=0, help="Scenes to simulate, with noise-free tie-points."),
    size: tuple[int, int] = typer.Option((3000, 3000), metavar="H W", help="Their optical size in px."),
    seed: int = typer.Option(SEED, min=0, help="Of the simulated scenes; no training uses the default."),
    preset: str = typer.Option(PRESET, help="Their landscape and sensors, as in simulate."),
    method: list[str] = typer.Option([], help="Only this row; may be given again. Default: all."),
    out: Path = typer.Option(
        Path("runs/benchmark"), help="Gets the simulated scenes and benchmark.json; a killed run goes on there."
    ),
    folds: SplitAndTeams = FOLDS,
    device: Device = "auto",
    detail: bool = typer.Option(False, "--detail", help="Also a table for each scene."),
    fresh: bool = typer.Option(False, "--fresh", help="Measure finished cells again."),
) -> None:
    """Compare methods, and peers (requirements-benchmark.txt), on simulated and labelled scenes: errors, seconds,
    memory.

    A scene of the split is judged by the team that never saw it. A method that fails on a scene is a result, and does
    not end the run.
    """
    from solution.benchmark import run as benchmarks
    from solution.benchmark import scenes, table
    from solution.core.outputs import check_folder
    from solution.scoring import score_tables

    check_folder(out)
    methods = benchmarks.chosen(method)
    pairs = scenes.labelled(folders or [])
    pairs = scenes.simulated(out, simulated, size, seed, preset, say) + pairs
    scenes.check(pairs)
    cells = benchmarks.run(benchmarks.Plan(methods, tuple(pairs), folds, device, out), fresh, say)
    for shown in [*(table.detail(*item) for item in cells.items() if detail), table.summary(cells)]:
        score_tables.show(shown, [])
    for line in table.problems(cells):
        say(line)


@app.command(
    epilog=examples(
        "steep data/train steeper",
        "steep data/train steeper --seed 3",
    ),
)
def steep(
    data: Path = typer.Argument(..., metavar="DATA_DIR", help="Labelled scenes."),
    out: Path = typer.Argument(..., metavar="OUT", help="Gets a folder of scenes for each steepness."),
    seed: int = typer.Option(40_000_000, min=0, help="Of the added fields."),
) -> None:
    """Make labelled scenes steeper, with known truth: their SAR images are warped by smooth fields along one direction,
    whose slopes reach 2, 4, 6 and 8 %.

    The scenes keep their names, so that the teams that never saw them judge them: benchmark every folder apart.
    """
    from solution.benchmark import scenes
    from solution.benchmark import steep as steeper
    from solution.core.outputs import check_folder

    check_folder(out)
    pairs = scenes.labelled([data])
    for number, gradient in enumerate(steeper.GRADIENTS):
        folder = out / f"slope_{round(100 * gradient)}"
        for index, pair in enumerate(pairs):
            kept = steeper.write(pair, folder, steeper.Steepness(gradient, seed + 100 * number + index))
            say(f"{folder}: {pair.name}, {kept} tie-points")


@app.command(
    epilog=examples(
        "speed",
        "speed --size 1000 --method pipeline",
    ),
)
def speed(
    size: list[int] = typer.Option(
        [], min=256, help="Side of a scene in px; may be given again. [default: 1000, 3000, 10000]"
    ),
    method: list[str] = typer.Option([], help="Only this row; may be given again. Default: pipeline and the peers."),
    out: Path = typer.Option(
        Path("runs/speed"), help="Gets the simulated scenes and the results; a killed run goes on there."
    ),
    folds: SplitAndTeams = FOLDS,
    device: Device = "auto",
    fresh: bool = typer.Option(False, "--fresh", help="Measure finished cells again."),
) -> None:
    """Measure how long methods, and peers (requirements-benchmark.txt), take on scenes of 1, 9 and 100 MP, and how much
    memory."""
    from solution.benchmark import run as benchmarks
    from solution.benchmark import speed as speeds
    from solution.benchmark import table
    from solution.core.outputs import check_folder
    from solution.scoring import score_tables

    check_folder(out)
    methods = benchmarks.chosen(method or speeds.METHODS)
    found = speeds.measure(methods, size or speeds.SIZES_PX, folds, device, out, fresh, say)
    score_tables.show(speeds.table(found), [])
    for line in dict.fromkeys(line for cells in found.values() for line in table.problems(cells)):
        say(line)


@app.command(
    "benchmark-runtimes",
    epilog=examples(
        "benchmark-runtimes",
        "benchmark-runtimes --size 1000 --row onnx --row openvino",
    ),
)
def benchmark_runtimes(
    size: list[int] = typer.Option(
        [], min=256, help="Side of a scene in px; may be given again. [default: 1000, 3000]"
    ),
    row: list[str] = typer.Option(
        [], help="Only this row, beside torch; may be given again. Default: all, see docs/runtimes.md."
    ),
    out: Path = typer.Option(
        Path("runs/runtimes"), help="Gets the simulated scenes, the maps and the results; a killed run goes on there."
    ),
    folds: SplitAndTeams = FOLDS,
    fresh: bool = typer.Option(False, "--fresh", help="Measure finished cells again."),
) -> None:
    """Compare what computes the features on the CPU (--runtime of predict, and torch in other ways): seconds of the
    features and of whole predictions, and how far maps and verdicts differ from those of torch."""
    from solution.benchmark import runtimes
    from solution.core.outputs import check_folder
    from solution.scoring import score_tables

    check_folder(out)
    plan = runtimes.Plan(runtimes.chosen(row), tuple(size or runtimes.SIZES_PX), folds, out)
    found = runtimes.run(plan, fresh, say)
    score_tables.show(runtimes.table(found, plan.sizes), [])
    for line in runtimes.problems(found):
        say(line)


@app.command(
    epilog=examples(
        "verdicts data/train",
        "verdicts data/train --source flow --out runs/flow_verdicts",
    ),
)
def verdicts(
    data: Path = typer.Argument(..., metavar="DATA_DIR", help="Labelled scenes."),
    source: list[str] = typer.Option([], help="Only this source, as in predict; may be given again."),
    out: Path = typer.Option(Path("runs/verdicts"), help="Gets verdicts.json; a killed run goes on there."),
    folds: SplitAndTeams = FOLDS,
    device: Device = "auto",
) -> None:
    """Judge the verdicts: predict labelled pairs, and pairs that cannot match (every optical image with every other
    scene's SAR image; the SAR image mirrored, turned, shifted, speckle, flat), and count what is said of them."""
    from solution.benchmark import scenes
    from solution.benchmark import verdicts as judged
    from solution.core.outputs import check_folder
    from solution.products.settings import Settings
    from solution.scoring import score_tables
    from solution.teams.propose import Proposing

    check_folder(out)
    settings = Settings(folds, device, proposing=Proposing(sources=tuple(source)))
    found = judged.run(scenes.labelled([data]), settings, out, say)
    score_tables.show(judged.table(found), [])


@app.command(
    epilog=examples(
        "trunks",
        "trunks data/train --trunk tf_efficientnet_lite0 --coarse folds/base/coarse.safetensors",
    ),
)
def trunks(
    folders: list[Path] = typer.Argument(None, metavar="[DATA_DIR ...]", help="Folders of labelled scenes."),
    trunk: list[str] = typer.Option(
        [], help="Only this network, of timm or terratorch:NAME; may be given again. Default: some of timm."
    ),
    coarse: list[Path] = typer.Option([], help="Also this trained head, with its trunk; may be given again."),
    size: int = typer.Option(1024, min=128, help="Side of the image that is timed, px."),
    out: Path = typer.Option(Path("runs/trunks"), help="Gets trunks.json; a killed run goes on there."),
    device: Device = "auto",
) -> None:
    """Compare pretrained networks as trunks: their parameters, their time, and how well their frozen maps alone find the
    fields of labelled scenes."""
    from solution.benchmark import scenes
    from solution.benchmark import trunks as compared
    from solution.core.outputs import check_folder
    from solution.scoring import score_tables

    check_folder(out)
    comparison = compared.Comparison(scenes.labelled(folders or []), size, device, out, say)
    names = trunk or ([] if coarse else compared.TRUNKS)
    rows = [compared.of_trunk(name, comparison) for name in names]
    rows += [compared.of_head(path, comparison) for path in coarse]
    score_tables.show(compared.table(rows), [])


@app.command(
    "benchmark-tiles",
    epilog=examples(
        "benchmark-tiles",
        "benchmark-tiles --number 10 --number 100 --shards none",
    ),
)
def benchmark_tiles(
    number: list[int] = typer.Option([], min=1, help="Images; may be given again. [default: 10, 1000]"),
    scenes: int = typer.Option(4, min=1, help="Scenes to simulate, which the images are links to."),
    size: int = typer.Option(1600, min=256, help="Their side in px."),
    tiles: int = typer.Option(1000, min=1, help="Tiles to cut of each number of images."),
    shards: str = typer.Option("made", help="made, or none: tiles are decoded from the images."),
    out: Path = typer.Option(
        Path("runs/tiles"), help="Gets the scenes, the links and the shards: 14 GB for 1000 images of 1600 px."
    ),
) -> None:
    """Measure whether training scales in data: tiles a second, seconds to begin, and memory, by the number of images."""
    from solution.benchmark import tile_speed
    from solution.core.outputs import check_folder
    from solution.scoring import score_tables

    if shards not in ("made", "none"):
        raise InputError(f"--shards {shards}: is neither made nor none")
    check_folder(out)
    found = tile_speed.measure(number or tile_speed.NUMBERS, scenes, size, tiles, shards == "made", out, say)
    score_tables.show(tile_speed.table(found), [])
