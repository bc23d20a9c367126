"""Where teams on other scenes may start: from trained teams as they speak for a new pair, all as one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.core.outputs import check_outputs
from solution.core.weights import halved
from solution.proposers.families import FAMILIES, mean_weights, one_start
from solution.teams.team import BASE


def start_from(
    source: Path, family: str, scenes: Collection[str], folds: Path, replace: bool, say: Callable[[str], None]
) -> Path:
    """Write the weights that every team of a folder starts from into its ``base``.

    They are the mean of another folder's teams where none of them saw any of the scenes, and else its own base.

    Args:
        source: folder of the trained teams.
        family: name of the model family.
        scenes: all that the new teams hold out.
        folds: folder of the new teams.
        replace: overwrite other weights in its base.

    Returns:
        The written file.

    Raises:
        InputError: there are no such weights, or all of them saw a scene that is held out.
    """
    file = FAMILIES[family].file
    out = folds / BASE / file
    if folds.resolve() == source.resolve():
        raise InputError(f"--from {source}: is where the new teams go, too; choose another place with --folds")
    teams = sorted(source.glob(f"[0-9]*/{file}"))
    base = source / BASE / file
    for paths in (teams, [base] if base.is_file() else []):
        if paths and _may_start(family, paths, scenes):
            return _written(family, paths, out, replace, say)
    if not teams and not base.is_file():
        raise InputError(f"--from {source}: holds no {file}, neither a team's (N/{file}) nor that of a base")
    seen = sorted({scene for path in [*teams, *([base] * base.is_file())] for scene in _seen(path, scenes)})
    if not seen:
        raise InputError(
            f"--from {source}: its teams began with different weights, so they have no mean, and there is no {base.relative_to(source)};"
            " pass one team's weights with --init"
        )
    raise InputError(
        f"--from {source}: was trained on scene {seen[0]}, which a new team holds out; start from other weights"
    )


def _may_start(family: str, paths: Sequence[Path], scenes: Collection[str]) -> bool:
    unseen = not any(_seen(path, scenes) for path in paths)
    return unseen and (len(paths) == 1 or one_start(FAMILIES[family], paths))


def _seen(path: Path, scenes: Collection[str]) -> set[str]:
    return set(artefact.read_manifest(path).trained_on) & set(scenes)


def _written(family: str, paths: Sequence[Path], out: Path, replace: bool, say: Callable[[str], None]) -> Path:
    manifests = [artefact.read_manifest(path) for path in paths]
    first = manifests[0]
    manifest = Manifest(
        first.stage,
        -1,
        tuple(sorted({name for one in manifests for name in one.trained_on})),
        {**first.config, "mean_of": [one.digest() for one in manifests]},
        first.seed,
    )
    names = "+".join(path.parent.name for path in paths)
    if artefact.needs_work(out, manifest, replace):
        check_outputs([out], paths)
        artefact.save_weights(out, halved(mean_weights(FAMILIES[family], paths)), manifest)
        say(f"{family}: every team starts from {names} of {paths[0].parents[1]}, written to {out}")
    else:
        say(f"{family}: every team starts from {out}, which is {names} of {paths[0].parents[1]}")
    return out
