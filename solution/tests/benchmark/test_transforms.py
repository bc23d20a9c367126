"""The study of transformations: every method on a field it can represent, and what the disturbances do."""

from __future__ import annotations

import json

import numpy as np
import pytest

from solution.benchmark import transforms
from solution.benchmark.transforms import METHODS, Disturbance
from solution.core.errors import InputError

RNG = np.random.default_rng(0)
XY = RNG.uniform(0, [4000, 3000], (80, 2))
AFFINE = np.array([[0.01, -0.02], [0.005, 0.015]])
FIELDS = {
    "shift": lambda q: np.full_like(q, 7.0),
    "affine": lambda q: q @ AFFINE + [20.0, -5.0],
    "polynomial": lambda q: q @ AFFINE + np.column_stack([(q[:, 0] / 1000) ** 2, q[:, 0] * q[:, 1] / 1e6]),
}


@pytest.mark.parametrize(
    ("method", "field"), [(m, f) for m in METHODS for f in FIELDS if not (m == "shift" and f != "shift")]
)
def test_a_method_gives_back_what_it_can_represent(method, field):
    if field == "polynomial" and method.startswith("affine"):
        pytest.skip("an affine cannot")
    inner = np.random.default_rng(5).uniform([800, 800], [3200, 2200], (50, 2))
    error = np.hypot(*(METHODS[method](XY, FIELDS[field](XY))(inner) - FIELDS[field](inner)).T)
    assert error.mean() < (0.6 if field == "polynomial" else 0.2)


def test_disturbances_add_what_they_say():
    shift = FIELDS["affine"](XY)
    at, claim = Disturbance(6.0, 0.6).of(XY, shift, np.random.default_rng(1))
    assert len(at) == 200 and np.std(claim[:80] - shift) == pytest.approx(6.0, rel=0.2)
    assert (at[:80] == XY).all()
    at, claim = Disturbance(0.0, 0.4, clustered=True).of(XY, shift, np.random.default_rng(1))
    distinct = {tuple(row) for row in np.round(claim[80:] / 15)}
    assert len(at) == 133 and (claim[:80] == shift).all() and len(distinct) < 30
    assert [str(case) for case in transforms.CASES[:2]] == ["clean", "noise 3 px"] and len(
        {str(case) for case in transforms.CASES}
    ) == 10


@pytest.mark.slow
def test_the_command_judges_a_folder_of_bare_tie_points(tmp_path, run, monkeypatch):
    monkeypatch.setattr(transforms, "CASES", (Disturbance(), Disturbance(1.0, 0.4)))
    sar = (XY + FIELDS["affine"](XY)).round().astype(int)
    rows = [f"{s[1]},{s[0]},{int(o[1])},{int(o[0])}" for s, o in zip(sar, XY, strict=True)]
    (tmp_path / "02_tiepoints_train_01.csv").write_text(
        "\n".join(["sar_row,sar_col,optical_row,optical_col", *rows]) + "\n"
    )
    frame = [354000.0, 0.5, 4108000.0, -0.5]
    (tmp_path / "geotransforms.json").write_text(json.dumps({"02_train_01": {"optical": frame, "sar": frame}}))
    code, *said = run("fit-benchmark", tmp_path)
    output = "".join(said)
    assert code == 0 and "02_train_01: 80 tie-points" in output and "noise 1 px, 40% wrong" in output
    wrong = next(line for line in output.splitlines() if line.strip().startswith("noise 1 px, 40% wrong"))
    plain, ours = (float(value) for value in (wrong.split()[6], wrong.split()[11]))
    assert ours < 3 < plain


def test_a_folder_without_tie_points_ends_in_one_sentence(tmp_path, run):
    code, *said = run("fit-benchmark", tmp_path)
    output = "".join(said)
    assert code == 2 and str(tmp_path) in output.replace("\n", "")


def test_too_few_tie_points_are_said():
    with pytest.raises(InputError, match="scene short: has 8 tie-points"):
        transforms.judge("short", XY[:8], XY[:8], transforms.CASES, print)
