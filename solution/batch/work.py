"""What a worker does: predict one pair, and say what came of it. It raises nothing, so that no pair stops another."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from solution.batch.listing import Listed
from solution.batch.table import BAD_INPUT, ERROR, LOST, Row
from solution.core.artefact import WORK, digest, read_noted
from solution.core.code import code_digest
from solution.core.errors import InputError
from solution.core.memory import forget_peak, peak_gb
from solution.core.refusals import refusals_named
from solution.data.opening import open_raster
from solution.data.scene import open_pair
from solution.products.outputs import Outputs
from solution.products.predict import outputs_of, predict_pair
from solution.products.proposals import networks_of
from solution.products.settings import Settings
from solution.teams.propose import Networks

MOST_TRIES = 3
"""How often a worker may begin with a pair: once, and twice more where the worker dies of it."""

_LATTICE = 256  # places along each side of a map, at most, at which its shifts are looked up
_MOST_LETTERS = 300  # of an error that is none of ours


@dataclass(frozen=True)
class Job:
    """One pair for a worker.

    Attributes:
        pair: of the list; its images are there as far as the list knows.
        folder: of the batch.
        settings: how to predict.
        marks: folder in which workers leave a mark for every pair that they begin.
        code: digest of the code that the batch was started with.
        threads: that the worker may use; None = as many as it uses anyway.
    """

    pair: Listed
    folder: Path
    settings: Settings
    marks: Path
    code: str
    threads: int | None = None

    @property
    def map(self) -> Path:
        """Where the offset map goes."""
        return self.folder / f"{self.pair.name}.tif"

    @property
    def outputs(self) -> Outputs:
        """All files of the prediction."""
        return outputs_of(self.map, self.settings)

    @property
    def blank(self) -> Row:
        """The row of the pair before it is looked at."""
        return Row(self.pair.name, *(str(path or "") for path in (self.pair.optical, self.pair.sar)))

    def tries(self) -> int:
        """How often a worker has begun with it."""
        mark = self._mark
        return mark.stat().st_size if mark.exists() else 0

    def begin(self) -> int:
        """Leave a mark, which outlives the worker -> how often a worker has begun with it by now."""
        with self._mark.open("ab") as file:
            file.write(b".")
        return self.tries()

    @property
    def _mark(self) -> Path:
        return self.marks / self.pair.name


def code() -> str:
    """Digest of the code that this process predicts with."""
    return code_digest(predict_pair)


def work(job: Job) -> dict:
    """Predict a pair -> what differs from its blank row."""
    tries = job.begin()
    if tries > MOST_TRIES:
        return lost(MOST_TRIES)
    forget_peak()
    started = time.perf_counter()
    try:
        with refusals_named(job.folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the verdict says it, and several workers share the terminal
            found = _predicted(job)
    except InputError as error:
        found = {"verdict": BAD_INPUT, "error": _line(str(error))}
    except Exception as error:  # whatever it is, it is this pair's
        found = {"verdict": ERROR, "error": _line(f"{type(error).__name__}: {error}")[:_MOST_LETTERS]}
    took = {"seconds": round(time.perf_counter() - started, 1), "peak_memory_gb": round(peak_gb(), 2)}
    return {**took, **found, "tries": tries}


def lost(tries: int) -> dict:
    """What differs from its blank row for a pair whose worker died each of so many times; 0 = before it began."""
    times = {1: "once", 2: "twice", 3: "three times"}.get(tries, f"{tries} times")
    what = f"the worker was lost {times} (memory?)" if tries else "no worker lived long enough to begin (memory?)"
    return {"verdict": LOST, "error": f"{what}; give workers more memory: --workers 1, or --memory GB", "tries": tries}


def networks(job: Job) -> Networks:
    """Those of the settings' weights, device and runtime, loaded once in this process; other weights, or changed ones,
    replace them."""
    settings = job.settings
    facts = digest([settings.proposing.facts(voice) for voice in settings.voices])
    return _networks(settings, job.folder / WORK, facts)


@lru_cache(maxsize=1)
def _networks(settings: Settings, work: Path, _weights: str) -> Networks:
    return networks_of(settings, work)


def _predicted(job: Job) -> dict:
    if job.code != code():
        return {"verdict": ERROR, "error": "this worker runs other code than the batch; start the workers anew"}
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    pair = open_pair(job.pair.optical, job.pair.sar, name=job.pair.name)
    made = predict_pair(pair, job.map, job.settings, None, _nobody, networks(job))
    return {**_of_report(read_noted(job.outputs.report)), **_of_map(job.map), **_files(job), "kept": made.skipped}


def _nobody(_line: str) -> None:
    """Workers have no terminal; the report holds what there is to say."""


def _of_report(report: dict) -> dict:
    """What the row takes from a report."""
    radius, run = report["radius_68_px"], report["run"]
    names = ("verdict", "support", "evidence_margin", "fit", "candidates", "inliers", "gsd_m")
    return {
        **{name: report[name] for name in names},
        "reasons": "; ".join(report["reasons"]),
        "error_px": radius,
        "error_m": None if radius is None else round(radius * report["gsd_m"], 3),
        "seconds": round(sum(run["seconds"].values()), 1),
        "peak_memory_gb": run["peak_memory_gb"],
    }


def _of_map(path: Path) -> dict:
    """Shifts over a lattice of the map, its pixels without data left out."""
    with open_raster(path) as dataset:
        shape = (dataset.count, *(min(size, _LATTICE) for size in dataset.shape))
        shift = np.ma.filled(dataset.read(out_shape=shape, masked=True).astype(np.float64), math.nan)
    shift = shift[:, np.isfinite(shift).all(axis=0)]
    if not shift.size:
        return {}
    length = np.hypot(*shift)
    figures = {
        "shift_dx_px": np.median(shift[0]),
        "shift_dy_px": np.median(shift[1]),
        "shift_px": np.median(length),
        "shift_most_px": length.max(),
    }
    return {name: round(float(value), 2) for name, value in figures.items()}


def _files(job: Job) -> dict:
    return {"map": job.map.name, "report": job.outputs.report.name}


def _line(text: str) -> str:
    """In one line."""
    return " ".join(text.split())
