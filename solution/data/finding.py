"""Finding scenes: the SN9-named files of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from solution.core.errors import InputError
from solution.data.scene import NAME, ScenePair, open_pair


@dataclass(frozen=True)
class SceneFiles:
    """The files of one SN9 name; a missing one is None."""

    name: str
    aoi: str
    optical: Path | None
    sar: Path | None
    tiepoints: Path | None

    def open(self) -> ScenePair:
        """Open the pair. Raises `InputError` where half of it is missing, or as `open_pair`."""
        for kind, path in (("optical", self.optical), ("sar", self.sar)):
            if path is None:
                partner = self.optical or self.sar or self.tiepoints
                missing = f"{self.aoi}_{kind}_{self.name[3:]}.tif"
                raise InputError(f"{partner.parent}: {missing} is missing beside {partner.name}; add it or remove its partner")
        return open_pair(self.optical, self.sar, self.tiepoints, name=self.name)


def find_scenes(folder: Path, split: str | None = None) -> list[SceneFiles]:
    """Every SN9 name below a folder (also one level down, as the archives unpack), whole or not, sorted; opens no file.

    Args:
        folder: holds ``AA_optical_NAME.tif``, ``AA_sar_NAME.tif`` and, for labelled scenes, ``AA_tiepoints_NAME.csv``.
        split: keep only names that begin so (``train``, ``publictest``, ``privatetest``).

    Raises:
        InputError: no folder, or no such name in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; pass the folder that holds AA_optical_NAME.tif and AA_sar_NAME.tif")
    files: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        parsed = NAME.match(path.name)
        if parsed and path.is_file() and (parsed["kind"].lower() == "tiepoints") == (parsed["suffix"].lower() == "csv"):
            files.setdefault((parsed["aoi"], parsed["rest"]), {}).setdefault(parsed["kind"].lower(), path)
    scenes = [
        SceneFiles(f"{aoi}_{rest}", aoi, kinds.get("optical"), kinds.get("sar"), kinds.get("tiepoints"))
        for (aoi, rest), kinds in sorted(files.items())
        if split is None or rest.startswith(split)
    ]
    if not scenes:
        what = f"{split} pair" if split else "pair"
        raise InputError(f"{folder}: holds no {what}; files must be named AA_optical_NAME.tif and AA_sar_NAME.tif, AA being two digits")
    return scenes


def discover(folder: Path, split: str | None = None) -> list[ScenePair]:
    """Every SN9-named pair below a folder, opened; arguments and errors as `find_scenes` and `SceneFiles.open`."""
    return [files.open() for files in find_scenes(folder, split)]
