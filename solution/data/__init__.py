"""What is read from disk: rasters, scene pairs, tie-points, archives, registered image pairs, the split into folds.

`scene.ScenePair` is an optical and a SAR image of one place, both read on the optical grid; `raster` reads windows of
one image; `finding` lists the SN9-named scenes of a folder.
"""
