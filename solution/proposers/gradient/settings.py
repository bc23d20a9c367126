"""Settings of template matching on oriented gradients."""

from __future__ import annotations

from dataclasses import dataclass

_FILTERS_PX = 8  # border of a tile that the blurs of `oriented.oriented` and its erosion of the data's border spoil


@dataclass(frozen=True)
class GradientConfig:
    """Template matching on oriented gradients; lengths in px of the level that it works on.

    Attributes:
        least_gsd_m: scenes with smaller optical pixels, or of unknown size, are not matched.
        window_px: side of a template.
        spacing_px: distance of the templates.
        reach_px: search radius around the field.
        core_px: side of the ground that a tile is read for at once; a multiple of the spacing.
        min_valid: share of valid px that a template needs, in both images.
    """

    # By design: between 10 m, where gradients help, and sub-metre scenes, where they add noise
    least_gsd_m: float = 3.0
    window_px: int = 96
    spacing_px: int = 24  # both chosen on: s12
    reach_px: int = 8
    core_px: int = 960
    min_valid: float = 0.5

    @property
    def margin_px(self) -> int:
        """Border of a tile: half a template, the search radius, and what the filters before them look at."""
        return self.window_px // 2 + self.reach_px + _FILTERS_PX
