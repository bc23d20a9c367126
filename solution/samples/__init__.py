"""What networks learn from: images in memory, their truth, tiles, augmentation."""
