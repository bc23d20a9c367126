import numpy as np
import pandas as pd
import pytest

from solution.core.errors import InputError
from solution.data.tiepoints import TiePoints
from solution.field import candidates


def _table(count: int = 5, **more: object) -> pd.DataFrame:
    xy = np.column_stack([np.arange(count) * 10.0, np.arange(count) * 20.0])
    return candidates.make("02_train_01", 1, "flow", xy, xy * 0 + [3.0, 4.0], **more)


def _tiepoints(*rows: tuple[float, float, float, float]) -> TiePoints:
    return TiePoints(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)


def test_make_fills_what_is_not_known_yet():
    table = _table(3, confidence=np.array([0.0, 0.5, 1.0]), tile=7)
    assert list(table.columns) == list(candidates.SCHEMA)
    assert table["tile"].tolist() == [7, 7, 7]
    assert table[["error_px", "quality", "sigma_px", "cycle_px"]].isna().all(axis=None)
    assert (table["outlier"] == "").all()


def test_empty_is_valid_everywhere(tmp_path):
    nothing = candidates.empty()
    candidates.write(tmp_path / "a.parquet", nothing)
    back = candidates.read(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(back, nothing)
    assert len(candidates.concat([])) == len(candidates.concat([nothing, nothing])) == 0
    assert len(candidates.label(nothing, _tiepoints((0, 0, 1, 1)), 10)) == 0
    pd.testing.assert_frame_equal(candidates.make("a", 0, "match", np.zeros((0, 2)), np.zeros((0, 2))), nothing)


def test_concat_keeps_all_rows_in_order_and_numbers_them_anew():
    both = candidates.concat([_table(2), candidates.empty(), _table(3)])
    assert both.index.tolist() == [0, 1, 2, 3, 4]
    assert both["x"].tolist() == [0, 10, 0, 10, 20]


def test_round_trip_keeps_values_and_nan_and_bytes(tmp_path):
    table = _table(4, sigma_px=np.array([1.0, np.nan, 2.0, 1e-9]))
    table.loc[1, "outlier"] = "cycle"
    first, second = tmp_path / "a.parquet", tmp_path / "deeper" / "b.parquet"
    candidates.write(first, table)
    candidates.write(second, table.set_axis([9, 8, 7, 6]))  # the index is no part of the table
    pd.testing.assert_frame_equal(candidates.read(first), table)
    assert first.read_bytes() == second.read_bytes()
    assert b"pandas" not in first.read_bytes()


def test_a_broken_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(candidates.pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        candidates.write(tmp_path / "a.parquet", _table())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="dx"), r"lacks the column\(s\) dx"),
        (lambda t: t.assign(extra=1), r"unknown column\(s\) extra"),
        (
            lambda t: t.assign(source="Flow 2"),
            "candidates: source 'Flow 2' is no plain name; begin it with a lower-case letter",
        ),
        (lambda t: t.assign(source=""), "source '' is no plain name"),
        (lambda t: t.assign(source=None), "source 'nan' is no plain name"),
        (lambda t: t.assign(source="flow\n"), "is no plain name"),
        (lambda t: t.assign(confidence=1.5), r"confidence 1.5 in row 0 is outside \[0, 1\]"),
        (lambda t: t.assign(x="left"), "wrong type"),
    ],
)
def test_a_wrong_table_is_refused_in_words(spoil, message):
    with pytest.raises(InputError, match=message):
        candidates.check(spoil(_table()))


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.parquet: no such candidates file"):
        candidates.read(tmp_path / "none.parquet")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"broken\.parquet: is not a readable parquet file"):
        candidates.read(broken)


def test_label_measures_the_distance_to_the_tie_point_and_only_in_reach():
    table = _table(3)  # at (0, 0), (10, 20), (20, 40), shift (3, 4)
    labelled = candidates.label(table, _tiepoints((0, 0, 0, 0), (10, 25, 3, 4)), radius_px=8)
    np.testing.assert_allclose(labelled["error_px"], [5.0, 0.0, np.nan], atol=1e-3)
    assert table["error_px"].isna().all()  # the input is left alone


def test_label_lies_between_two_tie_points_and_is_exact_on_each():
    xy = np.array([[0.0, 0.0], [5.0, 0.0], [10.0, 0.0]])
    table = candidates.make("a", 0, "match", xy, np.zeros((3, 2)))
    labelled = candidates.label(table, _tiepoints((0, 0, 2, 0), (10, 0, 6, 0)), radius_px=30)
    np.testing.assert_allclose(labelled["error_px"], [2.0, 4.0, 6.0], atol=1e-3)


def test_label_survives_no_tie_points_and_nan_rows():
    table = _table(2)
    table.loc[0, "x"] = np.nan
    assert candidates.label(table, _tiepoints(), 10)["error_px"].isna().all()
    assert candidates.label(table, _tiepoints((10, 20, 3, 4)), 10)["error_px"].isna().tolist() == [True, False]
