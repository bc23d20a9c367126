"""The challenge's score of offset maps."""

from __future__ import annotations

from pathlib import Path

import typer

from solution.cli.shared import JsonFile, examples
from solution.core.errors import InputError

app = typer.Typer()


@app.command(
    epilog=examples(
        "score data/train submission",
        "score --evaluation_tiepoints points.csv --output_offset_image offsets.tif --optical_image optical.tif --sar_image sar.tif",
    ),
)
def score(
    data_dir: Path | None = typer.Argument(None, metavar="DATA_DIR", help="Labelled scenes; with MAPS_DIR."),
    maps_dir: Path | None = typer.Argument(
        None, metavar="MAPS_DIR", help="solution_SCENE.tif or offset_SCENE.tif for each."
    ),
    evaluation_tiepoints: Path | None = typer.Option(None, "--evaluation_tiepoints", help="Tie-point CSV of one pair."),
    output_offset_image: Path | None = typer.Option(None, "--output_offset_image", help="Its offset map."),
    optical_image: Path | None = typer.Option(None, "--optical_image", help="Its optical image."),
    sar_image: Path | None = typer.Option(None, "--sar_image", help="Its SAR image."),
    score_file: Path | None = typer.Option(None, "--score_file", help="Gets one line more: the raw score, or -1."),
    json_file: JsonFile = None,
) -> None:
    """Score one offset map with the official options, or all maps of a folder: score DATA_DIR MAPS_DIR.

    Ends with code 1 where a map is missing or gets no finite score.
    """
    from solution.core.outputs import check_outputs
    from solution.core.writing import write_text
    from solution.scoring import score as scorer
    from solution.scoring import score_tables

    folders = (data_dir, maps_dir)
    files = (evaluation_tiepoints, optical_image, sar_image, output_offset_image)
    read = [path for folder in folders if folder for end in ("*.tif", "*.csv") for path in folder.glob(end)]
    check_outputs([score_file, json_file], [*files, *read])
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
