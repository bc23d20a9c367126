"""Learning curves: every epoch's metrics as a table and as a picture, beside the weights."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback

from solution.core.writing import write_bytes, write_text
from solution.training.stopping import Row, Watch

_INCHES, _DPI = (6.4, 3.6), 100


def curve_files(weights: Path) -> tuple[Path, Path]:
    """The table and the picture that belong to weights."""
    return weights.with_suffix(".curve.csv"), weights.with_suffix(".curve.png")


class Curves(Callback):
    """Writes both at the end of a run."""

    def __init__(self, weights: Path, watched: tuple[str, str], title: str) -> None:
        """The weights' file, what is drawn (see `Stage.watched`), and what stands above it."""
        self._weights, self._watched, self._title = weights, watched, title

    def on_fit_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write what `Watch` noted."""
        watch = next(one for one in trainer.callbacks if isinstance(one, Watch))
        if trainer.is_global_zero and watch.rows:
            write_curves(self._weights, watch, self._watched, self._title)


def write_curves(weights: Path, watch: Watch, watched: tuple[str, str], title: str) -> None:
    """Write the table and the picture of a run."""
    table, picture = curve_files(weights)
    write_text(table, _table(watch.rows))
    write_bytes(picture, _picture(watch, watched, title))


def _table(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([[f"{row[name]:.6g}" if name in row else "" for name in names] for row in rows])
    return text.getvalue()


def _picture(watch: Watch, watched: tuple[str, str], title: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metric, called = watched
    figure = Figure(_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=title, xlabel="steps", ylabel=called)
    for name, label in ((f"train_{metric}", "training"), (f"val_{metric}", watch.apart)):
        points = [(row["step"], row[name]) for row in watch.rows if name in row]
        axes.plot([step for step, _ in points], [value for _, value in points], marker="o", markersize=3, label=label)
    axes.axvline(watch.rows[watch.at]["step"], color="grey", linestyle=":", label="kept")
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
