"""How good the translator's pictures are: baselines by hand, held-out pairs by class, and
weights that saw the pairs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from solution.core import artefact
from solution.data.registered import find_pairs
from solution.products.translation_report import METHODS, Baselines, evaluate, summary
from solution.samples import images


def test_baselines_are_what_they_say(tmp_path):
    sar = np.repeat(np.arange(1, 65, dtype=np.uint8), 64).reshape(64, 64)
    optical = np.dstack([3 * sar + 20, 240 - sar, np.full_like(sar, 7)])
    for kind, image in (("sar", sar), ("opt", optical[..., ::-1])):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / "a.png"), image)
    found = find_pairs(tmp_path)
    baselines = Baselines.of(found, lambda: None)
    assert baselines.colour.tolist() == [round(3 * 32.5 + 20), round(240 - 32.5), 7]
    matched = baselines.pictures(sar)["SAR, matched histogram"]
    assert np.array_equal(matched[..., 0], optical[..., 0]) and (matched[..., 2] == 7).all()
    assert (
        np.array_equal(np.sort(matched[..., 1].ravel()), np.sort(optical[..., 1].ravel()))
        and matched[0, 0, 1] < matched[-1, -1, 1]
    )
    (judged,) = evaluate(
        found, baselines, lambda s, v: np.moveaxis(images.byte_values(optical + 8), -1, 0), lambda: None
    )
    # The painter is 8 grey levels off everywhere.
    assert judged.psnr_db["translated"] == pytest.approx(20 * np.log10(255 / 8), abs=0.01)
    error = np.mean((baselines.colour / 255 - optical / 255) ** 2)
    assert judged.psnr_db["mean colour"] == pytest.approx(-10 * np.log10(error), abs=1e-3)
    assert judged.ssim["translated"] > judged.ssim["mean colour"]
    assert summary([judged])["all"]["translated"]["psnr_db"] == round(judged.psnr_db["translated"], 3)


def test_held_out_pairs_are_judged_by_class(made, tmp_path, run):
    options = ("--weights", made.weights, "--device", "cpu")
    code, text, _ = run(
        "translate",
        "evaluate",
        made.pairs,
        "--split",
        made.split,
        *options,
        "--json",
        tmp_path / "e.json",
        "--picture",
        tmp_path / "e.png",
    )
    assert code == 0 and "mean absolute error" in made.output and "4 train, 2 val, 2 test over 2 classes" in made.output
    result = json.loads((tmp_path / "e.json").read_text())
    assert result["part"] == "test" and len(result["pairs"]) == 2
    assert {name: row["pairs"] for name, row in result["means"].items()} == {"agri": 1, "urban": 1, "all": 2}
    for method in METHODS:
        by_pair = [row[method]["psnr_db"] for row in result["pairs"].values()]
        assert result["means"]["all"][method]["psnr_db"] == pytest.approx(np.mean(by_pair), abs=1e-3)
        assert method in text and f"{result['means']['all'][method]['psnr_db']:.2f}" in text
    assert cv2.imread(str(tmp_path / "e.png")).shape == (2 * 128, 3 * 128, 3)
    assert artefact.read_manifest(made.weights).trained_on == tuple(
        sorted(f"pairs/{group}/{Path(name).name}" for name, group, part in rows(made.split) if part == "train")
    )


def rows(split: Path) -> list[list[str]]:
    return [line.split(",") for line in split.read_text().splitlines()[1:]]


def test_weights_are_not_judged_on_what_they_saw(made, run):
    options = ("--weights", made.weights, "--device", "cpu")
    code, _, err = run("translate", "evaluate", made.pairs, *options)
    assert code == 2 and "was trained on pairs/" in err and "(4 such); pass --split" in err
    code, text, _ = run("translate", "evaluate", made.pairs, *options, "--split", made.split, "--part", "train")
    assert code == 0 and "pairs, train" in text


def test_bad_pairs_end_in_a_sentence(tmp_path, made, run):
    pairs = shutil.copytree(made.pairs, tmp_path / "pairs")
    options = ("--split", made.split, "--weights", made.weights, "--device", "cpu")
    code, _, err = run("translate", "evaluate", pairs, *options, "--part", "all")
    assert code == 2 and "--part all: is none of train, val, test" in err
    id_of_test = next(name for name, _, part in rows(made.split) if part == "test")
    (pairs / f"{id_of_test}.png").write_bytes(b"no picture")
    code, _, err = run("translate", "evaluate", pairs, *options)
    assert code == 2 and f"{id_of_test}.png: is not a readable image" in err
    (pairs / f"{id_of_test}.png".replace("s1", "s2")).unlink()
    code, _, err = run("translate", "evaluate", pairs, *options)
    assert code == 2 and "has no optical partner" in err and len(err.splitlines()) == 1
