"""Images are averaged strip by strip, to what the whole of them would give."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from solution.core.geometry import Window
from solution.data.raster import output_grid, sample_values

HEIGHT, WIDTH = 1300, 84


@pytest.fixture
def image(tmp_path) -> tuple[np.ndarray, rasterio.io.DatasetReader]:
    """Two bands of noise without zeros, and the file of them."""
    values = np.random.default_rng(0).integers(1, 255, (2, HEIGHT, WIDTH), dtype=np.uint8)
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 2, "dtype": "uint8"}
    with rasterio.open(tmp_path / "image.tif", "w", transform=Affine.scale(1, -1), **profile) as target:
        target.write(values)
    with rasterio.open(tmp_path / "image.tif") as dataset:
        yield values, dataset


@pytest.mark.parametrize("step", [2, 7, 12, 28])
def test_every_cell_is_the_mean_of_its_own_pixels(image, step):
    values, dataset = image
    rows, columns = HEIGHT // step, WIDTH // step
    xy = output_grid(Window(0, 0, columns * step, rows * step), step)
    found = sample_values(dataset, [1, 2], xy, step, 0.0)
    cells = values[:, : rows * step, : columns * step].reshape(2, rows, step, columns, step)
    np.testing.assert_allclose(found, cells.mean(axis=(2, 4)), atol=0.01)


def test_no_more_than_a_strip_is_read_at_once(image):
    dataset = image[1]
    read = []

    class Noting:
        """The dataset, which notes what is read."""

        def __getattr__(self, name):
            return getattr(dataset, name)

        def read(self, *arguments, window, **more):
            read.append(window)
            return dataset.read(*arguments, window=window, **more)

    sample_values(Noting(), [1], output_grid(Window(0, 0, WIDTH, HEIGHT - HEIGHT % 4), 4), 4, 0.0)
    assert len(read) == 3 and max(one.height for one in read) <= 512 and sum(one.height for one in read) == HEIGHT
