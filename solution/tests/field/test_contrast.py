"""How a map stands out from decoys, by evidence made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solution.field import fitting
from solution.field.contrast import Contrast, Standing, smoothed
from solution.field.evidence import Evidence
from solution.field.shiftfield import Fit
from solution.field.verdict import judge
from solution.tests.field.test_verdict import gentle
from solution.tests.scattered import SHAPE

ROWS, COLUMNS, RADIUS, CELL_PX, STEP_PX = 10, 14, 8, 4.0, 32.0
TRUE_PX = (12.0, -8.0)


def evidence(peak: float = 3.0) -> Evidence:
    """Every node speaks for one shift, as a hill two cells wide."""
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    hill = peak * np.exp(-0.5 * ((x - TRUE_PX[0] / CELL_PX) ** 2 + (y - TRUE_PX[1] / CELL_PX) ** 2) / 2.0**2)
    planes = np.broadcast_to(hill - hill.mean(), (ROWS, COLUMNS, *hill.shape)).astype(np.float32)
    return Evidence(planes.copy(), CELL_PX, (15.5, 15.5), STEP_PX)


def field(x: float, y: float) -> Fit:
    """One shift everywhere."""
    nodes = np.broadcast_to(np.array([x, y])[:, None, None], (2, ROWS, COLUMNS)).copy()
    return Fit(
        "field", nodes, (15.5, 15.5), (STEP_PX, STEP_PX), 100, 1.0, gsd_m=0.5, sigma=np.full((ROWS, COLUMNS), 3.0)
    )


CHANCE = (np.full((ROWS, COLUMNS), 0.4), np.full((ROWS, COLUMNS), 0.1))


def test_the_margin_is_the_evidence_along_the_map_less_that_of_the_best_decoy():
    contrast = Contrast(evidence(), CHANCE)
    right = contrast.of(field(*TRUE_PX))
    bare = Contrast(evidence(), ()).of(field(*TRUE_PX))
    assert right.margin > 1.0 and right.clear.all()
    assert bare.margin - right.margin == pytest.approx(0.4 - 0.25)  # without a decoy, chance still has its share
    for wrong in ((-12.0, -8.0), (12.0, 8.0), (-8.0, 12.0)):  # a flipped sign, and swapped axes
        standing = contrast.of(field(*wrong))
        assert standing.margin < -0.1 and not standing.clear.any()


def test_beyond_what_was_looked_at_nothing_speaks_for_a_map():
    standing = Contrast(evidence(), CHANCE).of(field(12.0 + 64.0, -8.0))
    assert standing.margin == pytest.approx(-0.4) and not standing.clear.any()


def test_nodes_without_evidence_neither_help_nor_hurt():
    whole, half = evidence(), evidence()
    half.planes[:, 7:] = 0
    one, other = (Contrast(each, CHANCE).of(field(*TRUE_PX)) for each in (whole, half))
    assert other.margin == pytest.approx(one.margin, abs=1e-6)
    assert other.clear[:, :7].all() and not other.clear[:, 7:].any()
    nothing = Contrast(replace(whole, planes=np.zeros_like(whole.planes)), CHANCE).of(field(*TRUE_PX))
    assert np.isnan(nothing.margin) and np.isnan(nothing.block_margin) and not nothing.clear.any()


def test_a_map_that_is_wrong_in_one_part_is_clear_in_the_other():
    fit = field(*TRUE_PX)
    fit.nodes[0, :, 9:] -= 40.0
    standing = Contrast(evidence(), CHANCE).of(fit)
    assert standing.clear[:, :6].all() and not standing.clear[:, 11:].any()
    left, right = standing.clear_at(np.array([[40.0, 100.0], [440.0, 100.0]]))
    assert left and not right


@pytest.mark.parametrize(("columns", "told"), [(slice(9, 14), "right"), (slice(0, 5), "left")])
def test_a_block_that_the_images_speak_against_is_told_with_its_place(columns, told):
    coarse = replace(evidence(), step=4 * STEP_PX)  # 512 px are four nodes
    right = replace(field(*TRUE_PX), step=(4 * STEP_PX, 4 * STEP_PX))
    wrong = replace(right, nodes=right.nodes.copy())
    wrong.nodes[0, :5, columns] -= 40.0
    shape = (int(4 * ROWS * STEP_PX), int(4 * COLUMNS * STEP_PX))
    fit, table = fitting.fit(gentle(), SHAPE, 0.5)
    standing = Contrast(coarse, CHANCE).of(wrong)
    assert Contrast(coarse, CHANCE).of(right).block_margin > 0.9 and standing.block_margin < 0 < standing.margin
    everywhere = table.assign(x=table["x"] * shape[1] / SHAPE[1], y=table["y"] * shape[0] / SHAPE[0])
    found = judge(fit, everywhere, shape, standing=standing)
    assert found.word == "weak" and f"upper {told} part" in found.line()


def test_the_radius_grows_where_the_images_say_nothing_and_shrinks_with_the_margin():
    fit = field(*TRUE_PX)
    nodes = evidence().nodes()
    half = np.arange(COLUMNS) < 7
    clear = np.broadcast_to(half, (ROWS, COLUMNS))
    one, two = (Standing(margin, clear, nodes, 1.0, (0.0, 0.0)).widened(fit).sigma for margin in (1.0, 2.0))
    assert (one > fit.sigma).all() and (two < one).all()
    np.testing.assert_allclose(one[:, 7:], 1.5 * one[:, :7])
    assert Standing(float("nan"), clear, nodes, 1.0, (0.0, 0.0)).widened(fit) is fit


def test_smoothing_counts_what_is_there():
    said = np.full((ROWS, COLUMNS), 2.0)
    said[:, ::2] = np.nan
    found = smoothed(said)
    assert np.isnan(found[:, ::2]).all() and np.allclose(found[:, 1::2], 2.0)


@pytest.mark.parametrize(("margin", "word"), [(0.7, "ok"), (0.5, "weak"), (0.2, "failed"), (float("nan"), "failed")])
def test_a_map_that_hardly_stands_out_is_told(margin, word):
    fit, table = fitting.fit(gentle(), SHAPE, 0.5)
    nodes = np.stack(np.meshgrid(np.arange(0, SHAPE[1], 32.0), np.arange(0, SHAPE[0], 32.0)), axis=-1)
    found = judge(fit, table, SHAPE, standing=Standing(margin, np.ones(nodes.shape[:2], bool), nodes, 1.0, (0.0, 0.0)))
    assert found.word == word
    if word == "failed":
        assert found.facts()["radius_68_px"] is None and found.known(fit).sigma is None and "mirrored" in found.line()
    else:
        assert found.known(fit) is fit and found.facts()["evidence_margin"] == margin


def test_places_that_the_images_do_not_speak_for_are_not_supported():
    fit, table = fitting.fit(gentle(), SHAPE, 0.5)
    nodes = np.stack(np.meshgrid(np.arange(0, SHAPE[1], 32.0), np.arange(0, SHAPE[0], 32.0)), axis=-1)
    clear = nodes[..., 0] < 0.4 * SHAPE[1]
    found = judge(fit, table, SHAPE, standing=Standing(1.0, clear, nodes, 1.0, (0.0, 0.0)))
    assert found.word == "weak" and found.support == pytest.approx(0.4, abs=0.06)
