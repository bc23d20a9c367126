"""Puts a scene together and writes it in the challenge's layout, with its exact truth."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio import Affine

from solution.core.artefact import file_facts, is_whole, read_noted
from solution.core.code import code_digest
from solution.core.errors import InputError
from solution.core.outputs import check_outputs
from solution.core.writing import together, write_text
from solution.data import naming
from solution.data.raster_writing import new_raster
from solution.data.tiepoints import TIEPOINT_COLUMNS
from solution.simulate import layout, optical, presets, sar, sensors
from solution.simulate.blocks import build_block
from solution.simulate.ground import GroundCells, draw_palette, fill_cover
from solution.simulate.structures import Town, collapse, park_vehicles

CRS = "EPSG:32637"
ORIGIN_M = (354_000.0, 4_107_000.0)
SMALLEST = 256
SAR_DTYPES = ("uint8", "uint16", "float32")
MASK = {"ground": 0, "roof": 1, "facade": 2, "layover": 3, "shadow": 4, "occlusion": 5, "canopy": 6}
_PER_MEGAPIXEL = 10  # tie-points
_STRIP = 1024  # rows that are made at once


@dataclass(frozen=True)
class ScenePaths:
    """Files of one scene."""

    optical: Path
    sar: Path
    tiepoints: Path
    truth: Path
    mask: Path


@dataclass(frozen=True)
class SimulatedScene:
    """A simulated scene in memory.

    Attributes:
        views, grids, displacement: as `sensors` draws them.
        optical: (H, W, 3) uint8.
        sar: (h, w) amplitude, uint8 unless asked otherwise.
        mask: (H, W) uint8, values of `MASK`, on the optical grid.
        corners: (n, 2) ground cells at which a person would click.
    """

    views: sensors.SceneViews
    grids: sensors.Grids
    displacement: sensors.Displacement
    optical: np.ndarray
    sar: np.ndarray
    mask: np.ndarray
    corners: np.ndarray

    @property
    def gsd_ratio(self) -> np.ndarray:
        """SAR pixel size in optical pixels, (x, y)."""
        return np.array(self.views.sar_gsd_m) / self.views.cell_m


def build_scene(size: tuple[int, int], seed: int, preset: str, sar_dtype: str = SAR_DTYPES[0]) -> SimulatedScene:
    """Simulate one scene; everything follows from its size, seed and preset. `sar_dtype` is one of `SAR_DTYPES`."""
    if sar_dtype not in SAR_DTYPES:
        raise InputError(f"SAR type {sar_dtype!r}: is unknown; choose one of {', '.join(SAR_DTYPES)}")
    if min(size) < SMALLEST:
        raise InputError(
            f"size {size[0]} x {size[1]}: is too small to simulate; ask for at least {SMALLEST} x {SMALLEST}"
        )
    root = np.random.SeedSequence(seed)
    rng = [np.random.default_rng(child) for child in root.spawn(9)]
    landscape = presets.choose(preset, float(rng[0].random()))
    views = sensors.draw_views(landscape, rng[0])
    grids, displacement = sensors.build(size, landscape, views, rng[1])
    plan = layout.build(grids.ground_shape, views.cell_m, landscape, rng[2])
    palette = draw_palette(landscape, rng[3])
    ground = GroundCells.empty(grids.ground_shape)
    fill_cover(ground, plan, palette)
    slots = Town(ground, plan, palette, rng[4]).fill(build_block)
    photo, seen = _photograph(ground, slots, displacement, grids, views, rng[5], rng[6])
    collapse(ground, rng[7].uniform(*landscape.collapsed), rng[7])
    park_vehicles(ground, views.cell_m, slots, rng[7].uniform(0.3, 0.9), rng[7])
    look = sar.draw_look(rng[8], landscape)
    power = sar.accumulate(ground, displacement, views, look)
    total, raised = sar.intensity(power, grids, views)
    image = sar.quantise(sar.speckle(total, views, look, rng[8]), look, sar_dtype)
    mask = _mask(seen, power.shadow, raised > 0.5 * total, displacement, grids, views)
    return SimulatedScene(views, grids, displacement, photo, image, mask, np.array(ground.corners).reshape(-1, 2))


def _photograph(ground, slots, displacement, grids, views, rng_cars, rng_look) -> tuple[np.ndarray, np.ndarray]:
    dated = ground.copy()
    park_vehicles(dated, views.cell_m, slots, rng_cars.uniform(0.3, 0.9), rng_cars)
    return optical.render(dated, displacement, grids, views, optical.draw_look(rng_look), rng_look)


def truth_strips(scene: SimulatedScene) -> Iterator[tuple[int, np.ndarray]]:
    """The exact shift of the ground, strip by strip: first row and (2, rows, W) float32 in optical
    px by the package's convention.

    A pixel's ground lies at its place less the orthophoto's error; it appears in the SAR image displaced by bias and
    parallax. The shift of *indices* is that of centres less half the difference of the two pixel sizes.
    """
    height, width = scene.grids.optical_shape
    cell = scene.views.cell_m
    half = (scene.gsd_ratio - 1) / 2
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        ground_x, ground_y, error = _ground_of_pixels(
            scene.displacement, scene.grids, cell, optical.CellWindow(top, bottom, 0, width)
        )
        shift = [
            (_sample(field, ground_x, ground_y) - error[axis]) / cell - half[axis]
            for axis, field in enumerate((scene.displacement.sar_x, scene.displacement.sar_y))
        ]
        yield top, np.stack(shift).astype(np.float32)


def _ground_of_pixels(
    displacement, grids, cell: float, part: optical.CellWindow
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """GroundCells cell (x, y) that each optical pixel shows at ground level, and the orthophoto's error there in m."""
    x0, y0 = grids.ground_origin
    window = (part.top - y0, part.bottom - y0, part.left - x0, part.right - x0)
    error = [displacement.optical_x.window(*window), displacement.optical_y.window(*window)]
    columns = np.arange(window[2], window[3], dtype=np.float32)[None, :]
    rows = np.arange(window[0], window[1], dtype=np.float32)[:, None]
    return columns - error[0] / cell, rows - error[1] / cell, error


def _sample(field, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A coarse field at fractional cells (x, y): interpolated to cells first, then between them."""
    top, left = int(np.floor(y.min())) - 2, int(np.floor(x.min())) - 2
    bottom, right = int(np.ceil(y.max())) + 3, int(np.ceil(x.max())) + 3
    cells = field.window(top, bottom, left, right)
    return cv2.remap(cells, x - left, y - top, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _mask(seen, shadow, layover, displacement, grids, views) -> np.ndarray:
    """What hides or displaces the ground at every optical pixel, in either image; what the optical
    image shows has precedence."""
    out = np.zeros(grids.optical_shape, np.uint8)
    cell, gsd, origin = views.cell_m, views.sar_gsd_m, grids.sar_origin_m
    for top in range(0, out.shape[0], _STRIP):
        part = optical.CellWindow(top, min(top + _STRIP, out.shape[0]), 0, out.shape[1])
        x, y, _ = _ground_of_pixels(displacement, grids, cell, part)
        rows = slice(part.top, part.bottom)
        nearest = {"interpolation": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_REPLICATE}
        first, last = max(0, int(y.min()) - 2), min(shadow.shape[0], int(y.max()) + 3)
        dark = cv2.remap(shadow[first:last].astype(np.uint8), x, y - first, **nearest)
        sar_x = ((x + grids.ground_origin[0] + 0.5) * cell + _sample(displacement.sar_x, x, y) - origin[0]) / gsd[
            0
        ] - 0.5
        sar_y = ((y + grids.ground_origin[1] + 0.5) * cell + _sample(displacement.sar_y, x, y) - origin[1]) / gsd[
            1
        ] - 0.5
        first, last = max(0, int(sar_y.min()) - 2), max(1, min(layover.shape[0], int(sar_y.max()) + 3))
        first = min(first, last - 1)
        over = cv2.remap(layover[first:last].astype(np.uint8), sar_x, sar_y - first, **nearest)
        out[rows][dark > 0] = MASK["shadow"]
        out[rows][over > 0] = MASK["layover"]
        for name in ("canopy", "roof", "facade", "occlusion"):
            out[rows][seen[rows] == optical.VIEW[name]] = MASK[name]
    return out


def tiepoints(scene: SimulatedScene, click_noise_px: float, rng: np.random.Generator) -> np.ndarray:
    """Tie-points where a person would click: at junctions, corners of lots and wall feet,
    on ground that both images show.

    Args:
        click_noise_px: root mean square length of the click error in optical px, on the SAR side; 0
            leaves only the rounding to pixels.

    Returns:
        (n, 4) int64: sar_row, sar_col, optical_row, optical_col.
    """
    height, width = scene.grids.optical_shape
    wanted = int(np.clip(_PER_MEGAPIXEL * height * width / 1e6, 24, 200))
    places = _click_places(scene, wanted, rng)
    cell, gsd = scene.views.cell_m, np.array(scene.views.sar_gsd_m)
    x0, y0 = scene.grids.ground_origin
    x, y = (places + 0.0).T
    error = (
        np.column_stack(
            [scene.displacement.optical_x.at(x - x0, y - y0), scene.displacement.optical_y.at(x - x0, y - y0)]
        )
        / cell
    )
    ground = places - error
    shift = np.column_stack(
        [f.at(ground[:, 0] - x0, ground[:, 1] - y0) for f in (scene.displacement.sar_x, scene.displacement.sar_y)]
    )
    click = rng.normal(0, max(click_noise_px, 0.0) / np.sqrt(2), (len(places), 2)) * (click_noise_px > 0)
    at = (ground + 0.5 + click) * cell + shift - np.array(scene.grids.sar_origin_m)
    index = np.floor(at / gsd).astype(np.int64)
    inside = (index >= 0).all(axis=1) & (index < np.array(scene.grids.sar_shape[::-1])).all(axis=1)
    table = np.column_stack([index[:, 1], index[:, 0], places[:, 1], places[:, 0]])[inside]
    return table[np.lexsort((table[:, 3], table[:, 2]))].astype(np.int64)


def _click_places(scene: SimulatedScene, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) whole optical pixels (x, y), all different, on visible ground, at corners of
    things as far as there are any."""
    height, width = scene.grids.optical_shape
    corners = scene.corners + np.array(scene.grids.ground_origin)
    corners = np.rint(corners + _optical_error_px(scene, corners)).astype(np.int64)
    anywhere = rng.integers((0, 0), (width, height), (40 * wanted, 2))
    candidates = np.concatenate([rng.permutation(corners), anywhere])
    inside = (candidates >= 0).all(axis=1) & (candidates < (width, height)).all(axis=1)
    candidates = candidates[inside]
    candidates = candidates[scene.mask[candidates[:, 1], candidates[:, 0]] == MASK["ground"]]
    _, first = np.unique(candidates, axis=0, return_index=True)
    candidates = candidates[np.sort(first)]
    return candidates[:wanted]


def _optical_error_px(scene: SimulatedScene, places: np.ndarray) -> np.ndarray:
    x, y = (places - np.array(scene.grids.ground_origin)).T
    fields = (scene.displacement.optical_x, scene.displacement.optical_y)
    return np.column_stack([field.at(x, y) for field in fields]) / scene.views.cell_m


def write_scene(
    folder: Path,
    name: str,
    size: tuple[int, int],
    seed: int,
    preset: str = presets.MIXED,
    click_noise_px: float = 4.0,
    sar_dtype: str = SAR_DTYPES[0],
) -> ScenePaths:
    """Simulate a scene and write it.

    Args:
        folder: made if missing.
        name: SN9 scene name, for example ``01_train_01``; its first two digits are the AOI.
        size: (height, width) of the optical image in px.
        seed: of everything in the scene.
        preset: a name of `presets.PRESETS`, or ``mixed``.
        click_noise_px: root mean square error of the tie-points, optical px.
        sar_dtype: ``uint8``, ``uint16`` or ``float32``.

    Returns:
        Paths of ``AA_optical_REST.tif``, ``AA_sar_REST.tif``, ``AA_tiepoints_REST.csv``, ``AA_truth_REST.tif`` (2 x
        float32 shift, and its bands are ``dx``, ``dy``) and ``AA_mask_REST.tif`` (uint8, values of `MASK`).

    Raises:
        InputError: bad name, unknown preset or SAR type, size too small, folder not writable.
    """
    if not naming.is_scene(name):
        raise InputError(f"scene name {name!r}: must begin with two digits and an underscore, for example 01_train_01")
    folder = Path(folder)
    paths = ScenePaths(*(folder / naming.file_name(name, kind, suffix) for kind, suffix in _FILES))
    check_outputs(dataclasses.astuple(paths), [], _BYTES_PER_PX * size[0] * size[1])
    scene = build_scene(size, seed, preset, sar_dtype)
    clicks = tiepoints(scene, click_noise_px, np.random.default_rng([seed, 1]))
    with together():
        _write_all(paths, scene, clicks, sar_dtype)
    return paths


def _write_all(paths: ScenePaths, scene: SimulatedScene, clicks: np.ndarray, sar_dtype: str) -> None:
    optical_transform = _optical_transform(scene)
    truth = (scene.grids.optical_shape, 2, "float32")
    _write_raster(paths.truth, truth, optical_transform, truth_strips(scene), ("dx", "dy"))
    _write_raster(paths.mask, (scene.mask.shape, 1, "uint8"), optical_transform, [(0, scene.mask[None])], ("mask",))
    sar = (scene.sar.shape, 1, sar_dtype)
    _write_raster(paths.sar, sar, _sar_transform(scene), [(0, scene.sar[None])], ("amplitude",))
    rgb = np.moveaxis(scene.optical, -1, 0)
    _write_raster(paths.optical, (rgb.shape[1:], 3, "uint8"), optical_transform, [(0, rgb)], ("red", "green", "blue"))
    rows = [",".join(TIEPOINT_COLUMNS), *(",".join(map(str, row)) for row in clicks.tolist())]
    write_text(paths.tiepoints, "\n".join(rows) + "\n")


def ensure_scene(folder: Path, name: str, size: tuple[int, int], seed: int, *settings: object) -> bool:
    """`write_scene`, unless a run of the same code with the same arguments finished in this folder and its files are
    whole; whether it had to be written."""
    folder = Path(folder)
    receipt, wanted = folder / f".{name}.json", [list(size), seed, *settings, code_digest(write_scene)]
    if _holds(receipt, wanted):
        return False
    receipt.unlink(missing_ok=True)
    written = write_scene(folder, name, size, seed, *settings)
    files = [file_facts(path) for path in dataclasses.astuple(written)]
    write_text(receipt, json.dumps({"made_from": wanted, "files": files}))
    return True


def _holds(receipt: Path, wanted: list) -> bool:
    """Whether a receipt speaks of such a scene, and of files that are still what they were."""
    noted = read_noted(receipt)
    if noted.get("made_from") != wanted or not noted.get("files"):
        return False
    return all(is_whole(receipt.with_name(one["name"]), one) for one in noted["files"])


def plan(scenes: int, seed: int) -> Iterator[tuple[str, int]]:
    """Names and seeds of a set of scenes: at least two scenes to an area of interest, as many as it
    takes to stay below 100 areas."""
    per_aoi = max(2, -(-scenes // 99))
    seeds = np.random.SeedSequence(seed).generate_state(scenes, np.uint32)
    for number in range(scenes):
        yield f"{number // per_aoi + 1:02d}_train_{number % per_aoi + 1:02d}", int(seeds[number])


_BYTES_PER_PX = 4  # of all files of a scene, about: deflated, most of it is the truth
_FILES = (("optical", "tif"), ("sar", "tif"), ("tiepoints", "csv"), ("truth", "tif"), ("mask", "tif"))


def _optical_transform(scene: SimulatedScene) -> Affine:
    return Affine(scene.views.cell_m, 0.0, ORIGIN_M[0], 0.0, -scene.views.cell_m, ORIGIN_M[1])


def _sar_transform(scene: SimulatedScene) -> Affine:
    x, y = scene.grids.sar_origin_m
    return Affine(scene.views.sar_gsd_m[0], 0.0, ORIGIN_M[0] + x, 0.0, -scene.views.sar_gsd_m[1], ORIGIN_M[1] - y)


def _write_raster(path: Path, kind, transform, strips, names: tuple[str, ...]) -> None:
    (height, width), bands, dtype = kind
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": bands,
        "dtype": dtype,
        "crs": CRS,
        "transform": transform,
    }
    layout_options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "zlevel": 1}
    if dtype == "float32":
        layout_options["predictor"] = 3
    with new_raster(path, names, **profile, **layout_options) as target:
        for top, values in strips:
            target.write(values, window=rasterio.windows.Window(0, top, width, values.shape[1]))
