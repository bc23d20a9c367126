"""What is read from disk: rasters, scenes, tie-points, archives, registered pairs, folds."""
