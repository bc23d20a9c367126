"""Registration from Python: `register`, which the package offers as its own. Importing this file loads no heavy library."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solution.products.images import Image
    from solution.products.registration import Registration


def register(
    optical: Image,
    sar: Image,
    out: str | Path | None = None,
    *,
    warped_sar: bool = False,
    name: str | None = None,
    device: str = "auto",
    finest: int | None = None,
    sources: Iterable[str] = (),
    teams: Iterable[str] = (),
    folds: str | Path | None = None,
    rerank: bool = False,
    surface_model: str | Path | None = None,
    keep_water: bool = False,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
) -> Registration:
    """Register a SAR image to an optical one: the prediction of ``predict OPTICAL SAR OUT --uncertainty``, byte for byte.

    A weak or a failed map is no error: look at ``result.verdict``, whose ``ok`` is False then.

    Args:
        optical: path of a raster, a dataset that rasterio has open for reading, or a tuple ``(array, transform, crs)``
            of an array (H, W) or (bands, H, W), an `affine.Affine` from pixel corners to the CRS, and what rasterio
            takes for a CRS. 1 to 4 or more bands (the first three count), north up. A masked array masks its pixels.
        sar: the same, one band; amplitude, intensity or decibels; any CRS, any GSD near the optical one.
        out: path of the offset map, a GeoTIFF, beside which the other files go; a finished map of the same inputs is
            taken as it is. None = a temporary folder, which goes with the last of the result and its rasters.
        warped_sar: also write the SAR image moved onto the optical grid, ``OUT.sar.tif``.
        name: of the scene, in the report; None = after the optical file.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        finest: finest level, 1 (every pixel) to 8; None = by the scene's size.
        sources: names of the proposers that are to be asked; none = all that there are weights for.
        teams: names of the teams that are to be asked; none = all.
        folds: folder of the teams; None = the shipped ones.
        rerank: set aside what the teams' rerankers doubt.
        surface_model: weights of a surface classifier.
        keep_water: do not set candidates on smooth dark ground aside.
        progress: draw progress bars on a terminal's stderr.
        say: gets every line that the command line would print; None = nobody does.

    Returns:
        Registration: the map (lazily), its error, its verdict, and what one does with them.

    Raises:
        InputError: bad images or weights, or a place that cannot be written to; one sentence says which, and what to do.
    """
    from solution.core.progress import bars_on_stderr
    from solution.data.naming import FOLDS
    from solution.data.scene import open_pair
    from solution.products.images import on_disk
    from solution.products.predict import predict_pair
    from solution.products.registration import Place, Registration
    from solution.products.settings import Settings
    from solution.teams.propose import Proposing

    proposing = Proposing(_names(sources), finest)
    model = None if surface_model is None else Path(surface_model)
    settings = Settings(
        Path(folds) if folds else FOLDS, device, _names(teams), warped_sar, True, rerank, model, keep_water, proposing
    )
    place = Place()
    with place.unnamed(), bars_on_stderr() if progress else nullcontext() as bars:
        pair = open_pair(on_disk(optical, place, "optical"), on_disk(sar, place, "sar"), name=name)
        path = Path(out) if out is not None else place.folder / "offsets.tif"
        predict_pair(pair, path, settings, bars, say or _nobody)
    return Registration.of(pair, path, place)


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _nobody(line: str) -> None:
    """Hears a line."""
