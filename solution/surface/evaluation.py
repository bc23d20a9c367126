"""How good a classification is: confusion matrix, accuracy, F1 by class and on average; as
text, as JSON, and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from solution.core.writing import atomic_path
from solution.surface import LETTERS, NAMES


@dataclass(frozen=True)
class Result:
    """A confusion matrix and what follows from it.

    Attributes:
        confusion: (3, 3) int64, rows true classes, columns predicted ones.
    """

    confusion: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, predicted: np.ndarray) -> Result:
        """From true and predicted classes (N,)."""
        size = len(LETTERS)
        return cls(np.bincount(labels * size + predicted, minlength=size**2).reshape(size, size))

    @property
    def accuracy(self) -> float:
        """Share of the patches whose class is right."""
        return float(np.trace(self.confusion) / max(self.confusion.sum(), 1))

    @property
    def f1(self) -> np.ndarray:
        """(3,) harmonic mean of precision and recall; NaN for a class that neither occurs nor is predicted."""
        total = self.confusion.sum(axis=0) + self.confusion.sum(axis=1)
        return np.where(total > 0, 2 * np.diag(self.confusion) / np.maximum(total, 1), np.nan)

    @property
    def macro_f1(self) -> float:
        """Mean of the F1 of the classes that occur in the truth, or were predicted."""
        return float(np.nanmean(self.f1))

    def line(self) -> str:
        """In one line."""
        classes = ", ".join(f"{name} {value:.3f}" for name, value in zip(NAMES, self.f1, strict=True))
        return f"accuracy {self.accuracy:.3f}, macro F1 {self.macro_f1:.3f} ({classes}) on {int(self.confusion.sum()):,} patches"

    def facts(self) -> dict:
        """For machines; None for an F1 that is not a number."""
        f1 = {
            name: None if np.isnan(value) else round(float(value), 6)
            for name, value in zip(NAMES, self.f1, strict=True)
        }
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "f1": f1,
            "confusion": self.confusion.tolist(),
            "classes": list(NAMES),
        }

    def table(self, title: str) -> Table:
        """The confusion matrix."""
        table = Table("true \\ predicted", *NAMES, "F1", title=title)
        for name, row, f1 in zip(NAMES, self.confusion, self.f1, strict=True):
            table.add_row(name, *(f"{int(count):,}" for count in row), f"{f1:.3f}")
        return table

    def draw(self, out: Path, title: str) -> None:
        """Write the confusion matrix as a picture, shaded by the share of the true class."""
        share = self.confusion / np.maximum(self.confusion.sum(axis=1, keepdims=True), 1)
        figure = Figure(figsize=(4.6, 4.2), dpi=110, layout="constrained")
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(self.confusion):
            axes.text(
                column,
                row,
                f"{count:,}\n{share[row, column]:.1%}",
                ha="center",
                va="center",
                color="white" if share[row, column] > 0.5 else "black",
            )
        axes.set(
            xticks=range(len(NAMES)),
            yticks=range(len(NAMES)),
            xticklabels=NAMES,
            yticklabels=NAMES,
            xlabel="predicted",
            ylabel="true",
        )
        axes.set_title(f"{title}\naccuracy {self.accuracy:.3f}, macro F1 {self.macro_f1:.3f}", fontsize=9)
        with atomic_path(out) as temporary:
            figure.savefig(temporary)
