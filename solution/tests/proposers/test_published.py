"""The published weights: recognised by their hash, fitted into the network, and refused with a sentence otherwise."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kornia.feature import DISK, LightGlue

from solution.core import artefact
from solution.core.errors import InputError
from solution.proposers.flow.settings import FlowConfig
from solution.proposers.matcher import published
from solution.proposers.matcher.settings import MatcherConfig
from solution.training import stages


@pytest.fixture(scope="module")
def states() -> dict[str, dict]:
    """What the authors' files hold, in their own naming, with random weights."""
    torch.manual_seed(0)
    glue = LightGlue(features=None, input_dim=128, depth_confidence=-1, width_confidence=-1, flash=False).state_dict()
    renamed = {}
    for name, value in glue.items():
        parts = name.split(".")
        if parts[0] == "transformers":
            name = ".".join([parts[2], parts[1], *parts[3:]])
        if name != "confidence_thresholds":
            renamed[name] = value
    return {"depth-save.pth": {"extractor": DISK().state_dict()}, "disk_lightglue.pth": renamed}


@pytest.fixture
def folder(tmp_path, monkeypatch, states) -> Path:
    for name, state in states.items():
        torch.save(state, tmp_path / name)
    trust(monkeypatch, tmp_path)
    return tmp_path


def trust(monkeypatch, folder: Path) -> None:
    """Take the files of a folder for the published ones."""
    for constant in ("DISK", "LIGHTGLUE"):
        file = getattr(published, constant)
        own = replace(file, sha256=hashlib.sha256((folder / file.name).read_bytes()).hexdigest())
        monkeypatch.setattr(published, constant, own)
    monkeypatch.setattr(published, "FILES", (published.DISK, published.LIGHTGLUE))


def test_the_published_weights_arrive_where_they_belong(folder, states, tmp_path):
    out = tmp_path / "start.safetensors"
    published.convert(folder, out)
    net, manifest = stages.load_stage(stages.MATCHER, out)
    assert (
        manifest.trained_on == ("MegaDepth",)
        and manifest.fold == -1
        and set(manifest.config["published"]) == set(states)
    )
    assert net.config.stride == 1 and net.config.patch == 1
    for name, value in states["depth-save.pth"]["extractor"].items():
        np.testing.assert_allclose(net.disk.state_dict()[name].numpy(), value.numpy(), atol=1e-3)
    own = net.glue.state_dict()
    for name in ("self_attn.3.Wqkv.weight", "cross_attn.8.to_out.bias"):
        block, layer, rest = name.split(".", 2)
        np.testing.assert_allclose(
            own[f"transformers.{layer}.{block}.{rest}"].numpy(), states["disk_lightglue.pth"][name].numpy(), atol=1e-3
        )
    image, valid = torch.rand(1, 1, 64, 64), torch.ones(1, 64, 64)
    with torch.no_grad():
        heat, _ = DISK().heatmap_and_dense_descriptors(image.expand(-1, 3, -1, -1))
        assert net.dense(image, valid, "sar").heat.shape == heat[:, 0].shape


@pytest.mark.slow
def test_training_starts_from_them(folder, tmp_path, run, trained, monkeypatch):
    small = replace(MatcherConfig().official().smoke(), tile_px=64, steps=1, batch_size=1, glue_layers=9)
    monkeypatch.setattr(MatcherConfig, "official", lambda self: small)
    arguments = (
        "train-base",
        "--stage",
        "matcher",
        "--simulated",
        trained.data,
        "--folds",
        tmp_path / "folds",
        "--device",
        "cpu",
    )
    code, out, err = run(*arguments, "--init-weights", folder)
    assert code == 0, err
    manifest = artefact.read_manifest(tmp_path / "folds" / "base" / "matcher.safetensors")
    assert "MegaDepth" in manifest.trained_on and "published DISK and LightGlue" in out


def test_the_table_says_what_is_there(folder, run):
    code, out, _ = run("weights", folder)
    assert (
        code == 0
        and out.count("verified") == 2
        and "Apache-2.0" in out
        and "https://" in out
        and published.DISK.sha256 in out
    )
    assert run("weights")[0] == 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "differs"),
    ],
)
def test_files_that_are_not_the_published_ones_are_refused(folder, run, tmp_path, spoil, message):
    spoil(folder / "depth-save.pth")
    code, _, err = run("weights", folder)
    assert (
        code == 2
        and message in err
        and "depth-save.pth" in err
        and published.DISK.url in err
        and len(err.splitlines()) == 1
    )
    with pytest.raises(InputError, match="download it again"):
        published.convert(folder, tmp_path / "out" / "start.safetensors")
    assert not (tmp_path / "out").exists()


class _Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('pickled code ran')",))


def test_pickled_code_is_not_run(folder, tmp_path, monkeypatch):
    (folder / "depth-save.pth").write_bytes(pickle.dumps(_Bomb()))
    trust(monkeypatch, folder)
    with pytest.raises(InputError, match=r"depth-save\.pth: cannot be read as weights"):
        published.convert(folder, tmp_path / "start.safetensors")


def test_another_release_is_refused_by_its_first_difference(folder, tmp_path, monkeypatch, states):
    torch.save(
        {name: value for name, value in states["disk_lightglue.pth"].items() if name != "posenc.Wr.weight"},
        folder / "disk_lightglue.pth",
    )
    trust(monkeypatch, folder)
    with pytest.raises(InputError, match=r"posenc\.Wr\.weight"):
        published.convert(folder, tmp_path / "start.safetensors")


def test_only_the_matcher_takes_them(folder, run):
    code, _, err = run("train-base", "--init-weights", folder)
    assert code == 2 and "--stage matcher" in err


def test_teams_continue_at_the_size_of_the_base_that_started_from_them(folder, tmp_path):
    out = tmp_path / "start.safetensors"
    published.convert(folder, out)
    config = stages.sized_like(MatcherConfig().fine_tuned(), stages.MATCHER, out)
    assert (config.trunk, config.descriptor_dim, config.patch, config.glue_layers) == ("", 128, 1, 9)
    assert config.steps == MatcherConfig().fine_tuned().steps
    assert stages.sized_like(FlowConfig(), stages.FLOW, out) == FlowConfig()


def test_two_places_to_start_from_are_refused(folder, run, trained):
    both = ("--init", folder / "a.safetensors", "--init-weights", folder)
    for verb in (("train-base", "--stage", "matcher"), ("train-matcher", trained.data)):
        code, _, err = run(*verb, *both)
        assert code == 2 and "pass one of them" in err
