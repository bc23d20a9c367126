"""What knows nothing of SAR: errors, geometry, artefacts, progress, devices, weights."""
