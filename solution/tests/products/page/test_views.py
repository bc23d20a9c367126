"""What the page shows lies on one grid: half a pixel off would show, in the scene as in a decimated picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.data.scene import open_pair
from solution.products.page import chips, views
from solution.products.page.canvas import plain
from solution.products.page.encoding import DRAWING_BYTES, drawing, photo
from solution.products.page.marking import MOST_BYTES
from solution.products.page.sources import Sources
from solution.products.reading import read_map
from solution.tests.conftest import write_raster

MOVED = (6.5, -3.5)
"""Apparent displacement, optical px."""


@pytest.fixture
def shown(make_scene, tmp_path):
    """Sources of a scene of one shift, with a map that is off by so much; and their picture at a given size."""
    scene = make_scene("02_publictest", shape=(160, 192), sar_gsd=(1.0, 1.0), points=None, displacement=MOVED)
    pair = open_pair(scene.optical, scene.sar)
    with rasterio.open(scene.optical) as dataset:
        frame, crs = dataset.transform, dataset.crs

    def sources(off: float) -> Sources:
        # A SAR pixel is two optical ones wide, so that the index shift is half a pixel less than what is seen
        values = np.broadcast_to((np.array(MOVED) - 0.5 + off)[:, None, None], (2, 160, 192)).astype(np.float32)
        path = tmp_path / f"map_{off}.tif"
        write_raster(path, values, frame, crs)
        return Sources({"gsd_m": 0.5}, path, None, None, pair)

    return sources


def likeness(shown: views.Pictures) -> float:
    """How surely the SAR picture is the optical one seen otherwise: bright ground is dark in it."""
    inside = np.s_[12:-12, 12:-12]
    return -np.corrcoef(shown.optical[..., 1][inside].ravel(), shown.after[inside].ravel())[0, 1]


@pytest.mark.parametrize("longest_px", [1600, 100])
def test_the_true_map_brings_the_images_together_and_half_a_pixel_less(shown, longest_px):
    found = {}
    for off in (-1.0, -0.5, 0.0, 0.5, 1.0):
        sources = shown(off)
        found[off] = likeness(views.pictures(sources, views.Grid.within(sources.frame(), longest_px)))
    assert max(found, key=found.get) == 0.0 and found[0.0] > 0.95


def test_as_geocoded_the_ground_lies_beside(shown):
    sources = shown(0.0)
    picture = views.pictures(sources, views.Grid.within(sources.frame(), 1600))
    assert picture.optical.shape == (160, 192, 3) and picture.before.shape == picture.after.shape == (160, 192)
    moved = np.roll(picture.before, (4, -6), axis=(0, 1))  # by the index shift: what lies at x + 6, y - 4 comes to x, y
    inside = np.s_[12:-12, 12:-12]
    assert np.corrcoef(moved[inside].ravel(), picture.after[inside].ravel())[0, 1] > 0.999


def test_strips_join_without_a_seam(shown, monkeypatch):
    sources, grid = shown(0.0), views.Grid.within(Window(0, 0, 192, 160), 100)
    whole = views.pictures(sources, grid)
    monkeypatch.setattr(views, "_STRIP_PX", 10)
    assert len(list(grid.strips())) > 10
    in_strips = views.pictures(sources, grid)
    for name in ("optical", "before", "after"):
        assert np.array_equal(getattr(whole, name), getattr(in_strips, name))


def test_a_large_scene_gets_parts_at_full_resolution(shown, monkeypatch):
    monkeypatch.setattr(views, "LONGEST_PX", 96)
    monkeypatch.setattr(views, "DETAIL_PX", 64)
    (_, whole), *details = views.scene_and_details(shown(0.0))
    assert max(whole.grid.shape) == 96 and len(details) == 3
    for _, detail in details:
        window = detail.grid.window
        assert detail.grid.shape == (64, 64) and min(window.x, window.y) >= 0
        assert window.stop[0] <= 192 and window.stop[1] <= 160
    assert len({detail.grid.window for _, detail in details}) == 3
    middle = details[0][1].grid.window
    assert (middle.x, middle.y) == (64, 48)


@pytest.mark.parametrize(("window", "shape"), [((0, 0, 700, 600), (6, 7)), ((13, 301, 500, 250), (77, 123))])
def test_a_map_is_read_at_the_nearest_index(tmp_path, window, shape):
    path, window = tmp_path / "map.tif", Window(*window)
    rows, columns = np.indices((600, 700), dtype=np.float32)
    write_raster(path, np.stack([columns, rows]), Affine(1, 0, 500_000, 0, -1, 5_000_600), "EPSG:32637")
    dx, dy = read_map(path, None, window, shape)
    # the centre of a picture's pixel, in pixels of the map, and the pixel that it falls into
    x = np.floor(window.x + (np.arange(shape[1]) + 0.5) * window.width / shape[1])
    y = np.floor(window.y + (np.arange(shape[0]) + 0.5) * window.height / shape[0])
    assert np.array_equal(dx, np.broadcast_to(x, shape)) and np.array_equal(dy, np.broadcast_to(y[:, None], shape))


def test_a_chip_shows_the_same_ground_thrice(shown):
    pair = shown(0.0).pair
    strip = chips.triptych(pair, 96, 80, np.array(MOVED) - 0.5, np.array(MOVED) + 8)
    side = chips.SIDE_PX
    optical, own, mapped = (strip[:, part * side : (part + 1) * side, 1].ravel() for part in range(3))
    assert strip.shape == (side, 3 * side, 3)
    assert -np.corrcoef(optical, own)[0, 1] > 0.95 > -np.corrcoef(optical, mapped)[0, 1]


def test_noise_fits_too():
    """Speckle is what compresses least; all pictures of the largest page together stay below its limit."""
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    assert len(photo(noise, 20_000)) <= 20_000 * 4 / 3 + 40
    largest = 3 * views.OVERVIEW_BYTES + 9 * views.DETAIL_BYTES + 2 * chips.SHOWN * chips.BYTES
    assert (largest + 8 * DRAWING_BYTES) * 4 / 3 < 0.95 * MOST_BYTES  # base64 takes a third more; text is little


def test_a_figure_that_is_all_noise_fits_too():
    with plain() as (figure, axes):
        axes.imshow(np.random.default_rng(0).random((900, 900)), cmap="viridis")
        assert len(drawing(figure)) < DRAWING_BYTES * 4 / 3 + 40


def test_a_map_of_other_ground_is_refused(shown):
    sources = shown(0.0)
    other = replace(sources.pair, transform=sources.pair.transform @ np.diag([2.0, 2.0, 1.0]))
    with pytest.raises(InputError, match="lies on another grid"):
        views.pictures(replace(sources, pair=other), views.Grid.within(sources.frame(), 100))
