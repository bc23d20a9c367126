"""What the page says of a map speaks of ground alone."""

from __future__ import annotations

import numpy as np
import pytest

from solution.core.geometry import Window
from solution.products.page import maps

FRAME = Window(0, 0, 400, 400)


@pytest.fixture
def shift() -> np.ma.MaskedArray:
    """dx 3 and dy -4 on the left, where there is ground; 90 on the right, where there is none."""
    values = np.full((2, 40, 40), 90.0)
    values[:, :, :10] = np.array([3.0, -4.0])[:, None, None]
    return np.ma.masked_array(values, values > 50)


@pytest.mark.filterwarnings("error")
def test_figures_of_the_field_are_those_of_the_ground(shift):
    assert "median shift is 5.0 px long" in maps.arrows(FRAME, shift, None)["alt"]
    assert "median +3.0 px, and from 3.0 to 3.0 px" in maps.component(FRAME, shift[0], "dx", "to the right")["alt"]
    assert "-4.0 to -4.0 px, median -4.0" in maps.radius(FRAME, shift[1])["alt"]


@pytest.mark.filterwarnings("error")
def test_a_map_without_ground_still_has_figures(shift):
    nothing = np.ma.masked_array(shift.data, True)
    assert maps.arrows(FRAME, nothing, None)["uri"] and maps.component(FRAME, nothing[0], "dx", "to the right")["uri"]
