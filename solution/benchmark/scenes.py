"""The scenes of a benchmark: freshly simulated ones, and the labelled ones of any folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from solution.core.errors import InputError
from solution.data.finding import discover
from solution.data.scene import ScenePair
from solution.scoring import score
from solution.simulate import scene_writer


def simulated(
    out: Path, count: int, size: tuple[int, int], seed: int, preset: str, say: Callable[[str], None]
) -> list[ScenePair]:
    """The simulated scenes, written where they are missing.

    Args:
        out: the scenes go into a folder of their own below it, which names the settings.
        count: how many; the first ones stay the same whatever the count.
        size: (height, width) in px.

    Returns:
        Pairs whose tie-points lie on visible ground and carry no click noise.

    Raises:
        InputError: unknown preset, size too small, folder not writable.
    """
    folder = Path(out) / f"simulated_{seed}_{preset}_{size[0]}x{size[1]}"
    names = []
    # Names that no labelled data set has: a team is chosen by a scene's name.
    for number, (_, scene_seed) in enumerate(scene_writer.plan(count, seed), 1):
        names.append(f"00_simulated_{number:02d}")
        if scene_writer.ensure_scene(folder, names[-1], size, scene_seed, preset, 0.0):
            say(f"{folder}: simulated scene {names[-1]}, seed {scene_seed}")
    return [pair for pair in discover(folder) if pair.name in names] if names else []


def labelled(folders: Sequence[Path]) -> list[ScenePair]:
    """The labelled scenes of the folders. Raises `InputError` where a folder holds none."""
    pairs = []
    for folder in folders:
        found = [pair for pair in discover(folder) if pair.tiepoints_csv is not None]
        if not found:
            raise InputError(
                f"{folder}: holds no labelled scene; put AA_tiepoints_NAME.csv beside the images of a scene"
            )
        pairs += found
    return pairs


def check(pairs: Sequence[ScenePair]) -> None:
    """Raise `InputError` for what would spoil a run that takes hours: no scene, one name twice,
    labels that cannot be read."""
    if not pairs:
        raise InputError("benchmark: there is no scene; pass a folder of labelled scenes, or --simulated N")
    places: dict[str, Path] = {}
    for pair in pairs:
        if pair.name in places:
            raise InputError(
                f"scene {pair.name}: is in {places[pair.name]} and in {pair.optical.parent}; benchmark the folders apart, with another --out"
            )
        places[pair.name] = pair.optical.parent
        if not len(score.reference(pair.tiepoints_csv, pair.optical, pair.sar).rows):
            raise InputError(f"{pair.tiepoints_csv}: holds no tie-point; remove the file if the scene has no labels")
