"""Surface classes of Sentinel-1 extra-wide-swath scenes: sea, ice and land, by the classification of patches.

The task is that of the ExtremeEarth polar training data (Zenodo 3695276, CC BY 4.0), whose layout of patches is kept.

    simulate (scenes with exact polygons) -> sampler (patches) -> training -> evaluation, comparison
                                                                       -> segment (whole scenes)

In registration, `water` finds smooth dark ground of a SAR image, and `ground` says which candidates end there.

Convention (everything about patches, stated once)
--------------------------------------------------
Patch      `PATCH_PX` x `PATCH_PX` px; its position is ``(x, y) = (column, row)`` of its first pixel, so
           that it shows ``image[y : y + 64, x : x + 64]``.
Label      the class of the polygon at the patch's middle pixel, ``(x + 32, y + 32)``, at that pixel's centre.
Pixels     uint8, linear in amplitude: grey (HH), or three channels HH, HV and their ratio
           ``RATIO_SCALE * HV / HH``, as in the public patches.
Classes    index 0, 1, 2 in arrays = `LETTERS` in files = 1, 2, 3 in class maps, whose 0 is "no data".
"""

from __future__ import annotations

PATCH_PX = 64
LETTERS = ("W", "I", "L")
NAMES = ("water", "ice", "land")
COLOURS = ((38, 92, 170), (206, 236, 245), (150, 116, 72))
"""RGB of the classes in class maps and pictures."""
RATIO_SCALE = 82.0
"""Of the public patches, by a fit to their pixels: blue = 82 * green / red, to 5 %."""
