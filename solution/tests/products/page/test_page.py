"""The page of a finished prediction: its figures are those of the files, and it needs nothing else."""

from __future__ import annotations

import re

import numpy as np
import pytest

from solution.field import candidates
from solution.field.held_out import FOLDS, HeldOut, hold_out
from solution.products.page import chips, statistics
from solution.products.page.marking import MOST_BYTES, is_page
from solution.tests.products.page.conftest import SHAPE, text_of


def test_the_verb_makes_the_page_of_the_prediction_again(finished, run):
    before = finished.page.read_bytes()
    finished.page.unlink()
    code, out, _ = run("report", finished.map)
    assert code == 0 and f"{finished.page}: written" in out
    assert finished.page.read_bytes() == before and is_page(finished.page) and len(before) < MOST_BYTES


def test_the_figures_are_those_of_the_report(finished):
    facts, page = finished.facts(), finished.page.read_text()
    shown = dict(re.findall(r'data-figure="(\w+)">([^<]*)<', page))
    assert set(shown) >= {"inliers", "residual_px", "radius_68_px", "support", "gsd_m"}
    assert shown == {name: "not known" if facts[name] is None else str(facts[name]) for name in shown}
    told = text_of(finished.page)
    for fact in (facts["run"]["written_at"], facts["inputs"]["sar"]["sha256"], facts["files"]["map"]["sha256"]):
        assert fact in told
    assert str(finished.scene.folder) not in page  # it may be sent to others


def test_the_held_out_figures_are_those_of_the_table(finished):
    table, facts = candidates.read(finished.table), finished.facts()
    held = hold_out(table, SHAPE, facts["gsd_m"])
    errors = statistics.Errors.of(held.length)
    assert errors.rmse == pytest.approx(np.sqrt((held.residual**2).sum(axis=1).mean()))
    assert np.mean(held.length <= errors.ce90) == pytest.approx(0.9, abs=0.01)
    assert f"{errors.rmse:.2f} px ({errors.rmse * facts['gsd_m']:.2f} m)" in text_of(finished.page)
    kept = (table["outlier"] == "").sum()
    row = statistics.shares(table, facts)
    assert sum(one["kept"] for one in row) == kept == facts["inliers"]
    assert [one["proposed"] for one in row] == list(facts["sources"].values())


def test_nothing_on_it_comes_from_elsewhere_and_every_picture_is_described(finished):
    page = finished.page.read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\(|@import|https?:(?!//www\.w3\.org)", page)
    assert "default-src 'none'" in page
    alts = re.findall(r'<img [^>]*?alt="([^"]*)"', page)
    assert len(alts) == page.count("<img ") == 3 + 8 + 8 and all(len(alt) > 10 for alt in alts)


def test_best_and_worst_are_told_apart(finished):
    table = candidates.read(finished.table)
    length = np.random.default_rng(1).permutation(len(table)).astype(float)
    held = HeldOut(np.arange(len(table)), np.column_stack([length, 0 * length]), 96.0, 30, FOLDS)
    best, worst = chips.best_and_worst(table, held)
    assert best.length[0] == 0 and worst.length[0] == len(table) - 1
    assert best.length.max() < worst.length.min()
    for chosen in (best, worst):
        place = np.floor(table[["x", "y"]].to_numpy()[chosen.rows] / 192)
        assert len(np.unique(place, axis=0)) == len(chosen.rows) == 4
