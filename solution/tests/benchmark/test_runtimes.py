"""Runtimes beside each other: what is measured, what is kept, and how it is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rich.console import Console

from solution.benchmark import runtime_cell, runtimes, torch_variants
from solution.benchmark.cell import DONE, FAILED
from solution.benchmark.run import NOT_INSTALLED
from solution.benchmark.runtime_cell import Request
from solution.benchmark.variants import VARIANTS
from solution.core.errors import InputError
from solution.data.naming import FOLDS
from solution.proposers.families import COARSE, FLOW
from solution.proposers.runtimes.graphs import torch_features

FEATURES = {"status": DONE, "cpu_s_mp": 1.25, "s_mp": 1.5, "first_s": 3.0, "load_s": 0.5, "difference": 0.012}
MAP = {"status": DONE, "verdict": "ok", "cpu_s": 20.0, "seconds": 9.0, "process_s": 12.5, "memory_gb": 1.5, "px": 0.04}


@pytest.fixture
def launched(monkeypatch) -> list[Request]:
    """What processes were asked for; none is started. The map of a row is shifted by its place in the table."""
    asked: list[Request] = []

    def launch(request: Request, _: Path) -> dict:
        asked.append(request)
        if not request.map:
            return dict(FEATURES)
        shift = np.zeros((2, 32, 32), np.float32)
        shift[:, 5, 7] = list(VARIANTS).index(request.variant) * np.array([3.0, 4.0])
        with rasterio.open(request.map, "w", driver="GTiff", width=32, height=32, count=2, dtype="float32") as map_:
            map_.write(shift)
        return {name: value for name, value in MAP.items() if name != "px"}

    monkeypatch.setattr(runtimes, "launch", launch)
    return asked


@pytest.fixture
def plan(tmp_path) -> runtimes.Plan:
    return runtimes.Plan(("torch", "torch-channels-last", "torch-bfloat16"), (256,), FOLDS, tmp_path)


def test_every_row_is_compared_with_the_first_and_kept(plan, launched):
    found = runtimes.run(plan, False, lambda _: None)
    assert [(one.variant, bool(one.map)) for one in launched] == [
        (name, mapped) for mapped in (False, True) for name in plan.variants
    ]
    assert [found[name]["256"]["px"] for name in plan.variants] == [0.0, 5.0, 10.0]
    launched.clear()
    assert runtimes.run(plan, False, lambda _: None) == found and launched == []
    runtimes.run(plan, True, lambda _: None)
    assert len(launched) == 6
    kept = json.loads((plan.out / runtimes.RESULTS).read_text())
    kept["torch"]["256"]["key"] = "of other weights"
    (plan.out / runtimes.RESULTS).write_text(json.dumps(kept))
    launched.clear()
    runtimes.run(plan, False, lambda _: None)
    assert [(one.variant, bool(one.map)) for one in launched] == [("torch", True)]


def test_a_row_that_is_not_installed_is_a_result(plan, launched, monkeypatch):
    monkeypatch.setattr("solution.benchmark.variants.find_spec", lambda package: None)
    some = runtimes.Plan(("torch", "openvino"), (256,), FOLDS, plan.out)
    found = runtimes.run(some, False, lambda _: None)
    assert {one.variant for one in launched} == {"torch"}
    assert {answer["status"] for answer in found["openvino"].values()} == {NOT_INSTALLED}
    assert runtimes.problems(found) == ["openvino: onnx and openvino not installed"]


def test_the_first_row_is_always_there_and_an_unknown_one_is_refused():
    assert runtimes.chosen(["openvino", "onnx"]) == ("torch", "onnx", "openvino")
    assert runtimes.chosen([]) == tuple(VARIANTS)
    with pytest.raises(InputError, match="--row abacus: is unknown; choose from torch, "):
        runtimes.chosen(["abacus"])


def test_the_table_tells_all_figures():
    failed = {"status": FAILED, "reason": "no memory"}
    found = {"torch": {"features": FEATURES, "1000": MAP, "3000": failed}}
    out = io.StringIO()
    Console(width=250, file=out).print(runtimes.table(found, (1000, 3000)))
    rows = [line.split() for line in out.getvalue().splitlines()]
    assert ["torch", "1.25", "1e-02", "3.0", "0.5", "20.0", "12.5", "1.5", "0.040", "ok", "failed"] in rows


@pytest.mark.parametrize("family", [FLOW, COARSE], ids=["flow", "coarse"])
@pytest.mark.parametrize("change", ["channels_last", "bfloat16"])
def test_a_variant_of_torch_gives_nearly_the_same(change, family):
    weights = [FOLDS / "0" / family.file]
    runtime, plain = VARIANTS[f"torch-{change.replace('_', '-')}"].make(Path()), torch_features(family, weights)
    image, valid = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0)), torch.ones(1, 64, 96)
    with torch.inference_mode():
        found, wanted = runtime.features(family, weights).sar(image, valid), plain.sar(image, valid)
    off = float((found - wanted).norm(dim=1).max())
    assert found.dtype == torch.float32 and (off < 1e-5 if change == "channels_last" else 1e-4 < off < 0.3)
    assert float((found.norm(dim=1) - 1).abs().max()) < 1e-5


def test_the_median_filter_is_not_part_of_what_a_variant_changes():
    seen = []

    def change(make):
        return lambda image, valid: seen.append(image.clone()) or make(image, valid)

    weights, speck = [FOLDS / "0" / COARSE.file], torch.full((1, 1, 64, 96), 0.25)
    speck[0, 0, 30, 40] = 1.0
    with torch.inference_mode():
        torch_variants.TorchVariant(change).features(COARSE, weights).sar(speck, torch.ones(1, 64, 96))
    assert len(seen) == 1 and float(seen[0].max()) == 0.25


def test_what_torch_compile_lacks_is_said(monkeypatch):
    monkeypatch.setattr(torch_variants.shutil, "which", lambda _: None)
    assert "C++ compiler" in VARIANTS["torch-compile"].missing()


@pytest.mark.slow
def test_features_are_timed_and_a_prediction_is_measured(trained, tmp_path):
    request = Request("torch-channels-last", str(trained.folds), str(tmp_path), side_px=64)
    timed = runtime_cell.measure(request)
    assert timed["status"] == DONE and timed["cpu_s_mp"] > 0 and timed["s_mp"] > 0 and timed["difference"] < 1e-5
    assert not list(tmp_path.iterdir())
    scene = [str(trained.data / f"02_{kind}_train_01.tif") for kind in ("optical", "sar")]
    found = runtime_cell.measure(Request("torch", str(trained.folds), str(tmp_path), *scene, str(tmp_path / "map.tif")))
    assert found["status"] == DONE and (tmp_path / "map.tif").is_file() and found["cpu_s"] > 0
    bad = runtime_cell.measure(Request("torch", str(tmp_path / "no"), str(tmp_path), *scene, str(tmp_path / "m.tif")))
    assert bad["status"] == FAILED and "holds no team" in bad["reason"]
