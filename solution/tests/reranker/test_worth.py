"""Rerankers that make maps worse are recorded as such, and not used."""

import json

import pytest

from solution.core.errors import InputError
from solution.reranker import worth


def maps(without: float, judged: float) -> dict[str, float]:
    return {"confidence": without, "reranker": judged, "oracle": without - 0.1}


def noted(folds, errors):
    (folds / worth.REPORT).write_text(json.dumps({"0": {"rows": 9}, "1": {"rows": 9}, "aoi_02": {"rows": 9}}))
    worth.note(folds, errors)
    return json.loads((folds / worth.REPORT).read_text())


def test_the_report_keeps_what_it_knew_and_gets_the_errors_of_maps(tmp_path):
    errors = {"0": {"02_a": maps(7.6, 59.0)}, "1": {"02_b": maps(8.7, 98.0)}}
    assert noted(tmp_path, errors) == {
        "0": {"rows": 9, "map_px": {"02_a": maps(7.6, 59.0)}},
        "1": {"rows": 9, "map_px": {"02_b": maps(8.7, 98.0)}},
        "aoi_02": {"rows": 9},
    }


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [((7.6, 59.0), (8.7, 98.0), True), ((2.0, 2.1), (1.0, 1.1), False), ((2.0, 1.0), (1.0, 2.5), True)],
)
def test_rerankers_are_refused_where_they_did_harm_in_the_mean(tmp_path, first, second, refused):
    errors = {"0": {"02_a": maps(*first)}, "1": {"02_b": maps(*second)}}
    noted(tmp_path, errors)
    assert (worth.harm(errors) is not None) == refused
    if refused:
        with pytest.raises(InputError, match=r"worse .* leave out --rerank"):
            worth.check(tmp_path)
    else:
        worth.check(tmp_path)


def test_what_was_not_measured_is_not_refused(tmp_path):
    worth.check(tmp_path)
    (tmp_path / worth.REPORT).write_text(json.dumps({"0": {"rows": 0}}))
    worth.check(tmp_path)
    assert worth.harm({}) is None


@pytest.mark.parametrize("text", ["{", "[1]", '{"0": {"map_px": {"02_a": {"confidence": 1.0}}}}', '{"0": 3}'])
def test_a_foreign_report_is_told_in_a_sentence(tmp_path, text):
    (tmp_path / worth.REPORT).write_text(text)
    with pytest.raises(InputError, match="train-reranker"):
        worth.check(tmp_path)
