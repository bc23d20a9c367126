"""The template matcher finds known warps, and its correlation is that of brute force."""

from __future__ import annotations

import numpy as np
import pytest

from solution.benchmark import template
from solution.tests.benchmark.conftest import slanted


def test_template_finds_a_known_warp(make_scene, monkeypatch):
    """The SAR image is read through the field of the pass before, so half a SAR pixel or a sign gone wrong would add
    up."""
    monkeypatch.setattr(template, "WINDOW_PX", 80)  # the real ones leave no room to move in a scene of this size
    monkeypatch.setattr(
        template,
        "PASSES",
        (template.Round(2, 40, 40, together=True), template.Round(2, 24, 24), template.Round(1, 24, 8)),
    )
    scene = make_scene("07_town", shape=(240, 272), sar_gsd=(1.0, 1.0), sar_offset=(-20.0, 20.0), displacement=slanted)
    pair = scene.open()
    xy = pair.tiepoints().xy
    error = template.register(pair, xy) - (np.column_stack(slanted(*xy.T)) - pair.centre_offset_px)
    assert np.median(np.hypot(*error.T)) < 1.0 and np.abs(np.median(error, axis=0)).max() < 0.5


def test_template_without_a_valid_window_is_zero_shift(make_scene):
    scene = make_scene("07_town", shape=(96, 96), sar_gsd=(0.5, 0.5), sar_offset=(40.0, 0.0), sar_shape=(96, 16))
    with pytest.warns(UserWarning, match="ZERO SHIFT"):
        assert not template.register(scene.open(), np.array([[10.0, 10.0]])).any()


def test_correlation_and_its_peak_by_brute_force():
    rng = np.random.default_rng(0)
    search = rng.normal(size=(2, 15, 17)).astype(np.float32)
    pattern = search[:, 7:14, 1:10]  # 7 x 9 px, 4 px further down than the middle and 3 px to the left
    surface = template.correlate(pattern, search, np.square(search).sum(axis=0))
    assert surface.shape == (9, 9)
    for row, column in np.ndindex(9, 9):
        part = search[:, row : row + 7, column : column + 9]
        assert surface[row, column] == pytest.approx(
            (part * pattern).sum() / np.sqrt((part**2).sum() * (pattern**2).sum()), abs=1e-5
        )
    assert template.peak(surface, 4)[:2] == pytest.approx((-3.0, 3.0), abs=0.5)
    y, x = np.mgrid[-8:9, -8:9]
    dx, dy, confidence = template.peak(10 - (x - 1.25) ** 2 - (y + 3.5) ** 2, 8)
    assert (dx, dy) == pytest.approx((1.25, -3.5)) and confidence == 1.0
    assert template.peak(np.ones((3, 3)), 1)[:2] == (-1.0, -1.0)  # nothing stands out, at a border: no division by zero
