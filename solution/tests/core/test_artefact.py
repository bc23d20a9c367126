"""Artefacts: whole files or none, and a manifest that guards the held-out scenes."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.core.writing import atomic_path, write_text

MANIFEST = Manifest(
    "flow", 1, ("02_train_01", "03_train_01"), {"lr": 1e-3, "levels": (4, 2)}, seed=7, versions={"torch": "2"}
)
TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.array([1, 2], dtype=np.int64)}


def test_weights_and_manifest_come_back(tmp_path):
    path = tmp_path / "folds" / "1" / "flow.safetensors"
    artefact.save_weights(path, TENSORS, MANIFEST)
    tensors, manifest = artefact.load_weights(path)
    assert {name: value.tolist() for name, value in tensors.items()} == {
        name: value.tolist() for name, value in TENSORS.items()
    }
    assert manifest.digest() == MANIFEST.digest() == artefact.read_manifest(path).digest()
    assert manifest.trained_on == MANIFEST.trained_on and manifest.versions == {"torch": "2"}


def test_the_same_weights_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        artefact.save_weights(tmp_path / name, TENSORS, MANIFEST)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "change", [{"seed": 8}, {"fold": 0}, {"stage": "matcher"}, {"trained_on": ("02_train_01",)}, {"config": {"lr": 1}}]
)
def test_the_digest_sees_every_change_that_matters(change):
    assert dataclasses.replace(MANIFEST, **change).digest() != MANIFEST.digest()


def test_the_digest_does_not_see_versions():
    assert dataclasses.replace(MANIFEST, versions={"torch": "3"}).digest() == MANIFEST.digest()


def test_the_guard_refuses_scenes_that_were_trained_on():
    MANIFEST.guard_held_out("02_train_02")
    with pytest.raises(InputError, match="was trained on scene 03_train_01"):
        MANIFEST.guard_held_out("03_train_01")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "score.json"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["score.json"]


def test_the_temporary_name_keeps_the_suffix_and_the_folder(tmp_path):
    with atomic_path(tmp_path / "map.tif") as temporary:
        assert temporary.suffix == ".tif" and temporary.parent == tmp_path
        temporary.write_bytes(b"x")
    assert (tmp_path / "map.tif").read_bytes() == b"x"


ASDICT = json.loads(json.dumps(dataclasses.asdict(MANIFEST)))
WRONG = (
    {"stage": 1},
    {"fold": "1"},
    {"fold": True},
    {"trained_on": "02_train_01"},
    {"trained_on": [1]},
    {"config": []},
    {"config": None},
    {"seed": 1.5},
    {"versions": "2"},
    {"of another": "version"},
)


def test_a_manifest_that_is_right_is_read(tmp_path):
    path = tmp_path / "flow.safetensors"
    save_file(TENSORS, path, {"manifest": json.dumps(ASDICT)})
    assert artefact.read_manifest(path).digest() == MANIFEST.digest()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    path = tmp_path / "flow.safetensors"
    artefact.save_weights(path, {**TENSORS, "b.bias": np.array([1, value], np.float16)}, MANIFEST)
    with pytest.raises(InputError, match=r"flow.safetensors: holds weights that are no finite numbers \(b.bias\)"):
        artefact.load_weights(path)


def _truncated(path):
    artefact.save_weights(path, TENSORS, MANIFEST)
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"0123456789" * 5),
        _truncated,
        lambda path: save_file(TENSORS, path),
        lambda path: save_file(TENSORS, path, {"manifest": "{"}),
        lambda path: save_file(TENSORS, path, {"manifest": json.dumps({"stage": "flow"})}),
        lambda path: save_file(TENSORS, path, {"manifest": json.dumps([1])}),
        *(
            lambda path, wrong=wrong: save_file(TENSORS, path, {"manifest": json.dumps({**ASDICT, **wrong})})
            for wrong in WRONG
        ),
    ],
    ids=[
        "missing",
        "folder",
        "empty",
        "garbage",
        "truncated",
        "no manifest",
        "broken manifest",
        "short manifest",
        "list",
        *map(str, WRONG),
    ],
)
@pytest.mark.parametrize("read", [artefact.load_weights, artefact.read_manifest])
def test_a_bad_file_is_one_sentence_that_names_it(tmp_path, spoil, read):
    path = tmp_path / "flow.safetensors"
    spoil(path)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "noted"), [(None, {}), ("", {}), ("[1]", {}), ('{"a"', {}), ('{"a": 1}', {"a": 1})])
def test_what_an_earlier_run_noted_is_an_object_or_nothing(tmp_path, text, noted):
    path = tmp_path / "noted.json"
    if text is not None:
        path.write_text(text)
    assert artefact.read_noted(path) == noted


def test_a_file_is_whole_only_as_it_was_described(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    facts = artefact.file_facts(path)
    assert artefact.is_whole(path, facts) and not artefact.is_whole(path, None)
    for content in (b"01234", b"0123456780", b""):
        path.write_bytes(content)
        assert not artefact.is_whole(path, facts)
    path.unlink()
    assert not artefact.is_whole(path, facts)
