"""What networks learn from.

    images (both images of a place, in memory) + truth -> tiles -> augmentation

The truth says where the ground of an optical pixel lies in the SAR image, and how sure that is.
"""
