"""What verbs share: where they print, where the teams are, options, and what they read first.

Verbs import what they need in their own bodies: importing a file of this folder must stay quick, as ``--help`` imports
all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from solution.data.naming import FOLDS as FOLDS
from solution.data.naming import SPLIT

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from solution.core.devices import Devices
    from solution.core.progress import Progress
    from solution.data.finding import SceneFiles
    from solution.data.scene import ScenePair
    from solution.samples.store import ImageStore, SomeImage
    from solution.scoring.score import PairScore

console = Console()
FOLDS_SHOWN = "folds/ beside the package"
ADVANCED = "Advanced"
"""Panel of the help for options that few need."""
SCRIPT = "sar2opt"
"""What the program is called where it is installed; in the project's folder it is ``python -m solution``."""

# Options and arguments of more than one verb. Their defaults stand at the verbs.
Labelled = Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Labelled scenes.")]
Simulated = Annotated[
    list[Path], typer.Option(help="Folder of simulated scenes that every team may see; may be given again.")
]
Pairs = Annotated[
    list[Path], typer.Option(help="Folder of registered image pairs that every team may see; may be given again.")
]
Exclude = Annotated[
    list[str], typer.Option(help="File stem of a pair to leave out, because it shows ground of a labelled scene.")
]
Folds = Annotated[Path, typer.Option(show_default=FOLDS_SHOWN, help="Where split.csv is and the artefacts go.")]
SplitAndTeams = Annotated[Path, typer.Option(show_default=FOLDS_SHOWN, help="Where split.csv and the teams are.")]
TeamFolders = Annotated[
    Path, typer.Option(show_default=FOLDS_SHOWN, help="Where the teams are.", rich_help_panel=ADVANCED)
]
Init = Annotated[
    Path | None,
    typer.Option(help="Weights to start from; default: those of the stage in base/ below --folds, where present."),
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FOLDS",
        help="Folder of trained teams to start from (for a new sensor): their mean, or their base where they saw scenes"
        " that are held out here. It goes into base/ below --folds.",
    ),
]
InitOrChance = Annotated[Path | None, typer.Option(help="Weights to start from; default: chance.")]
InitWeights = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the published DISK and LightGlue weights to start from, see: python -m solution weights."
    ),
]
Team = Annotated[
    list[str],
    typer.Option(help="Only this team; may be given again, so that several machines can share the work. Default: all."),
]
Source = Annotated[
    list[str],
    typer.Option(
        help="Only this source: flow, match, match_translated or gradient; may be given again. Without flow, matches"
        " start from geocoding, +-190 px. Default: all that the team has weights for.",
        rich_help_panel=ADVANCED,
    ),
]
Tiepoints = Annotated[
    list[str],
    typer.Option(
        metavar="FILE | FORMAT",
        help="Also write the tie-points for other programs: a name that ends in .gpkg, .geojson, .csv (SN9), .points"
        " (QGIS), .pts (ENVI) or .gcp (GDAL), or a format alone, whose file then lies beside the map; may be given again.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.", rich_help_panel=ADVANCED)]
Runtime = Annotated[
    str,
    typer.Option(
        help="What computes the features: torch; onnx or openvino, on the CPU, which need packages of their own.",
        rich_help_panel=ADVANCED,
    ),
]
TrainingDevice = Annotated[str, typer.Option(help="auto, cpu, cuda (all GPUs), cuda:N.")]
Trunk = Annotated[
    str | None,
    typer.Option(
        help="Pretrained network that the features come from: a name of timm, or terratorch:NAME. Default: that of the"
        " weights to start from, or tf_efficientnet_lite0."
    ),
]
TrunkWeights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE | none",
        help="Its weights, a safetensors file, or none: begin with chance. Default: those of the package that has them.",
    ),
]
DeviceCount = Annotated[
    int | None,
    typer.Option(
        "--devices",
        min=1,
        help="Devices that share every batch, a process each. Default: all GPUs that can share it evenly, or one CPU process.",
        rich_help_panel=ADVANCED,
    ),
]
Accumulate = Annotated[
    int,
    typer.Option(
        min=1,
        help="Pieces that a device cuts its share of a batch into and works on one after another, where memory is small.",
        rich_help_panel=ADVANCED,
    ),
]
Shards = Annotated[
    str | None,
    typer.Option(
        metavar="DIR | none",
        help="Where decoded images of large data sets are kept between runs, 5.4 bytes a pixel; none: nowhere, tiles are"
        " decoded when they are needed, which is slow. Default: .work/images beside the weights.",
        show_default=False,
        rich_help_panel=ADVANCED,
    ),
]
ImageMemory = Annotated[
    float,
    typer.Option(
        "--memory",
        min=0,
        metavar="GB",
        help="Decoded images that a process holds; data sets that do not fit are read from disk tile by tile.",
        rich_help_panel=ADVANCED,
    ),
]
IMAGE_MEMORY_GB = 0.5
Steps = Annotated[int | None, typer.Option(help="Optimisation steps instead of the configured number.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="Seconds instead of hours; the result is worthless.")]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite artefacts made with other settings, data or code.")]
ReplaceWeights = Annotated[
    bool, typer.Option("--replace", help="Overwrite weights made with other settings, data or code.")
]
Layout = Annotated[
    str | None,
    typer.Option(
        help="Of the map: cog (Cloud-Optimized GeoTIFF, with a mask where there is no ground) or contest (plain, without a"
        " mask). Default: cog; with DATA_DIR contest, and cog makes no submission.zip.",
        show_default=False,
        rich_help_panel=ADVANCED,
    ),
]
SarResampling = Annotated[
    str,
    typer.Option(
        "--resampling",
        help="Of the moved SAR image: nearest, bilinear, or average where its pixels are the finer ones.",
        rich_help_panel=ADVANCED,
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers to this file, for machines.")
]
JsonLines = Annotated[
    bool, typer.Option("--json", help="Print the report, and nothing else, on stdout; lines for people go to stderr.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]


@dataclass(frozen=True)
class Speech:
    """How a verb speaks to people.

    Attributes:
        console: where its lines go.
        quiet: whether it says nothing but warnings and errors, which go to the standard error stream.
    """

    console: Console
    quiet: bool = False

    @classmethod
    def of(cls, json: bool, quiet: bool) -> Speech:
        """On stdout, or, where that is for machines, on stderr."""
        return cls(Console(stderr=json, quiet=quiet), quiet)

    def say(self, line: str) -> None:
        """One line of result, unwrapped, so that it can be searched."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def show(self, table: Table, scores: Sequence[PairScore]) -> None:
        """A table of scores at its full width."""
        from solution.scoring import score_tables

        score_tables.show(table, scores, self.console)

    def progress_bars(self) -> AbstractContextManager[Progress]:
        """Progress bars on the standard error stream while the context lasts; silent where that is not a terminal."""
        from solution.core.progress import bars_on_stderr

        return bars_on_stderr(self.quiet)


_ALOUD = Speech(console)
say = _ALOUD.say
progress_bars = _ALOUD.progress_bars


def print_json(content: object) -> None:
    """One JSON document on stdout."""
    import json

    print(json.dumps(content, indent=1))


def end_with(word: str) -> None:
    """End with the code of a verdict, and a warning on stderr, unless it is ok."""
    from solution.field import verdict

    if word != "ok":
        print(f"WARNING: {verdict.WARNINGS[word]}", file=sys.stderr)
        raise typer.Exit(verdict.EXIT_CODES[word])


def examples(*lines: str) -> str:
    """The end of a verb's help: how it is called, as the program was, a line each."""
    program = SCRIPT if Path(sys.argv[0]).name == SCRIPT else "python -m solution"
    return "\n\n".join(["Examples:", *(f"{program} {line}" for line in lines)])


def training_means(
    work: Path, device: str, devices: int | None, accumulate: int, shards: str | None, memory: float
) -> tuple[Devices, ImageStore]:
    """What a training works on, and what hands it its images, by the options; `work` is the work folder."""
    from solution.core.devices import Devices
    from solution.samples.store import ImageStore, Keeping

    folder = None if shards in (None, "none") else Path(shards)
    keeping = Keeping(round(memory * 1e9), folder, decoded=shards != "none")
    return Devices(device, devices, accumulate), ImageStore(work, keeping, say)


def shared_images(store: ImageStore, simulated: list[Path], pairs: list[Path], exclude: list[str]) -> list[SomeImage]:
    """What every team may see: simulated scenes, and registered pairs but those whose stems are in `exclude`."""
    from solution.data.finding import find_scenes
    from solution.data.registered import find_pairs

    scenes = [image for place in simulated for image in store.scenes(find_scenes(place), place.name)]
    return scenes + [image for place in pairs for image in store.registered(find_pairs(place, exclude))]


def scenes_and_split(folder: Path, folds: Path) -> tuple[list[ScenePair], pd.DataFrame]:
    """The scenes of a folder, and the split that says which fold holds which of them out.

    Raises:
        InputError: no such folder, or no split below `folds`.
    """
    from solution.data import folds as splits
    from solution.data.finding import discover

    table = splits.read_split(folds / SPLIT)
    return discover(folder), table


def unopened_and_split(folder: Path, folds: Path) -> tuple[list[SceneFiles], pd.DataFrame]:
    """As `scenes_and_split`; the scenes are not opened, which takes minutes where they are thousands."""
    from solution.data import folds as splits
    from solution.data.finding import find_scenes

    table = splits.read_split(folds / SPLIT)
    return find_scenes(folder), table
