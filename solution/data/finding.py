"""Finding scenes: the SN9-named files of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from solution.core.errors import InputError
from solution.data import naming
from solution.data.scene import ScenePair, open_pair


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
                missing = naming.file_name(self.name, kind)
                raise InputError(
                    f"{partner.parent}: {missing} is missing beside {partner.name}; add it or remove its partner"
                )
        return open_pair(self.optical, self.sar, self.tiepoints, name=self.name)


def find_scenes(folder: Path) -> list[SceneFiles]:
    """Every SN9 name below a folder (also one level down, as the archives unpack), whole or not, sorted; opens no file.

    Args:
        folder: holds ``AA_optical_NAME.tif``, ``AA_sar_NAME.tif`` and, for labelled scenes, ``AA_tiepoints_NAME.csv``.

    Raises:
        InputError: no folder, or no such name in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; pass the folder that holds AA_optical_NAME.tif and AA_sar_NAME.tif"
        )
    files: dict[str, dict[str, Path]] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        parsed = naming.parse(path.name)
        if parsed and path.is_file() and (parsed.kind == "tiepoints") == (parsed.suffix == "csv"):
            files.setdefault(parsed.scene, {}).setdefault(parsed.kind, path)
    scenes = [
        SceneFiles(scene, naming.aoi_of(scene), kinds.get("optical"), kinds.get("sar"), kinds.get("tiepoints"))
        for scene, kinds in sorted(files.items())
    ]
    if not scenes:
        raise InputError(
            f"{folder}: holds no pair; files must be named AA_optical_NAME.tif and AA_sar_NAME.tif, AA being two digits"
        )
    return scenes


def discover(folder: Path) -> list[ScenePair]:
    """Every SN9-named pair below a folder, opened. Raises `InputError` as `find_scenes` and `SceneFiles.open`."""
    return [files.open() for files in find_scenes(folder)]
