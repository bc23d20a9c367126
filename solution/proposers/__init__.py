"""Who says where the ground of the optical image lies in the SAR image.

Each family has a folder of its own, with its network, its training and its settings.

``flow`` finds large shifts, coarse to fine. ``matcher`` matches keypoints around that field, on the SAR image and on
the picture that ``translator`` paints of it. ``gradient`` is not trained, and works on coarse pixels only. All of
them return rows of `solution.field.candidates`.
"""
