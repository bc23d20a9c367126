"""A physical SAR/optical simulator at sub-metre resolution: it writes whole SN9-named scenes with exact ground truth.

World frame: metres, x to the east (right) and y to the south (down), origin at the upper left corner of the optical
raster. The ground is a height field on square cells as large as an optical pixel and aligned with the optical grid; a
cell's value belongs to its centre.

    presets -> sensors (grids, terrain, displacement) -> layout (districts, streets)
            -> ground (height and cover), blocks + structures (what stands on it)
            -> optical, sar (two renderings of the ground) -> scene_writer (files and truth)
"""
