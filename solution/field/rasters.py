"""What the rasters that are written of a fit have in common: the optical grid, the layout, and tags that explain them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from solution import __version__
from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.core.names import as_utf8
from solution.data.cog import new_cog
from solution.data.raster_writing import RasterWriter, new_raster
from solution.data.scene import ScenePair

COG, CONTEST = "cog", "contest"
LAYOUTS = (COG, CONTEST)
"""Of an offset map: a Cloud-Optimized GeoTIFF whose mask says where there is ground, or a plain one of values alone."""

TILE = 256
"""Side of a plain file's tiles, px."""
BLOCK_ROWS = 512
"""Of a raster that are held in memory at a time."""


def check_layout(layout: str) -> None:
    """Raise `InputError` for one that is not in `LAYOUTS`."""
    if layout not in LAYOUTS:
        raise InputError(f"--layout {layout}: no such layout; choose {' or '.join(LAYOUTS)}")


def new_product(
    path: Path,
    pair: ScenePair,
    names: tuple[str, ...],
    layout: str = COG,
    check: Callable[[Path], None] | None = None,
    share: float = 1.0,
    **more: object,
) -> AbstractContextManager[RasterWriter]:
    """A raster on the optical grid; as `raster_writing.new_raster`, and `more` goes into its profile."""
    (a, b, c), (d, e, f) = pair.transform[:2]
    profile = {
        "driver": "GTiff",
        "height": pair.shape[0],
        "width": pair.shape[1],
        "count": len(names),
        "crs": pair.crs,
        "transform": Affine(a, b, c, d, e, f),
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "compress": "deflate",
        "zlevel": 1,
        "num_threads": 1 if layout == COG else "all_cpus",  # GDAL's threads have words of their own on masks
        "bigtiff": "if_safer",
        **more,
    }
    return (new_cog if layout == COG else new_raster)(path, names, check, share, **profile)


def tags_of(facts: Mapping) -> dict[str, str]:
    """Tags of the rasters of one run: what its report says of inputs, verdict and version, as far as it does.

    They name no path and no time: equal inputs give equal bytes.

    Args:
        facts: entries of a report: ``inputs`` (`ScenePair.inputs`), ``gsd_m``, those of `Verdict.facts`.
    """
    tags = {"GSD_M": facts.get("gsd_m"), "VERDICT": facts.get("verdict"), "VERDICT_REASONS": facts.get("reasons")}
    if "radius_68_px" in facts:
        tags["EXPECTED_ERROR_PX"] = "unknown" if facts["radius_68_px"] is None else facts["radius_68_px"]
    tags["VERSION"] = __version__
    for image, about in facts.get("inputs", {}).items():
        tags[image.upper()] = as_utf8(about.get("name") or Path(about["path"]).name)
        tags[f"{image.upper()}_SHA256"] = about.get("sha256")
    return {name: _text(value) for name, value in tags.items() if value not in (None, [])}


def _text(value: object) -> str:
    return "; ".join(value) if isinstance(value, list) else str(value)


def raster_window(window: Window) -> RasterWindow:
    """As rasterio takes it."""
    return RasterWindow(window.x, window.y, window.width, window.height)
