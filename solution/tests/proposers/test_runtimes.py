"""Features by other programs than torch: the graphs say the same, say what they are, and are kept as long as they are whole."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from packaging.requirements import Requirement

import solution
from solution.core.artefact import file_hash, load_weights
from solution.core.errors import InputError
from solution.data.naming import FOLDS
from solution.proposers.families import COARSE, FLOW, FLOW_HEAD, load_family
from solution.proposers.flow.network import FlowNet
from solution.proposers.runtimes import every, exporting, graphs
from solution.tests.conftest import truncate

ROOT = Path(solution.__file__).resolve().parents[1]
TEAMS = [FOLDS / name for name in ("0", "1", "2")]
FAMILIES = (FLOW, COARSE)
SIZES = [(16, 16), (48, 32), (208, 336)]


def installed(name: str) -> None:
    """Skip where the packages of a runtime are not there."""
    for package in every.PACKAGES[name]:
        pytest.importorskip(package, reason=f"optional: pip install {package}=={every.PINS[package]}")


def weights(family) -> list[Path]:
    return [team / family.file for team in TEAMS]


def images(height: int, width: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """An image of each modality, and ground without data in one corner."""
    generator = torch.Generator().manual_seed(height)
    made = {name: torch.rand(1, bands, height, width, generator=generator) for name, bands in graphs.BANDS.items()}
    valid = torch.ones(1, height, width)
    valid[:, : height // 2, : width // 3] = 0
    return made, valid


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("name", [every.ONNX, every.OPENVINO])
def test_a_runtime_says_the_same_as_torch_on_images_of_any_size(name, family, cache):
    installed(name)
    made = every.runtime(name, torch.device("cpu"), cache).features(family, weights(family))
    plain = graphs.torch_features(family, weights(family))
    for size in SIZES:
        seen, valid = images(*size)
        for modality, image in seen.items():
            with torch.inference_mode():
                found, wanted = (getattr(one, modality)(image, valid) for one in (made, plain))
            assert found.shape == wanted.shape and found.dtype == torch.float32
            assert float((found - wanted).norm(dim=1).max()) < 1e-3
            assert float((found.norm(dim=1) - 1).abs().max()) < 1e-4


def test_a_graph_takes_images_whose_memory_runs_in_another_order(cache):
    installed(every.ONNX)
    made = every.runtime(every.ONNX, torch.device("cpu"), cache).features(COARSE, weights(COARSE))
    seen, valid = images(64, 96)
    turned = seen["optical"].contiguous(memory_format=torch.channels_last)
    assert torch.equal(made.optical(turned, valid), made.optical(seen["optical"], valid))


def test_exported_graphs_say_what_they_are(run, tmp_path):
    installed(every.ONNX)
    onnx = importlib.import_module("onnx")
    code, _, err = run("export-onnx", *TEAMS, "--out", tmp_path / "out")
    assert code == 0, err
    files = {f"{family.name}{end}" for family in FAMILIES for end in ("_optical.onnx", "_sar.onnx", ".json")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    for family, stride, channels in ((FLOW, 4, 32), (COARSE, 8, 112)):
        told = json.loads((tmp_path / "out" / f"{family.name}.json").read_text())
        assert told["weights"] == {f"{path.parent.name}/{path.name}": file_hash(path) for path in weights(family)}
        for modality, bands in graphs.BANDS.items():
            path = tmp_path / "out" / f"{family.name}_{modality}.onnx"
            graph = onnx.load(path)
            within = json.loads(next(one.value for one in graph.metadata_props if one.key == "sar2opt"))
            assert within["weights"] == told["weights"] and within["modality"] == modality
            assert told["graphs"][modality]["file"]["sha256"] == file_hash(path)
            assert (within["stride_px"], within["channels"], within["multiple_px"]) == (stride, channels, 16)
            assert [one.version for one in graph.opset_import if not one.domain] == [within["opset"]]
            assert [one.name for one in graph.graph.input] == list(within["inputs"]) == ["image", "valid"]
            assert within["inputs"]["image"]["shape"][1] == bands
            assert [one.name for one in graph.graph.output] == list(within["outputs"])
            assert bool(within["before"]) == (family is COARSE and modality == "sar")


def test_teams_of_other_starts_are_not_averaged(run, trained, tmp_path):
    installed(every.ONNX)
    teams = trained.folds / "0", trained.folds / "1"  # of a smoke run, which started from chance
    code, _, err = run("export-onnx", *teams, "--out", tmp_path / "out")
    assert code == 2 and "cannot be averaged" in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert run("export-onnx", teams[0], "--out", tmp_path / "out")[0] == 0


def test_graphs_are_kept_as_long_as_they_are_whole(trained, tmp_path):
    installed(every.ONNX)
    shutil.copytree(trained.folds / "0", tmp_path / "0")
    files = [tmp_path / "0" / COARSE.file]
    kept = exporting.kept(COARSE, files, tmp_path / "cache")
    whole = {path: path.read_bytes() for path in kept.values()}
    for path in whole:
        os.utime(path, (1, 1))
    assert exporting.kept(COARSE, files, tmp_path / "cache") == kept
    assert {path.stat().st_mtime for path in whole} == {1}
    truncate(kept["sar"])
    exporting.kept(COARSE, files, tmp_path / "cache")
    assert {path: path.read_bytes() for path in whole} == whole
    shutil.copy(trained.folds / "1" / COARSE.file, files[0])
    assert exporting.kept(COARSE, files, tmp_path / "cache").keys() == kept.keys()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_head_without_its_encoder_is_that_of_the_whole_network(trained):
    path = trained.folds / "0" / FLOW.file
    whole, head = load_family(FLOW, [path]), load_family(FLOW_HEAD, [path])
    assert isinstance(whole, FlowNet) and isinstance(head, FlowNet)
    assert head.state_dict().keys() == {name for name in whole.state_dict() if name.startswith("head.")}
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in head.state_dict().items())
    assert "encoder.adapter.layers.0.weight" in load_weights(path)[0]


@pytest.mark.parametrize("name", [every.ONNX, every.OPENVINO])
def test_a_pair_is_predicted_with_a_runtime(name, run, tmp_path):
    installed(name)
    assert run("simulate", tmp_path / "scenes", "--scenes", 1, "--size", 384, 384)[0] == 0
    scene = [next((tmp_path / "scenes").glob(f"*_{kind}_*.tif")) for kind in ("optical", "sar")]
    shifts, reports = {}, {}
    for each in (every.TORCH, name):
        out = tmp_path / f"{each}.tif"
        code, _, err = run("predict", *scene, out, "--runtime", each)
        assert code in (0, 3, 4), err
        with rasterio.open(out) as map_:
            shifts[each] = map_.read()
        reports[each] = json.loads(out.with_suffix(".report.json").read_text())
    apart = np.hypot(*(shifts[name] - shifts[every.TORCH]))
    assert 0 < apart.mean() < 0.2 and apart.max() < 1
    assert reports[name]["runtime"] == name
    assert reports[name]["verdict"] == reports[every.TORCH]["verdict"]


@pytest.mark.parametrize("name", [every.ONNX, every.OPENVINO])
def test_a_runtime_that_is_not_installed_is_one_sentence(name, run, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(every, "find_spec", lambda package: None)
    scene = [trained.data / f"02_{kind}_train_01.tif" for kind in ("optical", "sar")]
    code, out, err = run("predict", *scene, tmp_path / "map.tif", "--folds", trained.folds, "--runtime", name)
    wanted = " ".join(f"{package}=={every.PINS[package]}" for package in every.PACKAGES[name])
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert err.startswith(f"error: --runtime {name}: needs ") and err.endswith(f"pip install {wanted}\n")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_runtime_is_one_sentence():
    with pytest.raises(InputError, match="--runtime abacus: is none of torch, onnx, openvino"):
        every.check("abacus")


def test_a_runtime_of_the_cpu_is_not_asked_to_work_on_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(every, "find_spec", lambda package: package)
    with pytest.raises(InputError, match="--runtime onnx: works on the CPU"):
        every.runtime(every.ONNX, torch.device("cuda"), tmp_path)


def test_the_pins_agree():
    text = (ROOT / "requirements-benchmark.txt").read_text().partition("# runtimes\n")[2]
    assert dict(re.findall(r"^(\S+)==(\S+)$", text, re.MULTILINE)) == every.PINS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = list(map(Requirement, project["optional-dependencies"]["runtimes"]))
    assert {one.name for one in extra} == set(every.PINS)
    assert all(one.specifier.contains(every.PINS[one.name]) for one in extra)


def test_what_a_graph_cannot_do_is_done_before_it():
    speckle = torch.from_numpy(np.random.default_rng(0).random((1, 1, 32, 32), np.float32))
    before = graphs.KINDS[COARSE.name].before_sar(speckle)
    window = speckle[0, 0, 8:13, 4:9].flatten()
    assert before[0, 0, 10, 6] == window.median() and graphs.KINDS[FLOW.name].before_sar is None
