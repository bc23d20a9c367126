"""How good the translator's pictures are: PSNR and SSIM on image pairs, beside two baselines; as a
table, as JSON, as pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.table import Table
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.data.registered import ImagePair
from solution.products.sar2optical import paint_image
from solution.proposers.warped import Translate

METHODS = ("mean colour", "SAR, matched histogram", "translated")
_SHOWN = 4  # pairs in the picture
_SHOWN_PX = 256  # side of what it shows of each


@dataclass(frozen=True)
class Baselines:
    """Two ways to guess an optical image that need no translator.

    Attributes:
        colour: (3,) mean colour of the optical images, uint8.
        table: (256, 3) the colour that gives the SAR values the histogram of the optical
            ones, channel by channel, uint8.
    """

    colour: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, pairs: Sequence[ImagePair], step: Callable[[], None]) -> Baselines:
        """From the pixels of all pairs, taken together."""
        of_sar, of_optical = np.zeros(256), np.zeros((256, 3))
        for pair in pairs:
            sar, optical = pair.read()
            of_sar += np.bincount(sar.ravel(), minlength=256)
            of_optical += np.stack(
                [np.bincount(band.ravel(), minlength=256) for band in np.moveaxis(optical, -1, 0)], axis=1
            )
            step()
        share = (np.cumsum(of_sar) - 0.5 * of_sar) / of_sar.sum()  # share of the pixels below the middle of each value
        reached = np.cumsum(of_optical, axis=0) / of_optical.sum(axis=0)
        table = np.stack([np.searchsorted(reached[:, band], share) for band in range(3)], axis=1)
        colour = (np.arange(256)[:, None] * of_optical).sum(axis=0) / of_optical.sum(axis=0)
        return cls(np.rint(colour).astype(np.uint8), table.clip(0, 255).astype(np.uint8))

    def pictures(self, sar: np.ndarray) -> dict[str, np.ndarray]:
        """SAR picture (h, w) uint8 -> method -> guessed picture (h, w, 3) uint8."""
        flat = np.broadcast_to(self.colour, (*sar.shape, 3))
        return dict(zip(METHODS[:2], (flat, self.table[sar]), strict=True))


@dataclass(frozen=True)
class JudgedPair:
    """What each method reaches on one pair.

    Attributes:
        pair: the images.
        psnr_db, ssim: by method, over the whole image; colours span [0, 1].
    """

    pair: ImagePair
    psnr_db: dict[str, float]
    ssim: dict[str, float]


def guard_unseen(pairs: Sequence[ImagePair], manifest: Manifest, weights: Path) -> None:
    """Refuse to judge weights on pairs that they were trained on."""
    seen = sorted({pair.name for pair in pairs} & set(manifest.trained_on))
    if seen:
        raise InputError(
            f"{weights}: was trained on {seen[0]} ({len(seen)} such); pass --split FILE, the one that it was trained with"
        )


def evaluate(
    pairs: Sequence[ImagePair], baselines: Baselines, paint: Translate, step: Callable[[], None]
) -> list[JudgedPair]:
    """PSNR and structural similarity of every method on every pair, as pictures of 8 bits.

    The latter is SSIM (Wang et al. 2004) with a Gaussian window of 11 px.
    """
    results = []
    for pair in pairs:
        sar, optical = pair.read()
        pictures = {**baselines.pictures(sar), METHODS[2]: paint_image(sar, paint)}
        truth = _as_tensor(optical)
        psnr, ssim = {}, {}
        for method, picture in pictures.items():
            psnr[method] = float(peak_signal_noise_ratio(_as_tensor(picture), truth, data_range=1.0))
            ssim[method] = float(structural_similarity_index_measure(_as_tensor(picture), truth, data_range=1.0))
        results.append(JudgedPair(pair, psnr, ssim))
        step()
    return results


def _as_tensor(picture: np.ndarray) -> torch.Tensor:
    """(h, w, 3) uint8 -> (1, 3, h, w) in [0, 1]."""
    return torch.from_numpy(np.moveaxis(picture, -1, 0)[None] / np.float32(255.0))


def summary(results: Sequence[JudgedPair]) -> dict[str, dict]:
    """Means over the pairs of each class, where there are classes, and over all pairs (``all``)."""
    groups = {
        group: [r for r in results if r.pair.group == group]
        for group in sorted({r.pair.group for r in results})
        if group
    }
    return {name: _means(members) for name, members in {**groups, "all": list(results)}.items()}


def _means(results: Sequence[JudgedPair]) -> dict:
    methods = {
        method: {
            "psnr_db": round(float(np.mean([r.psnr_db[method] for r in results])), 3),
            "ssim": round(float(np.mean([r.ssim[method] for r in results])), 4),
        }
        for method in METHODS
    }
    return {"pairs": len(results), **methods}


def as_table(means: dict[str, dict], title: str) -> Table:
    """A row for each class and method."""
    table = Table(title=title, box=box.SIMPLE, pad_edge=False)
    for name in ("class", "pairs", "method", "PSNR, dB", "SSIM"):
        table.add_column(name, justify="right" if name in ("pairs", "PSNR, dB", "SSIM") else "left", no_wrap=True)
    for name, row in means.items():
        for method in METHODS:
            table.add_row(
                name, str(row["pairs"]), method, f"{row[method]['psnr_db']:.2f}", f"{row[method]['ssim']:.3f}"
            )
    return table


def as_json(means: dict[str, dict], results: Sequence[JudgedPair], **about: object) -> str:
    """All numbers, for machines."""
    by_pair = {
        r.pair.id: {method: {"psnr_db": r.psnr_db[method], "ssim": r.ssim[method]} for method in METHODS}
        for r in results
    }
    return json.dumps({**about, "means": means, "pairs": by_pair}, indent=1) + "\n"


def picture_rows(pairs: Sequence[ImagePair], paint: Translate) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows for `proposers.translator.training.write_grid`: the middle of a few pairs, evenly spaced over the list."""
    chosen = np.unique(np.linspace(0, len(pairs) - 1, _SHOWN).round().astype(int))
    rows = []
    for pair in (pairs[number] for number in chosen):
        sar, optical = pair.read()
        painted = paint_image(sar, paint)
        middle = tuple(
            slice((size - _SHOWN_PX) // 2, (size + _SHOWN_PX) // 2) if size > _SHOWN_PX else slice(None)
            for size in sar.shape
        )
        rows.append(
            (
                sar[middle] / np.float32(255),
                *(np.moveaxis(image[middle], -1, 0) / np.float32(255) for image in (painted, optical)),
            )
        )
    return rows
