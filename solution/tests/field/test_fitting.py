import threading
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse.linalg import splu

from solution.core.geometry import Window
from solution.field import candidates, fitting
from solution.field.gate import distinct
from solution.field.terrain import ReliefFit
from solution.tests.scattered import SHAPE, scattered, smooth


def lattice(step: int = 23) -> np.ndarray:
    y, x = np.mgrid[0 : SHAPE[0] : step, 0 : SHAPE[1] : step]
    return np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)


def mean_error(fitted: fitting.Fit, field=smooth) -> float:
    return float(np.hypot(*(fitted.shift_at(lattice()) - field(lattice())).T).mean())


@pytest.mark.parametrize(("source", "most"), [(candidates.GIVEN, 0.9), ("flow", 2.5)])
def test_dense_noise_is_smoothed_well_below_itself(source, most):
    """Where rows are proposed, their errors are thought to be alike by some px, and the field is stiffer than this
    noise asks for.
    """
    table, _ = scattered(1500, noise_px=2.0)
    result, table = fitting.fit(table.assign(source=source), SHAPE, gsd_m=0.3)
    assert result.kind == "field"
    assert mean_error(result) < most  # the noise's mean length is 2.5 px
    assert result.inliers == (table["outlier"] == "").sum() > 1450
    assert 1.5 < result.residual_px < 4.5
    assert "field from" in result.summary() and "m)" in result.summary()


def test_noise_that_neighbours_share_is_not_taken_for_terrain():
    """Rows 24 px apart whose errors are alike within 72 px: cross-validation alone would follow them."""
    y, x = np.mgrid[0:1200:24, 0:1200:24]
    xy = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
    field = lambda xy: smooth(xy / 3)  # noqa: E731
    noise = np.random.default_rng(0).normal(0, 3, (17, 17, 2))[y.ravel() // 72, x.ravel() // 72]
    result, _ = fitting.fit(candidates.make("a", 0, "flow", xy, field(xy) + noise), (1200, 1200))
    error = np.hypot(*(result.shift_at(xy) - field(xy)).T).mean()
    assert error < 0.6 * np.hypot(*noise.T).mean()


def test_proposed_rows_share_errors_which_look_like_terrain():
    """Errors alike over 240 px look like terrain; only the source tells that they are not."""
    y, x = np.mgrid[0:1440:24, 0:1440:24]
    xy = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
    field = lambda xy: xy * [0.02, -0.01] + [30.0, -12.0]  # noqa: E731
    noise = np.random.default_rng(0).normal(0, 3, (6, 6, 2))[y.ravel() // 240, x.ravel() // 240]

    def error(source: str) -> float:
        result, _ = fitting.fit(candidates.make("a", 0, source, xy, field(xy) + noise), (1440, 1440))
        return float(np.hypot(*(result.shift_at(xy) - field(xy)).T).mean())

    assert error("flow") < 0.95 * error(candidates.GIVEN)
    assert error("match") == pytest.approx(error("flow"), rel=0.1)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.6])
def test_gross_outliers_are_named_and_do_not_bend_the_field(share):
    table, wrong = scattered(1200, outliers=share)
    result, table = fitting.fit(table, SHAPE)
    set_aside = (table["outlier"] != "").to_numpy()
    assert mean_error(result) < 1.5
    assert set_aside[wrong].mean() > 0.95
    assert set_aside[~wrong].mean() < 0.03


def test_sign_flip_or_swapped_axes_would_be_noticed():
    result, _ = fitting.fit(scattered()[0], SHAPE)
    assert mean_error(result) < 1.0
    assert mean_error(result, lambda xy: -smooth(xy)) > 50
    assert mean_error(result, lambda xy: smooth(xy)[:, ::-1]) > 50


def test_swapping_x_and_y_of_everything_swaps_the_field():
    table, _ = scattered(outliers=0.3)
    swapped = table.rename(columns={"x": "y", "y": "x", "dx": "dy", "dy": "dx"})
    straight, crossed = fitting.fit(table, SHAPE)[0], fitting.fit(swapped, SHAPE[::-1])[0]
    np.testing.assert_allclose(crossed.shift_at(lattice()[:, ::-1])[:, ::-1], straight.shift_at(lattice()), atol=0.02)


def test_a_constant_added_to_all_shifts_is_added_to_the_field():
    table, _ = scattered(outliers=0.3)
    moved = table.assign(dx=table["dx"] + 40, dy=table["dy"] - 15)
    difference = fitting.fit(moved, SHAPE)[0].shift_at(lattice()) - fitting.fit(table, SHAPE)[0].shift_at(lattice())
    np.testing.assert_allclose(difference, np.tile([40.0, -15.0], (len(difference), 1)), atol=0.02)


def test_rows_in_any_order_give_the_same_fit():
    table, _ = scattered(outliers=0.3)
    shuffled = table.sample(frac=1, random_state=3)
    first, second = fitting.fit(table, SHAPE), fitting.fit(shuffled, SHAPE)
    np.testing.assert_array_equal(first[0].nodes, second[0].nodes)
    assert second[1]["outlier"].sort_index().tolist() == first[1]["outlier"].tolist()
    assert table["outlier"].eq("").all()  # the input is left alone


def test_every_reason_is_given():
    table, _ = scattered(400)
    spoilt = {
        0: ("dx", np.nan, "invalid"),
        1: ("x", np.inf, "invalid"),
        2: ("confidence", np.nan, "invalid"),
        3: ("y", -1.0, "outside"),
        4: ("x", float(SHAPE[1]), "outside"),
        5: ("dy", 5000.0, "limit"),
        6: ("confidence", 0.0, "confidence"),
        7: ("cycle_px", 80.0, "cycle"),
        8: ("dx", -100.0, "neighbours"),
    }
    for row, (column, value, _) in spoilt.items():
        table.loc[row, column] = value
    result, judged = fitting.fit(table, SHAPE)
    assert {row: judged.loc[row, "outlier"] for row in spoilt} == {
        row: reason for row, (_, _, reason) in spoilt.items()
    }
    assert len(judged) == 400
    assert mean_error(result) < 1.5


def test_copies_of_one_wrong_row_do_not_outvote_the_rest():
    table, _ = scattered(400)
    wrong = table.iloc[[7] * 300].assign(dx=-60.0, dy=90.0)
    result, judged = fitting.fit(candidates.concat([table, wrong]), SHAPE)
    assert (judged["outlier"].iloc[400:] == "neighbours").all()
    assert mean_error(result) < 1.5


def test_confidence_and_sigma_count():
    table, _ = scattered(800, noise_px=0.5)
    rng = np.random.default_rng(5)
    bad = rng.random(len(table)) < 0.5
    noise = rng.normal(0, 6, (len(table), 2)) * bad[:, None]
    noisy = table.assign(dx=table["dx"] + noise[:, 0], dy=table["dy"] + noise[:, 1])
    told = noisy.assign(sigma_px=np.where(bad, 6.0, 0.5), confidence=np.where(bad, 0.1, 0.9))
    assert mean_error(fitting.fit(told, SHAPE)[0]) < 0.8 * mean_error(fitting.fit(noisy, SHAPE)[0])


def test_few_candidates_give_an_affine_and_fewer_a_shift():
    plane = lambda xy: np.column_stack([5 + 0.03 * xy[:, 0] - 0.02 * xy[:, 1], -3 + 0.01 * xy[:, 0]])  # noqa: E731
    result, _ = fitting.fit(scattered(12, noise_px=0.01, field=plane, seed=2)[0], SHAPE)
    assert result.kind == "affine" and mean_error(result, plane) < 0.1
    one = candidates.make("a", 0, "match", [[10, 20]], [[7.0, -3.0]])
    result, judged = fitting.fit(one, SHAPE)
    assert (result.kind, result.inliers, judged["outlier"].tolist()) == ("shift", 1, [""])
    np.testing.assert_allclose(result.shift_at(lattice()), np.tile([7.0, -3.0], (len(lattice()), 1)))


@pytest.mark.parametrize("count", [3, 10, 200])
def test_collinear_candidates_give_a_shift(count):
    xy = np.column_stack([np.linspace(0, 400, count), np.linspace(0, 300, count)])
    result, _ = fitting.fit(candidates.make("a", 0, "match", xy, xy * 0 + [4.0, 2.0]), SHAPE)
    assert result.kind == "shift"
    np.testing.assert_allclose(result.shift_at(lattice()), np.tile([4.0, 2.0], (len(lattice()), 1)), atol=1e-6)


@pytest.mark.parametrize("count", [2, 30])
def test_all_candidates_at_one_place_give_their_median(count):
    rng = np.random.default_rng(1)
    table = candidates.make("a", 0, "match", np.full((count, 2), 50.0), rng.normal([30, 9], 0.5, (count, 2)))
    result, _ = fitting.fit(table, SHAPE)
    np.testing.assert_allclose(result.shift_at(lattice()), np.tile([30, 9], (len(lattice()), 1)), atol=1.0)


@pytest.mark.parametrize(
    "table", [candidates.empty(), scattered(50)[0].assign(dx=np.nan), scattered(50)[0].assign(confidence=0.0)]
)
def test_nothing_usable_is_a_loud_zero_shift(table):
    with pytest.warns(UserWarning, match="ZERO SHIFT"):
        result, judged = fitting.fit(table, SHAPE)
    assert (result.kind, result.inliers, len(judged)) == ("zero", 0, len(table))
    assert not result.shift_at(lattice()).any()


def test_the_border_is_finite_and_sane_when_only_a_corner_is_covered():
    table, _ = scattered(900)
    corner = table[(table["x"] < 150) & (table["y"] < 150)].reset_index(drop=True)
    result, _ = fitting.fit(corner, SHAPE)
    xy = np.array([[0, 0], [SHAPE[1] - 1, 0], [0, SHAPE[0] - 1], [SHAPE[1] - 1, SHAPE[0] - 1], [-1e6, 1e6]], np.float64)
    shift = result.shift_at(xy)
    assert np.isfinite(shift).all()
    low, high = corner[["dx", "dy"]].min().to_numpy(), corner[["dx", "dy"]].max().to_numpy()
    margin = 0.25 * (high - low) + 5
    assert (shift >= low - margin - 1e-9).all() and (shift <= high + margin + 1e-9).all()


def test_a_tiny_image_is_fine():
    xy = np.random.default_rng(0).uniform(0, 8, (40, 2))
    result, _ = fitting.fit(candidates.make("a", 0, "flow", xy, xy * 0 + [1.5, -2.0]), (9, 9))
    np.testing.assert_allclose(
        result.block(Window(0, 0, 9, 9)), np.broadcast_to(np.array([1.5, -2.0])[:, None, None], (2, 9, 9)), atol=0.01
    )


def test_the_map_is_affine_on_each_triangle_and_block_agrees_with_shift_at():
    fitted = fitting.fit(scattered(300)[0], (600, 300))[0]
    window = Window(13, 250, 201, 97)
    block = fitted.block(window)
    y, x = np.mgrid[window.y : window.stop[1], window.x : window.stop[0]]
    exact = fitted.shift_at(np.column_stack([x.ravel(), y.ravel()]))
    np.testing.assert_allclose(block.reshape(2, -1).T, exact, atol=1.1 / 1024)
    nodes = fitted.nodes[:, 3:5, 4:6]
    corner = np.array(fitted.origin) + np.array(fitted.step) * [4, 3]
    inside = corner + np.array(fitted.step) * [0.2, 0.3]
    expected = 0.5 * nodes[:, 0, 0] + 0.2 * nodes[:, 0, 1] + 0.3 * nodes[:, 1, 0]
    np.testing.assert_allclose(fitted.shift_at(inside[None])[0], expected)


@pytest.mark.parametrize("slope", [None, (0.2, -0.1)], ids=["flat", "with heights"])
def test_shifts_at_crossings_are_those_at_points(slope):
    """Between pixels, at another distance on each axis, and beyond the lattice."""
    fitted = fitting.fit(scattered(300)[0], (600, 300))[0]
    if slope:
        heights = SimpleNamespace(at=lambda xy: xy @ [0.3, 0.7], mean=5.0)
        values = {item.name: getattr(fitted, item.name) for item in fields(fitted)}
        fitted = ReliefFit(**values, relief=heights, slope=slope)
    x, y = np.arange(-40.5, 380, 4.0), np.arange(-70.25, 660, 2.5)
    exact = fitted.shift_at(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)).reshape(len(y), len(x), 2)
    found = fitted.crossings(x, y)
    np.testing.assert_allclose(found, exact, atol=1e-4)
    assert np.abs(found - exact[..., ::-1]).max() > 1 and np.abs(found - exact[::-1]).max() > 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 1)])
def test_a_single_row_or_column_of_nodes_repeats(shape):
    nodes = np.arange(2.0 * np.prod(shape)).reshape(2, *shape)
    fitted = fitting.Fit("field", nodes, (7.5, 7.5), (16.0, 16.0), 9, 1.0)
    x, y = np.arange(0.0, 60, 4), np.arange(-9.0, 50, 5)
    exact = fitted.shift_at(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)).reshape(len(y), len(x), 2)
    np.testing.assert_allclose(fitted.crossings(x, y), exact, atol=1e-5)


def two_sources(counts: tuple[int, int], apart_px: float = 4.0) -> pd.DataFrame:
    """Two sources whose errors are shared: each is off the truth by half of `apart_px`, in opposite directions."""
    tables = []
    for source, count, side in (("flow", counts[0], -0.5), ("match", counts[1], 0.5)):
        table, _ = scattered(
            count, seed=count, field=lambda xy, side=side: smooth(xy) + np.array([side * apart_px, 0.0])
        )
        tables.append(table.assign(source=source))
    return candidates.concat(tables)


def test_sources_have_their_votes_however_many_rows_they_write():
    """A quarter of a vote for flow, on one side by 2 px, and a whole one for the matcher, on the other, leave 1.2
    px."""
    offset = [
        float((fitting.fit(two_sources(counts), SHAPE)[0].shift_at(lattice()) - smooth(lattice()))[:, 0].mean())
        for counts in ((3000, 300), (300, 3000), (900, 900))
    ]
    assert (
        np.abs(np.array(offset) - 1.2).max() < 0.4
    )  # by rows alone, the first two would be off by 1.6 px to either side


def test_a_source_that_is_not_windowed_has_a_whole_vote():
    fitted, _ = fitting.fit(two_sources((900, 900)), SHAPE, config=fitting.FitConfig(windowed=()))
    assert abs(float((fitted.shift_at(lattice()) - smooth(lattice()))[:, 0].mean())) < 0.4


def test_a_source_with_a_few_rows_has_less_than_a_vote():
    few = fitting.fit(two_sources((3000, 30)), SHAPE)[0]
    shift = float((few.shift_at(lattice()) - smooth(lattice()))[:, 0].mean())
    assert -2.2 < shift < -0.5  # a whole vote would leave +1.2


def test_a_single_source_is_not_reweighted():
    table, _ = scattered(400)
    points = distinct(table, np.arange(len(table)), fitting.FitConfig())
    assert np.allclose(points.weight, 0.8)


def test_no_factors_are_let_go_of_by_another_thread_than_their_own(monkeypatch):
    """SuperLU would keep their memory for ever (scipy issue 15921): 80 MB for every pair of 1 MP."""
    made, gone = [], []

    class Watched:
        def __init__(self, *arguments, **options):
            self._factor, self._thread = splu(*arguments, **options), threading.get_ident()
            made.append(self._thread)

        def __getattr__(self, name):
            return getattr(self._factor, name)

        def __del__(self):
            gone.append(self._thread == threading.get_ident())

    monkeypatch.setattr("solution.field.lattice.splu", Watched)
    fitting.fit(scattered(600, noise_px=2.0)[0], SHAPE, 1.0)
    assert len(set(made)) > 1 and len(gone) == len(made) and all(gone)
