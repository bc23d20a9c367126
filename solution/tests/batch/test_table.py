"""The table: one row a pair, the same types whatever stands in it; what a cron job is told by the exit code."""

from __future__ import annotations

import pandas as pd
import pytest

from solution.batch.page import write_page
from solution.batch.table import Row, exit_code, frame, told, totals, write_table

DONE = Row("a", "o.tif", "s.tif", "ok", error_px=2.5, error_m=0.8, candidates=9, inliers=7, tries=1, map="a.tif")
BAD = Row("b,<b>", "", "", "bad input", error='x.tif: "no" such file; check the path')


def test_csv_and_parquet_hold_the_same_and_types_do_not_depend_on_what_is_known(tmp_path):
    write_table(tmp_path, [DONE, BAD])
    table = pd.read_parquet(tmp_path / "batch.parquet")
    text = pd.read_csv(tmp_path / "batch.csv", keep_default_na=False, dtype=str)
    assert list(text.columns) == list(table.columns) and text.loc[1, "error"] == BAD.error == table.loc[1, "error"]
    assert table.loc[0, "error_px"] == 2.5 and table.loc[0, "candidates"] == 9
    assert table.loc[1, ["error_px", "candidates", "seconds"]].isna().all()
    write_table(tmp_path, [BAD])
    assert (pd.read_parquet(tmp_path / "batch.parquet").dtypes == table.dtypes).all()
    assert (frame([DONE]).dtypes == frame([BAD]).dtypes).all() and len(frame([])) == 0


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["ok", "ok"], 0),
        (["ok", "weak"], 4),
        (["weak", "failed", "ok"], 3),
        (["failed", "bad input", "weak"], 2),
        (["bad input", "lost", "failed"], 1),
        (["ok", "error"], 1),
    ],
)
def test_the_worst_pair_says_the_exit_code(verdicts, code):
    assert exit_code([Row("x", "", "", verdict) for verdict in verdicts]) == code


def test_totals_come_in_one_order_and_sum_up():
    rows = [Row(str(number), "", "", word) for number, word in enumerate(("pending", "weak", "ok", "weak", "lost"))]
    assert told(totals(rows)) == "1 ok, 2 weak, 1 lost, 1 pending"


def test_the_page_stands_alone_links_what_is_there_and_escapes(tmp_path):
    for name in ("a.tif", "a.report.json", "a.html"):
        (tmp_path / name).write_text("")
    write_page(tmp_path, [DONE, BAD], "<pairs>.csv")
    page = (tmp_path / "index.html").read_text()
    assert all(f'href="{name}"' in page for name in ("a.tif", "a.report.json", "a.html"))
    assert 'href="a.sigma.tif"' not in page and "b,&lt;b&gt;" in page and "&lt;pairs&gt;.csv: 2 pairs" in page
    assert "http" not in page and "src=" not in page
    assert '<span class="verdict bad-input">1 bad input</span>' in page and ">2.5</td>" in page
