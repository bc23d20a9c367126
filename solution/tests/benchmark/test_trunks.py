"""Trunks beside each other through the command line."""

from __future__ import annotations

import pytest
import torch

from solution.benchmark import trunks
from solution.proposers.encoder.trunk import bare_trunk
from solution.tests.handmade import GradientDirections


def row_of(trunk: str, out: str) -> list[str]:
    """The cells of the only line of a table that begins with a trunk's name."""
    (row,) = [cells for line in out.splitlines() if (cells := line.split())[:1] == [trunk]]
    return row


@pytest.fixture
def options(tmp_path):
    return "--device", "cpu", "--out", tmp_path / "trunks"


def test_a_row_counts_the_trunk_and_judges_only_what_has_learned(run, trained, options):
    code, out, err = run("trunks", trained.data, "--trunk", "test_resnet", "--size", 128, *options)
    assert code == 0, err
    row = row_of("test_resnet", out)
    parameters = sum(each.numel() for each in bare_trunk("test_resnet", (4, 8, 16)).parameters())
    assert row[:3] == ["test_resnet", "chance", f"{parameters / 1e6:.2f}"] and len(row) == 5
    assert all(float(figure) > 0 for figure in row[3:])


@pytest.mark.slow
def test_heads_are_judged_on_labelled_scenes_and_kept(run, trained, options, monkeypatch):
    head = trained.folds / "0" / "coarse.safetensors"
    code, out, err = run("trunks", trained.data, "--coarse", head, "--size", 128, *options)
    assert code == 0, err
    row = row_of("tf_efficientnet_lite0", out)
    errors = [float(figure) for figure in row[5:]]
    assert len(errors) == 3 and errors[2] == pytest.approx((errors[0] + errors[1]) / 2, abs=0.011)
    monkeypatch.setattr(trunks, "Search", lambda *_, **__: pytest.fail("a finished scene was measured again"))
    code, out, err = run("trunks", trained.data, "--coarse", head, "--size", 128, *options)
    assert code == 0 and row_of("tf_efficientnet_lite0", out)[5:] == row[5:], err


def test_the_error_is_that_of_the_field_in_px(make_scene):
    scene = make_scene(shape=(320, 384), sar_gsd=(0.5, 0.5), displacement=(24.0, -16.0))
    make = GradientDirections(8)
    assert trunks._error_px(scene.open(), make, torch.device("cpu")) < 2.5


def test_a_side_that_no_trunk_takes(run, options):
    code, _, err = run("trunks", "--trunk", "test_resnet", "--size", 1000, *options)
    assert code == 2 and err == "error: --size 1000: is no multiple of 32 px; pass 1024, say\n"
