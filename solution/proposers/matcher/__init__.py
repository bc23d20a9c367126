"""DISK keypoints matched by LightGlue."""
