"""The page as a whole: what stands on it, and how it is written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from solution.core.geometry import Window
from solution.field.held_out import HeldOut, hold_out, range_axis
from solution.products.page import chips, maps, provenance, residuals, statistics, views, words
from solution.products.page.marking import ASSETS, made_of, write_marked
from solution.products.page.sources import Sources, without_sigma
from solution.products.reading import read_map, read_radius

_FIELD_PX = 320  # longer side of the fields as they are drawn
_FIGURES = (
    "fit",
    "candidates",
    "inliers",
    "residual_px",
    "radius_68_px",
    "support",
    "evidence_margin",
    "gsd_m",
)
_MEANINGS = {
    "fit": "kind of the map: a field follows the terrain; an affine or a shift does not",
    "candidates": "matches that were proposed",
    "inliers": "of them, those that the map keeps",
    "residual_px": "median distance, px, of held-out matches to the field, as the fit itself looks at it",
    "radius_68_px": "radius, px, within which the true place lies for two of three places",
    "support": "share of the map that has kept matches nearby, and where the images speak for it",
    "evidence_margin": "how far the map stands out from the best decoy; 0.3 is the least for weak, 0.6 for ok",
    "gsd_m": "size of an optical pixel on the ground, m",
}


def write_page(path: Path, sources: Sources) -> None:
    """Write the page of a prediction as one HTML file that loads nothing else.

    Equal sources give equal bytes.

    Raises:
        InputError: an image, the map or the table breaks while it is read; the disk refuses the page.
    """
    write_marked(path, rendered(sources), made_of(sources.facts))


def rendered(sources: Sources) -> str:
    """The page's text."""
    frame, table = sources.frame(), sources.candidates()
    shown = views.scene_and_details(sources) if sources.pair else []
    held = hold_out(table, (frame.height, frame.width), sources.gsd_m) if len(table) else None
    template, style, script = (asset.read_text() for asset in ASSETS)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FileSystemLoader([])
    )
    return environment.from_string(template).render(
        style=style,
        script=script,
        facts=sources.facts,
        gsd_m=sources.gsd_m,
        size=(frame.width, frame.height),
        answer=words.answer(sources.facts),
        advice=words.advice(sources.facts),
        reasons=words.explained(sources.facts["reasons"]),
        radius=words.radius(sources.facts),
        figures=[(name, sources.facts[name], _MEANINGS[name]) for name in _FIGURES if name in sources.facts],
        missing=sources.missing,
        views=[views.encoded(title, pictures) for title, pictures in shown],
        fields=_fields(sources, frame, shown[0][1].optical if shown else None),
        sigma_missing="" if sources.sigma else without_sigma(sources.facts),
        support=maps.support(frame, table, sources.facts.get("support")) if len(table) else None,
        held=_held(sources, frame, table, held),
        chips=_chips(sources, table, held),
        shares=statistics.shares(table, sources.facts),
        described=provenance.described(sources.facts),
        run=provenance.run(sources.facts),
    )


def _fields(sources: Sources, frame: Window, optical: np.ndarray | None) -> list[dict]:
    """The figures of the map, and of its sigma where that was written."""
    shape = views.Grid.within(frame, _FIELD_PX).shape
    shift = read_map(sources.map, sources.pair, frame, shape)
    behind = None
    if optical is not None:
        small = cv2.resize(optical, views.Grid.within(frame, 2 * _FIELD_PX).shape[::-1], interpolation=cv2.INTER_AREA)
        behind = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    drawn = [
        maps.arrows(frame, shift, behind),
        maps.component(frame, shift[0], "dx", "to the right"),
        maps.component(frame, shift[1], "dy", "down"),
    ]
    return [*drawn, maps.radius(frame, read_radius(sources.sigma, frame, shape))] if sources.sigma else drawn


def _held(sources: Sources, frame: Window, table: pd.DataFrame, held: HeldOut | None) -> dict | None:
    """Figures and words of the held-out matches."""
    if held is None:
        return None
    found = range_axis(table)
    drawn = [residuals.lengths(held), residuals.over_scene(frame, table, held)]
    if found:
        drawn.insert(1, residuals.along_and_across(held, *found))
    return {
        "how": statistics.how_held_out(held),
        "range": residuals.range_told(*found) if found else "",
        "errors": statistics.table_of_errors(table, held, sources.gsd_m),
        "figures": drawn,
    }


def _chips(sources: Sources, table: pd.DataFrame, held: HeldOut | None) -> dict[str, list[dict]]:
    """The chip pairs by what they are; none without images or residuals."""
    if held is None or sources.pair is None:
        return {}
    best, worst = chips.best_and_worst(table, held)
    return {"best": chips.encoded(sources, table, best), "worst": chips.encoded(sources, table, worst)}
