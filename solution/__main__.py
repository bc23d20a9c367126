"""The command line: one verb per stage. Bad input ends in one sentence and exit code 2."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from solution.errors import InputError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_show_locals=False, help="SAR-to-optical registration (SpaceNet 9)."
)
translate = typer.Typer(no_args_is_help=True, help="SAR2Optical: paint SAR images as optical ones would look.")
app.add_typer(translate, name="translate")
console = Console()
_FOLDS = Path(__file__).resolve().parents[1] / "folds"
_SOURCE_HELP = (
    "Only this source: flow, match or match_translated; may be given again. Without flow, matches start from geocoding, +-190 px."
)
_FOLDS_SHOWN = "folds/ beside the package"
_TRANSLATOR = _FOLDS / "base" / "translator.safetensors"
_TRANSLATOR_SHOWN = "folds/base/translator.safetensors beside the package"

# Options that the training verbs of all stages share.
_Labelled = Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Labelled scenes.")]
_Simulated = Annotated[list[Path], typer.Option(help="Folder of simulated scenes that every team may see; may be given again.")]
_Pairs = Annotated[list[Path], typer.Option(help="Folder of registered image pairs that every team may see; may be given again.")]
_Exclude = Annotated[list[str], typer.Option(help="File stem of a pair to leave out, because it shows ground of a labelled scene.")]
_Folds = Annotated[Path, typer.Option(show_default=_FOLDS_SHOWN, help="Where split.csv is and the artefacts go.")]
_Init = Annotated[
    Path | None, typer.Option(help="Weights to start from; default: those of the stage in base/ below --folds, where present.")
]
_InitWeights = Annotated[
    Path | None,
    typer.Option(help="Folder with the published DISK and LightGlue weights to start from, see: python -m solution weights."),
]
_Team = Annotated[
    list[str], typer.Option(help="Only this team; may be given again, so that several machines can share the work. Default: all.")
]
_Device = Annotated[str, typer.Option(help="auto, cpu, cuda (all GPUs), cuda:N.")]
_Steps = Annotated[int | None, typer.Option(help="Optimisation steps instead of the configured number.")]
_Smoke = Annotated[bool, typer.Option("--smoke", help="Seconds instead of hours; the result is worthless.")]
_Replace = Annotated[bool, typer.Option("--replace", help="Overwrite artefacts made with other settings or data.")]


@app.callback()
def _root() -> None:
    """Keeps verbs as sub-commands."""


@app.command()
def download(
    folder: Path = typer.Argument(..., metavar="DIR", help="Where the archives and their folders go."),
    base_url: str | None = typer.Option(None, help="Another place that serves the same archives."),
) -> None:
    """Fetch the official SpaceNet 9 archives: resumes, verifies, unpacks, skips what is done."""
    from solution import download as downloads

    downloads.fetch_all(folder, base_url or downloads.BASE_URL, downloads.ARCHIVES, console)
    console.print(f"next: python -m solution data {folder}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def data(
    folder: Path = typer.Argument(..., metavar="DATA_DIR", help="Holds AA_optical_NAME.tif, AA_sar_NAME.tif, AA_tiepoints_NAME.csv."),
    pixels: bool = typer.Option(True, "--pixels/--no-pixels", help="Read every image whole, which finds truncated and empty ones."),
) -> None:
    """Show what a folder holds: sizes, GSD, CRS, tie-points, shifts. Ends with code 2 where a pair has a problem."""
    from rich.progress import track

    from solution import inventory

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
    from solution import split as splits
    from solution.scene import discover

    path = output or splits.SPLIT_CSV
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
    from solution import score as scorer
    from solution.artefact import write_text

    folders, files = (data_dir, maps_dir), (evaluation_tiepoints, optical_image, sar_image, output_offset_image)
    if all(folders) and not any([*files, score_file]):
        scores = scorer.score_folder(data_dir, maps_dir)
        table = scorer.folder_table(scores)
    elif all(files) and not any(folders):
        scores = [scorer.score_pair_to_file(*files, score_file)]
        table = scorer.pair_table(scores[0])
    else:
        raise InputError(
            "score: pass DATA_DIR and MAPS_DIR, or all of --evaluation_tiepoints --output_offset_image --optical_image --sar_image"
            " (and --score_file, which goes with these only)"
        )
    if json_file is not None:
        write_text(json_file, scorer.to_json(scores))
    scorer.show(table, scores)
    if any(result.problem for result in scores):
        raise typer.Exit(1)


@app.command("train-base")
def train_base(
    stage: str = typer.Option("flow", help="What to train: flow or matcher. The translator has verbs of its own."),
    pairs: _Pairs = [],  # noqa: B006 (Typer copies it)
    simulated: _Simulated = [],  # noqa: B006
    exclude: _Exclude = [],  # noqa: B006
    folds: Path = typer.Option(_FOLDS, show_default=_FOLDS_SHOWN, help="The artefact goes into base/ below it."),
    init: Path | None = typer.Option(None, help="Weights to start from; default: chance."),
    init_weights: _InitWeights = None,
    translator: Path | None = typer.Option(None, help="Matcher: translator through which a part of the SAR tiles goes."),
    device: _Device = "auto",
    steps: _Steps = None,
    smoke: _Smoke = False,
    replace: _Replace = False,
) -> None:
    """Train the model that every fold starts from, on registered pairs and simulated scenes only: it sees no labelled scene."""
    from solution import teams, train

    _one_start(init, init_weights)
    chosen = _matching_stage(stage, translator, init_weights)
    config = train.chosen_config(chosen, steps, smoke, fine_tune=False)
    if init_weights is not None:
        config, init = config.official(), _official(init_weights, folds)
    elif init is not None:
        config = train.sized_like(config, chosen, init)
    sources = _shared_sources(simulated, pairs, exclude)
    say(train.train_stage(chosen, sources, config, folds / teams.BASE / chosen.file, -1, 0, folds / ".work", init, device, replace))


def _matching_stage(stage: str, translator: Path | None, init_weights: Path | None):
    """The stage of a name, with the translator that helps it."""
    from solution import train

    if stage not in ("flow", "matcher"):
        raise InputError(
            f"--stage {stage}: is neither flow nor matcher; the translator is trained with: python -m solution translate train"
        )
    if stage == "flow" and (translator or init_weights):
        raise InputError("--translator and --init-weights belong to the matcher; add --stage matcher")
    return train.matcher_with(translator) if stage == "matcher" else train.FLOW


def _one_start(init: Path | None, init_weights: Path | None) -> None:
    if init and init_weights:
        raise InputError("--init and --init-weights: both say where to start from; pass one of them")


def _official(folder: Path, folds: Path) -> Path:
    """The published weights of a folder as an artefact."""
    from solution import official

    out = folds / ".work" / "published.safetensors"
    say(official.convert(folder, out))
    return out


def _shared_sources(simulated: list[Path], pairs: list[Path], exclude: list[str]) -> list:
    """What every team may see, in memory."""
    from solution.scene import discover
    from solution.tiles import pair_sources, scene_source

    scenes = [scene_source(pair, place.name) for place in simulated for pair in discover(place)]
    return scenes + [source for place in pairs for source in pair_sources(place, exclude)]


@app.command("train-flow")
def train_flow(
    folder: _Labelled,
    simulated: _Simulated = [],  # noqa: B006
    pairs: _Pairs = [],  # noqa: B006
    exclude: _Exclude = [],  # noqa: B006
    folds: _Folds = _FOLDS,
    init: _Init = None,
    team: _Team = [],  # noqa: B006
    device: _Device = "auto",
    steps: _Steps = None,
    smoke: _Smoke = False,
    replace: _Replace = False,
) -> None:
    """Train the flow regressor of every team; finished teams are skipped, a killed run goes on."""
    from solution import teams, train

    start = init or _base(train.FLOW, folds, smoke)
    config = train.chosen_config(train.FLOW, steps, smoke, fine_tune=start is not None)
    shared = partial(_shared_sources, simulated, pairs, exclude)
    teams.train_teams(lambda _: train.FLOW, *_scenes_and_split(folder, folds), folds, config, shared, start, device, replace, say, team)


def _base(stage, folds: Path, smoke: bool) -> Path | None:
    """The stage's base model below `folds`, where there is one and the run is meant."""
    from solution import teams

    path = folds / teams.BASE / stage.file
    return path if path.is_file() and not smoke else None


def _scenes_and_split(folder: Path, folds: Path) -> tuple:
    from solution import split as splits
    from solution.scene import discover

    table = splits.read_split(folds / "split.csv")
    return discover(folder), table


@app.command("train-matcher")
def train_matcher(
    folder: _Labelled,
    simulated: _Simulated = [],  # noqa: B006
    pairs: _Pairs = [],  # noqa: B006
    exclude: _Exclude = [],  # noqa: B006
    folds: _Folds = _FOLDS,
    init: _Init = None,
    init_weights: _InitWeights = None,
    team: _Team = [],  # noqa: B006
    device: _Device = "auto",
    steps: _Steps = None,
    smoke: _Smoke = False,
    replace: _Replace = False,
) -> None:
    """Train the matcher of every team; a part of its tiles goes through the team's translator, where there is one."""
    from solution import artefact, teams, train

    def stage_of(team: Path):
        translator = team / train.TRANSLATOR.file
        return train.matcher_with(translator if translator.is_file() else None)

    _one_start(init, init_weights)
    start = init or (None if init_weights else _base(train.MATCHER, folds, smoke))
    own = start is not None and artefact.read_manifest(start).stage == train.MATCHER.name
    config = train.chosen_config(train.MATCHER, steps, smoke, fine_tune=own)
    if init_weights is not None:
        config, start = config.official(), _official(init_weights, folds)
    elif own:
        config = train.sized_like(config, train.MATCHER, start)
    shared = partial(_shared_sources, simulated, pairs, exclude)
    teams.train_teams(stage_of, *_scenes_and_split(folder, folds), folds, config, shared, start, device, replace, say, team)


@app.command()
def weights(
    folder: Path | None = typer.Argument(None, metavar="[DIR]", help="Folder to look for them in."),
) -> None:
    """List the published weights that the matcher can start from, with their licences, and check those of a folder."""
    from solution import official

    found = official.states(folder) if folder else {}
    console.print(official.overview(found))
    for file in official.FILES:
        say(f"{file.name}: {file.url}")
        say(f"  sha256 {file.sha256}")
    if folder is not None:
        official.require(found, folder)


@app.command("train-translator")
def train_translator(
    folder: _Labelled,
    simulated: _Simulated = [],  # noqa: B006
    pairs: _Pairs = [],  # noqa: B006
    split: list[Path] = typer.Option(
        [], help="Split of the first --pairs folder, ..., as in translate train: only its training part is seen."
    ),
    exclude: _Exclude = [],  # noqa: B006
    folds: _Folds = _FOLDS,
    init: _Init = None,
    team: _Team = [],  # noqa: B006
    device: _Device = "auto",
    steps: _Steps = None,
    smoke: _Smoke = False,
    replace: _Replace = False,
) -> None:
    """Train the translator of every team on scene tiles in register; finished teams are skipped, a killed run goes on."""
    from solution import teams, train
    from solution.pairs import parted
    from solution.tiles import pair_source

    def shared() -> list:
        return [pair_source(pair) for pair in parted(pairs, split, exclude)["train"]] + _shared_sources(simulated, [], [])

    start = init or _base(train.TRANSLATOR, folds, smoke)
    config = train.chosen_config(train.TRANSLATOR, steps, smoke, fine_tune=start is not None)
    teams.train_teams(
        lambda _: train.TRANSLATOR, *_scenes_and_split(folder, folds), folds, config, shared, start, device, replace, say, team
    )


@app.command()
def propose(
    folder: Path = typer.Argument(..., metavar="DATA_DIR", help="Labelled scenes."),
    folds: Path = typer.Option(_FOLDS, show_default=_FOLDS_SHOWN, help="Where split.csv and the teams are."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N."),
    finest: int | None = typer.Option(
        None, min=1, max=8, help="Finest level: 1 every pixel, 2, 4 or 8 faster. Default: by the scene's size."
    ),
    source: list[str] = typer.Option([], help=f"{_SOURCE_HELP} Default: all that the team has weights for."),
) -> None:
    """Every team proposes candidates for the scenes that it never saw."""
    from solution import split as splits
    from solution import teams
    from solution.propose import Proposing
    from solution.scene import discover
    from solution.show import tile_progress

    table = splits.read_split(folds / "split.csv")
    with tile_progress(Console(stderr=True)) as progress:
        teams.propose_out_of_fold(discover(folder), table, folds, Proposing(tuple(source), finest), device, progress, say)


@app.command("score-folds")
def score_folds(
    folder: Path = typer.Argument(..., metavar="DATA_DIR", help="Labelled scenes."),
    folds: Path = typer.Option(
        _FOLDS, show_default=_FOLDS_SHOWN, help="Where split.csv and the candidates are; score.json is written there."
    ),
) -> None:
    """Out-of-fold scores, leave one scene out and leave one AOI out, from the candidate tables."""
    from solution import split as splits
    from solution import teams
    from solution.scene import discover

    result = teams.score_folds(discover(folder), splits.read_split(folds / "split.csv"), folds)
    teams.show_scores(result, console)
    say(f"written to {folds / teams.SCORES}")


@app.command()
def predict(
    inputs: list[Path] = typer.Argument(None, metavar="[DATA_DIR | OPTICAL SAR OUTPUT]", help="Nothing: the embedded default."),
    folds: Path = typer.Option(_FOLDS, show_default=_FOLDS_SHOWN, help="Where the teams are."),
    out: Path = typer.Option(Path("submission"), help="Where the maps of DATA_DIR, or of the embedded default, go."),
    team: list[str] = typer.Option([], help="Only this team; may be given again. Default: all."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N."),
    finest: int | None = typer.Option(None, min=1, max=8, help="Finest level: 1 every pixel, 2 or 4 faster. Default: by the scene's size."),
    source: list[str] = typer.Option([], help=f"{_SOURCE_HELP} Default: flow."),
    warped_sar: bool = typer.Option(False, "--warped-sar", help="Also write the SAR image moved onto the optical grid."),
    every: bool = typer.Option(False, "--all", help="With DATA_DIR: the labelled scenes too."),
) -> None:
    """Write offset maps: of one pair, of every test pair of a folder, or of the embedded default.

    Ends with code 3 where a map had to fall back to zero shift.
    """
    from solution import offsets
    from solution import predict as prediction
    from solution.propose import Proposing
    from solution.show import tile_progress

    settings = prediction.Settings(folds, device, tuple(team), warped_sar, Proposing(tuple(source) or prediction.DEFAULT_SOURCES, finest))
    with tile_progress(Console(stderr=True)) as progress:
        kinds = prediction.run(inputs or [], out, settings, every, progress, say)
    if "zero" in kinds:
        print("WARNING: no trustworthy match was found; a map of ZERO SHIFT was written", file=sys.stderr)
        raise typer.Exit(offsets.EXIT_ZERO_SHIFT)


@app.command()
def simulate(
    output: Path = typer.Argument(..., metavar="OUT", help="Folder for the scenes, in the challenge's layout, with their truth maps."),
    scenes: int = typer.Option(1, min=1, help="How many."),
    size: tuple[int, int] = typer.Option((2048, 2048), metavar="H W", help="Optical size in px."),
    seed: int = typer.Option(0, min=0, help="Everything follows from it."),
    preset: str = typer.Option(
        "mixed", help="Landscape and sensors: gaziantep, city, suburb, village, farmland, mountain, coarse, or mixed."
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
    from solution import picture as pictures
    from solution.geometry import Window
    from solution.scene import open_pair

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
    folds: Path = typer.Option(_FOLDS, show_default=_FOLDS_SHOWN, help="Where split.csv and the teams are."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N."),
    detail: bool = typer.Option(False, "--detail", help="Also a table for each scene."),
    fresh: bool = typer.Option(False, "--fresh", help="Measure finished cells again."),
) -> None:
    """Compare methods, and peers (requirements-benchmark.txt), on simulated and labelled scenes: errors, seconds, memory.

    A scene of the split is judged by the team that never saw it. A method that fails on a scene is a result, and does not end the run.
    """
    from solution import score as scorer
    from solution.benchmark import run as benchmarks
    from solution.benchmark import scenes, table

    methods = benchmarks.chosen(method)
    pairs = scenes.labelled(folders or [])
    pairs = scenes.simulated(out, simulated, size, seed, preset, say) + pairs
    scenes.check(pairs)
    cells = benchmarks.run(benchmarks.Plan(methods, tuple(pairs), folds, device, out), fresh, say)
    for shown in [*(table.detail(*item) for item in cells.items() if detail), table.summary(cells)]:
        scorer.show(shown, [])
    for line in table.problems(cells):
        say(line)


@translate.command("split")
def translate_split(
    folder: Path = typer.Argument(..., metavar="PAIRS_DIR", help="Registered image pairs, in any layout that the README names."),
    out: Path = typer.Option(Path("split.csv"), help="The split: id,class,part."),
    train: float = typer.Option(0.875, min=0, help="Share, or number, of the pairs to train on."),
    val: float = typer.Option(0.0625, min=0, help="Of those to watch the training on."),
    test: float = typer.Option(0.0625, min=0, help="Of those to judge the result on."),
    seed: int = typer.Option(0, min=0, help="The same names and seed give the same split."),
    whole_scenes: bool = typer.Option(False, "--whole-scenes", help="Keep the patches *_pN of one SEN1-2 scene together: they overlap."),
    replace: bool = typer.Option(False, "--replace", help="Overwrite another split."),
) -> None:
    """Deal the pairs of a folder out to training, validation and test, evenly over its classes."""
    from solution import pairs

    table = pairs.make_split(pairs.find_pairs(folder), (train, val, test), seed, whole_scenes)
    written = pairs.write_split(table, out, replace)
    parts = table["part"].value_counts()
    counts = ", ".join(f"{parts.get(part, 0):,} {part}" for part in pairs.PARTS)
    classes = sorted(set(table["class"]) - {""})
    say(f"{out}: {'made' if written else 'up to date'}, {counts}{f' over {len(classes)} classes' if classes else ''}")


@translate.command("train")
def translate_train(
    folders: list[Path] = typer.Argument(..., metavar="PAIRS_DIR...", help="Folders of registered image pairs."),
    split: list[Path] = typer.Option(
        [], help="Split of the first folder; given again, of the second, ... Folders without are trained on whole."
    ),
    simulated: list[Path] = typer.Option([], help="Folder of simulated scenes to train on too; may be given again."),
    exclude: list[str] = typer.Option([], help="File stem of a pair to leave out, because it shows ground of a labelled scene."),
    out: Path = typer.Option(_TRANSLATOR, show_default=_TRANSLATOR_SHOWN, help="The weights."),
    init: Path | None = typer.Option(None, help="Weights to start from; default: chance."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N."),
    steps: int | None = typer.Option(None, help="Optimisation steps instead of the configured number."),
    smoke: bool = typer.Option(False, "--smoke", help="Seconds instead of hours; the result is worthless."),
    replace: bool = typer.Option(False, "--replace", help="Overwrite weights made with other settings or data."),
) -> None:
    """Train the translator on the training part of image pairs; a killed run goes on."""
    from solution import train
    from solution.pairs import parted
    from solution.tiles import pair_source

    parts = parted(folders, split, exclude)
    sources = [pair_source(pair) for pair in parts["train"]] + _shared_sources(simulated, [], [])
    config = train.chosen_config(train.TRANSLATOR, steps, smoke, fine_tune=False)
    watched = [pair_source(pair) for pair in parts["val"]]
    say(train.train_stage(train.TRANSLATOR, sources, config, out, -1, 0, out.parent / ".work", init, device, replace, watched))


@translate.command("evaluate")
def translate_evaluate(
    folder: Path = typer.Argument(..., metavar="PAIRS_DIR", help="Registered image pairs."),
    split: Path | None = typer.Option(None, help="The split that the weights were trained with; default: judge every pair."),
    part: str = typer.Option("test", help="Part of the split: train, val or test."),
    weights: Path = typer.Option(_TRANSLATOR, show_default=_TRANSLATOR_SHOWN, help="The translator."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N."),
    json_file: Path | None = typer.Option(None, "--json", help="All numbers, for machines."),
    picture: Path | None = typer.Option(None, help="PNG of a few of the pairs: SAR, translated, optical."),
) -> None:
    """PSNR and SSIM on held-out pairs, by class, beside two trivial baselines taken from the training part (without a split: from the pairs themselves)."""
    from solution import pairs, sar2optical
    from solution.artefact import write_text
    from solution.show import step_progress
    from solution.translator import write_grid

    found = pairs.find_pairs(folder)
    judged = pairs.part_of(found, split, part) if split else found
    if not judged:
        raise InputError(f"{split}: its part {part} is empty; judge another part, or make a split with more pairs")
    reference = pairs.part_of(found, split, "train") if split else found
    paint, manifest = _translator(weights, device)
    if split is None or part != "train":
        sar2optical.guard_unseen(judged, manifest, weights)
    terminal = Console(stderr=True)
    with step_progress(terminal, "baselines", len(reference)) as step:
        baselines = sar2optical.Baselines.of(reference, step)
    with step_progress(terminal, "pairs", len(judged)) as step:
        results = sar2optical.evaluate(judged, baselines, paint, step)
    means = sar2optical.summary(results)
    if json_file is not None:
        write_text(json_file, sar2optical.as_json(means, results, folder=folder.name, part=part if split else None))
    if picture is not None:
        write_grid(picture, sar2optical.picture_rows(judged, paint))
    console.print(sar2optical.as_table(means, f"{folder.name}, {part if split else 'all pairs'}"))


@translate.command("run")
def translate_run(
    sar: Path = typer.Argument(..., help="SAR GeoTIFF of one band, a grey PNG, or a folder of those PNGs."),
    out: Path = typer.Argument(..., help="GeoTIFF, PNG, or folder, like the input."),
    weights: Path = typer.Option(_TRANSLATOR, show_default=_TRANSLATOR_SHOWN, help="The translator."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N."),
) -> None:
    """Paint a SAR image as an optical one: whole scenes in blended tiles, CRS and transform kept; uint8 RGB, 0 = no data."""
    from solution import sar2optical
    from solution.show import tile_progress

    paint, _ = _translator(weights, device)
    with tile_progress(Console(stderr=True)) as progress:
        count = sar2optical.run(sar, out, paint, progress)
    say(f"{out}: {count} picture(s) written")


def _translator(weights: Path, device: str) -> tuple:
    """A translator as a function of SAR tile and validity, and its manifest."""
    from solution import train
    from solution.translator import translate as paint_tile

    net, manifest = train.load_stage(train.TRANSLATOR, weights)
    return partial(paint_tile, net.to(train.torch_device(device))), manifest


def say(line: str) -> None:
    """One line of result, unwrapped, so that it can be searched."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Entry point of ``python -m solution``."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
