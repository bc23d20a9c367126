"""What the page is made from: the report, the files that it describes, and the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from solution.core.artefact import is_whole, read_noted
from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.names import as_utf8
from solution.data.opening import on_disk, open_raster
from solution.data.scene import ScenePair, open_pair
from solution.field import candidates
from solution.products.page.words import ANSWERS

_NEEDED = {
    "scene": str,
    "verdict": str,
    "reasons": list,
    "fit": str,
    "candidates": int,
    "inliers": int,
    "outliers": dict,
    "sources": dict,
    "files": dict,
}


@dataclass(frozen=True)
class Sources:
    """Where everything on the page comes from.

    Attributes:
        facts: what the report holds.
        map: the offset map.
        table: the candidates; None where they are not there.
        sigma: the 68 % radius of the map's error; None where it was not written.
        pair: the images; None where they are not to be found.
        missing: what the page does without, a sentence each.
    """

    facts: Mapping
    map: Path
    table: Path | None
    sigma: Path | None
    pair: ScenePair | None
    missing: tuple[str, ...] = ()

    @property
    def gsd_m(self) -> float | None:
        """Optical pixel size, m, where it is known."""
        return self.facts.get("gsd_m")

    def candidates(self) -> pd.DataFrame:
        """The table; empty where there is none."""
        return candidates.read(self.table) if self.table else candidates.empty()

    def frame(self) -> Window:
        """The whole map, px."""
        with open_raster(self.map) as dataset:
            return Window(0, 0, dataset.width, dataset.height)


def on_disk_beside(
    report: Path, names: Mapping[str, Path], optical: Path | None = None, sar: Path | None = None
) -> Sources:
    """What a finished prediction left.

    Args:
        report: its report.
        names: ``map``, ``candidates`` and ``uncertainty``: where they lie.
        optical, sar: where the images lie now; None = where the prediction read them.

    Raises:
        InputError: no report, or one of an older version; a file that is not the one that the report describes; an
            image that is not the one that was registered.
    """
    facts = _read_report(report)
    described = facts["files"]
    for name, path in names.items():
        if path.is_file() and name in described and not is_whole(path, described[name]):
            raise InputError(f"{path}: is not the file that {report.name} describes; predict the pair again")
    if not names["map"].is_file():
        raise InputError(f"{names['map']}: no such offset map; predict the pair again")
    table, sigma = (
        names[name] if name in described and names[name].is_file() else None for name in ("candidates", "uncertainty")
    )
    missing = []
    if table is None:
        missing.append(
            f"{as_utf8(names['candidates'].name)}, the table of all matches, is not beside the map: the page shows no support, "
            "no residuals and no matches. Predict the pair again."
        )
    found = Sources(facts, names["map"], table, sigma, None)
    pair, more = _find_images(facts, {"optical": optical, "sar": sar})
    return replace(found, pair=pair, missing=(*missing, *more))


def without_sigma(facts: Mapping) -> str:
    """Why there is no raster of the error's radius, and what to do."""
    if facts.get("radius_68_px") is None:
        return "Nothing is known of the errors of this map, so there is no picture of them."
    return "The radius of the error was not written as a raster. Predict with --uncertainty to see it here."


def _read_report(path: Path) -> dict:
    if not path.is_file():
        raise InputError(
            f"{path}: no such report; name the offset map of a finished prediction, or predict the pair first"
        )
    facts = read_noted(path)
    if not _is_report(facts):
        raise InputError(f"{path}: is not the report of a prediction, or a damaged one; predict the pair again")
    return facts


def _is_report(facts: Mapping) -> bool:
    """Whether what was read holds all that the page shows, each of its kind."""
    if any(not isinstance(facts.get(name), kind) for name, kind in _NEEDED.items()) or facts["verdict"] not in ANSWERS:
        return False
    described = [facts["files"], facts.get("inputs", {})]
    return all(
        isinstance(all_of, dict) and all(isinstance(one, dict) for one in all_of.values()) for all_of in described
    )


def _find_images(facts: Mapping, given: Mapping[str, Path | None]) -> tuple[ScenePair | None, list[str]]:
    """The pair, or what is said in its place."""
    noted = facts.get("inputs", {})
    places = {name: given[name] or _noted_place(noted.get(name, {})) for name in given}
    lost = [name for name, place in places.items() if place is None]
    if lost:
        options = " and ".join(f"--{name} FILE" for name in lost)
        return None, [
            f"The {' and the '.join(lost)} image could not be found, so no image is shown. "
            f"Make the page again with {options}."
        ]
    for name, place in places.items():
        _check_same(name, place, noted.get(name, {}))
    return open_pair(places["optical"], places["sar"], name=facts["scene"]), []


def _noted_place(noted: Mapping) -> Path | None:
    """Where the prediction read an image, if something is there."""
    place = Path(noted["path"]) if "path" in noted else None
    return place if place and on_disk(place) else None


def _check_same(name: str, place: Path, noted: Mapping) -> None:
    """Raise `InputError` for an image of other content than the one that was registered, as far as that is known."""
    content = {key: noted[key] for key in ("bytes", "sha256") if key in noted}
    if content and place.is_file() and not is_whole(place, {**content, "name": place.name}):
        raise InputError(
            f"{place}: is not the {name} image that was registered, or it has changed since; "
            f"name the right one with --{name}, or predict the pair again"
        )
