"""What a prediction leaves beside its map, and whether it is all still there and whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from solution.core.artefact import file_facts, is_whole, read_noted, write_text
from solution.core.outputs import check_outputs
from solution.core.writing import Together, together
from solution.data.scene import ScenePair
from solution.field import candidates, offset_map
from solution.field.shiftfield import Fit
from solution.products import stac


@dataclass(frozen=True)
class Outputs:
    """The files of one prediction.

    Attributes:
        map: the offset map.
        report: what led to it, the verdict, and size and digest of the other files.
        table: the candidates.
        warped_sar: the SAR image on the optical grid.
        sigma: the 68 % radius of the map's error.
        item: the STAC Item of the map.
        wants_sar, wants_sigma, wants_item: whether these three are asked for.
    """

    map: Path
    report: Path
    table: Path
    warped_sar: Path
    sigma: Path
    item: Path
    wants_sar: bool
    wants_sigma: bool
    wants_item: bool = False

    @classmethod
    def of(cls, out: Path, warped_sar: bool, uncertainty: bool, item: bool = False) -> Outputs:
        """Those of a map's path. Raises `InputError` for one that is no file name of a GeoTIFF."""
        out = Path(out)
        offset_map.check_name(out)
        # a.tif and a.tiff are two maps, and have a report each.
        name = out.stem if out.suffix == ".tif" else out.name
        ends = (".report.json", ".candidates.parquet", ".sar.tif", ".sigma.tif", ".stac.json")
        return cls(out, *(out.with_name(name + end) for end in ends), warped_sar, uncertainty, item)

    def all(self) -> list[Path]:
        """All files that may be written, or removed because they speak of an older map."""
        return [self.map, self.report, self.table, self.sigma, self.warped_sar, self.item]

    def check(self, pair: ScenePair, inputs: Iterable[Path | None] = ()) -> None:
        """Raise `InputError` where a file cannot be written, or would replace the pair or another of the `inputs`."""
        check_outputs(self.all(), [*pair.files(), *inputs], self.needs(pair))

    def needs(self, pair: ScenePair) -> int:
        """Bytes that the files take, about."""
        return offset_map.bytes_on_disk(pair, self.wants_sigma, self.wants_sar)

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
        with together() as files:
            candidates.write(self.table, table)
            offset_map.write_map(self.map, fit, pair)
            written = {"map": self.map, "candidates": self.table}
            if self.wants_sar:
                offset_map.write_warped_sar(self.warped_sar, fit, pair)
                written["warped_sar"] = self.warped_sar
            if self.wants_sigma and fit.sigma is not None:
                offset_map.write_uncertainty(self.sigma, fit, pair)
                written["uncertainty"] = self.sigma
            described = {name: {**file_facts(files.at(path)), "name": path.name} for name, path in written.items()}
            report = {**facts, "files": described}
            if self.wants_item:
                stac.write_item(self.item, pair, report)
            write_text(self.report, json.dumps(report, indent=1) + "\n")
            say_stale(files, [*self.beside(), *([self.sigma] if self.wants_sigma else [])], say)

    def add_item(self, report: Mapping, pair: ScenePair) -> None:
        """Write the STAC Item of a finished prediction where it is asked for and not there.

        Raises:
            InputError: the disk refuses it.
        """
        if self.wants_item and not stac.describes(self.item, report["key"]):
            stac.write_item(self.item, pair, report)

    def beside(self) -> list[Path]:
        """What an earlier run left beside the map by its own report: the report too, but not the map."""
        report = read_noted(self.report)
        described = report.get("files")
        if not isinstance(described, dict):
            return []
        names = {facts.get("name") for facts in described.values() if isinstance(facts, dict)}
        named = [path for path in (self.table, self.sigma, self.warped_sar) if path.name in names]
        return [self.report, *named, *([self.item] if stac.describes(self.item, report.get("key")) else [])]


def say_stale(files: Together, older: Iterable[Path], say: Callable[[str], None]) -> None:
    """Let those of the `older` files go that the `files` of this run do not replace, and say so in one line."""
    stale = [path for path in dict.fromkeys(older) if path not in files.finished and path.is_file()]
    files.stale.extend(stale)
    if stale:
        say(f"{', '.join(map(str, stale))}: removed, made beside an older map")
