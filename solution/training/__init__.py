"""One training run, and what it needs to know of a model family."""
