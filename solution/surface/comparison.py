"""What the network is worth: blocked cross-validation beside a random forest on patch statistics
and beside the commonest class.

Groups of patches (scenes, or blocks of consecutive ids) are dealt out to the folds whole, because neighbours look
alike: with patches dealt out one by one every method would look better than it is.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
from rich.table import Table

from solution.core.artefact import digest
from solution.core.code import code_digest
from solution.core.errors import InputError
from solution.surface import LETTERS, NAMES, PATCH_PX
from solution.surface.evaluation import Result
from solution.surface.network import SurfaceConfig, probabilities
from solution.surface.patchset import PatchSet
from solution.surface.training import Split, class_weights, fit

METHODS = ("commonest class", "forest on statistics", "network")
_PERCENTILES = (5, 25, 50, 75, 95)
_TREES = 300
_COARSE_PX = 8  # side of the blocks whose means are the coarser scale
_FOREST = {
    "boosting_type": "rf",
    "objective": "multiclass",
    "num_class": len(LETTERS),
    "num_leaves": 63,
    "min_data_in_leaf": 5,
    "bagging_fraction": 0.63,
    "bagging_freq": 1,
    "feature_fraction": 0.5,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
    "num_threads": 1,
}


def statistics(pixels: np.ndarray) -> np.ndarray:
    """(N, channels, 64, 64) uint8 -> (N, features) float32.

    By channel: mean, spread, percentiles, local contrast at two scales, and the shares of 0 and 255.
    """
    values = pixels.astype(np.float32)
    flat = values.reshape(*values.shape[:2], -1)
    coarse = values.reshape(
        *values.shape[:2], PATCH_PX // _COARSE_PX, _COARSE_PX, PATCH_PX // _COARSE_PX, _COARSE_PX
    ).mean(axis=(3, 5))
    mean = flat.mean(axis=-1)
    features = [
        mean,
        flat.std(axis=-1),
        flat.std(axis=-1) / (mean + 1),
        *np.percentile(flat, _PERCENTILES, axis=-1),
        np.abs(np.diff(values, axis=-1)).mean(axis=(2, 3)) / (mean + 1),
        np.abs(np.diff(values, axis=-2)).mean(axis=(2, 3)) / (mean + 1),
        coarse.std(axis=(2, 3)) / (mean + 1),
        (flat == 0).mean(axis=-1),
        (flat == 255).mean(axis=-1),
    ]
    return np.concatenate(features, axis=1).astype(np.float32)


def deal_folds(patches: PatchSet, folds: int, seed: int) -> np.ndarray:
    """(N,) fold of every patch; whole groups, in a random order, evenly by number of groups.

    Raises:
        InputError: fewer groups than folds.
    """
    groups = np.unique(patches.groups)
    if len(groups) < folds:
        raise InputError(
            f"{patches.name}: has {len(groups)} scene(s) or block(s) of ids, too few for {folds} folds; pass a smaller --folds"
        )
    order = np.random.default_rng(seed).permutation(len(groups)) % folds
    return order[np.searchsorted(groups, patches.groups)]


def compare(
    patches: PatchSet, config: SurfaceConfig, folds: int, work: Path, seed: int, device: str, say: Callable[[str], None]
) -> dict[str, Result]:
    """Judge each method on every patch, as trained by the fold that never saw the patch's group -> method -> result."""
    config = dataclasses.replace(config, channels=patches.pixels.shape[1])
    fold = deal_folds(patches, folds, seed)
    work = work / digest(
        [dataclasses.asdict(config), folds, seed, patches.name, patches.digest(), code_digest(compare)]
    )
    predicted = {method: np.empty(len(patches), np.int64) for method in METHODS}
    features = statistics(patches.pixels)
    for number in range(folds):
        split = Split(fold != number, fold == number)
        known, unseen = patches.part(split.train), split.validation
        predicted["commonest class"][unseen] = np.bincount(known.labels).argmax()
        predicted["forest on statistics"][unseen] = _forest(features[split.train], known.labels, features[unseen], seed)
        net = fit(patches, split, config, work / f"fold_{number}", seed, device)
        predicted["network"][unseen] = probabilities(net, patches.pixels[unseen]).argmax(axis=1)
        for method in METHODS:
            say(f"fold {number}, {method}: {Result.of(patches.labels[unseen], predicted[method][unseen]).line()}")
    shutil.rmtree(work, ignore_errors=True)
    return {method: Result.of(patches.labels, classes) for method, classes in predicted.items()}


def _forest(features: np.ndarray, labels: np.ndarray, unseen: np.ndarray, seed: int) -> np.ndarray:
    """Classes (M,) of a random forest (LightGBM's) with the network's class weights."""
    known = lightgbm.Dataset(features, labels, weight=class_weights(labels)[labels])
    forest = lightgbm.train({**_FOREST, "seed": seed}, known, num_boost_round=_TREES)
    return forest.predict(unseen).argmax(axis=1)


def table(results: dict[str, Result], title: str) -> Table:
    """One row a method."""
    shown = Table("method", "accuracy", "macro F1", *(f"F1 {name}" for name in NAMES), title=title)
    for method, result in results.items():
        shown.add_row(
            method,
            f"{result.accuracy:.3f}",
            f"{result.macro_f1:.3f}",
            *(f"{result.f1[number]:.3f}" for number in range(len(LETTERS))),
        )
    return shown
