"""The scenes of a rehearsal: three labelled ones of two areas, two public test scenes of the same areas, and a private one
of an area never seen. ``python -m solution.benchmark.rehearsal.scenes FOLDER SCALE`` simulates them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from solution.core.errors import InputError
from solution.data import naming
from solution.simulate import scene_writer

TRAIN, PUBLIC, PRIVATE = "train", "public", "private"
PARTS = (TRAIN, PUBLIC, PRIVATE)
"""What the contest hands out, a folder each."""

_CLICK_NOISE_PX = 4.0  # root mean square, of the contest's tie-points
_SAR_DTYPE = "uint8"


@dataclass(frozen=True)
class Simulated:
    """A scene to simulate.

    Attributes:
        name: of the scene.
        part: one of `PARTS`.
        size: (height, width) of the optical image in px, as the contest's.
        small: the same where the rehearsal is only to be seen to run.
        seed: of everything in it; no training draws it.
        preset: landscape and sensors.
    """

    name: str
    part: str
    size: tuple[int, int]
    small: tuple[int, int]
    seed: int
    preset: str


_SQUARE, _STRIP = ((13_000, 13_000), (512, 512)), ((3990, 10_155), (512, 640))
SCENES = (
    Simulated("01_privatetest", PRIVATE, *_SQUARE, 7006, "city"),
    Simulated("03_train_01", TRAIN, *_SQUARE, 7003, "suburb"),
    Simulated("02_train_01", TRAIN, *_STRIP, 7001, "gaziantep"),
    Simulated("02_train_02", TRAIN, *_STRIP, 7002, "gaziantep"),
    Simulated("02_publictest", PUBLIC, *_STRIP, 7004, "gaziantep"),
    Simulated("03_publictest", PUBLIC, *_STRIP, 7005, "suburb"),
)
"""The largest first: what does not fit is seen early."""


@dataclass(frozen=True)
class Scale:
    """How large a rehearsal is.

    Attributes:
        name: of the scale.
        steps: of every training run, where nothing else is asked for; None = the configured ones.
        simulated: scenes that train.sh simulates to learn from; None = as many as it does by itself.
    """

    name: str
    steps: int | None = None
    simulated: int | None = None

    def size(self, scene: Simulated) -> tuple[int, int]:
        """(height, width) of a scene in px."""
        if self.name == "small":
            return scene.small
        height, width = scene.size
        return (height // 2, width // 2) if self.name == "half" else scene.size


SCALES = {scale.name: scale for scale in (Scale("full"), Scale("half"), Scale("small", steps=1, simulated=1))}


def of_scale(name: str) -> Scale:
    """The scale of a name. Raises `InputError` for an unknown one."""
    if name not in SCALES:
        raise InputError(f"--scale {name}: is none of {', '.join(SCALES)}")
    return SCALES[name]


def simulate(folder: Path, scale: Scale, say: Callable[[str], None]) -> None:
    """Write the scenes that are missing. Raises `InputError` where the disk refuses one."""
    for number, scene in enumerate(SCENES, 1):
        say(f"{scene.name}: scene {number} of {len(SCENES)}")
        scene_writer.ensure_scene(
            folder, scene.name, scale.size(scene), scene.seed, scene.preset, _CLICK_NOISE_PX, _SAR_DTYPE
        )


def files(folder: Path, scene: Simulated) -> dict[str, Path]:
    """What the simulator wrote of a scene, by kind."""
    kinds = {"optical": "tif", "sar": "tif", "tiepoints": "csv", "truth": "tif"}
    return {kind: folder / naming.file_name(scene.name, kind, suffix) for kind, suffix in kinds.items()}


def main(folder: str, scale: str) -> None:
    """Simulate in a process of its own, whose memory goes with it."""
    try:
        simulate(Path(folder), of_scale(scale), lambda line: print(line, flush=True))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
