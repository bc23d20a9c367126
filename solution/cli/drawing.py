"""Pictures of results."""

from __future__ import annotations

from pathlib import Path

import typer

from solution.cli.shared import examples, say

app = typer.Typer()


@app.command(
    epilog=examples(
        "picture optical.tif sar.tif offsets.tif result.png",
        "picture optical.tif sar.tif offsets.tif part.jpg --window 2000 1000 800 800",
    ),
)
def picture(
    optical: Path = typer.Argument(..., help="Optical image."),
    sar: Path = typer.Argument(..., help="SAR image."),
    offset_map: Path = typer.Argument(..., metavar="MAP", help="Their offset map."),
    out: Path = typer.Argument(..., help="PNG or JPEG."),
    window: tuple[int, int, int, int] | None = typer.Option(
        None, metavar="X Y W H", help="Part of the optical image, px."
    ),
) -> None:
    """Draw a result: optical, SAR before and after as a chequerboard, and the offset map."""
    from solution.core.geometry import Window
    from solution.data.scene import open_pair
    from solution.products import picture as pictures

    pictures.draw(open_pair(optical, sar), offset_map, out, Window(*window) if window else None)
    say(f"{out}: written")
