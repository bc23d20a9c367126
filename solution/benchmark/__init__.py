"""The benchmark: every method on every scene under the same conditions, one table.

    scenes -> run (what is still to do) -> cell (one method, one scene, a process of its own) -> benchmark.json -> table

A method turns a pair into shifts at the tie-points. `methods` lists ours, the two that frame them (doing nothing, the
best affine on the labels) and the peers: `template` needs no training, `peers` holds those that anyone can install
with ``pip install -r requirements-benchmark.txt``. All peers see what we see: the optical image and the SAR image as
geocoded, both on the optical grid.

AROSICS is not among the peers: it needs GDAL's own Python bindings, which the package index holds as source only, so
plain pip fails on a machine without GDAL's library and headers.
"""

SEED = 30_000_000
"""Of the simulated scenes; no training uses it."""
PRESET = "gaziantep"
"""Their landscape and sensors."""
