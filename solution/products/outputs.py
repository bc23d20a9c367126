"""What a prediction leaves beside its map, and whether it is all still there and whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from solution.core.artefact import file_facts, is_whole, read_noted, write_text
from solution.core.errors import InputError
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
        uncertainty: the 68 % radius of the map's error, None where it is not asked for.
    """

    map: Path
    report: Path
    table: Path
    warped_sar: Path | None
    uncertainty: Path | None

    @classmethod
    def of(cls, out: Path, warped_sar: bool, uncertainty: bool) -> Outputs:
        """Those of a map's path. Raises `InputError` for one that is no file name of a GeoTIFF."""
        out = Path(out)
        if out.suffix.lower() not in (".tif", ".tiff"):
            raise InputError(f"{out}: the offset map is a GeoTIFF; give it a name that ends in .tif")
        # a.tif and a.tiff are two maps, and have a report each.
        name = out.stem if out.suffix == ".tif" else out.name
        report, table, warped, sigma = (
            out.with_name(name + end) for end in (".report.json", ".candidates.parquet", ".sar.tif", ".sigma.tif")
        )
        return cls(out, report, table, warped if warped_sar else None, sigma if uncertainty else None)

    def all(self) -> list[Path]:
        """All files that may be written, or removed because they speak of an older map."""
        return [self.map, self.report, self.table, self._sigma(), *filter(None, [self.warped_sar])]

    def _sigma(self) -> Path:
        """Where the radius is written, whether it is asked for or not."""
        return self.report.with_name(self.report.name.removesuffix(".report.json") + ".sigma.tif")

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
        if self.uncertainty and report["fit"] != "zero":  # nothing is known of the errors of zero shift
            wanted["uncertainty"] = self.uncertainty
        return report if all(is_whole(path, described.get(name)) for name, path in wanted.items()) else None

    def write(self, fit: Fit, table: pd.DataFrame, pair: ScenePair) -> dict[str, Path]:
        """Write all but the report, each file whole or not at all; returns what was written, by the name in the
        report."""
        self.report.unlink(missing_ok=True)  # it speaks of a map that is now replaced
        self._sigma().unlink(missing_ok=True)
        candidates.write(self.table, table)
        offset_map.write_map(self.map, fit, pair)
        written = {"map": self.map, "candidates": self.table}
        if self.warped_sar:
            offset_map.write_warped_sar(self.warped_sar, fit, pair)
            written["warped_sar"] = self.warped_sar
        if self.uncertainty and fit.sigma is not None:
            offset_map.write_uncertainty(self.uncertainty, fit, pair)
            written["uncertainty"] = self.uncertainty
        return written

    def write_report(self, facts: Mapping, written: Mapping[str, Path]) -> None:
        """The report, the last of the files: it stands for all of them."""
        files = {name: file_facts(path) for name, path in written.items()}
        write_text(self.report, json.dumps({**facts, "files": files}, indent=1) + "\n")
