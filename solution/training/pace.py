"""How long a run takes: measured on its first steps, told, and told again as it is known better."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import lightning
from lightning.pytorch.callbacks import Callback

from solution.training.stopping import steps_done

FIRST_STEPS = 20
"""Steps that are measured before anything is said."""


class Pace(Callback):
    """Says how long a run takes, after `FIRST_STEPS` steps and whenever twice as many are done. Nothing of it is written."""

    def __init__(self, name: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """A run's name, for people, and what gives the time in seconds."""
        self._name, self._say, self._clock = name, say, clock
        self._since, self._before, self._next = 0.0, 0, FIRST_STEPS

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """The clock starts; steps that an earlier process did do not count."""
        self._since, self._before = self._clock(), steps_done(trainer)

    def on_train_batch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: object) -> None:
        """Say it where it is due."""
        if not trainer.is_global_zero:
            return
        steps = getattr(module.config, "steps", trainer.num_training_batches * trainer.max_epochs)
        done, left = steps_done(trainer) - self._before, steps - steps_done(trainer)
        if done < self._next or left <= 0:
            return
        self._next *= 2
        each = (self._clock() - self._since) / done
        self._say(f"{self._name}: {steps} steps, about {duration(each * steps)}, ends {_at(each * left)}")


def duration(seconds: float) -> str:
    """For people: ``40 s``, ``4 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _at(seconds: float) -> str:
    """The time of day so many seconds from now, with the date where that is another one."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return then.strftime("%H:%M" if then.date() == now.date() else "%Y-%m-%d %H:%M")
