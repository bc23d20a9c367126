"""The verdict in plain words: no reason that a verdict can give is left without a word on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solution.core import geometry
from solution.field import fitting, verdict
from solution.field.contrast import Standing
from solution.products.page import words
from solution.tests.scattered import SHAPE, scattered, smooth

FACTS = {"verdict": "ok", "reasons": [], "radius_68_px": 4.0, "gsd_m": 0.5}


def reasons() -> set[str]:
    """All that `verdict.judge` can say."""
    fit, table = fitting.fit(scattered(900, field=lambda xy: smooth(xy / 3))[0], SHAPE, 0.5)
    nodes = geometry.lattice((0.0, 0.0), (300.0, 300.0), (2, 2))
    clear = Standing(0.9, np.ones((2, 2), bool), nodes, -1.0, (10.0, 10.0))
    cases = (
        (fit, table, {"standing": clear}),
        (fit, table, {"standing": replace(clear, margin=0.4)}),
        (fit, table, {"standing": replace(clear, margin=0.1)}),
        (fit, table[:2], {"asked": {"flow", "match"}}),
        (fit, table.assign(outlier=np.where(table.index % 2, "field", "")), {}),
        (replace(fit, kind="affine", sigma=None), table, {}),
        (replace(fit, kind="zero"), table, {}),
        (replace(fit, sigma=np.full_like(fit.sigma, 30.0)), table, {}),
    )
    return {reason for fit, table, more in cases for reason in verdict.judge(fit, table, SHAPE, **more).reasons}


def test_every_reason_of_a_verdict_has_a_word_on_it():
    told = words.explained(sorted(reasons()))
    assert len(told) >= len(words.ADVICE) and all(advice for _, advice in told), told
    for part, advice in words.ADVICE.items():  # and nothing is kept that no verdict says
        assert any(part in reason and found == advice for reason, found in told), part


@pytest.mark.parametrize(
    ("word", "begins"), [("ok", "Use it: "), ("weak", "Look before"), ("failed", "Do not use it: ")]
)
def test_the_answer_is_one_sentence_that_says_what_to_do(word, begins):
    why = [] if word == "ok" else ["candidates support 7% of the map"]
    answer = words.answer({**FACTS, "verdict": word, "reasons": why})
    assert answer.startswith(begins) and answer.endswith(".") and words.advice({**FACTS, "verdict": word})
    assert ("4.00\N{NO-BREAK SPACE}px (2.00\N{NO-BREAK SPACE}m)" in answer) == (word == "ok") and (
        not why or why[0] in answer
    )


def test_an_unknown_error_is_not_a_number():
    assert words.radius({"radius_68_px": None, "gsd_m": 0.5}) == "not known"
    assert words.radius({"radius_68_px": 4.0, "gsd_m": None}) == "4.00\N{NO-BREAK SPACE}px"
