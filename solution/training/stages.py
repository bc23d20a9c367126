"""Stages: what training needs to know of each model family of `proposers.families`."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

from torch import nn

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.core.weights import built, settings_of
from solution.proposers import families
from solution.proposers.coarse.network import CoarseHead
from solution.proposers.coarse.training import CoarseModule
from solution.proposers.encoder.trunk import bare_trunk
from solution.proposers.encoder.trunk_weights import check_file, check_package
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.training import FlowModule
from solution.proposers.matcher.training import MatcherModule
from solution.proposers.translator.training import TranslatorModule
from solution.samples.settings import TileConfig
from solution.training.stage import Config, Stage
from solution.training.tile_data import TileData

CHANCE = Path("none")
"""In the place of a file: the trunk begins with chance."""

_PLACE = ("place", "cross-entropy of the place")
COARSE = Stage(*families.COARSE.identity, CoarseModule, TileData, watched=_PLACE)
FLOW = Stage(
    *families.FLOW.identity, FlowModule, TileData, begin=FlowNet.start, watched=("error_px", "median error, px")
)
MATCHER = Stage(*families.MATCHER.identity, MatcherModule, TileData, watched=_PLACE)
TRANSLATOR = Stage(*families.TRANSLATOR.identity, TranslatorModule, TileData, watched=("l1", "mean absolute error"))


def matcher_with(translator: Path | None) -> Stage:
    """The matcher's stage, a part of whose training tiles go through a translator."""
    if translator is None:
        return MATCHER
    net, manifest = load_stage(TRANSLATOR, translator)
    module = partial(MatcherModule, translate=net.requires_grad_(False))
    return dataclasses.replace(
        MATCHER, module=module, facts=(("translator", manifest.digest()),), seen=manifest.trained_on
    )


def chosen_config(stage: Stage, steps: int | None, smoke: bool, fine_tune: bool, adapt: bool = False) -> TileConfig:
    """The stage's settings: the defaults, a fold's own run from a base, a run from trained teams to other scenes
    (`adapt`), or the smoke run; `steps` replaces the number of steps."""
    config = stage.config_type()
    config = config.adapted() if adapt else config.fine_tuned() if fine_tune else config
    config = config.smoke() if smoke else config
    return config if steps is None else dataclasses.replace(config, steps=steps)


def sized_like(config: Config, stage: Stage, start: Path) -> Config:
    """The settings with the sizes of the network that a run starts from, where that is one of the stage's own."""
    manifest = artefact.read_manifest(start)
    if manifest.stage != stage.name:
        return config
    own = settings_of(manifest, stage.config_type, start)
    return dataclasses.replace(config, **{name: getattr(own, name) for name in config.SIZES})


def with_trunk(
    stage: Stage, config: TileConfig, trunk: str | None, weights: Path | None, start: Path | None
) -> tuple[Stage, TileConfig]:
    """A stage and its settings, with the trunk that was asked for.

    Args:
        trunk: its name; None = that of the weights to start from, or else the configured one.
        weights: file of its weights; `CHANCE` = none, what it knows is drawn; None = those of its package.
        start: weights that the run starts from, whose trunk it goes on with.

    Raises:
        InputError: the stage has no trunk to choose, there is no such trunk, it has another name than that of `start`, or
            its weights are missing.
    """
    if stage.name not in (COARSE.name, FLOW.name):
        if trunk or weights:
            raise InputError("--trunk and --trunk-weights belong to the coarse features and to flow; leave them out")
        return stage, config
    if start is not None:
        return stage, _goes_on(sized_like(config, stage, start), trunk, weights, start)
    config = dataclasses.replace(config, trunk=trunk or config.trunk)
    if weights is None:
        check_package(config.trunk)
        return stage, config
    bare_trunk(config.trunk, (16,))  # says what is wrong with the name before images are read
    if stage.name == COARSE.name:
        config = dataclasses.replace(config, holds_trunk=True)
    if weights == CHANCE:
        return dataclasses.replace(stage, begin=None, facts=(*stage.facts, ("trunk_weights", str(CHANCE)))), config
    begin = {COARSE.name: CoarseHead.start, FLOW.name: FlowNet.start}[stage.name]
    facts = (*stage.facts, ("trunk_weights", check_file(weights)))
    return dataclasses.replace(stage, begin=partial(begin, weights=weights), facts=facts), config


def _goes_on(config: TileConfig, trunk: str | None, weights: Path | None, start: Path) -> TileConfig:
    if weights is not None:
        raise InputError(f"--trunk-weights {weights}: {start} brings its trunk along; leave the option out")
    if trunk not in (None, config.trunk):
        raise InputError(
            f"--trunk {trunk}: {start} has {config.trunk}; leave the option out, or start from other weights"
        )
    return config


def config_of(manifest: Manifest, stage: Stage = FLOW) -> Config:
    """The configuration that an artefact was trained with."""
    return settings_of(manifest, stage.config_type)


def load_stage(stage: Stage, path: Path) -> tuple[nn.Module, Manifest]:
    """A trained network, ready to predict. Raises `InputError` where the file holds another stage's."""
    tensors, manifest = artefact.load_weights(path, stage.name)
    return built(path, manifest, stage.config_type, lambda config: stage.module(config).net, tensors), manifest
