"""How to predict."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from solution.core.errors import InputError
from solution.field.rasters import COG, check_layout
from solution.field.warped_sar import BILINEAR, check_resampling
from solution.proposers.every import LEARNED
from solution.proposers.families import FLOW
from solution.proposers.runtimes import every as runtimes
from solution.teams.propose import Proposing
from solution.teams.team import folder_of
from solution.teams.voice import Voice, each, together


@dataclass(frozen=True)
class Settings:
    """How to predict.

    Attributes:
        folds: folder of the teams.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        teams: names of the teams that propose; empty = all fold teams below `folds`.
        warped_sar: also write the SAR image on the optical grid.
        uncertainty: also write the 68 % radius of the map's error.
        rerank: let each team's reranker judge its candidates before the fit.
        surface_model: weights of a surface classifier, which also says where the SAR image shows water or ice.
        keep_water: do not take smooth dark ground of the SAR image for water.
        proposing: sources and how they work.
        report: also write the report page.
        stac: also write a STAC Item of the map.
        gcps: also write the SAR image with ground control points, for GDAL.
        layout: of the map; None = what suits the form of the command, a COG for a pair.
        resampling: of the SAR image on the optical grid.
        tiepoints: what to write the candidates to for other programs: names of files, or formats.
        runtime: what computes the features, a key of `runtimes.PACKAGES`.
    """

    folds: Path
    device: str = "auto"
    teams: tuple[str, ...] = ()
    warped_sar: bool = False
    uncertainty: bool = False
    rerank: bool = False
    surface_model: Path | None = None
    keep_water: bool = False
    proposing: Proposing = field(default_factory=Proposing)
    report: bool = False
    stac: bool = False
    gcps: bool = False
    layout: str | None = None
    resampling: str = BILINEAR
    tiepoints: tuple[str, ...] = ()
    runtime: str = runtimes.DEFAULT

    def __post_init__(self) -> None:
        check_resampling(self.resampling)
        check_layout(self.layout or COG)
        runtimes.check(self.runtime)

    def folders(self) -> list[Path]:
        """The folders of the teams. Raises `InputError` where there are none."""
        names = self.teams or tuple(sorted(path.parent.name for path in self.folds.glob(f"[0-9]*/{FLOW.file}")))
        if not names:
            raise InputError(
                f"{self.folds}: holds no team (N/{FLOW.file}); train with ./train.sh DATA, or restore the shipped ones with: git checkout -- folds"
            )
        return [folder_of(name, self.folds) for name in names]

    @cached_property
    def voices(self) -> list[Voice]:
        """Who proposes: the teams as one where that can be, or each for itself, so that its own reranker can judge it.

        Raises:
            InputError: as `folders`, or weights are damaged.
        """
        return each(self.folders()) if self.rerank else together(self.folders(), self.proposing.families())

    def asked(self) -> set[str]:
        """The learned sources that are to propose, of any voice."""
        return {source for voice in self.voices for source in self.proposing.of_voice(voice)} & set(LEARNED)
