"""What every artefact carries: a manifest (stage, fold, trained_on, config, seed, versions), and how files are described
so that none is taken for whole that is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from solution.core import artefact
from solution.core.errors import InputError
from solution.core.writing import write_bytes

WORK = ".work"
"""Name of the folder, beside results, that holds unfinished work and what is kept between runs."""

_KEY = "manifest"
_RESTORE = "train it with ./train.sh DATA, or restore the shipped one with: git checkout -- folds"
_PACKAGES = ("torch", "timm", "numpy")


def digest(facts: object) -> str:
    """Short hash of plain facts (whatever JSON can hold): two runs with the same one would make the same."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_facts(path: Path) -> dict:
    """Name, size and digest of a finished file, for the report that describes it."""
    return {"name": Path(path).name, "bytes": Path(path).stat().st_size, "sha256": file_hash(path)}


def read_noted(path: Path) -> dict:
    """What an earlier run noted in a JSON file; empty where there is none, or none that holds an object."""
    try:
        noted = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def is_whole(path: Path, facts: object) -> bool:
    """Whether a file is still the one that `file_facts` described: not truncated, not replaced, not another's."""
    try:
        return isinstance(facts, dict) and Path(path).stat().st_size == facts.get("bytes") and file_facts(path) == facts
    except OSError:
        return False


@dataclass(frozen=True)
class Manifest:
    """Where an artefact comes from.

    Attributes:
        stage: ``flow``, ``matcher``, ...
        fold: the fold whose scenes it never saw; -1 for a base model that saw no SN9-named scene.
        trained_on: names of the scenes and image folders that it saw.
        config: the stage's configuration as a plain dict.
        seed: of the run.
        versions: package -> version.
        data: digest of all files that it learned from; empty where that was not noted.
        code: digest of the code that trained it (`code.code_digest`); empty where that was not noted.
    """

    stage: str
    fold: int
    trained_on: tuple[str, ...]
    config: dict
    seed: int
    versions: dict = field(default_factory=lambda: {name: version(name) for name in _PACKAGES})
    data: str = ""
    code: str = ""

    @classmethod
    def of_json(cls, content: object) -> Manifest:
        """From what `json.loads` made of one. Raises `ValueError` where that is none of this version."""
        if not isinstance(content, dict) or not _KINDS.keys() >= content.keys() >= _NEEDED:
            raise ValueError("other entries than this version knows")
        for name, value in content.items():
            if not isinstance(value, _KINDS[name]) or isinstance(value, bool):
                raise ValueError(f"{name} is {value!r:.40}")
        if not all(isinstance(scene, str) for scene in content["trained_on"]):
            raise ValueError("trained_on holds something other than names")
        return cls(**{**content, "trained_on": tuple(content["trained_on"])})

    def digest(self) -> str:
        """Short hash of what makes two runs the same: all but the package versions."""
        return digest({key: value for key, value in asdict(self).items() if key != "versions"})

    def guard_held_out(self, scene: str) -> None:
        """Refuse to propose for a scene that the artefact was trained on."""
        if scene in self.trained_on:
            raise InputError(
                f"{self.stage} model of fold {self.fold}: was trained on scene {scene}; out-of-fold work must use the team that never saw it"
            )


_KINDS = {
    "stage": str,
    "fold": int,
    "trained_on": list,
    "config": dict,
    "seed": int,
    "versions": dict,
    "data": str,
    "code": str,
}
_NEEDED = {"stage", "fold", "trained_on", "config", "seed"}


def save_weights(path: Path, tensors: Mapping[str, np.ndarray], manifest: Manifest) -> None:
    """Write tensors and their manifest as one safetensors file, atomically."""
    content = save(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()},
        {_KEY: json.dumps(asdict(manifest), sort_keys=True)},
    )
    write_bytes(path, content)


def read_manifest(path: Path) -> Manifest:
    """The manifest alone. Raises `InputError` where the file is missing or is not one of ours."""
    with _opened(path) as handle:
        return _manifest(path, handle.metadata())


def load_weights(path: Path, stage: str | None = None) -> tuple[dict[str, np.ndarray], Manifest]:
    """Tensors by name, and the manifest. Raises `InputError` as `read_manifest`, or where the file holds another stage's, or
    numbers that are not finite."""
    with _opened(path) as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        manifest = _manifest(path, handle.metadata())
    broken = sorted(name for name, value in tensors.items() if value.dtype.kind == "f" and not np.isfinite(value).all())
    if broken:
        raise InputError(f"{path}: holds weights that are no finite numbers ({broken[0]}); {_RESTORE}")
    if stage not in (None, manifest.stage):
        raise InputError(f"{path}: holds the weights of a {manifest.stage}, not of a {stage}; pass the right file")
    return tensors, manifest


@contextmanager
def _opened(path: Path) -> Iterator:
    if not Path(path).is_file():
        raise InputError(
            f"{path}: no such weights; train them with ./train.sh DATA, or restore the shipped ones with: git checkout -- folds"
        )
    try:
        with safe_open(path, framework="numpy") as handle:
            yield handle
    except (SafetensorError, TypeError) as error:  # a type that numpy does not know is one of the latter
        raise InputError(
            f"{path}: is not a readable safetensors file ({error}); restore it with: git checkout -- {path}"
        ) from error


def _manifest(path: Path, metadata: dict | None) -> Manifest:
    if not metadata or _KEY not in metadata:
        raise InputError(
            f"{path}: carries no manifest, so it was not written by this project; train it with ./train.sh DATA"
        )
    try:
        return Manifest.of_json(json.loads(metadata[_KEY]))
    except ValueError as error:
        raise InputError(
            f"{path}: carries a manifest that this version cannot read ({str(error)[:80]}); {_RESTORE}"
        ) from error


def needs_work(out: Path, manifest: Manifest, replace: bool) -> bool:
    """False where `out` was made by the same run; refuses to overwrite another one unless told to."""
    if not Path(out).is_file():
        return True
    if artefact.read_manifest(out).digest() == manifest.digest():
        return False
    if not replace:
        raise InputError(
            f"{out}: was trained with other settings, data or code; pass --replace to overwrite it, or another --folds folder"
        )
    return True
