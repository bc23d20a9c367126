"""Fixtures: `make_scene` writes a small simulated SN9-named pair whose displacement is known everywhere."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform as warp_points
from typer.testing import CliRunner

from solution.cli.app import app, main
from solution.data.scene import ScenePair, open_pair
from solution.data.tiepoints import TIEPOINT_COLUMNS

ORIGIN = (500_000.0, 5_000_000.0)
"""Geographic position of optical index (0, 0): the central meridian of UTM 37N."""

Displacement = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of many slow tests first: a file is one process's work, and the last to begin should not take minutes."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """No test leaves another number of threads behind, on which the bytes of what is trained depend."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Scene:
    """A pair on disk and its truth.

    Attributes:
        folder, name: where it lies, and its SN9 name.
        optical, sar: the rasters.
        tiepoints_csv: labels that follow the index convention, rounded to whole pixels of both images; None without
            labels.
        displacement: (x, y) in the optical *array* grid (integers are pixel centres) -> apparent shift (dx, dy) in
            optical px.
    """

    folder: Path
    name: str
    optical: Path
    sar: Path
    tiepoints_csv: Path | None
    displacement: Displacement

    def open(self) -> ScenePair:
        return open_pair(self.optical, self.sar, self.tiepoints_csv)

    def error_px(self, table: pd.DataFrame) -> np.ndarray:
        """(N, 2) index shifts of candidates less the true ones."""
        true = (
            np.column_stack(self.displacement(table["x"].to_numpy(), table["y"].to_numpy()))
            - self.open().centre_offset_px
        )
        return table[["dx", "dy"]].to_numpy() - true


@dataclass(frozen=True)
class Recipe:
    """What `make_scene` writes.

    Attributes:
        shape: (h, w) of the optical image.
        gsd: optical pixel (x, y) in units of the CRS; the image is north up.
        sar_gsd: SAR pixel (x, y), in units of the SAR CRS.
        sar_offset: SAR origin less optical origin (east, north), in units of the optical CRS.
        sar_shape: (h, w); by default it covers the optical image.
        sar_rotation_deg: turns the SAR grid about its origin.
        displacement: constant apparent shift (dx, dy) in optical px, or a smooth function of optical array positions
            (slope below 1/2).
        kind: what the SAR values are: ``amplitude``, ``intensity`` (its square) or ``db``.
        speckle: standard deviation of the multiplicative noise of the amplitude.
        sar_crs: None for the optical one.
        points: (columns, rows) of the tie-point grid; None writes no CSV.
    """

    shape: tuple[int, int] = (160, 192)
    gsd: tuple[float, float] = (0.5, 0.5)
    sar_gsd: tuple[float, float] = (0.67, 0.66)
    sar_offset: tuple[float, float] = (-3.1, 5.3)
    sar_shape: tuple[int, int] | None = None
    sar_rotation_deg: float = 0.0
    displacement: tuple[float, float] | Displacement = (5.0, -3.0)
    crs: str = "EPSG:32637"
    sar_crs: str | None = None
    bands: int = 3
    optical_dtype: str = "uint8"
    sar_dtype: str = "uint8"
    kind: str = "amplitude"
    speckle: float = 0.0
    sar_nodata: float | None = None
    points: tuple[int, int] | None = (6, 5)
    seed: int = 0


@pytest.fixture
def make_scene(tmp_path: Path) -> Callable[..., Scene]:
    """A function ``(name="02_train_01", folder=tmp_path / "data", **fields of Recipe) -> Scene``."""

    def make(name: str = "02_train_01", folder: Path | None = None, **fields: object) -> Scene:
        return write_scene(folder or tmp_path / "data", name, Recipe(**fields))

    return make


@pytest.fixture
def run(monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: arguments -> exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["solution", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        written = capfd.readouterr()
        return stop.value.code or 0, written.out, written.err

    return call


def invoke(*arguments: object) -> str:
    """Runs the command line in this process, which must succeed -> what it printed."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@dataclass(frozen=True)
class Trained:
    """Two tiny labelled scenes and the teams of a smoke run on them.

    Attributes:
        data: holds ``02_train_01`` (held out by team 0) and ``03_train_01`` (by team 1).
        folds: split.csv and the teams.
        output: what the command line printed.
    """

    data: Path
    folds: Path
    output: str


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """Made once by the public command line; a test that changes it works on a copy."""
    root = tmp_path_factory.mktemp("trained")
    data, folds = root / "data", root / "folds"
    for seed, name in enumerate(("02_train_01", "03_train_01")):
        write_scene(data, name, Recipe(seed=seed, displacement=(9.0, -6.0)))
    output = ""
    for arguments in (
        ["split", data, "--output", folds / "split.csv"],
        ["train-coarse", data, "--smoke", "--folds", folds, "--device", "cpu"],
        ["train-flow", data, "--smoke", "--folds", folds, "--device", "cpu"],
    ):
        output += invoke(*arguments)
    return Trained(data, folds, output)


def write_scene(folder: Path, name: str, recipe: Recipe) -> Scene:
    """Write the pair and its labels."""
    folder.mkdir(parents=True, exist_ok=True)
    aoi, rest = name.split("_", 1)
    optical, sar, csv = (
        folder / f"{aoi}_optical_{rest}.tif",
        folder / f"{aoi}_sar_{rest}.tif",
        folder / f"{aoi}_tiepoints_{rest}.csv",
    )
    displacement = _as_function(recipe.displacement)
    optical_transform = _north_up(ORIGIN, recipe.gsd)
    ground = _ground(recipe)

    x, y = np.meshgrid(np.arange(recipe.shape[1], dtype=np.float64), np.arange(recipe.shape[0], dtype=np.float64))
    reflectance = ground(x, y)
    picture = np.stack([reflectance**power for power in np.linspace(0.8, 1.3, recipe.bands)])
    write_raster(optical, _quantised(picture, recipe.optical_dtype), optical_transform, recipe.crs)

    sar_transform, sar_shape = _sar_grid(recipe)
    ground_x, ground_y = _ground_of_sar(recipe, sar_transform, sar_shape, optical_transform, displacement)
    write_raster(
        sar,
        _sar_values(ground(ground_x, ground_y), recipe),
        sar_transform,
        recipe.sar_crs or recipe.crs,
        recipe.sar_nodata,
    )

    if recipe.points is None:
        return Scene(folder, name, optical, sar, None, displacement)
    write_tiepoints(csv, _tiepoints(recipe, sar_transform, sar_shape, optical_transform, displacement))
    return Scene(folder, name, optical, sar, csv, displacement)


def write_raster(
    path: Path, values: np.ndarray, transform: Affine, crs: str | None, nodata: float | None = None, **options: object
) -> None:
    """Write (bands, h, w) as a GeoTIFF, deflated in tiles of 64 px."""
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", **options}
    bands, height, width = values.shape
    path.unlink(missing_ok=True)  # rasterio would first open what lies there, which a test may have broken
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=bands,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
        **layout,
    ) as dataset:
        dataset.write(values)


def write_tiepoints(path: Path, rows: np.ndarray) -> None:
    """Rows (N, 4) in the order of the challenge's CSV."""
    np.savetxt(path, rows, fmt="%d", delimiter=",", header=",".join(TIEPOINT_COLUMNS), comments="")


def _north_up(origin: tuple[float, float], gsd: tuple[float, float]) -> Affine:
    return Affine(gsd[0], 0.0, origin[0], 0.0, -gsd[1], origin[1])


def _as_function(displacement: tuple[float, float] | Displacement) -> Displacement:
    if callable(displacement):
        return displacement
    dx, dy = displacement
    return lambda x, y: (np.full(np.shape(x), float(dx)), np.full(np.shape(y), float(dy)))


def _ground(recipe: Recipe) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A smooth random texture in [0.1, 1], defined between the pixels too: a sum of waves of 8 to 60 optical px."""
    rng = np.random.default_rng(recipe.seed)
    length = rng.uniform(8.0, 60.0, 16)
    angle = rng.uniform(0.0, 2 * np.pi, 16)
    phase = rng.uniform(0.0, 2 * np.pi, 16)

    def value(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = np.zeros(np.shape(x))
        for wavelength, direction, start in zip(length, angle, phase, strict=True):
            total += np.cos(2 * np.pi * (x * np.cos(direction) + y * np.sin(direction)) / wavelength + start)
        return 0.55 + 0.45 * np.tanh(total / 4.0)

    return value


def _sar_grid(recipe: Recipe) -> tuple[Affine, tuple[int, int]]:
    """Transform in the SAR CRS and (h, w)."""
    east, north = (np.array([ORIGIN[axis] + recipe.sar_offset[axis]]) for axis in (0, 1))
    origin = tuple(float(value[0]) for value in _reprojected(recipe.crs, recipe.sar_crs, east, north))
    transform = _north_up(origin, recipe.sar_gsd) @ Affine.rotation(recipe.sar_rotation_deg)
    if recipe.sar_shape:
        return transform, recipe.sar_shape
    if recipe.sar_crs or recipe.sar_rotation_deg:
        raise ValueError("say sar_shape where the SAR image has a grid of its own")
    width = recipe.shape[1] * recipe.gsd[0] + 2 * abs(recipe.sar_offset[0])
    height = recipe.shape[0] * recipe.gsd[1] + 2 * abs(recipe.sar_offset[1])
    return transform, (int(height / recipe.sar_gsd[1]) + 1, int(width / recipe.sar_gsd[0]) + 1)


def _ground_of_sar(
    recipe: Recipe,
    sar_transform: Affine,
    sar_shape: tuple[int, int],
    optical_transform: Affine,
    displacement: Displacement,
) -> tuple[np.ndarray, np.ndarray]:
    """The ground (optical array coordinates) that every SAR pixel centre shows: p + displacement(p) is where it
    appears."""
    column, row = np.meshgrid(np.arange(sar_shape[1]) + 0.5, np.arange(sar_shape[0]) + 0.5)
    east, north = sar_transform @ (column, row)
    east, north = _reprojected(recipe.sar_crs or recipe.crs, recipe.crs, east, north)
    seen_x, seen_y = (value - 0.5 for value in ~optical_transform @ (east, north))
    x, y = seen_x, seen_y
    for _ in range(16):
        dx, dy = displacement(x, y)
        x, y = seen_x - dx, seen_y - dy
    return x, y


def _reprojected(source: str, target: str | None, east: np.ndarray, north: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions from one CRS to another; `target` None leaves them."""
    if target is None or source == target:
        return east, north
    new = warp_points(CRS.from_user_input(source), CRS.from_user_input(target), np.ravel(east), np.ravel(north))
    return tuple(np.reshape(value, np.shape(east)) for value in new)


def _sar_values(reflectance: np.ndarray, recipe: Recipe) -> np.ndarray:
    """(1, h, w): another look than the optical image's, speckled, in the recipe's unit and dtype."""
    rng = np.random.default_rng(recipe.seed + 1)
    amplitude = 0.02 + np.exp(-3.0 * reflectance) * np.maximum(
        1.0 + recipe.speckle * rng.standard_normal(reflectance.shape), 0.05
    )
    values = {"amplitude": amplitude, "intensity": amplitude**2, "db": 20.0 * np.log10(amplitude)}[recipe.kind]
    return _quantised(values[None], recipe.sar_dtype)


def _quantised(values: np.ndarray, dtype: str) -> np.ndarray:
    """[0, 1] to the range of an integer dtype, from 1 on, as 0 means outside; floats as they are."""
    if dtype.startswith("float"):
        return values.astype(dtype)
    top = {"uint8": 255, "uint16": 10_000}[dtype]
    return np.clip(np.rint(values * top), 1, top).astype(dtype)


def _tiepoints(
    recipe: Recipe,
    sar_transform: Affine,
    sar_shape: tuple[int, int],
    optical_transform: Affine,
    displacement: Displacement,
) -> np.ndarray:
    """(N, 4) whole-pixel correspondences on a grid, those inside both images."""
    height, width = recipe.shape
    columns, rows = recipe.points
    x, y = np.meshgrid(np.rint(np.linspace(8, width - 9, columns)), np.rint(np.linspace(8, height - 9, rows)))
    dx, dy = displacement(x, y)
    east, north = optical_transform @ (x + dx + 0.5, y + dy + 0.5)
    east, north = _reprojected(recipe.crs, recipe.sar_crs, east, north)
    column, row = ~sar_transform @ (east, north)
    table = np.column_stack([np.rint(v).ravel() for v in (row - 0.5, column - 0.5, y, x)]).astype(int)
    inside = (table[:, :2] >= 0).all(axis=1) & (table[:, 0] < sar_shape[0]) & (table[:, 1] < sar_shape[1])
    return table[inside]


@pytest.fixture
def worked(tmp_path) -> ScenePair:
    """The images of the worked number in the package's docstring: 0.5 m and 1 m, one origin; optical (10, 20) is SAR
    (6, 9), and (30, 40) is (17, 21) with a shift of (4, 2)."""
    for name, gsd, bands, shape in (("o.tif", 0.5, 3, (64, 80)), ("s.tif", 1.0, 1, (32, 40))):
        values = np.full((bands, *shape), 9, np.uint8)
        write_raster(tmp_path / name, values, Affine(gsd, 0, ORIGIN[0], 0, -gsd, ORIGIN[1]), "EPSG:32637")
    return open_pair(tmp_path / "o.tif", tmp_path / "s.tif")


def retag(path: Path) -> None:
    """Other bytes with the same pixels."""
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(REVISION="2")


def truncate(path: Path) -> None:
    """What a full disk or a broken copy leaves."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
