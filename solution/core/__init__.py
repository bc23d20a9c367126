"""What knows nothing of SAR: errors, geometry, files that are written whole, digests of code, weights, devices.

`errors` holds the one exception that users see. `artefact` writes files whole or not at all, with a manifest in
weights. `code` gives a digest of the code behind a result, for the keys of kept results.
"""
