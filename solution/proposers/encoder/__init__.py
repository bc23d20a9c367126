"""One pretrained trunk for both images: what it makes of them, and where its weights come from."""
