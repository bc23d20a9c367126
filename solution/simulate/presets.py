"""What a scene is made of: district kinds, and presets that mix them and set relief and sensors."""

from __future__ import annotations

from dataclasses import dataclass, field

from solution.core.errors import InputError
from solution.simulate.materials import Material

M = Material  # the table below is dense


@dataclass(frozen=True)
class District:
    """One kind of neighbourhood. Ranges are (low, high), drawn once per district.

    Attributes:
        block_m: range of the distance between parallel streets, along and across.
        street_m: range of street widths; 0 for none.
        street: its surface.
        sidewalk_m: width on either side.
        gap: share of street segments left out.
        bend_m: how far streets deviate from straight lines.
        cover: (material, share) of open ground, in patches.
        blocks: (kind, share) of blocks; kinds are those of `structures`.
        trees_per_ha: on open ground, and along streets where `avenue`.
    """

    block_m: tuple[float, float]
    street_m: tuple[float, float]
    street: int
    sidewalk_m: float
    gap: float
    bend_m: float
    cover: tuple[tuple[int, float], ...]
    blocks: tuple[tuple[str, float], ...]
    trees_per_ha: tuple[float, float]


_CITY_COVER = ((M.SOIL, 0.45), (M.DRY_GRASS, 0.3), (M.GRASS, 0.25))
_DRY_COVER = ((M.SOIL, 0.35), (M.DRY_GRASS, 0.4), (M.GRASS, 0.15), (M.GRAVEL, 0.1))

DISTRICTS: dict[str, District] = {
    "apartments": District((70, 120), (7, 11), M.ASPHALT, 2.0, 0.3, 14, _CITY_COVER,
        (("towers", 0.64), ("slabs", 0.17), ("parking", 0.05), ("park", 0.05), ("empty", 0.05), ("construction", 0.04)), (3, 24)),
    "old_town": District((38, 70), (4.5, 7.5), M.ASPHALT, 1.0, 0.15, 10, _CITY_COVER,
        (("perimeter", 0.75), ("towers", 0.1), ("parking", 0.04), ("park", 0.04), ("rubble", 0.04), ("empty", 0.03)), (5, 25)),
    "suburb": District((62, 95), (7, 9), M.ASPHALT, 1.5, 0.12, 30, ((M.GRASS, 0.5), (M.DRY_GRASS, 0.35), (M.SOIL, 0.15)),
        (("houses", 0.9), ("park", 0.06), ("parking", 0.04)), (40, 130)),
    "industrial": District((90, 170), (8, 12), M.ASPHALT, 1.0, 0.25, 5, ((M.GRAVEL, 0.4), (M.SOIL, 0.35), (M.DRY_GRASS, 0.25)),
        (("halls", 0.68), ("parking", 0.17), ("empty", 0.08), ("construction", 0.07)), (2, 10)),
    "village": District((60, 120), (3.5, 6), M.SOIL, 0.0, 0.45, 35, ((M.GRASS, 0.35), (M.SOIL, 0.35), (M.DRY_GRASS, 0.3)),
        (("cottages", 0.75), ("empty", 0.2), ("park", 0.05)), (20, 80)),
    "fields": District((70, 220), (2.5, 4), M.SOIL, 0.0, 0.4, 18, ((M.CROP, 0.4), (M.SOIL, 0.3), (M.DRY_GRASS, 0.3)),
        (("field", 0.94), ("cottages", 0.03), ("orchard", 0.03)), (0.5, 4)),
    "open": District((150, 300), (2.0, 3.5), M.SOIL, 0.0, 0.6, 40, _DRY_COVER,
        (("empty", 0.93), ("construction", 0.05), ("cottages", 0.02)), (1, 15)),
    "wood": District((150, 300), (2.5, 4), M.SOIL, 0.0, 0.5, 40, ((M.GRASS, 0.6), (M.DRY_GRASS, 0.4)), (("wood", 0.85), ("empty", 0.15)), (30, 90)),
    "water": District((400, 500), (0, 0), M.SOIL, 0.0, 1.0, 40, ((M.WATER, 1.0),), (("empty", 1.0),), (0, 0)),
    "quarry": District((150, 300), (5, 8), M.SOIL, 0.0, 0.6, 40, ((M.GRAVEL, 0.5), (M.SOIL, 0.5)), (("construction", 0.8), ("empty", 0.2)), (0, 2)),
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """A landscape and its sensors. Ranges are (low, high), drawn uniformly once per scene.

    Attributes:
        districts: kind -> share.
        district_m: typical distance of district centres.
        arterial_m: width of the roads between districts.
        relief_m: root mean square difference of the SAR displacement of two places 183 m (600 SN9 pixels) apart.
        hurst: growth of that difference with distance.
        bias_m: length of the constant geocoding error.
        optical_gsd_m, sar_gsd_m: pixel sizes.
        off_nadir_deg, sun_elevation_deg, incidence_deg: of the optical view, the sun, and the radar.
        dem_error: share of the terrain above wavelengths of some hundred metres that the orthorectification misses.
        soil_rgb: tint of bare ground, which sets a region's colour.
        collapsed: range of the share of buildings that are rubble at the SAR date.
        sar_look: settings of `sar.SarLook` that a sensor of its own kind has, in the place of those that are drawn.
        material_db: what is added to the backscatter of materials, for such a sensor.
    """

    districts: dict[str, float]
    district_m: tuple[float, float] = (220.0, 420.0)
    arterial_m: tuple[float, float] = (10.0, 26.0)
    relief_m: tuple[float, float] = (2.0, 6.0)
    hurst: tuple[float, float] = (0.62, 0.75)
    bias_m: tuple[float, float] = (3.0, 20.0)
    optical_gsd_m: tuple[float, float] = (0.3, 0.5)
    sar_gsd_m: tuple[float, float] = (0.35, 0.5)
    off_nadir_deg: tuple[float, float] = (0.0, 34.0)
    sun_elevation_deg: tuple[float, float] = (28.0, 70.0)
    incidence_deg: tuple[float, float] = (22.0, 58.0)
    dem_error: tuple[float, float] = (0.1, 0.5)
    soil_rgb: tuple[int, int, int] = (172, 142, 112)
    collapsed: tuple[float, float] = (0.0, 0.1)
    sar_look: dict[str, object] = field(default_factory=dict)
    material_db: dict[Material, float] = field(default_factory=dict)


_SN9 = {
    "optical_gsd_m": (0.305, 0.305),
    "sar_gsd_m": (0.405, 0.45),
    "relief_m": (7.0, 14.5),
    "bias_m": (8.0, 24.0),
    "dem_error": (0.3, 0.7),
}

PRESETS: dict[str, Preset] = {
    "gaziantep": Preset(
        {"apartments": 0.52, "old_town": 0.12, "industrial": 0.12, "open": 0.12, "fields": 0.06, "quarry": 0.03, "suburb": 0.03},
        soil_rgb=(182, 150, 122), off_nadir_deg=(8.0, 30.0), **_SN9),
    "city": Preset({"apartments": 0.4, "old_town": 0.3, "industrial": 0.15, "suburb": 0.08, "open": 0.05, "water": 0.02}),
    "suburb": Preset({"suburb": 0.62, "open": 0.15, "industrial": 0.12, "apartments": 0.06, "wood": 0.03, "water": 0.02}, soil_rgb=(168, 140, 104)),
    "village": Preset({"village": 0.5, "fields": 0.2, "open": 0.15, "wood": 0.12, "water": 0.03}, soil_rgb=(178, 128, 88)),
    "farmland": Preset({"fields": 0.66, "village": 0.12, "open": 0.12, "wood": 0.07, "water": 0.03}, district_m=(300.0, 600.0), relief_m=(1.0, 4.0)),
    "coarse": Preset({"apartments": 0.25, "suburb": 0.2, "village": 0.15, "fields": 0.2, "industrial": 0.1, "open": 0.07, "water": 0.03},
        optical_gsd_m=(0.5, 1.0), sar_gsd_m=(0.8, 3.0), district_m=(260.0, 520.0)),
    "mountain": Preset({"open": 0.38, "village": 0.22, "wood": 0.2, "fields": 0.12, "quarry": 0.08}, relief_m=(8.0, 15.0), bias_m=(5.0, 24.0)),
    "coast": Preset({"water": 0.5, "suburb": 0.28, "open": 0.12, "village": 0.1}, district_m=(200.0, 340.0)),
    # A sensor that no other preset has: L band, cross-polarised. Volumes shine, smooth and upright things are dark.
    "longwave": Preset({"suburb": 0.35, "village": 0.2, "apartments": 0.2, "open": 0.15, "fields": 0.1}, soil_rgb=(168, 140, 104),
        sar_look={"looks": 8, "band": (0.4, 0.4), "bounce_db": -2.0, "facade_db": -24.0, "window_db": -8.0, "floor_db": -20.0,
                  "level": 220.0, "gamma": 0.6},
        material_db={M.TREE: 7.0, M.CROP: 5.0, M.GRASS: 3.0, M.DRY_GRASS: 2.0, M.SOIL: -7.0, M.GRAVEL: -8.0, M.RUBBLE: -8.0,
                     M.ROOF_TILE: -9.0, M.ROOF_FLAT: -7.0, M.VEHICLE: -10.0}),
}  # fmt: skip
MIXED = "mixed"
_NOT_MIXED = (
    "coast",
    "longwave",
)  # scenes of a seed stay what they were; longwave is kept apart from what is trained on


def choose(name: str, draw: float) -> Preset:
    """The preset of a name; ``mixed`` picks one by `draw` in [0, 1)."""
    if name == MIXED:
        names = sorted(set(PRESETS) - set(_NOT_MIXED))
        name = names[int(draw * len(names))]
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: is unknown; choose one of {', '.join([*sorted(PRESETS), MIXED])}")
    return PRESETS[name]
