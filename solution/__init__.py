"""SAR-to-optical registration in the shape of a SpaceNet 9 solution.

Convention (everything geometric in this package, stated once)
--------------------------------------------------------------
Frame      the optical image. ``(x, y) = (column, row)``, x to the right, y down. An integer is the pixel index that the
           tie-point CSV uses. Sizes are ``(height, width)``, arrays ``(..., H, W)``, points ``(N, 2)`` in (x, y).
Shift      ``(dx, dy)`` in optical pixels, optical -> SAR: the ground at optical index (x, y) appears in the SAR image at
           the geographic position of the optical index (x + dx, y + dy). +x is right, +y is down.
Index      a geographic position of an index is ``origin + index * resolution`` in both images, without half a pixel,
           because that is what the challenge's scorer does.
Pixels     resampling follows pixel centres: ``p_sar = A (p_opt + 1/2) - 1/2``. An image made that way shows the ground
           at the *apparent* shift ``(dx, dy) + centre_offset``, where ``centre_offset = (L - 1) / 2`` applied to (1, 1) and L is the SAR
           pixel's size in optical pixels. `scene.ScenePair.centre_offset_px` holds it; only code that touches pixels adds it.
Dtype      coordinates and shifts are never below float32, and never in half precision.

One worked number: optical GSD 0.5 m, SAR GSD 1.0 m, equal origins, north up. The tie-point optical (x=10, y=20), SAR
(x=6, y=9) lies at 5.0 m and 6.0 m east: dx = (6.0 - 5.0) / 0.5 = +2 px; south 10.0 m and 9.0 m: dy = (-9.0 - -10.0) / -0.5 = -2 px.
The SAR pixel (6, 9) is centred 6.5 m east, which is the centre of optical index 12.5: its apparent x shift is 2.5 = 2 + (2 - 1) / 2.
"""

import importlib

__version__ = "0.1.0"
__all__ = ["InputError", "__version__", "register"]

_OFFERED = {"register": "solution.products.register", "InputError": "solution.core.errors"}
"""What ``from solution import ...`` offers, and where it stands."""


def __getattr__(name: str) -> object:
    # Not by import statements: those would be followed from every module, for all of them import this one (core/code.py)
    if name in _OFFERED:
        return getattr(importlib.import_module(_OFFERED[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_OFFERED])
