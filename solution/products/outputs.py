"""What a prediction leaves beside its map, and whether it is all still there and whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from solution.core.artefact import file_facts, is_whole, read_noted, write_text
from solution.data.scene import ScenePair
from solution.field import candidates, offset_map
from solution.field.shiftfield import Fit


@dataclass(frozen=True)
class Outputs:
    """The files of one prediction.

    Attributes:
        map: the offset map.
        report: what led to it, the verdict, and size and digest of the other files.
        table: the candidates.
        warped_sar: the SAR image on the optical grid, None where it is not asked for.
        sigma: the 68 % radius of the map's error.
        uncertainty: whether that is asked for.
    """

    map: Path
    report: Path
    table: Path
    warped_sar: Path | None
    sigma: Path
    uncertainty: bool

    @classmethod
    def of(cls, out: Path, warped_sar: bool, uncertainty: bool) -> Outputs:
        """Those of a map's path. Raises `InputError` for one that is no file name of a GeoTIFF."""
        out = Path(out)
        offset_map.check_name(out)
        # a.tif and a.tiff are two maps, and have a report each.
        name = out.stem if out.suffix == ".tif" else out.name
        report, table, warped, sigma = (
            out.with_name(name + end) for end in (".report.json", ".candidates.parquet", ".sar.tif", ".sigma.tif")
        )
        return cls(out, report, table, warped if warped_sar else None, sigma, uncertainty)

    def all(self) -> list[Path]:
        """All files that may be written, or removed because they speak of an older map."""
        return [self.map, self.report, self.table, self.sigma, *filter(None, [self.warped_sar])]

    def speaking_of_it(self) -> list[Path]:
        """Files beside the map that say something of it, and are stale once it is replaced."""
        return [self.report, self.sigma]

    def finished(self, key: str) -> dict | None:
        """The report of an earlier run with the same key, where all that is asked for is there, and each file is the
        one that the report describes."""
        report = read_noted(self.report)
        if report.get("key") != key or "verdict" not in report:
            return None
        described = report.get("files") or {}
        wanted = {"map": self.map, "candidates": self.table}
        if self.warped_sar:
            wanted["warped_sar"] = self.warped_sar
        if self.uncertainty and report.get("radius_68_px") is not None:  # of some maps nothing is known
            wanted["uncertainty"] = self.sigma
        return report if all(is_whole(path, described.get(name)) for name, path in wanted.items()) else None

    def write(self, fit: Fit, table: pd.DataFrame, pair: ScenePair) -> dict[str, Path]:
        """Write all but the report, each file whole or not at all; returns what was written, by the name in the
        report."""
        for path in self.speaking_of_it():
            path.unlink(missing_ok=True)
        candidates.write(self.table, table)
        offset_map.write_map(self.map, fit, pair)
        written = {"map": self.map, "candidates": self.table}
        if self.warped_sar:
            offset_map.write_warped_sar(self.warped_sar, fit, pair)
            written["warped_sar"] = self.warped_sar
        if self.uncertainty and fit.sigma is not None:
            offset_map.write_uncertainty(self.sigma, fit, pair)
            written["uncertainty"] = self.sigma
        return written

    def write_report(self, facts: Mapping, written: Mapping[str, Path]) -> None:
        """The report, the last of the files: it stands for all of them."""
        files = {name: file_facts(path) for name, path in written.items()}
        write_text(self.report, json.dumps({**facts, "files": files}, indent=1) + "\n")
