"""The judges judged: which pairs are made, what is counted, and that a second run keeps what the first found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from solution.benchmark import decoys, verdicts
from solution.benchmark.decoys import CROSSED, SPOILED, TRUE, Case, cases

SIZE = (224, 256)


@pytest.fixture
def towns(make_scene, tmp_path):
    """Two labelled scenes that have nothing in common."""
    folder = tmp_path / "towns"
    return [
        make_scene(
            f"07_town_{seed}",
            folder,
            shape=SIZE,
            sar_gsd=(0.5, 0.5),
            sar_offset=(0.0, 0.0),
            seed=seed,
            displacement=(8.0, -4.0),
        )
        for seed in (1, 2)
    ]


def test_every_image_meets_every_other_and_each_is_spoiled_in_every_way(towns):
    found = list(cases([town.open() for town in towns]))
    kinds = [case.kind for case in found]
    assert [kinds.count(kind) for kind in (TRUE, CROSSED, *SPOILED)] == [2] * (2 + len(SPOILED))
    assert len({case.name for case in found}) == len(found)


def test_spoiled_images_keep_the_place_of_their_own(towns, tmp_path):
    pair, other = (town.open() for town in towns)
    with rasterio.open(pair.sar) as dataset:
        own, frame = dataset.read(1), (dataset.transform, dataset.crs)
    made = {}
    for kind, source in ((CROSSED, other), *((kind, pair) for kind in SPOILED)):
        with rasterio.open(Case(kind, pair, source, 3).sar(tmp_path)) as dataset:
            made[kind] = dataset.read(1)
            assert (dataset.transform, dataset.crs) == frame and dataset.dtypes[0] == str(own.dtype)
    np.testing.assert_array_equal(made["mirrored"], own[:, ::-1])
    np.testing.assert_array_equal(made["turned by 90"], np.rot90(own))
    half = min(own.shape) // 2
    np.testing.assert_array_equal(made["shifted"][half:, half:], own[:-half, :-half])
    with rasterio.open(other.sar) as dataset:
        np.testing.assert_array_equal(made[CROSSED], dataset.read(1))
    for kind in ("speckle", "flat"):
        assert made[kind].shape == own.shape and abs(np.corrcoef(made[kind].ravel(), own.ravel())[0, 1]) < 0.05


@pytest.mark.slow
@pytest.mark.usefixtures("good_teams")
def test_true_pairs_are_told_from_wrong_ones_and_what_was_found_is_kept(towns, run, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(decoys, "SPOILED", {})
    command = (
        "verdicts",
        towns[0].optical.parent,
        "--out",
        tmp_path / "out",
        "--folds",
        trained.folds,
        "--device",
        "cpu",
    )
    code, printed, err = run(*command)
    assert code == 0, err
    found = json.loads((tmp_path / "out" / "verdicts.json").read_text())
    said = {
        kind: [answer["verdict"] for answer in found.values() if answer["kind"] == kind] for kind in (TRUE, CROSSED)
    }
    assert len(found) == 4 and "failed" not in said[TRUE] and set(said[CROSSED]) == {"failed"}, found
    assert all(
        answer["mean_px"] < 3 and 0 <= answer["in_68"] <= answer["in_95"]
        for answer in found.values()
        if answer["kind"] == TRUE
    )
    assert "crossed" in printed and "largest margin" in printed

    def not_again(*_: object, **__: object) -> None:
        raise AssertionError("predicted again")

    monkeypatch.setattr(verdicts, "predict_pair", not_again)
    assert run(*command)[0] == 0
    assert json.loads((tmp_path / "out" / "verdicts.json").read_text()) == found
