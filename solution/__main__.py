"""The command line: one verb per stage. Bad input ends in one sentence and exit code 2."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from rich.console import Console

from solution.cli import baseline, fitting, surface, training, translating
from solution.cli.shared import FOLDS, FOLDS_SHOWN, console, say, scenes_and_split
from solution.core.errors import InputError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_show_locals=False, help="SAR-to-optical registration (SpaceNet 9)."
)
app.add_typer(training.app)
app.add_typer(fitting.app)
app.add_typer(translating.app, name="translate")
app.add_typer(baseline.app, name="baseline")
app.add_typer(surface.app, name="surface")
_SOURCE_HELP = (
    "Only this source: flow, match, match_translated or gradient; may be given again. Without flow, matches start from geocoding, +-190 px."
)


@app.callback()
def _root() -> None:
    """Keeps verbs as sub-commands."""


@app.command()
def download(
    folder: Path = typer.Argument(..., metavar="DIR", help="Where the archives and their folders go."),
    base_url: str | None = typer.Option(None, help="Another place that serves the same archives."),
) -> None:
    """Fetch the official SpaceNet 9 archives: resumes, verifies, unpacks, skips what is done."""
    from solution.data import download as downloads

    downloads.fetch_all(folder, base_url or downloads.BASE_URL, downloads.ARCHIVES, console)
    console.print(f"next: python -m solution data {folder}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def data(
    folder: Path = typer.Argument(..., metavar="DATA_DIR", help="Holds AA_optical_NAME.tif, AA_sar_NAME.tif, AA_tiepoints_NAME.csv."),
    pixels: bool = typer.Option(True, "--pixels/--no-pixels", help="Read every image whole, which finds truncated and empty ones."),
) -> None:
    """Show what a folder holds: sizes, GSD, CRS, tie-points, shifts. Ends with code 2 where a pair has a problem."""
    from rich.progress import track

    from solution.scoring import inventory

    progress = Console(stderr=True)
    reports = list(
        track(inventory.take_inventory(folder, pixels), "reading", console=progress, transient=True, disable=not progress.is_terminal)
    )
    inventory.show(reports)
    if any(report.problem for report in reports):
        raise typer.Exit(2)


@app.command()
def split(
    folder: Path = typer.Argument(..., metavar="DATA_DIR", help="Labelled scenes."),
    output: Path | None = typer.Option(None, help="Default: folds/split.csv beside the package."),
) -> None:
    """Say which fold holds which scene out: the present split where it names every labelled scene, and else a new one."""
    from solution.data import folds as splits
    from solution.data.finding import discover

    path = output or splits.FOLDS / splits.SPLIT
    table, new = splits.split_for(discover(folder), path)
    if new:
        splits.write_split(table, path)
    console.print(f"{path}: {'made' if new else 'kept'}, {table['fold'].nunique()} folds", highlight=False, markup=False, soft_wrap=True)
    for fold, scenes in table.groupby("fold")["scene"]:
        console.print(f"fold {fold} holds out {', '.join(scenes)}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def score(
    data_dir: Path | None = typer.Argument(None, metavar="DATA_DIR", help="Labelled scenes; with MAPS_DIR."),
    maps_dir: Path | None = typer.Argument(None, metavar="MAPS_DIR", help="solution_SCENE.tif or offset_SCENE.tif for each."),
    evaluation_tiepoints: Path | None = typer.Option(None, "--evaluation_tiepoints", help="Tie-point CSV of one pair."),
    output_offset_image: Path | None = typer.Option(None, "--output_offset_image", help="Its offset map."),
    optical_image: Path | None = typer.Option(None, "--optical_image", help="Its optical image."),
    sar_image: Path | None = typer.Option(None, "--sar_image", help="Its SAR image."),
    score_file: Path | None = typer.Option(None, "--score_file", help="Gets one line more: the raw score, or -1."),
    json_file: Path | None = typer.Option(None, "--json", help="All numbers, for machines."),
) -> None:
    """Score one offset map with the official options, or all maps of a folder: score DATA_DIR MAPS_DIR.

    Ends with code 1 where a map is missing or gets no finite score.
    """
    from solution.core.artefact import write_text
    from solution.scoring import score as scorer
    from solution.scoring import score_tables

    folders, files = (data_dir, maps_dir), (evaluation_tiepoints, optical_image, sar_image, output_offset_image)
    if all(folders) and not any([*files, score_file]):
        scores = scorer.score_folder(data_dir, maps_dir)
        table = score_tables.folder_table(scores)
    elif all(files) and not any(folders):
        scores = [scorer.score_pair_to_file(*files, score_file)]
        table = score_tables.pair_table(scores[0])
    else:
        raise InputError(
            "score: pass DATA_DIR and MAPS_DIR, or all of --evaluation_tiepoints --output_offset_image --optical_image --sar_image"
            " (and --score_file, which goes with these only)"
        )
    if json_file is not None:
        write_text(json_file, score_tables.to_json(scores))
    score_tables.show(table, scores)
    if any(result.problem for result in scores):
        raise typer.Exit(1)


@app.command()
def propose(
    folder: Path = typer.Argument(..., metavar="DATA_DIR", help="Labelled scenes."),
    folds: Path = typer.Option(FOLDS, show_default=FOLDS_SHOWN, help="Where split.csv and the teams are."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N."),
    finest: int | None = typer.Option(
        None, min=1, max=8, help="Finest level: 1 every pixel, 2, 4 or 8 faster. Default: by the scene's size."
    ),
    source: list[str] = typer.Option([], help=f"{_SOURCE_HELP} Default: all that the team has weights for."),
) -> None:
    """Every team proposes candidates for the scenes that it never saw."""
    from solution.core.progress import tile_progress
    from solution.teams import out_of_fold
    from solution.teams.propose import Proposing

    with tile_progress(Console(stderr=True)) as progress:
        out_of_fold.propose_out_of_fold(*scenes_and_split(folder, folds), folds, Proposing(tuple(source), finest), device, progress, say)


@app.command("score-folds")
def score_folds(
    folder: Path = typer.Argument(..., metavar="DATA_DIR", help="Labelled scenes."),
    folds: Path = typer.Option(
        FOLDS, show_default=FOLDS_SHOWN, help="Where split.csv and the candidates are; score.json is written there."
    ),
) -> None:
    """Out-of-fold scores, leave one scene out and leave one AOI out, from the candidate tables."""
    from solution.teams import fold_scores

    result = fold_scores.score_folds(*scenes_and_split(folder, folds), folds)
    fold_scores.show_scores(result, console)
    say(f"written to {folds / fold_scores.SCORES}")


@app.command()
def predict(
    inputs: list[Path] = typer.Argument(None, metavar="[DATA_DIR | OPTICAL SAR OUTPUT]", help="Nothing: the embedded default."),
    folds: Path = typer.Option(FOLDS, show_default=FOLDS_SHOWN, help="Where the teams are."),
    out: Path = typer.Option(Path("submission"), help="Where the maps of DATA_DIR, or of the embedded default, go."),
    team: list[str] = typer.Option([], help="Only this team; may be given again. Default: all."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N."),
    finest: int | None = typer.Option(None, min=1, max=8, help="Finest level: 1 every pixel, 2 or 4 faster. Default: by the scene's size."),
    source: list[str] = typer.Option([], help=f"{_SOURCE_HELP} Default: all that the team has weights for."),
    warped_sar: bool = typer.Option(False, "--warped-sar", help="Also write the SAR image moved onto the optical grid."),
    uncertainty: bool = typer.Option(False, "--uncertainty", help="Also write the 68 % radius of the map's error, px."),
    rerank: bool = typer.Option(False, "--rerank", help="Set aside what the team's reranker doubts; takes about as long as flow."),
    surface_model: Path | None = typer.Option(
        None,
        help="Surface classifier of one band (surface train): what it takes for water or ice does not count either.",
    ),
    keep_water: bool = typer.Option(
        False, "--keep-water", help="Smooth dark ground of the SAR image is not water: let candidates there count."
    ),
    every: bool = typer.Option(False, "--all", help="With DATA_DIR: the labelled scenes too."),
) -> None:
    """Write offset maps: of one pair, of every test pair of a folder, or of the embedded default.

    Ends with code 4 where a map is weak, and with 3 where one failed; the report beside it says why.
    """
    from solution.core.progress import tile_progress
    from solution.field import verdict
    from solution.products import predict as prediction
    from solution.products import settings as settings_
    from solution.teams.propose import Proposing

    proposing = Proposing(tuple(source), finest)
    settings = settings_.Settings(folds, device, tuple(team), warped_sar, uncertainty, rerank, surface_model, keep_water, proposing)
    with tile_progress(Console(stderr=True)) as progress:
        word = verdict.worst(prediction.run(inputs or [], out, settings, every, progress, say))
    if word != "ok":
        print(f"WARNING: {verdict.WARNINGS[word]}", file=sys.stderr)
        raise typer.Exit(verdict.EXIT_CODES[word])


@app.command()
def simulate(
    output: Path = typer.Argument(..., metavar="OUT", help="Folder for the scenes, in the challenge's layout, with their truth maps."),
    scenes: int = typer.Option(1, min=1, help="How many."),
    size: tuple[int, int] = typer.Option((2048, 2048), metavar="H W", help="Optical size in px."),
    seed: int = typer.Option(0, min=0, help="Everything follows from it."),
    preset: str = typer.Option(
        "mixed", help="Landscape and sensors: gaziantep, city, suburb, village, farmland, mountain, coarse, coast, or mixed."
    ),
    click_noise: float = typer.Option(4.0, min=0.0, metavar="PX", help="Root mean square error of the tie-points."),
    sar_dtype: str = typer.Option("uint8", help="uint8, uint16 or float32."),
) -> None:
    """Simulate labelled scenes: oblique optical image, side-looking SAR image, tie-points and exact truth."""
    from solution.simulate import scene_writer

    for name, scene_seed in scene_writer.plan(scenes, seed):
        written = scene_writer.ensure_scene(output, name, size, scene_seed, preset, click_noise, sar_dtype)
        say(f"{output}: scene {name}, seed {scene_seed}{'' if written else ', is there already'}")


@app.command(name="simulate-statistics")
def simulate_statistics(
    folder: Path = typer.Argument(..., metavar="DIR", help="Simulated scenes."),
    tiepoints: Path | None = typer.Option(None, help="Real scenes, or real tie-point CSVs with geotransforms.json, to print beside them."),
) -> None:
    """Print what the tie-points say about the displacement, simulated and real side by side."""
    from solution.simulate import statistics

    groups = [("simulated", statistics.of_folder(folder))]
    if tiepoints is not None:
        groups.append(("real", statistics.of_folder(tiepoints)))
    console.print(statistics.as_text(groups), highlight=False, markup=False, soft_wrap=True)


@app.command()
def picture(
    optical: Path = typer.Argument(..., help="Optical image."),
    sar: Path = typer.Argument(..., help="SAR image."),
    offset_map: Path = typer.Argument(..., metavar="MAP", help="Their offset map."),
    out: Path = typer.Argument(..., help="PNG or JPEG."),
    window: tuple[int, int, int, int] | None = typer.Option(None, metavar="X Y W H", help="Part of the optical image, px."),
) -> None:
    """Draw a result: optical, SAR before and after as a chequerboard, and the offset map."""
    from solution.core.geometry import Window
    from solution.data.scene import open_pair
    from solution.products import picture as pictures

    pictures.draw(open_pair(optical, sar), offset_map, out, Window(*window) if window else None)
    say(f"{out}: written")


@app.command()
def benchmark(
    folders: list[Path] = typer.Argument(None, metavar="[DATA_DIR ...]", help="Folders of labelled scenes."),
    simulated: int = typer.Option(5, min=0, help="Scenes to simulate, with noise-free tie-points."),
    size: tuple[int, int] = typer.Option((3000, 3000), metavar="H W", help="Their optical size in px."),
    seed: int = typer.Option(30_000_000, min=0, help="Of the simulated scenes; no training uses the default."),
    preset: str = typer.Option("gaziantep", help="Their landscape and sensors, as in simulate."),
    method: list[str] = typer.Option([], help="Only this row; may be given again. Default: all."),
    out: Path = typer.Option(Path("runs/benchmark"), help="Gets the simulated scenes and benchmark.json; a killed run goes on there."),
    folds: Path = typer.Option(FOLDS, show_default=FOLDS_SHOWN, help="Where split.csv and the teams are."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N."),
    detail: bool = typer.Option(False, "--detail", help="Also a table for each scene."),
    fresh: bool = typer.Option(False, "--fresh", help="Measure finished cells again."),
) -> None:
    """Compare methods, and peers (requirements-benchmark.txt), on simulated and labelled scenes: errors, seconds, memory.

    A scene of the split is judged by the team that never saw it. A method that fails on a scene is a result, and does not end the run.
    """
    from solution.benchmark import run as benchmarks
    from solution.benchmark import scenes, table
    from solution.scoring import score_tables

    methods = benchmarks.chosen(method)
    pairs = scenes.labelled(folders or [])
    pairs = scenes.simulated(out, simulated, size, seed, preset, say) + pairs
    scenes.check(pairs)
    cells = benchmarks.run(benchmarks.Plan(methods, tuple(pairs), folds, device, out), fresh, say)
    for shown in [*(table.detail(*item) for item in cells.items() if detail), table.summary(cells)]:
        score_tables.show(shown, [])
    for line in table.problems(cells):
        say(line)


def main() -> None:
    """Entry point of ``python -m solution``."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
