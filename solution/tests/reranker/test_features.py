"""Features of candidates: known answers on hand-made tables and on a small simulated pair."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from solution.core import geometry
from solution.field import candidates
from solution.reranker import features, neighbours
from solution.reranker.appearance import image_features
from solution.reranker.features import candidate_features

NOT_IMAGE = [
    name for family, names in features.FAMILIES.items() if family not in ("image", "surface") for name in names
]
SHAPE = (400, 480)
WRONG = 37


@pytest.fixture
def pair(make_scene):
    return make_scene(shape=(96, 128), displacement=(4.0, -3.0)).open()


def smooth_table(count: int = 150, seed: int = 0) -> pd.DataFrame:
    """Candidates of two sources on a smooth field with 0.3 px of noise; row `WRONG` is 25 px off."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(20, np.array(SHAPE[::-1]) - 60, (count, 2))
    shift = np.column_stack([8 * np.sin(xy[:, 0] / 90), 2 + 0.004 * xy[:, 1]]) + rng.normal(0, 0.3, (count, 2))
    shift[WRONG] += [20.0, -15.0]
    half = count * 2 // 3
    confidence, sigma = rng.uniform(0.3, 1, count), rng.uniform(1, 3, count)
    parts = [
        candidates.make(
            "02_train_01", 0, source, xy[rows], shift[rows], confidence=confidence[rows], sigma_px=sigma[rows]
        )
        for source, rows in (("flow", slice(0, half)), ("match", slice(half, count)))
    ]
    return candidates.concat(parts)


def of_table(table: pd.DataFrame) -> pd.DataFrame:
    """The features that need no image."""
    return pd.DataFrame(features._of_table(table, SHAPE))


def test_columns_are_the_named_ones_and_float32(pair):
    table = smooth_table()
    found = candidate_features(pair, table)
    assert tuple(found.columns) == features.FEATURES and len(set(features.FEATURES)) == len(features.FEATURES)
    assert (found.dtypes == np.float32).all() and found.index.equals(table.index)
    assert not {"x", "y", "scene", "fold", "tile"} & set(features.FEATURES)
    only = candidate_features(pair, table, rows=np.arange(len(table)) % 7 == 0)
    pd.testing.assert_frame_equal(only, found.iloc[::7])


def test_an_empty_table_and_rows_that_are_not_finite_have_no_features(pair):
    assert candidate_features(pair, candidates.empty()).shape == (0, len(features.FEATURES))
    table = smooth_table()
    table.loc[3, "dx"] = np.nan
    found = candidate_features(pair, table)
    assert found.loc[3].isna().all() and found["same8_residual"].notna().sum() == len(table) - 1


def test_a_wrong_row_stands_out_from_its_neighbours_and_from_the_field():
    found = of_table(smooth_table())
    for name in ("same8_residual", "same24_affine", "within4_residual", "other8_residual", "field_residual"):
        others = found[name].drop(WRONG)
        assert found.loc[WRONG, name] > 15 > others.max(), name
    assert found.loc[WRONG, "same8_agree"] == 0 and found["same8_agree"].drop(WRONG).median() > 0.8


def test_neighbourhood_of_a_grid_is_what_can_be_counted_by_hand():
    xy = np.stack(np.meshgrid(np.arange(9) * 10.0, np.arange(9) * 10.0), axis=-1).reshape(-1, 2)
    shift = np.column_stack([0.5 * xy[:, 0], np.zeros(81)])
    middle = 40
    shift[middle] += [3.0, 4.0]
    found = neighbours.agreement(xy, shift, np.repeat("flow", 81), np.full(81, 0.25), np.array([1.0, 0.0]))
    assert geometry.spacing(xy) == 10.0
    expected = {
        "same8_count": 8,
        "same24_count": 24,
        "other8_count": 0,
        "same8_residual": 5,
        "same8_along": 3,
        "same8_across": 4,
    }
    expected |= {
        "same8_affine": 5,
        "same8_confidence": 0.25,
        "same8_distance": (1 + np.sqrt(2)) / 2,
        "within2_count": 8,
    }
    for name, value in expected.items():
        assert found[name][middle] == pytest.approx(value, abs=1e-6), name
    assert np.isnan(found["other8_residual"]).all()


def test_the_order_of_rows_does_not_matter(pair):
    table = smooth_table(60)
    order = np.random.default_rng(1).permutation(len(table))
    found = candidate_features(pair, table)
    shuffled = candidate_features(pair, table.iloc[order].reset_index(drop=True))
    np.testing.assert_array_equal(shuffled.to_numpy(), found.to_numpy()[order])


@pytest.mark.parametrize("moved", [{"dx": 31.0, "dy": -12.0}, {"x": 17.0, "y": 23.0}])
def test_a_common_shift_and_a_common_place_leave_all_but_the_image_features_as_they_are(moved):
    table = smooth_table()
    before, after = of_table(table), of_table(table.assign(**{name: table[name] + by for name, by in moved.items()}))
    assert sorted(before.columns) == sorted(NOT_IMAGE)
    np.testing.assert_allclose(after[NOT_IMAGE], before[NOT_IMAGE], rtol=1e-3, atol=1e-3)


def _likeness(pair, shift: np.ndarray) -> pd.DataFrame:
    points = pair.tiepoints()
    inner = (points.xy > 20).all(axis=1) & (points.xy < np.array(pair.shape[::-1]) - 20).all(axis=1)
    xy = points.xy[inner]
    return pd.DataFrame(image_features(pair, xy, np.broadcast_to(shift, xy.shape)))


def test_both_images_are_most_alike_at_the_true_shift(make_scene):
    pair = make_scene(shape=(160, 192), displacement=(6.0, -5.0), sar_gsd=(0.7, 0.7)).open()
    truth = np.array([6.0, -5.0]) - pair.centre_offset_px
    right = _likeness(pair, truth)
    # The fixture's SAR image is the negative of its optical one.
    assert (right["sar_ncc_after_1"] < -0.9).all() and (right["sar_ncc_gain_1"] < -0.1).all()
    for name in ("gradient_ncc", "mutual"):
        assert (right[f"sar_{name}_gain_1"] > 0).all(), name
        for wrong in (-truth, truth + 3.0, truth + np.array([0.0, 8.0])):
            assert right[f"sar_{name}_after_1"].mean() > _likeness(pair, wrong)[f"sar_{name}_after_1"].mean() + 0.05, (
                name
            )
    ncc = [_likeness(pair, truth + np.array([dx, 0.0]))["sar_ncc_after_1"].mean() for dx in (-1.0, 0.0, 1.0)]
    assert ncc[1] < min(ncc[0], ncc[2]), "half a pixel must not be lost"


def test_patches_beyond_the_images_have_no_data(pair):
    far = np.array([[50.0, 40.0]])
    found = pd.DataFrame(image_features(pair, far, np.array([[5000.0, 0.0]]))).iloc[0]
    assert found["sar_after_valid_1"] == 0 and found["sar_before_valid_1"] == 1 and found["optical_valid_1"] == 1
    assert (
        np.isnan(found["sar_ncc_after_1"])
        and np.isfinite(found["sar_ncc_before_1"])
        and np.isnan(found["sar_after_mean_1"])
    )


def test_blocks_give_what_single_rows_give(make_scene):
    pair = make_scene(shape=(160, 700), displacement=(4.0, -3.0)).open()
    rng = np.random.default_rng(0)
    xy, shift = rng.uniform(0, 150, (20, 2)) * [4.6, 1], rng.normal(0, 30, (20, 2))
    together = pd.DataFrame(image_features(pair, xy, shift))
    alone = pd.concat([pd.DataFrame(image_features(pair, xy[i : i + 1], shift[i : i + 1])) for i in range(20)])
    np.testing.assert_allclose(together, alone, atol=2e-3)
