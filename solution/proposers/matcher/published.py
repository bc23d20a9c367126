"""The published DISK and LightGlue weights, as a place to start the matcher from: what they are called, whether they
are intact, and how they fit in.

They come as pickles, which are opened for tensors only and at once turned into safetensors with a manifest.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from rich import box
from rich.table import Table
from torch import Tensor

from solution.core import artefact
from solution.core.artefact import Manifest, file_hash
from solution.core.errors import InputError
from solution.core.weights import compact
from solution.proposers.matcher.network import MatcherNet
from solution.proposers.matcher.settings import MatcherConfig

DATA_SEEN = "MegaDepth"
_DROPPED = ("token_confidence.", "confidence_thresholds")  # of the adaptive depth, which the matcher does not use


@dataclass(frozen=True)
class Published:
    """A file that its authors offer.

    Attributes:
        name: as it is called in the folder.
        what: it is.
        url: where it is.
        licence: of the weights.
        size: in bytes.
        sha256: of the file, as published by projects that pin it.
    """

    name: str
    what: str
    url: str
    licence: str
    size: int
    sha256: str

    def state(self, folder: Path) -> str:
        """'missing', 'verified' or 'differs'."""
        path = folder / self.name
        if not path.is_file():
            return "missing"
        return "verified" if file_hash(path) == self.sha256 else "differs"


DISK = Published(
    "depth-save.pth",
    "DISK, trained with depth on MegaDepth",
    "https://raw.githubusercontent.com/cvlab-epfl/disk/master/depth-save.pth",
    "Apache-2.0",
    4_375_832,
    "9c2ee4ded238892dfa51569941372601e35e4a74aa6f84ea80053d2ab1c07abe",
)
LIGHTGLUE = Published(
    "disk_lightglue.pth",
    "LightGlue on DISK features",
    "https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv/disk_lightglue.pth",
    "Apache-2.0",
    47_631_405,
    "b5b21d47ea24f2c5e501aec9c91b9716e4c8c3429a4dc1e615c133c4c9378335",
)
FILES = (DISK, LIGHTGLUE)


def states(folder: Path) -> dict[str, str]:
    """Name of each file -> whether a folder holds it intact."""
    return {file.name: file.state(folder) for file in FILES}


def require(found: dict[str, str], folder: Path) -> None:
    """Raise `InputError` where one of the `states` of a folder is not 'verified'."""
    for file in FILES:
        state = found[file.name]
        if state != "verified":
            raise InputError(f"{folder / file.name}: {_PROBLEM[state]}; download it again from {file.url}")


def overview(found: dict[str, str]) -> Table:
    """What there is, under which licence, and the `states` of a folder, where one was looked into."""
    table = Table(title="published weights that the matcher can start from", box=box.SIMPLE)
    for heading in ("file", "what", "licence", "bytes", "state"):
        table.add_column(heading, overflow="fold")
    for file in FILES:
        table.add_row(file.name, file.what, file.licence, f"{file.size:,}", found.get(file.name, "not looked for"))
    return table


def convert(folder: Path, out: Path) -> str:
    """Write the published weights as a matcher's artefact.

    Args:
        folder: holds both files.
        out: the artefact, to be given to training as a start.

    Returns:
        One line for people.

    Raises:
        InputError: a file is missing, differs from what was published, or does not fit the network.
    """
    require(states(folder), folder)
    config = MatcherConfig().official()
    net = MatcherNet(config)
    _fill(net.disk, _tensors(folder / DISK.name).get("extractor", {}), folder / DISK.name)
    _fill(net.glue, _renamed(_tensors(folder / LIGHTGLUE.name), config.glue_layers), folder / LIGHTGLUE.name)
    hashes = {file.name: file.sha256 for file in FILES}
    artefact.save_weights(
        out, compact(net), Manifest("matcher", -1, (DATA_SEEN,), {**dataclasses.asdict(config), "published": hashes}, 0)
    )
    return f"{out}: the published DISK and LightGlue"


_PROBLEM = {"missing": "is missing", "differs": "is not the published file (its sha256 differs)"}


def _tensors(path: Path) -> dict:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the broken pickle makes it raise
        raise InputError(
            f"{path}: cannot be read as weights ({str(error).splitlines()[0][:100]}); download it again"
        ) from error


def _renamed(tensors: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """LightGlue's first release numbered its blocks in another way."""
    renamed = {}
    for name, value in tensors.items():
        for layer in range(layers):
            for block in ("self_attn", "cross_attn"):
                name = name.replace(f"{block}.{layer}.", f"transformers.{layer}.{block}.")
        if not name.startswith(_DROPPED):
            renamed[name] = value
    return renamed


def _fill(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    own = {name for name in module.state_dict() if not name.startswith(_DROPPED)}
    if own != set(tensors):
        example = sorted(own ^ set(tensors))[0]
        raise InputError(
            f"{path}: does not fit the network (first difference: {example}); it is another release than this version knows"
        )
    try:
        module.load_state_dict(tensors, strict=False)  # strict by the comparison above, but for what is dropped
    except RuntimeError as error:
        raise InputError(f"{path}: does not fit the network ({str(error).splitlines()[-1].strip()})") from error
