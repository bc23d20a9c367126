"""How files of SN9 scenes and the folder of the teams are called.

Files of scenes are named ``AA_KIND_REST.tif``; AA is two digits, the area that the scene lies in. The scene of
``02_optical_train_01.tif`` is ``02_train_01``; its area is ``02``, and ``train_01`` its place within that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
FOLDS = _PACKAGE / "folds" if (_PACKAGE / "folds").is_dir() else _PACKAGE.parent / "folds"
"""The teams that come with the package: their split, and a folder of artefacts for each. They lie in the package where it
is installed, and beside it in the project's folder."""
SPLIT = "split.csv"
"""File name of the split in a folder of teams."""

_AREA_DIGITS = 2
_FILE = re.compile(
    r"^(?P<aoi>\d{2})_(?P<kind>optical|sar|tiepoints)_(?P<rest>.+)\.(?P<suffix>tiff?|csv)$", re.IGNORECASE
)


@dataclass(frozen=True)
class FileName:
    """The parts of a file's name.

    Attributes:
        aoi: two digits.
        kind: ``optical``, ``sar`` or ``tiepoints``, in small letters.
        rest: what the files of a scene have in common beside the area.
        suffix: ``tif``, ``tiff`` or ``csv``, in small letters.
    """

    aoi: str
    kind: str
    rest: str
    suffix: str

    @property
    def scene(self) -> str:
        """Name of the scene that the file belongs to."""
        return f"{self.aoi}_{self.rest}"


def parse(name: str) -> FileName | None:
    """The parts of a file name, None where it is not that of a scene's file; capitals do not count."""
    found = _FILE.match(name)
    return FileName(found["aoi"], found["kind"].lower(), found["rest"], found["suffix"].lower()) if found else None


def file_name(scene: str, kind: str, suffix: str = "tif") -> str:
    """``02_sar_train_01.tif`` for the scene ``02_train_01``."""
    return f"{aoi_of(scene)}_{kind}_{rest_of(scene)}.{suffix}"


def beside(optical: Path, kind: str) -> Path:
    """Path of another file of the scene, in the folder of its optical image."""
    return optical.with_name(optical.name.replace("_optical_", f"_{kind}_"))


def is_scene(name: str) -> bool:
    """Whether it is the name of a scene: two digits, an underscore, and something more."""
    return len(rest_of(name)) > 0 and aoi_of(name).isdigit() and name[_AREA_DIGITS] == "_"


def aoi_of(scene: str) -> str:
    """``02`` for ``02_train_01``."""
    return scene[:_AREA_DIGITS]


def rest_of(scene: str) -> str:
    """``train_01`` for ``02_train_01``."""
    return scene[_AREA_DIGITS + 1 :]
