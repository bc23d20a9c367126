"""One training run, and what it needs to know of a model family.

A run has Lightning's trainer, checkpoints that a killed run goes on from, and the weights file at its end.

`stages` lists the model families, `run` trains one model, `tile_data` feeds it with tiles.
"""
