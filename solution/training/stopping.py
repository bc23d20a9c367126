"""When a run ends and which weights it keeps: those whose development error was least, measured on images that are kept
apart, or the last ones where there are too few images to keep any apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import lightning
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor, nn

from solution.samples.images import TrainingImage

ONE_IN = 6
"""Of every kind of image one in so many is kept apart; of fewer none is."""
_MOST_APART = 4  # of a kind: what is kept apart is not learned from
Row = dict[str, float]
"""The metrics after an epoch; ``step`` is how many steps the run had."""


def kept_apart(images: Sequence[TrainingImage], seed: int) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Divide images into those to learn from and those to measure the development error on.

    Of every kind (labelled, simulated, registered) one in `ONE_IN` is kept apart, `_MOST_APART` at most. An image's
    place in the draw follows from its name and the seed alone, so that teams keep the same ones apart where they can.
    """

    def place(image: TrainingImage) -> str:
        return hashlib.sha256(f"{seed} {image.name}".encode()).hexdigest()

    apart: set[str] = set()
    for kind in {image.kind for image in images}:
        names = [image.name for image in sorted(images, key=place) if image.kind == kind]
        apart.update(names[: count_apart(len(names))])
    return [one for one in images if one.name not in apart], [one for one in images if one.name in apart]


def count_apart(count: int) -> int:
    """How many of so many images of a kind are kept apart."""
    return min(_MOST_APART, count // ONE_IN)


class MixedAverage(WeightAveraging):
    """The moving average of the weights, mixed with those that the run started from. What is validated is the mixture,
    for that is what is kept."""

    def __init__(self, start: dict[str, Tensor], share: float, **averaging: object) -> None:
        """The start counts as much as `share` says; the rest is for `WeightAveraging`."""
        super().__init__(**averaging)
        self._start, self._share = start, share

    def on_validation_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Put the mixture in the place of the current weights."""
        super().on_validation_epoch_start(trainer, module)
        self._unmixed = copied(module.net)
        module.net.load_state_dict(mixed(self._unmixed, self._start, self._share))

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Put the current weights back, and leave the average as it was."""
        module.net.load_state_dict(self._unmixed)
        super().on_validation_epoch_end(trainer, module)


def mixed(weights: dict[str, Tensor], start: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """``share`` times the start and the rest of the weights; whole numbers (counts) stay as the weights have them."""
    if not share:
        return weights
    return {
        name: value + share * (start[name].to(value) - value) if value.is_floating_point() else value
        for name, value in weights.items()
    }


def copied(net: nn.Module) -> dict[str, Tensor]:
    """A network's weights, which its training leaves alone."""
    return {name: value.detach().cpu().clone() for name, value in net.state_dict().items()}


def steps_done(trainer: lightning.Trainer) -> int:
    """Optimisation steps of a run so far, those before a kill included."""
    return (trainer.fit_loop.total_batch_idx + 1) // trainer.accumulate_grad_batches


class Watch(Callback):
    """Notes the metrics of every epoch, keeps the weights that shall be written, and ends the run.

    All of it goes into the checkpoints, so that a run that was killed decides as it would have. It belongs behind the
    callback that puts averaged weights in place for validation: it keeps the very weights that were validated.

    Attributes:
        rows: the metrics of the epochs.
        kept: the network's weights that shall be written.
        at: index of their row.
    """

    def __init__(self, watched: str | None, patience_steps: float, apart: int) -> None:
        """Watch a run.

        Args:
            watched: the metric that decides; None = nothing is decided, and the last weights are kept.
            patience_steps: the run ends when it was lowest so many steps ago.
            apart: number of images that are kept apart for it.
        """
        self.watched, self.patience_steps = watched, patience_steps
        self.apart = f"development, {apart} images kept apart" if apart else "no image kept apart"
        self.rows: list[Row] = []
        self.kept: dict[str, Tensor] = {}
        self.at = 0
        self._validated: dict[str, Tensor] = {}

    @property
    def over(self) -> bool:
        """Whether the development error no longer falls."""
        if self.watched is None or not self.rows:
            return False
        return self.rows[-1]["step"] - self.rows[self.at]["step"] >= self.patience_steps

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """A run that was killed after it had ended does not begin again."""
        trainer.should_stop = trainer.should_stop or self.over

    def on_validation_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Copy what is validated."""
        self._validated = copied(module.net)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Note the epoch's metrics, the mean over all devices, and decide."""
        found = sorted(trainer.callback_metrics.items())
        metrics = {name: float(trainer.strategy.reduce(value, reduce_op="mean")) for name, value in found}
        self.rows.append({"step": float(steps_done(trainer)), **metrics})
        if self.watched is None or len(self.rows) == 1 or metrics[self.watched] < self.rows[self.at][self.watched]:
            self.kept, self.at = self._validated, len(self.rows) - 1
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(trainer.should_stop or self.over, all=False)

    def state_dict(self) -> dict:
        """For the checkpoint."""
        return {"rows": self.rows, "kept": self.kept, "at": self.at}

    def load_state_dict(self, state: dict) -> None:
        """From the checkpoint."""
        self.rows, self.kept, self.at = list(state["rows"]), dict(state["kept"]), state["at"]

    def told(self) -> str:
        """What was kept and why, for people."""
        kept, last = (int(row["step"]) for row in (self.rows[self.at], self.rows[-1]))
        if self.over:
            return f"({self.apart}); weights of step {kept}, ended at {last}, for the error fell no longer"
        return f"({self.apart}); weights of step {kept}{f', the best of {last}' if kept < last else ''}"
