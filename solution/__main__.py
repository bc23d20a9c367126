"""The command line: one verb per stage. Bad input ends in one sentence and exit code 2."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from rich.console import Console

from solution.errors import InputError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_show_locals=False, help="SAR-to-optical registration (SpaceNet 9)."
)
console = Console()


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


def main() -> None:
    """Entry point of ``python -m solution``."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
