"""Many pairs: a list of them, workers that predict them, and one table of what came of it."""
