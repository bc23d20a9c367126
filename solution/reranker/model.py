"""The reranker: the probability that a candidate lies within tau of the truth, from its
features (LightGBM, calibrated).

It learns from out-of-fold candidates alone, as its proposers are overconfident where they were trained. Rows
without a label are dropped, and so are rows between tau and 2 tau: tie-points are clicked by hand, so whether
such a row is right cannot be said. Every scene has the same weight, and within a scene every tie-point,
however many candidates surround it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from scipy.special import expit, log_expit

from solution.core.artefact import Manifest, digest
from solution.core.errors import InputError
from solution.core.writing import atomic_path, write_text
from solution.data.scene import ScenePair
from solution.data.tiepoints import TiePoints
from solution.field import candidates
from solution.proposers.every import LEARNED
from solution.reranker.features import FEATURES, candidate_features
from solution.surface.ground import Ground

STAGE = "reranker"
FILE = "reranker.txt"
_LEAST_ROWS = 40  # to learn from
_BLOCKS = 4  # spatial blocks along each side of a scene, which the inner folds hold out where there is one scene only
_PRIOR = 1e-3  # weight of the belief that scores need no calibration, against a mean log loss
_LEAST_SLOPE = 0.05  # above 0, as a calibration may not turn the order round


@dataclass(frozen=True)
class RerankerConfig:
    """Settings of the reranker; small trees, as a scene has some hundred labels.

    Attributes:
        tau_px: a candidate within this distance of the truth is right.
        ignore_factor: one beyond tau, but within this many tau, is neither right nor wrong, and is dropped.
        rounds, learning_rate, num_leaves, min_data_in_leaf, lambda_l2, feature_fraction: of LightGBM.
        inner_folds: largest number of parts of the training data that are held out in turns for the calibration.
        seed: equal data and settings give equal bytes.
        num_threads: more than one only makes threads wait for each other with so few rows.
    """

    tau_px: float = 3.0
    ignore_factor: float = 2.0
    rounds: int = 150
    learning_rate: float = 0.05
    num_leaves: int = 7
    min_data_in_leaf: int = 20
    lambda_l2: float = 1.0
    feature_fraction: float = 0.2
    inner_folds: int = 5
    seed: int = 0
    num_threads: int = 1

    def parameters(self) -> dict:
        """For LightGBM."""
        own = (
            "learning_rate",
            "num_leaves",
            "min_data_in_leaf",
            "lambda_l2",
            "feature_fraction",
            "seed",
            "num_threads",
        )
        fixed = {"objective": "binary", "deterministic": True, "force_row_wise": True, "verbosity": -1}
        return {**fixed, **{name: getattr(self, name) for name in own}}


@dataclass(frozen=True)
class Labelled:
    """The labelled candidates of one scene.

    Attributes:
        scene: its name.
        features: (N, F), columns `features.FEATURES`.
        error_px: (N,) distances to the truth, finite.
        confidence: (N,) the proposers' own.
        tie_point: (N,) number of the nearest tie-point.
        block: (N,) number of the part of the scene in which a row lies.
    """

    scene: str
    features: pd.DataFrame
    error_px: np.ndarray
    confidence: np.ndarray
    tie_point: np.ndarray
    block: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, features: pd.DataFrame, tiepoints: TiePoints, shape: tuple[int, int]) -> Labelled:
        """From a table of one scene that `candidates.label` filled.

        Args:
            features: of the table's labelled rows, in order.
            shape: (height, width) of the optical image.
        """
        rows = table[table["error_px"].notna()]
        if len(rows) != len(features):
            raise ValueError(f"{len(rows)} labelled rows but {len(features)} rows of features")
        xy = rows[["x", "y"]].to_numpy()
        _, nearest = cKDTree(tiepoints.xy).query(xy)
        place = np.clip(xy / np.array(shape[::-1]) * _BLOCKS, 0, _BLOCKS - 1).astype(np.int64)
        scene = str(rows["scene"].iloc[0]) if len(rows) else ""
        columns = (rows[name].to_numpy() for name in ("error_px", "confidence"))
        return cls(scene, features.reset_index(drop=True), *columns, nearest, place[:, 1] * _BLOCKS + place[:, 0])

    def keep(self, rows: np.ndarray) -> Labelled:
        """Some of the rows, by a (N,) mask or by their numbers."""
        columns = (self.error_px, self.confidence, self.tie_point, self.block)
        return Labelled(
            self.scene, self.features.iloc[rows].reset_index(drop=True), *(column[rows] for column in columns)
        )

    def decided(self, config: RerankerConfig) -> Labelled:
        """Without the rows that are neither right nor wrong."""
        return self.keep((self.error_px <= config.tau_px) | (self.error_px > config.ignore_factor * config.tau_px))

    def weight(self) -> np.ndarray:
        """(N,) weights: equal sums for all tie-points, 1 for the scene."""
        _, number, count = np.unique(self.tie_point, return_inverse=True, return_counts=True)
        return 1.0 / count[number] / len(count)


@dataclass(frozen=True)
class Calibration:
    """Platt's calibration: quality = sigmoid(slope * score + intercept); there are too few wrong
    rows for more than two numbers."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, score: np.ndarray) -> np.ndarray:
        return expit(self.slope * np.asarray(score, np.float64) + self.intercept)

    @classmethod
    def fitted(cls, score: np.ndarray, right: np.ndarray, weight: np.ndarray) -> Calibration:
        """By the least weighted log loss, with a weak belief in the identity. All arguments are (N,)."""
        from scipy.optimize import minimize  # not above: it is for training alone

        share, sign = weight / weight.sum(), np.where(right, 1.0, -1.0)

        def loss(value: np.ndarray) -> float:
            return (
                -share @ log_expit(sign * (value[0] * score + value[1]))
                + _PRIOR * ((value[0] - 1) ** 2 + value[1] ** 2) / 2
            )

        value = minimize(loss, np.array([1.0, 0.0])).x
        return cls(max(float(value[0]), _LEAST_SLOPE), float(value[1]))


@dataclass(frozen=True)
class Reranker:
    """A trained booster with its calibration.

    Attributes:
        booster: gives scores (log odds).
        calibration: scores to probabilities.
        manifest: where it comes from; ``fold`` is the number of the team that it serves.
    """

    booster: lightgbm.Booster = field(repr=False)
    calibration: Calibration
    manifest: Manifest

    @property
    def config(self) -> RerankerConfig:
        """The settings that it was trained with."""
        return RerankerConfig(**self.manifest.config)

    def digest(self) -> str:
        """Short hash of all that its probabilities depend on."""
        return digest([self.booster.model_to_string(), asdict(self.calibration), self.manifest.digest()])

    def quality(self, features: pd.DataFrame) -> np.ndarray:
        """(N,) probabilities that the candidates with these features (N, F) lie within tau of the truth."""
        if len(features) == 0:
            return np.zeros(0)
        return self.calibration(_scores(self.booster, features))

    def gains(self) -> pd.Series:
        """Share of the loss that each feature takes off in training, largest first."""
        gain = pd.Series(self.booster.feature_importance("gain"), index=self.booster.feature_name(), dtype=np.float64)
        return (gain / max(gain.sum(), 1e-12)).sort_values(ascending=False, kind="stable")

    def save(self, path: Path) -> None:
        """Write LightGBM's text to `path` and all else to the JSON beside it; equal rerankers give equal bytes."""
        text = self.booster.model_to_string()
        with atomic_path(Path(path)) as temporary:
            temporary.write_text(text)
        facts = {
            "manifest": asdict(self.manifest),
            "features": self.booster.feature_name(),
            "calibration": asdict(self.calibration),
            "model_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        write_text(Path(path).with_suffix(".json"), json.dumps(facts, indent=1, sort_keys=True) + "\n")

    @staticmethod
    def remove(path: Path) -> None:
        """Take away what `save` wrote, if anything is there."""
        for one in (path, path.with_suffix(".json")):
            one.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Reranker:
        """Read what `save` wrote.

        Raises:
            InputError: a file is missing or broken, or knows other features than this version.
        """
        path = Path(path)
        beside = path.with_suffix(".json")
        for one in (path, beside):
            if not one.is_file():
                raise InputError(
                    f"{one}: no such reranker; train it with ./train.sh DATA, or restore the shipped one with: git checkout -- folds"
                )
        try:
            facts, text = json.loads(beside.read_text()), path.read_text()
            manifest = Manifest.of_json(facts["manifest"])
            calibration, names, sha256 = Calibration(**facts["calibration"]), facts["features"], facts["model_sha256"]
            RerankerConfig(**manifest.config)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{beside}: is not a reranker of this version; train it again with ./train.sh DATA"
            ) from error
        if sha256 != hashlib.sha256(text.encode()).hexdigest():
            raise InputError(f"{path}: does not belong to {beside.name} beside it; train it again with ./train.sh DATA")
        if tuple(names) != FEATURES:
            odd = sorted(set(names) ^ set(FEATURES)) or ["their order"]
            raise InputError(
                f"{path}: was trained on other features than this version computes ({odd[0]}); train it again with ./train.sh DATA"
            )
        return cls(lightgbm.Booster(model_str=text), calibration, manifest)


class TooFewRowsError(InputError):
    """There is too little to learn a reranker from."""


def train(scenes: Sequence[Labelled], fold: int, config: RerankerConfig | None = None) -> Reranker:
    """Train the reranker of one team.

    Args:
        scenes: out-of-fold candidates, or those of simulated scenes; none that the team holds out.
        fold: the team's number, -1 for a base model.

    Raises:
        TooFewRowsError: of labelled candidates, or none that are wrong, or none that are right.
    """
    config = config or RerankerConfig()
    used = [scene for scene in (scene.decided(config) for scene in scenes) if len(scene.error_px)]
    data = _Rows.of(used, config)
    _check(data, fold)
    calibration = Calibration.fitted(_held_out_scores(data, config), data.right, data.weight)
    names = tuple(sorted({scene.scene for scene in used}))
    versions = {name: version(name) for name in ("lightgbm", "numpy")}
    manifest = Manifest(STAGE, fold, names, asdict(config), config.seed, versions)
    return Reranker(_boosted(data, config), calibration, manifest)


def rank(
    pair: ScenePair,
    table: pd.DataFrame,
    reranker: Reranker,
    held_out: bool = False,
    ground: Ground | None = None,
) -> pd.DataFrame:
    """A copy of a table with `quality` filled where the source is a learned one.

    Gradients are not judged: their search hardly leaves room for doubt.

    Args:
        table: candidates of one scene, by the team whose reranker this is.
        held_out: out-of-fold work, for which a reranker that saw the scene is refused.
        ground: as in `features.candidate_features`.

    Raises:
        InputError: a reranker that was trained on the scene, where that is forbidden.
    """
    if held_out:
        reranker.manifest.guard_held_out(pair.name)
    table = candidates.check(table).copy()
    learned = table["source"].isin(LEARNED).to_numpy()
    quality = np.full(len(table), np.nan)
    quality[learned] = reranker.quality(candidate_features(pair, table[learned].reset_index(drop=True), ground=ground))
    return table.assign(quality=quality)


@dataclass(frozen=True)
class _Rows:
    """Training rows of all scenes.

    Attributes:
        features: (N, F), columns `FEATURES`.
        right: (N,) bool.
        weight: (N,), mean 1.
        group: (N,) int; rows of one group are held out together.
    """

    features: pd.DataFrame
    right: np.ndarray
    weight: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, scenes: Sequence[Labelled], config: RerankerConfig) -> _Rows:
        if not scenes:
            return cls(pd.DataFrame(columns=list(FEATURES), dtype=np.float32), *(np.zeros(0) for _ in range(3)))
        # Neighbouring rows err alike, so whole scenes are held out, or large blocks where there is a single scene.
        groups = (
            [np.full(len(scene.error_px), number) for number, scene in enumerate(scenes)]
            if len(scenes) > 1
            else [scenes[0].block]
        )
        weight = np.concatenate([scene.weight() for scene in scenes])
        features = pd.concat([scene.features for scene in scenes], ignore_index=True)
        right = np.concatenate([scene.error_px for scene in scenes]) <= config.tau_px
        return cls(features[list(FEATURES)], right, weight / weight.mean(), np.concatenate(groups))

    def keep(self, mask: np.ndarray) -> _Rows:
        return _Rows(self.features[mask], self.right[mask], self.weight[mask], self.group[mask])


def _check(data: _Rows, fold: int) -> None:
    if len(data.right) < _LEAST_ROWS or data.right.all() or not data.right.any():
        raise TooFewRowsError(
            f"reranker of fold {fold}: has {int(data.right.sum())} right and {int((~data.right.astype(bool)).sum())} wrong labelled candidates to "
            f"learn from, and needs both kinds and {_LEAST_ROWS} rows; propose for more labelled scenes, or add simulated ones"
        )


def _boosted(data: _Rows, config: RerankerConfig) -> lightgbm.Booster:
    dataset = lightgbm.Dataset(
        data.features.to_numpy(np.float32),
        data.right.astype(np.float32),
        weight=data.weight,
        feature_name=list(FEATURES),
    )
    return lightgbm.train(config.parameters(), dataset, config.rounds)


def _scores(booster: lightgbm.Booster, features: pd.DataFrame) -> np.ndarray:
    """(N,) log odds."""
    return booster.predict(features[booster.feature_name()].to_numpy(np.float32), raw_score=True)


def _held_out_scores(data: _Rows, config: RerankerConfig) -> np.ndarray:
    """(N,) scores by boosters that did not see the row's group."""
    groups = np.unique(data.group)
    scores = np.zeros(len(data.right))
    for part in range(min(config.inner_folds, len(groups))):
        held = np.isin(data.group, groups[part :: config.inner_folds])
        scores[held] = _scores(_boosted(data.keep(~held), config), data.features[held])
    return scores
