"""The model families that proposers need: what their weights are called, and how a network is made ready to predict.

Nothing here trains, so that a prediction need not load what training takes; how each family is trained is said in
`solution.training.stages`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from solution.core import artefact
from solution.core.errors import InputError
from solution.proposers.coarse.settings import CoarseConfig
from solution.proposers.flow.settings import FlowConfig
from solution.proposers.matcher.settings import MatcherConfig
from solution.proposers.translator.settings import TranslatorConfig
from solution.samples.settings import TileConfig

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Family:
    """A kind of network.

    Attributes:
        name: in manifests, messages and file names.
        config_type: its settings.
        build: makes the network from them, without weights.
        prepare: makes a loaded network faster, after which it can only predict; None = it stays as it is.
        part: what the names of those tensors of the file begin with that are loaded.
    """

    name: str
    config_type: type[TileConfig]
    build: Callable[[TileConfig], torch.nn.Module]
    prepare: Callable[[torch.nn.Module], None] | None = None
    part: str = ""

    @property
    def identity(self) -> tuple[str, type[TileConfig]]:
        """Name and settings."""
        return self.name, self.config_type

    @property
    def file(self) -> str:
        """Name of the weights file in a team's folder."""
        return f"{self.name}.safetensors"


def _flow(config: FlowConfig) -> torch.nn.Module:
    from solution.proposers.flow.network import FlowNet

    return FlowNet(config)


def _flow_head(config: FlowConfig) -> torch.nn.Module:
    import torch

    from solution.proposers.flow.network import FlowNet

    return FlowNet(config, encoder=torch.nn.Identity())


def _coarse(config: CoarseConfig) -> torch.nn.Module:
    from solution.proposers.coarse.network import CoarseHead

    return CoarseHead(config)


def _matcher(config: MatcherConfig) -> torch.nn.Module:
    from solution.proposers.matcher.network import MatcherNet

    return MatcherNet(config)


def _translator(config: TranslatorConfig) -> torch.nn.Module:
    import torch

    from solution.proposers.translator.network import Generator

    return Generator(config).to(memory_format=torch.channels_last)


FLOW = Family("flow", FlowConfig, _flow, prepare=lambda net: net.prepare())
FLOW_HEAD = Family("flow", FlowConfig, _flow_head, part="head.")
"""Flow without an encoder, for features that come from elsewhere."""
COARSE = Family("coarse", CoarseConfig, _coarse)
MATCHER = Family("matcher", MatcherConfig, _matcher)
TRANSLATOR = Family("translator", TranslatorConfig, _translator)
FAMILIES = {family.name: family for family in (COARSE, FLOW, MATCHER, TRANSLATOR)}


def load_family(family: Family, paths: Sequence[Path]) -> torch.nn.Module:
    """The network of one file of weights, or of the mean of several, in evaluation mode.

    The mean of networks that were fine-tuned from the same weights is as good as their votes together, at the price of
    one (Wortsman et al. 2022).

    Raises:
        InputError: as `mean_weights`.
    """
    from solution.core.weights import built

    manifest = artefact.read_manifest(paths[0])
    return built(paths[0], manifest, family.config_type, family.build, mean_weights(family, paths))


def mean_weights(family: Family, paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """The weights of one file, or the mean of those of several, float32 by name.

    Raises:
        InputError: a file holds another family's weights, or those of a network of another size.
    """
    loaded = [artefact.load_weights(path, family.name) for path in paths]
    first, _ = loaded[0]
    for path, (tensors, _) in zip(paths, loaded, strict=True):
        if {name: value.shape for name, value in tensors.items()} != {name: one.shape for name, one in first.items()}:
            raise InputError(
                f"{path}: holds another network than {paths[0]}, with which it cannot be averaged; pass one of them with --team"
            )
    wanted = [name for name in first if name.startswith(family.part)]
    return {name: sum(tensors[name].astype("float32") / len(loaded) for tensors, _ in loaded) for name in wanted}


def one_start(family: Family, paths: Sequence[Path]) -> bool:
    """Whether the networks of some files began with the same weights and are of one size, so that their mean is a
    network too."""
    from solution.core.weights import settings_of

    manifests = [artefact.read_manifest(path) for path in paths]
    sizes = [
        tuple(getattr(settings_of(manifest, family.config_type, path), name) for name in family.config_type.SIZES)
        for manifest, path in zip(manifests, paths, strict=True)
    ]
    starts = {manifest.config.get("init") for manifest in manifests}
    return len(starts) == 1 and None not in starts and len(set(sizes)) == 1
