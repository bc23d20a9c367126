"""The optical image: an oblique, sunlit view of the ground, orthorectified with an imperfect terrain model."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from solution.simulate.ground import GroundCells
from solution.simulate.noise import hash01
from solution.simulate.sensors import Displacement, Grids, SceneViews
from solution.simulate.sight import horizon, oblique_hits

BLOCK = 2048  # side of the blocks, px, that are rendered at once
_REACH_M = 130.0  # no shadow is followed further
_WINDOW_RGB = np.array((62, 70, 82), np.float32)


@dataclass(frozen=True)
class OpticalLook:
    """Radiometry of one optical image.

    Attributes:
        sky: share of light that reaches shadows, RGB.
        haze: share of white veil.
        exposure: 8-bit value that the ground's median brightness is brought to.
        contrast: exponent of brightness relative to that median.
        cast: RGB factors of the product.
        blur_px: standard deviation of the sensor's blur.
        sharpen: strength of the product's edge enhancement.
        noise: standard deviation in 8-bit counts.
        jpeg: quality.
    """

    sky: tuple[float, float, float]
    haze: float
    exposure: float
    contrast: float
    cast: tuple[float, float, float]
    blur_px: float
    sharpen: float
    noise: float
    jpeg: int


def draw_look(rng: np.random.Generator) -> OpticalLook:
    """From a crisp winter image to a hazy, compressed one."""
    sky = rng.uniform(0.18, 0.44)
    return OpticalLook(
        sky=(0.86 * sky, 0.96 * sky, 1.16 * sky),
        haze=float(rng.beta(1.5, 6.0) * 0.5),
        exposure=float(rng.uniform(70, 150)),
        contrast=float(rng.uniform(0.8, 1.3)),
        cast=tuple(1 + rng.normal(0, 0.05, 3)),
        blur_px=float(rng.uniform(0.5, 1.25)),
        sharpen=float(rng.uniform(0.0, 0.9)),
        noise=float(rng.uniform(0.5, 3.5)),
        jpeg=int(rng.integers(65, 97)),
    )


@dataclass(frozen=True)
class CellWindow:
    """A part of the ground as both renderers cut it: cells [top, bottom) x [left, right).

    It may reach past the ground, whose outermost cells are then repeated.
    """

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, array: np.ndarray) -> np.ndarray:
        """The part of an (H, W, ...) array."""
        height, width = array.shape[:2]
        inside = array[
            max(0, self.top) : max(0, min(height, self.bottom)), max(0, self.left) : max(0, min(width, self.right))
        ]
        if inside.shape[:2] == (self.height, self.width):
            return inside
        rows = np.clip(np.arange(self.top, self.bottom), 0, height - 1)
        columns = np.clip(np.arange(self.left, self.right), 0, width - 1)
        return array[rows][:, columns]

    def grow(self, cells: int) -> CellWindow:
        """Larger on every side."""
        return CellWindow(self.top - cells, self.bottom + cells, self.left - cells, self.right + cells)

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def window(self) -> tuple[int, int, int, int]:
        """(top, bottom, left, right)."""
        return self.top, self.bottom, self.left, self.right


def render(
    ground: GroundCells,
    displacement: Displacement,
    grids: Grids,
    views: SceneViews,
    look: OpticalLook,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The orthophoto and what each of its pixels shows.

    Returns:
        (H, W, 3) uint8 RGB, and (H, W) uint8 view code: 0 the ground itself, else one of `VIEW`.
    """
    height, width = grids.optical_shape
    image, seen = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    middle = max(float(np.median(ground.colour[::7, ::7])), 1.0)
    seeds = iter(rng.integers(2**31, size=(-(-height // BLOCK)) * (-(-width // BLOCK))))
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            bottom, right = min(top + BLOCK, height), min(left + BLOCK, width)
            noise = np.random.default_rng(int(next(seeds)))
            part = CellWindow(top, bottom, left, right)
            image[top:bottom, left:right], seen[top:bottom, left:right] = _render_block(
                ground, displacement, grids, views, look, middle, part, noise
            )
    return image, seen


VIEW = {"roof": 1, "facade": 2, "occlusion": 3, "canopy": 4}


def _render_block(
    ground, displacement, grids, views, look, middle: float, part: CellWindow, rng
) -> tuple[np.ndarray, np.ndarray]:
    x0, y0 = grids.ground_origin
    on_ground = CellWindow(part.top - y0, part.bottom - y0, part.left - x0, part.right - x0)
    error_x = displacement.optical_x.window(*on_ground.window) / views.cell_m
    error_y = displacement.optical_y.window(*on_ground.window) / views.cell_m
    pad = int(np.ceil(max(np.abs(error_x).max(), np.abs(error_y).max()))) + 4
    oblique, seen = _oblique_view(ground, displacement, views, look, on_ground.grow(pad))
    y, x = np.mgrid[0 : on_ground.height, 0 : on_ground.width].astype(np.float32)
    map_x, map_y = x + pad - error_x, y + pad - error_y
    photo = cv2.remap(oblique, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.remap(seen, map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return _develop(photo, look, middle, rng), seen


def _oblique_view(
    ground: GroundCells, displacement: Displacement, views: SceneViews, look: OpticalLook, part: CellWindow
) -> tuple[np.ndarray, np.ndarray]:
    """Radiance (h, w, 3) float32 in 8-bit counts and the view code (h, w), on ground cells.

    The orthorectification's error is not in it yet.
    """
    tallest = float(ground.height.max())
    rise = views.cell_m / max(views.lean_per_m, 1e-3)
    levels = int(tallest / rise) + 1
    reach = levels + 2
    wide = part.grow(reach)
    height = wide.cut(ground.height)
    lit = _sunlit_tops(ground, displacement, views, look, wide, tallest)
    hits = oblique_hits(height, views.lean, rise, levels)[reach:-reach, reach:-reach]
    rows, columns = np.indices(hits.shape, dtype=np.int32)
    back_x = columns + reach - np.rint(hits * np.float32(views.lean[0])).astype(np.int32)
    back_y = rows + reach - np.rint(hits * np.float32(views.lean[1])).astype(np.int32)
    flat = back_y * wide.width + back_x
    surface = height.ravel()[flat]
    building = wide.cut(ground.building).ravel()[flat]
    image = lit.reshape(-1, 3)[flat]
    facade = (surface > (hits + 2.2) * rise + 0.3) & (building > 0)  # slopes within two rounding steps are roofs
    _paint_facades(image, facade, flat, hits, rise, building, ground, views, look, wide, height)
    return image, _view_code(ground, wide, reach, hits, facade, surface, building, height)


def _view_code(ground, wide, reach, hits, facade, surface, building, height) -> np.ndarray:
    inner = slice(reach, -reach)
    own_height = height[inner, inner]
    code = np.zeros(hits.shape, np.uint8)
    code[(surface > 1.0) & (building > 0)] = VIEW["roof"]
    code[(surface > 1.5) & (building == 0)] = VIEW["canopy"]
    code[(hits > 0) & (own_height < 1.0) & (surface > 1.5)] = VIEW["occlusion"]
    code[facade] = VIEW["facade"]
    return code


def _sunlit_tops(
    ground: GroundCells,
    displacement: Displacement,
    views: SceneViews,
    look: OpticalLook,
    wide: CellWindow,
    tallest: float,
) -> np.ndarray:
    """Radiance of every cell's top surface: sun with Lambert's law where it is not in shadow, and sky light."""
    elevation = np.deg2rad(views.sun_elevation_deg)
    drop = views.cell_m * float(np.tan(elevation))
    reach = int(min(tallest / drop, _REACH_M / views.cell_m)) + 8
    far = wide.grow(reach)
    surface = far.cut(ground.height) + displacement.terrain.window(*far.window)
    ceiling = horizon(surface, views.sun, drop, reach)[reach:-reach, reach:-reach]
    surface = surface[reach:-reach, reach:-reach]
    clear = cv2.GaussianBlur((surface > ceiling - 0.15).astype(np.float32), (0, 0), 0.8)
    slope_x, slope_y = _slopes(surface, views.cell_m)
    facing = np.sin(elevation) - np.cos(elevation) * (slope_x * views.sun[0] + slope_y * views.sun[1])
    facing = np.clip(facing / np.sqrt(1 + slope_x**2 + slope_y**2), 0, None) / np.sin(elevation)
    sun = (clear * np.minimum(facing, 1.7))[..., None]
    colour = wide.cut(ground.colour)
    sky = np.array(look.sky, np.float32)
    return colour * (sky + (1 - sky) * sun)


def _slopes(surface: np.ndarray, cell_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Slopes along x and y of tops; 0 across walls, which would be cliffs."""
    smooth = cv2.GaussianBlur(surface, (0, 0), 0.7)
    scale = 1.0 / (2 * cell_m)
    slope_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, scale=scale)
    slope_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, scale=scale)
    cliff = (np.abs(slope_x) > 2.0) | (np.abs(slope_y) > 2.0)
    slope_x[cliff] = 0
    slope_y[cliff] = 0
    return slope_x, slope_y


def _paint_facades(image, facade, flat, hits, rise, building, ground, views, look, wide, height) -> None:
    """Walls with storeys and windows; the sun reaches those that face it."""
    if not facade.any():
        return
    table = np.array(ground.facades, np.float32)
    cells, identity = flat[facade], building[facade].astype(np.int64) - 1
    cos, sin, storey, pitch = table[identity, 0], table[identity, 1], table[identity, 5], table[identity, 6]
    width = wide.width
    x, y = ((cells % width) + wide.left).astype(np.float32), ((cells // width) + wide.top).astype(np.float32)
    z = hits[facade] * np.float32(rise)
    # Whether a wall is a long or a short side of its building is told by the height's gradient.
    smooth = cv2.GaussianBlur(height, (0, 0), 1.5)
    normal_x = -cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3).ravel()[cells]
    normal_y = -cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3).ravel()[cells]
    along_a = np.abs(normal_x * cos + normal_y * sin) < np.abs(-normal_x * sin + normal_y * cos)
    along = np.where(along_a, x * cos + y * sin, -x * sin + y * cos) * np.float32(views.cell_m)
    window = ((z / storey) % 1 > 0.3) & ((z / storey) % 1 < 0.78) & ((along / pitch) % 1 < 0.5) & (z > 0.8)
    elevation = np.deg2rad(views.sun_elevation_deg)
    length = np.maximum(np.hypot(normal_x, normal_y), 1e-6)
    facing = (
        np.clip((normal_x * views.sun[0] + normal_y * views.sun[1]) / length, 0, 1)
        * np.cos(elevation)
        / np.sin(elevation)
    )
    sky = np.array(look.sky, np.float32)
    light = sky * 0.8 + (1 - sky) * np.minimum(facing, 1.3)[:, None]
    colour = table[identity, 2:5] * np.where(hash01(identity, np.floor(z / storey), 7) < 0.1, 0.88, 1.0)[:, None]
    image[facade] = np.where(window[:, None], 0.35 * colour + 0.65 * _WINDOW_RGB, colour) * light


def _develop(photo: np.ndarray, look: OpticalLook, middle: float, rng: np.random.Generator) -> np.ndarray:
    """Radiance to the delivered 8-bit product: blur, haze, tone, noise, sharpening, compression.

    Args:
        middle: the ground's median colour.
    """
    image = cv2.GaussianBlur(photo, (0, 0), look.blur_px)
    image = image * (1 - look.haze) + look.haze * np.array((196, 204, 214), np.float32)
    tone = look.exposure * np.clip(image * np.array(look.cast, np.float32) / middle, 0, None) ** look.contrast
    tone += look.noise * rng.standard_normal(tone.shape[:2], dtype=np.float32)[..., None]
    if look.sharpen > 0.05:
        tone += look.sharpen * (tone - cv2.GaussianBlur(tone, (0, 0), 1.2))
    pixels = np.clip(tone, 1, 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, look.jpeg])
    return np.maximum(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1], 1)
