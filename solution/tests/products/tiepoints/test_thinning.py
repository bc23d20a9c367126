"""Fewer tie-points: at most so many, one of every cell, the best of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from solution.products.tiepoints.thinning import evenly


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    """Half of them crowd into a corner."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.uniform(0, [1000, 700], (1500, 2)), rng.uniform(0, 60, (1500, 2))])


@pytest.mark.parametrize("most", [1, 7, 100, 1000, 2999])
def test_at_most_so_many_and_not_far_fewer(places, most):
    chosen = evenly(places, np.ones(len(places)), most)
    assert 0.3 * most <= len(chosen) <= most and (np.diff(chosen) > 0).all()


def test_they_are_spread_evenly(places):
    chosen = places[evenly(places, np.ones(len(places)), 150)]
    crowded = (chosen < 60).all(axis=1).mean()
    assert crowded < 0.05  # of 50 %
    assert cKDTree(chosen).query(places)[0].max() < 2 * np.sqrt(2) * 1000 / 12


def test_the_best_of_a_cell_is_taken():
    rng = np.random.default_rng(1)
    xy, rank = rng.uniform(0, 100, (400, 2)), rng.uniform(0, 1, 400)
    assert evenly(xy, rank, 1).tolist() == [int(rank.argmax())]
    chosen = evenly(xy, rank, 20)
    assert rank[chosen].min() > np.quantile(rank, 0.7)
    # Among equals the one in the middle
    assert evenly(np.array([[0, 0], [48, 50], [100, 100.0]]), np.ones(3), 1).tolist() == [1]


def test_x_and_y_are_alike(places):
    rank = np.random.default_rng(2).uniform(size=len(places))
    np.testing.assert_array_equal(evenly(places, rank, 80), evenly(places[:, ::-1], rank, 80))


def test_few_or_equal_places():
    assert evenly(np.zeros((3, 2)), np.ones(3), 5).tolist() == [0, 1, 2]
    assert len(evenly(np.zeros((9, 2)), np.ones(9), 5)) == 1
    assert len(evenly(np.zeros((0, 2)), np.ones(0), 5)) == 0
