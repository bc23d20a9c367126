"""Stages: what training needs to know of each model family of `proposers.families`."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

from torch import nn

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.weights import built, settings_of
from solution.proposers import families
from solution.proposers.coarse.training import CoarseModule
from solution.proposers.flow.network import FlowNet
from solution.proposers.flow.training import FlowModule
from solution.proposers.matcher.training import MatcherModule
from solution.proposers.translator.training import TranslatorModule
from solution.samples.settings import TileConfig
from solution.training.stage import Config, Stage
from solution.training.tile_data import TileData

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


def config_of(manifest: Manifest, stage: Stage = FLOW) -> Config:
    """The configuration that an artefact was trained with."""
    return settings_of(manifest, stage.config_type)


def load_stage(stage: Stage, path: Path) -> tuple[nn.Module, Manifest]:
    """A trained network, ready to predict. Raises `InputError` where the file holds another stage's."""
    tensors, manifest = artefact.load_weights(path, stage.name)
    return built(path, manifest, stage.config_type, lambda config: stage.module(config).net, tensors), manifest
