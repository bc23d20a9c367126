"""What a prediction leaves beside its map, and whether it is all still there and whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from solution.core.artefact import file_facts, is_whole, read_noted
from solution.core.outputs import check_outputs
from solution.core.writing import Together, together, write_text
from solution.data.scene import ScenePair
from solution.field import candidates, gcps, offset_map, rasters, warped_sar
from solution.field.shiftfield import Fit
from solution.products import stac
from solution.products.page.marking import MOST_BYTES, is_page, made_of
from solution.products.tiepoints import files

_TIEPOINTS = "tiepoints_"
"""How the report's names of files of tie-points begin; their format follows."""


@dataclass(frozen=True)
class Outputs:
    """The files of one prediction.

    Attributes:
        map: the offset map.
        report: what led to it, the verdict, and size and digest of the other files.
        table: the candidates.
        warped_sar: the SAR image on the optical grid.
        sigma: the 68 % radius of the map's error.
        gcps: the SAR image with ground control points, for GDAL.
        page: the report page.
        item: the STAC Item of the map.
        wants_sar, wants_sigma, wants_gcps, wants_page, wants_item: whether these are asked for.
        layout: of the map, one of `rasters.LAYOUTS`.
        resampling: of the SAR image, one of `warped_sar.RESAMPLINGS`.
        tiepoints: the candidates in formats of other programs, where they are asked for.
    """

    map: Path
    report: Path
    table: Path
    warped_sar: Path
    sigma: Path
    gcps: Path
    page: Path
    item: Path
    wants_sar: bool = False
    wants_sigma: bool = False
    wants_gcps: bool = False
    wants_page: bool = False
    wants_item: bool = False
    layout: str = rasters.COG
    resampling: str = warped_sar.BILINEAR
    tiepoints: tuple[Path, ...] = ()

    @classmethod
    def of(
        cls,
        out: Path,
        warped_sar: bool = False,
        uncertainty: bool = False,
        tiepoints: Sequence[str] = (),
        **more: object,
    ) -> Outputs:
        """Those of a map's path.

        Args:
            tiepoints: names of files, or formats (`tiepoints.files.named`).
            more: other attributes.

        Raises:
            InputError: a path that is no file name of a GeoTIFF, or tie-points in an unknown format.
        """
        out = Path(out)
        offset_map.check_name(out)
        name = _stem(out)
        ends = (".report.json", ".candidates.parquet", ".sar.tif", ".sigma.tif", ".gcps.vrt", ".html", ".stac.json")
        beside = (out.with_name(name + end) for end in ends)
        exported = files.named(tiepoints, out.with_name(name))
        return cls(out, *beside, warped_sar, uncertainty, tiepoints=exported, **more)

    @property
    def stem(self) -> str:
        """What the names of the files beside the map begin with."""
        return _stem(self.map)

    def all(self) -> list[Path]:
        """All files that may be written, or removed because they speak of an older map."""
        of_map = [self.map, self.sigma, self.warped_sar, self.gcps]
        return [*of_map, self.report, self.table, self.page, self.item, *self.tiepoints]

    def check(self, pair: ScenePair, inputs: Iterable[Path | None] = ()) -> None:
        """Raise `InputError` where a file cannot be written, or would replace the pair or another of the `inputs`."""
        gcps.check(self.gcps if self.wants_gcps else None, pair)
        check_outputs(self.all(), [*pair.files(), *inputs], self.needs(pair))

    def needs(self, pair: ScenePair) -> int:
        """Bytes that the files take, about."""
        of_rasters = offset_map.bytes_on_disk(pair, self.wants_sigma, self.wants_sar, self.layout)
        return of_rasters + MOST_BYTES * self.wants_page

    def finished(self, key: str) -> dict | None:
        """The report of an earlier run with the same key, where all that is asked for is there, and each file is the
        one that the report describes."""
        report = read_noted(self.report)
        if report.get("key") != key or "verdict" not in report:
            return None
        described = report.get("files") or {}
        wanted = {"map": self.map, "candidates": self.table}
        if self.wants_sar:
            wanted["warped_sar"] = self.warped_sar
        if self.wants_sigma and report.get("radius_68_px") is not None:  # of some maps nothing is known
            wanted["uncertainty"] = self.sigma
        if self.wants_gcps:
            wanted["gcps"] = self.gcps
        wanted |= self._tiepoints_by_name()
        return report if all(is_whole(path, described.get(name)) for name, path in wanted.items()) else None

    def write(
        self, fit: Fit, table: pd.DataFrame, pair: ScenePair, facts: Mapping, say: Callable[[str], None] = print
    ) -> None:
        """Write all files, the report last; they appear together or not at all, and those of an earlier run that would
        speak of another map go.

        Args:
            facts: what the report says.

        Raises:
            InputError: the disk refuses a file.
        """
        with together() as new:
            candidates.write(self.table, table)
            written = {"candidates": self.table, **self.write_rasters(fit, pair, rasters.tags_of(facts), say)}
            if self.tiepoints:
                files.write(self.tiepoints, table, pair, say=say)
                written |= self._tiepoints_by_name()
            described = {name: {**file_facts(new.at(path)), "name": path.name} for name, path in written.items()}
            facts = {**facts, "files": described}
            if self.wants_page:
                sigma = new.at(self.sigma) if "uncertainty" in written else None
                self._write_page(facts, new.at(self.map), new.at(self.table), sigma, pair)
            if self.wants_item:
                stac.write_item(self.item, pair, facts)
            write_text(self.report, json.dumps(facts, indent=1) + "\n")
            say_stale(new, [*self.beside(), *([self.sigma] if self.wants_sigma else [])], say)

    def _untouched(self, described: dict) -> list[Path]:
        """Files of tie-points beside the map that are as they were written."""
        facts = [one for name, one in described.items() if name.startswith(_TIEPOINTS) and isinstance(one, dict)]
        paths = [self.map.parent / Path(str(one.get("name"))).name for one in facts]
        return [path for path, one in zip(paths, facts, strict=True) if is_whole(path, one)]

    def _tiepoints_by_name(self) -> dict[str, Path]:
        """The files of tie-points, by what the report calls them."""
        return {f"{_TIEPOINTS}{path.suffix[1:].lower()}": path for path in self.tiepoints}

    def write_rasters(
        self, fit: Fit, pair: ScenePair, tags: Mapping[str, str], say: Callable[[str], None] = print
    ) -> dict[str, Path]:
        """Write the map and what is asked for beside it, but for an uncertainty of which nothing is known.

        Args:
            tags: of all of them.

        Returns:
            What was written, by the names that reports use.
        """
        offset_map.write_map(self.map, fit, pair, self.layout, tags)
        written = {"map": self.map}
        if self.wants_sar:
            warped_sar.write_warped_sar(self.warped_sar, fit, pair, self.resampling, tags)
            written["warped_sar"] = self.warped_sar
        if self.wants_sigma and fit.sigma is not None:
            offset_map.write_uncertainty(self.sigma, fit, pair, tags)
            written["uncertainty"] = self.sigma
        if self.wants_gcps:
            points = gcps.control_points(fit, pair)
            gcps.write_vrt(self.gcps, points, pair, self.resampling, tags)
            say(points.line(self.gcps))
            written["gcps"] = self.gcps
        return written

    def renew(self, report: Mapping, pair: ScenePair, say: Callable[[str], None] = print) -> None:
        """Write what shows a finished prediction and is asked for, where it is not there or shows something else: the
        page, and the STAC Item.

        Raises:
            InputError: the disk refuses it.
        """
        if self.wants_page and not is_page(self.page, made_of(report)):
            sigma = self.sigma if "uncertainty" in report["files"] and self.sigma.is_file() else None
            self._write_page(report, self.map, self.table, sigma, pair)
            say(f"{self.page}: written")
        if self.wants_item and not stac.describes(self.item, report["key"]):
            stac.write_item(self.item, pair, report)

    def _write_page(self, facts: Mapping, offset_map: Path, table: Path, sigma: Path | None, pair: ScenePair) -> None:
        from solution.products.page.making import write_page  # with what draws; most predictions need none of it
        from solution.products.page.sources import Sources

        write_page(self.page, Sources(facts, offset_map, table, sigma, pair))

    def described_names(self) -> dict[str, Path]:
        """Where those files lie that the page is made from, by their names in the report."""
        return {"map": self.map, "candidates": self.table, "uncertainty": self.sigma}

    def beside(self) -> list[Path]:
        """What an earlier run left beside the map by its own report: the report too, but not the map, nor tie-points that
        somebody has worked on since."""
        report = read_noted(self.report)
        described = report.get("files")
        if not isinstance(described, dict):
            return []
        names = {facts.get("name") for facts in described.values() if isinstance(facts, dict)}
        ours = [path for path in (self.table, self.sigma, self.warped_sar, self.gcps) if path.name in names]
        page = [self.page] if is_page(self.page) else []
        item = [self.item] if stac.describes(self.item, report.get("key")) else []
        return [self.report, *ours, *page, *item, *self._untouched(described)]


def _stem(path: Path) -> str:
    """a.tif and a.tiff are two maps, and have a report each."""
    return path.stem if path.suffix == ".tif" else path.name


def say_stale(files: Together, older: Iterable[Path], say: Callable[[str], None]) -> None:
    """Let those of the `older` files go that the `files` of this run do not replace, and say so in one line."""
    stale = [path for path in dict.fromkeys(older) if path not in files.finished and path.is_file()]
    files.stale.extend(stale)
    if stale:
        say(f"{', '.join(map(str, stale))}: removed, made beside an older map")
