"""Verdicts on fits whose faults are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from solution.field import candidates, fitting, verdict
from solution.field.shiftfield import Fit
from solution.field.verdict import judge, worst
from solution.tests.scattered import SHAPE, scattered, smooth


def gentle(count: int = 900) -> pd.DataFrame:
    """Candidates on a terrain that bends three times as slowly, which is easy to follow."""
    return scattered(count, field=lambda xy: smooth(xy / 3))[0]


@pytest.fixture(scope="module")
def good() -> tuple[Fit, object]:
    return fitting.fit(gentle(), SHAPE, 0.5)


def test_many_agreeing_candidates_everywhere_are_ok(good):
    found = judge(*good, SHAPE)
    assert (found.word, found.reasons) == ("ok", ()) and found.support > 0.9 and 0 < found.radius_px < 7
    assert found.line() == "verdict: ok" and found.facts()["verdict"] == "ok"


@pytest.mark.parametrize(("radius", "word"), [(6.9, "ok"), (7.1, "weak"), (26.0, "failed"), (float("nan"), "weak")])
def test_large_errors_to_be_expected_are_told(good, radius, word):
    fit, table = good
    assert judge(replace(fit, sigma=np.full_like(fit.sigma, radius)), table, SHAPE).word == word


def test_candidates_in_one_corner_do_not_speak_for_the_map(good):
    table = gentle()
    corner = table[(table["x"] < 300) & (table["y"] < 250)]
    found = judge(*fitting.fit(corner, SHAPE, 0.5), SHAPE)
    assert found.word == "weak" and "of the map" in found.line()
    assert judge(good[0], corner[:2].assign(outlier=""), SHAPE).word == "failed"


@pytest.mark.parametrize(("share", "word"), [(0.3, "ok"), (0.5, "weak"), (0.8, "failed")])
def test_candidates_that_disagree_are_told(good, share, word):
    fit, table = good
    aside = np.arange(len(table)) < share * len(table)
    table = table.sample(frac=1.0, random_state=0).assign(outlier=np.where(aside, "field", ""))
    assert judge(fit, table, SHAPE).word == word


def test_without_candidates_it_failed_and_an_affine_is_weak():
    with pytest.warns(UserWarning, match="ZERO SHIFT"):
        found = judge(*fitting.fit(candidates.empty(), SHAPE, 0.5), SHAPE)
    assert found.word == "failed" and found.facts()["radius_68_px"] is None and "zero shift" in found.line()
    few = judge(*fitting.fit(scattered(12)[0], SHAPE, 0.5), SHAPE)
    assert few.word != "ok" and any("affine" in reason for reason in few.reasons)


def test_errors_that_all_candidates_share_count_more_where_pixels_are_small(good):
    table = gentle()
    coarse, fine = (judge(*fitting.fit(table, SHAPE, gsd), SHAPE).radius_px for gsd in (10.0, 0.3))
    unknown = judge(*fitting.fit(table, SHAPE), SHAPE).radius_px
    assert fine > 2 * coarse and coarse == pytest.approx(unknown, rel=0.1)


def test_where_only_flow_found_something_it_may_be_noise(good):
    fit, table = good
    assert judge(fit, table, SHAPE, {"flow"}).word == "ok"
    alone = judge(fit, table, SHAPE, {"flow", "match", "match_translated"})
    assert alone.word == "failed" and "match and match_translated found nothing" in alone.line()
    both = table.assign(source=["match", *table["source"][1:]])
    assert judge(fit, both, SHAPE, {"flow", "match", "match_translated"}).word == "weak"
    assert judge(fit, both, SHAPE, {"flow", "match"}).word == "ok"


def test_small_pixels_are_judged_in_metres(good):
    fit, table = good
    for gsd, word in ((0.5, "weak"), (0.3, "ok"), (10.0, "weak")):
        assert judge(replace(fit, sigma=np.full_like(fit.sigma, 9.0), gsd_m=gsd), table, SHAPE).word == word


def test_the_worst_word_and_its_code():
    assert worst([]) == worst(["ok", "ok"]) == "ok" and worst(["ok", "failed", "weak"]) == "failed"
    assert verdict.EXIT_CODES == {"ok": 0, "weak": 4, "failed": 3}
